"""Between priors and the hierarchy. Oracle: `unpack`, which alone says what a prior's latents stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cohorts.calibrate.cohort import LATENTS, what_of
from cohorts.calibrate.units import in_start_units, moved_prior, standardised
from cohorts.ladder.artefact import to_toml
from tests.cohorts.calibrate.conjugate import draw_truth
from tests.one_woman import AS_OF_DAY, STANDARD, make_record
from twin.encode import covariates, encode
from twin.errors import UnusableInput
from twin.inference.priors import load_prior, unpack


@pytest.fixture(scope="module")
def what(prior):
    return what_of(prior, LATENTS, ("bmi", "age"), "none", ())


@pytest.fixture(scope="module")
def drawn(what):
    """Three populations of the hyperprior."""
    each = [draw_truth(k, what) for k in jax.random.split(jax.random.key(1), 3)]
    return {name: np.stack([e[name] for e in each]) for name in each[0]}


@pytest.fixture(scope="module")
def learnt(prior, what, drawn):
    one = {name: x[:1] for name, x in drawn.items()}
    return moved_prior(prior, what, one, id="learnt", evidence="test")


def test_one_woman_is_the_same_under_either_prior(prior, learnt, what):
    """The deviates of two priors that stand for one woman are one point in the start's units, B and effects too. Of a
    woman whose covariates of theta are known."""
    record = make_record(fetal_sex="male")
    data = encode(record, AS_OF_DAY, standard=STANDARD)
    x = standardised(prior, covariates(record)[None], what.covariates)[0]
    at = np.array([prior.index[n] for n in what.latents])
    z = 0.8 * jax.random.normal(jax.random.key(2), (prior.size(data), 5))
    here, _ = in_start_units(prior, learnt, what, np.asarray(learnt.deviates(z))[at], x)
    same = z.at[at].set(jnp.asarray(here.T))  # deviates of the start, which has no correlations
    one, other = unpack(learnt, data, z), unpack(prior, data, same)
    for name in ("S_I", "B", "R0", "k_e"):
        assert np.allclose(getattr(one.maternal, name), getattr(other.maternal, name), rtol=2e-5), name
    assert np.allclose(one.fetus.theta, other.fetus.theta, rtol=2e-5)
    assert np.allclose(one.fetus.fatness, other.fetus.fatness, rtol=2e-5, atol=1e-6)


def test_density_is_the_interim_prior_s(prior, learnt, what):
    """Of its own draws the log density averages to minus the entropy of that normal, and their moments are its own."""
    rng = np.random.default_rng(3)
    at = np.array([prior.index[n] for n in what.latents])
    z = jnp.asarray(rng.standard_normal((len(prior.latents), 40_000)))
    x = np.array([0.7, -0.4])
    draws, ln = in_start_units(prior, learnt, what, np.asarray(learnt.deviates(z))[at], x)
    entropy = 0.5 * np.linalg.slogdet(2.0 * np.pi * np.e * np.cov(draws.T))[1]
    assert abs(ln.mean() + entropy) < 0.05


def test_the_population_of_the_draws_is_that_of_the_prior(prior, learnt, what, drawn):
    """Mean, SD and correlations of women drawn from the learnt prior, in the start's units: 40 000 women, within 4.5
    standard errors (six means, SDs and fifteen correlations: false alarm below 2e-4)."""
    rng = np.random.default_rng(4)
    at = np.array([prior.index[n] for n in what.latents])
    z = jnp.asarray(rng.standard_normal((len(prior.latents), 40_000)))
    women, _ = in_start_units(prior, learnt, what, np.asarray(learnt.deviates(z))[at], np.zeros(2))
    sd = np.exp(drawn["ln_sd"][0])
    assert (np.abs(women.mean(axis=0) - drawn["mean"][0]) < 4.5 * sd / 200.0).all()
    assert (np.abs(women.std(axis=0) / sd - 1.0) < 4.5 / np.sqrt(80_000)).all()
    assert np.abs(np.corrcoef(women.T) - drawn["corr"][0]).max() < 4.5 / 200.0


def test_the_file_is_the_prior(prior, what, drawn, tmp_path):
    told = moved_prior(prior, what, drawn, id="cohort-test", evidence="of 3 women")
    path = tmp_path / "learnt.toml"
    path.write_text(to_toml(told, "a test"))
    read = load_prior(str(path))
    assert read == told and read.sha256 == told.sha256


def test_groups_widen_the_population_and_move_their_own(prior):
    what = what_of(prior, ("theta",), (), "site", ("a", "b"))
    one = draw_truth(jax.random.key(5), what)
    many = {name: np.stack([x, x]) for name, x in one.items()}
    whole = moved_prior(prior, what, many, id="w", evidence="")
    own = moved_prior(prior, what, many, id="a", evidence="", group=1)
    name = what.grouped[2]
    i, x = what.latents.index(name), prior.latents[prior.index[name]]
    within, between = np.exp(one["ln_sd"][i]), one["group_sd"][2]
    assert np.isclose(whole.latents[prior.index[name]].sd, x.sd * np.hypot(within, between), rtol=1e-5)
    there = own.latents[prior.index[name]]
    assert np.isclose(there.sd, x.sd * within, rtol=1e-5)
    assert np.isclose(there.center, x.center + x.sd * (one["mean"][i] + one["group"][1, 2]), rtol=1e-4)


@pytest.mark.parametrize(
    ("latents", "covariate", "group", "groups", "code"),
    [
        (("S_I", "nothing"), (), "none", (), "unknown-name"),
        (("S_I",), ("colour",), "none", (), "unknown-name"),
        ((), (), "none", (), "unknown-name"),
        (("S_I",), (), "site", ("unknown",), "one-group"),
    ],
)
def test_wrong_names(prior, latents, covariate, group, groups, code):
    with pytest.raises(UnusableInput) as refused:
        what_of(prior, latents, covariate, group, groups)
    assert refused.value.code == code


def test_a_start_that_correlates_with_what_stays(prior, learnt):
    with pytest.raises(UnusableInput) as refused:
        what_of(learnt, ("S_I",), (), "none", ())
    assert refused.value.code == "correlated-with-unlearnt"
