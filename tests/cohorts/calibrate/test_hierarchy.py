"""A population from posteriors. Oracle: normal data (`conjugate`), where women's posteriors and the population's
likelihood are closed forms. Coverage over many populations: `python -m tests.statistical.cohort_recovery`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cohorts.calibrate import hierarchy
from cohorts.calibrate.hierarchy import What, learn, ln_likelihood, shares
from tests.cohorts.calibrate.conjugate import NOISE, covariance, draw_truth, middle, posteriors, read
from twin.inference.laplace import Mode

TWO = What(("a", "b"), moved=("b",), covariates=("x",))
TRUTH = {
    "mean": np.array([0.4, -0.3]),
    "ln_sd": np.log([0.8, 1.2]),
    "corr": np.array([[1.0, 0.5], [0.5, 1.0]]),
    "effect": np.array([[0.5]]),
}
TRUTH["factor"] = np.linalg.cholesky(TRUTH["corr"])


def z_score(draws, truth):
    return (draws.mean(axis=0) - truth) / draws.std(axis=0)


def exact(what, found, cohort):
    """Of the readings: normal, with the noise added to the population's covariance."""
    d = len(what.latents)
    wide = covariance(what, found) + np.diag(np.square(NOISE[:d]))
    center = np.asarray(
        hierarchy.locations(
            what, jax.tree.map(jnp.asarray, found), jnp.asarray(cohort.covariates), jnp.asarray(cohort.group)
        )
    )
    apart = cohort.readings - center
    return (
        -0.5 * np.einsum("ni,ij,nj->", apart, np.linalg.inv(wide), apart)
        - 0.5 * len(apart) * (np.linalg.slogdet(2.0 * np.pi * wide)[1])
    )


@pytest.mark.parametrize("under", [None, "near"])
def test_marginal_likelihood_is_the_closed_form(under):
    """Differences between populations, 30 women of 20 000 draws each: the mean of ratios has an error of about 0.02
    in a difference of several units, whichever prior the draws were made under."""
    rng = np.random.default_rng(3)
    cohort = read(rng, TWO, TRUTH, 30)
    near = TRUTH | {"mean": TRUTH["mean"] + 0.2, "effect": TRUTH["effect"] * 0.5}
    women = posteriors(rng, TWO, cohort, 20_000, near if under else None)
    others = [near, TRUTH | {"ln_sd": TRUTH["ln_sd"] + 0.2}, TRUTH | {"corr": np.eye(2), "factor": np.eye(2)}]

    def of(found):
        return float(ln_likelihood(TWO, jax.tree.map(jnp.asarray, found), women))

    for other in others:
        want = exact(TWO, other, cohort) - exact(TWO, TRUTH, cohort)
        assert abs(of(other) - of(TRUTH) - want) < 0.15, (of(other) - of(TRUTH), want)


def test_batches_change_nothing(monkeypatch):
    rng = np.random.default_rng(4)
    women = posteriors(rng, TWO, read(rng, TWO, TRUTH, 23), 40)
    found = jax.tree.map(jnp.asarray, TRUTH)
    whole = float(ln_likelihood(TWO, found, women))
    slope = jax.grad(lambda m: ln_likelihood(TWO, found | {"mean": m}, women))(found["mean"])
    monkeypatch.setattr(hierarchy, "BATCH", 8)
    assert np.isclose(float(ln_likelihood(TWO, found, women)), whole, rtol=1e-12)
    parts = jax.grad(lambda m: ln_likelihood(TWO, found | {"mean": m}, women))(found["mean"])
    assert np.allclose(parts, slope, rtol=1e-10)


def test_shares_are_full_under_the_prior_of_the_draws():
    rng = np.random.default_rng(5)
    women = posteriors(rng, TWO, read(rng, TWO, TRUTH, 12), 50, TRUTH)
    same = {name: np.stack([x, x]) for name, x in TRUTH.items()}
    assert np.allclose(shares(TWO, women, same), 1.0)
    far = same | {"mean": same["mean"] + 3.0}
    assert shares(TWO, women, far).max() < 0.9


def test_noise_of_finite_draws_is_the_closed_form():
    """Slopes in mean and ln SD of one latent at N(0, 1): x and x^2 - 1, whose variance over a woman's posterior
    N(m, v), v = 0.2, is v and 2 v^2 + 4 m^2 v, on average over women 0.2 and 0.72; 400 women of 500 draws give the
    second within 6 %."""
    one, n, draws = What(("a",)), 400, 500
    rng = np.random.default_rng(7)
    truth = {"mean": np.zeros(1), "ln_sd": np.zeros(1), "corr": np.eye(1)}
    women = posteriors(rng, one, read(rng, one, truth, n), draws)
    mode = Mode(np.zeros(2), np.eye(2), 0.0, 0, True, 2)
    found = hierarchy.noise_of(one, women, mode) * draws / n
    assert np.allclose(found, [0.2, 0.72], rtol=0.25)


def test_latents_that_stand_alone_correlate_with_none():
    what = What(("a", "b", "c"), alone=1)
    told = hierarchy.constrained(what, 0.3 * jnp.ones(7))
    corr = np.asarray(told["corr"])
    assert corr[0, 1] != 0.0 and not corr[2, :2].any() and np.allclose(np.diag(corr), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("n", [120, 500])
def test_a_population_is_recovered(n):
    """Means, ln SDs, correlation and effect within 3.5 posterior SDs: false alarm below 3e-3 for the six together; an
    interval at half its width is found with power 0.4, so this is a check of wiring (`cohort_recovery` has power)."""
    rng = np.random.default_rng(6)
    cohort = read(rng, TWO, TRUTH, n)
    first = learn(jax.random.key(1), TWO, posteriors(rng, TWO, cohort, 200), roughly=True)
    assert first.road == "mode"
    got = learn(jax.random.key(2), TWO, posteriors(rng, TWO, cohort, 200, middle(first.draws)))
    assert got.road == ("nuts" if n == 120 else "importance")
    for name in ("mean", "ln_sd", "effect"):
        assert np.abs(z_score(got.draws[name], TRUTH[name])).max() < 3.5, name
    assert abs(z_score(got.draws["corr"][:, 1, 0], 0.5)) < 3.5
    assert (got.draws["mean"].std(axis=0) < 2.5 / np.sqrt(n)).all()
    assert got.share.min() > 0.9


@pytest.mark.slow
def test_groups_are_told_apart():
    """Four sites, the second latent 0.6 SD above and below its middle: order and distance of the outer two are found
    (standard error of a site 0.2; false alarm 1e-3)."""
    what = What(("a", "b"), alone=1, grouped=("b",), groups=4)
    truth = draw_truth(jax.random.key(8), what) | {
        "group_sd": np.array([0.5]),
        "group_z": np.array([[-1.2], [-0.4], [0.4], [1.2]]),
    }
    rng = np.random.default_rng(9)
    cohort = read(rng, what, truth, 140)
    got = learn(jax.random.key(3), what, posteriors(rng, what, cohort, 200))
    own = got.draws["group"][:, :, 0]
    apart = own[:, 3] - own[:, 0]
    assert got.road == "nuts" and apart.mean() > 0.4
    assert abs(z_score(apart, 1.2)) < 3.5
