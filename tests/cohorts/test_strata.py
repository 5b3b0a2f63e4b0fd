"""Enriched cohorts: shares as asked for, and weights that give the plain population back."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.stats import binom, norm

from cohorts.population.engine import lanes
from cohorts.synthetic import DESIGNS, strata, woman_key
from cohorts.synthetic.folder import Asked, choose
from cohorts.synthetic.screen import as_arrays, screen, untreated_birth
from cohorts.synthetic.simulate import _begin
from cohorts.synthetic.strata import (
    chances,
    check_design,
    effective_women,
    of_birth,
    of_test,
    ratios,
    read_strata,
    relative,
    weights,
)
from cohorts.synthetic.women import LN_BMI
from twin.errors import UnusableInput


def test_shares_are_read():
    assert read_strata(["macrosomia=0.3"]) == {"macrosomia": 0.3}
    assert read_strata(["macrosomia"]) == {"macrosomia": 0.5}
    assert read_strata(["macrosomia=0.4", "poor-window", "overt-diabetes"]) == {
        "macrosomia": 0.4,
        "poor-window": 0.15,
        "overt-diabetes": 0.15,
    }


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["twins"], "unknown-stratum"),
        (["macrosomia", "macrosomia=0.2"], "unknown-stratum"),
        (["macrosomia=1.2"], "bad-share"),
        (["macrosomia=many"], "bad-share"),
        (["macrosomia=0.6", "poor-window=0.5"], "bad-share"),
    ],
)
def test_what_is_no_stratum_is_refused(texts, code):
    with pytest.raises(UnusableInput) as refused:
        read_strata(texts)
    assert refused.value.code == code and "Nothing was simulated" in str(refused.value)


def test_a_design_must_tell_the_stratum():
    with pytest.raises(UnusableInput, match="acoustic window"):
        check_design({"poor-window": 0.2}, DESIGNS["standard"])
    with pytest.raises(UnusableInput, match="tolerance test"):
        check_design({"overt-diabetes": 0.2}, replace(DESIGNS["standard"], ogtt_week=None))
    check_design({"poor-window": 0.2, "overt-diabetes": 0.2}, DESIGNS["hospital"])


def test_limits_of_the_strata():
    assert list(of_test(np.array([[125.0, 126, 90, 90], [100, 100, 250, 100], [199, 90, 199, 200]]))) == [
        False, True, False, True,
    ]  # fmt: skip
    found = of_birth(
        np.array([4000.0, 4001.0, 2000.0]), np.array([280, 280, 280]), np.array([True, False, True])
    )
    assert list(found["macrosomia"]) == [False, True, False]
    assert list(found["growth-restriction"]) == [False, False, True]


def test_ratio_of_one_stratum_in_closed_form():
    marks = {"macrosomia": np.arange(1000) < 37}
    ratio = ratios(marks, {"macrosomia": 0.4})["macrosomia"]
    assert ratio == pytest.approx(0.4 * (1 - 0.037) / (0.037 * (1 - 0.4)), rel=5e-3)


def test_weights_undo_the_chances_exactly():
    """A population of every pattern of three overlapping strata, in expectation: no Monte-Carlo error."""
    rng = np.random.default_rng(4)
    pattern = (np.arange(8)[:, None] >> np.arange(3)) & 1 > 0
    marks = dict(zip(("macrosomia", "class-3-obesity", "poor-window"), pattern.T, strict=True))
    share, x = rng.dirichlet(np.ones(8)), rng.normal(size=8)
    own = chances(marks, {"macrosomia": 7.0, "class-3-obesity": 30.0, "poor-window": 0.5})
    assert own.max() == 1.0 and own.min() > 0.0
    weight = weights(own)
    kept = share * own
    assert np.sum(kept * weight * x) / np.sum(kept * weight) == pytest.approx(np.sum(share * x), rel=1e-12)


def test_overlapping_strata_reach_their_shares():
    rng = np.random.default_rng(5)
    heavy = rng.uniform(size=40_000) < 0.05
    marks = {
        "class-3-obesity": heavy,
        "poor-window": rng.uniform(size=heavy.size) < np.where(heavy, 0.4, 0.1),
        "macrosomia": rng.uniform(size=heavy.size) < 0.1,
    }
    wanted = {"class-3-obesity": 0.2, "poor-window": 0.3, "macrosomia": 0.3}
    weight = relative(marks, ratios(marks, wanted))
    for name, share in wanted.items():
        assert weight[marks[name]].sum() / weight.sum() == pytest.approx(share, rel=2e-3)


def test_shares_that_cannot_be_together_are_refused():
    few = np.arange(1000) < 50
    with pytest.raises(UnusableInput) as refused:
        ratios(
            {"class-3-obesity": few, "poor-window": np.arange(1000) < 100},
            {"class-3-obesity": 0.6, "poor-window": 0.2},
        )
    assert refused.value.code == "bad-share"
    with pytest.raises(UnusableInput) as refused:
        ratios({"macrosomia": np.zeros(100, bool)}, {"macrosomia": 0.2})
    assert refused.value.code == "stratum-too-rare"


def test_effective_women():
    assert effective_women(np.ones(50)) == pytest.approx(50.0)
    assert effective_women(np.array([1.0, 0.0, 0.0])) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def heavy():
    """Half of 400 women with a BMI of 40 or more: no physics is needed to choose them."""
    return choose(Asked(400, seed=8, strata={"class-3-obesity": 0.5}), lambda _: None)


def test_enriched_cohort_is_the_plain_population_weighted(heavy):
    """Share above BMI 40 and mean ln BMI against the truncated normal they are drawn from, 5 standard errors of the
    weighted mean (false-alarm rate 6e-7 each); unweighted the share is 14 times as large. Weights are rounded to
    0.1 kg, which moves ln BMI by 1e-3 at most."""
    chosen, sampling = heavy
    mean, sd = LN_BMI
    low, high = (np.log(np.array([17.0, 50.0])) - mean) / sd
    scale = norm.cdf(high) - norm.cdf(low)
    share = (norm.cdf(high) - norm.cdf((np.log(40.0) - mean) / sd)) / scale
    expected = mean + sd * (norm.pdf(low) - norm.pdf(high)) / scale
    root = jax.random.key(8)
    ln_bmi = np.log(
        [_begin(woman_key(root, int(i)), "x", DESIGNS["standard"]).plan.woman.bmi for i in chosen.index]
    )
    w = chosen.weight / chosen.weight.sum()
    for x, truth, rounding in ((chosen.marks["class-3-obesity"], share, 0.0), (ln_bmi, expected, 1e-3)):
        found = np.sum(w * x)
        se = np.sqrt(np.sum(w**2 * (x - found) ** 2))
        assert abs(found - truth) < 5.0 * se + rounding
    assert np.array_equal(chosen.marks["class-3-obesity"], np.exp(ln_bmi) >= 40.0)
    # the share follows a pilot with about 150 such women: 5 standard errors of both
    assert abs(chosen.marks["class-3-obesity"].mean() - 0.5) < 5.0 * np.sqrt(0.25 / 400 + 0.25 / 150)
    assert sampling["effective_women"] == pytest.approx(effective_women(chosen.weight), abs=0.1)


def test_chosen_women_are_of_the_plain_cohort_in_order(heavy):
    chosen, sampling = heavy
    assert (np.diff(chosen.index) > 0).all() and sampling["screened"] == chosen.index[-1] + 1
    fewer, _ = choose(Asked(100, seed=8, strata={"class-3-obesity": 0.5}), lambda _: None)
    assert np.array_equal(fewer.index, chosen.index[:100])


def test_everybody_of_the_stratum_is_kept_and_others_by_their_chance(heavy):
    """Exact binomial, false-alarm rate 2e-4: the others kept among those screened."""
    chosen, sampling = heavy
    is_heavy = chosen.marks["class-3-obesity"]
    times = sampling["strata"]["class-3-obesity"]["times_as_often"]
    assert chosen.weight[~is_heavy][0] / chosen.weight[is_heavy][0] == pytest.approx(times)
    low, high = binom.ppf([1e-4, 1 - 1e-4], sampling["screened"] - int(is_heavy.sum()), 1.0 / times)
    assert low <= int((~is_heavy).sum()) <= high


def test_the_screen_knows_the_simulators_births(prior, everyone, standard_women):
    """Births of untreated women, from arrays in single precision at a coarse step: within a day, so within 2 % of
    weight. So nearly everybody is of the stratum she is screened for."""
    root = jax.random.key(12)
    parts = [jax.random.split(woman_key(root, i), 3) for i in range(4)]
    begun = [_begin(woman_key(root, i), "x", everyone) for i in range(4)]
    z = np.array(
        [[truth.z[name] for name in list(truth.z)[: len(prior.latents) + 13]] for _, truth in standard_women]
    ).T
    again = np.array([jax.random.normal(p[1], (len(z),)) for p in parts]).T
    assert np.array_equal(z, again)  # latents do not depend on how many there are
    onset, birth = (np.array([getattr(w, name) for w in begun]) for name in ("onset", "birth"))
    women = [w.plan.woman for w in begun]
    arrays = as_arrays(women, z, onset, birth)
    with jax.numpy_rank_promotion("allow"):  # the array engine's programs are written for it
        weight, day = untreated_birth(prior, arrays, lanes(prior, arrays), "hadlock1991", everyone)
    assert day == pytest.approx([truth.delivery_day for _, truth in standard_women], abs=1.0)
    assert weight == pytest.approx(np.array([t.birth_weight_g for _, t in standard_women]), rel=0.02)


def test_screening_does_not_depend_on_blocks(prior):
    """Covariate strata of candidates looked at in one block and in two; uniform numbers are their own."""
    root = jax.random.key(3)
    names = ("class-3-obesity", "poor-window")
    design = DESIGNS["hospital"]
    whole = screen(root, 0, 40, names, design, prior, "hadlock1991")
    parts = [screen(root, first, 20, names, design, prior, "hadlock1991") for first in (0, 20)]
    assert np.array_equal(whole.uniform, np.concatenate([p.uniform for p in parts]))
    for name in names:
        assert np.array_equal(whole.marks[name], np.concatenate([p.marks[name] for p in parts]))


def test_strata_are_told_apart_by_the_other_generator_too():
    """Its own physics: marks of outcomes are there, and births above 4000 g are fewer than half."""
    found = screen(
        jax.random.key(3), 0, 32, ("macrosomia", "overt-diabetes"), DESIGNS["hospital"], None, "hadlock1991"
    )
    assert 0 <= found.marks["macrosomia"].sum() < 16 and found.marks["overt-diabetes"].shape == (32,)


def test_every_stratum_says_who_belongs_to_it():
    assert set(strata.STRATA) == {
        "macrosomia", "overt-diabetes", "class-3-obesity", "growth-restriction", "poor-window",
    }  # fmt: skip
    assert all(s.says for s in strata.STRATA.values())
