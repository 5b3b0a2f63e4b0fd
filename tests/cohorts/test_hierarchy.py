"""A population from posteriors. Oracle: normal data, where every posterior and the population's likelihood are closed
forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cohorts.calibrate.hierarchy import What, Women, learn

NOISE = np.array([0.5, 0.8])


def cohort(n: int, seed: int, *, draws: int = 300, effect: float = 0.0, groups: int = 1, apart: float = 0.0):
    """Two latents, correlation 0.5, means 0.4 and -0.3, SDs 0.8 and 1.2, each read once with error; posteriors under
    N(0, 1). The second moves with a covariate and differs between groups."""
    rng = np.random.default_rng(seed)
    sd = np.array([0.8, 1.2])
    cov = np.outer(sd, sd) * np.array([[1.0, 0.5], [0.5, 1.0]])
    x = rng.standard_normal((n, 1))
    group = rng.integers(groups, size=n)
    shift = apart * np.linspace(-1.0, 1.0, groups)[group] if groups > 1 else np.zeros(n)
    z = rng.multivariate_normal([0.4, -0.3], cov, n)
    z[:, 1] += effect * x[:, 0] + shift
    y = z + NOISE * rng.standard_normal((n, 2))
    var = 1.0 / (1.0 + 1.0 / NOISE**2)
    mean = var * y / NOISE**2
    found = mean[:, None] + np.sqrt(var) * rng.standard_normal((n, draws, 2))
    return Women(jnp.asarray(found), jnp.full((n, draws), -np.log(draws)), jnp.asarray(x), jnp.asarray(group))


def z_score(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return (draws.mean(axis=0) - truth) / draws.std(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("n", [120, 500])
def test_a_population_is_recovered(n):
    """Means, ln SDs and the correlation within 3.5 posterior SDs: false alarm below 3e-3 for the five together."""
    got = learn(jax.random.key(1), What(("a", "b")), cohort(n, 3))
    assert got.road == ("nuts" if n == 120 else "variational")
    assert np.abs(z_score(got.draws["mean"], np.array([0.4, -0.3]))).max() < 3.5
    assert np.abs(z_score(got.draws["ln_sd"], np.log([0.8, 1.2]))).max() < 3.5
    corr = got.draws["corr"][:, 1, 0]
    assert abs(z_score(corr[:, None], np.array([0.5]))[0]) < 3.5
    assert (got.draws["mean"].std(axis=0) < 2.5 / np.sqrt(n)).all()
    assert got.share.mean() > 0.3


@pytest.mark.slow
def test_covariates_and_groups_are_told_apart():
    what = What(("a", "b"), moved=("b",), covariates=("x",), grouped=("b",), groups=4)
    got = learn(jax.random.key(2), what, cohort(140, 5, effect=0.5, groups=4, apart=0.6))
    assert abs(z_score(got.draws["effect"][:, 0], np.array([0.5]))[0]) < 3.5
    own = got.draws["group"][:, :, 0].mean(axis=0)
    assert np.all(np.diff(own) > 0.0) and own[-1] - own[0] > 0.6
