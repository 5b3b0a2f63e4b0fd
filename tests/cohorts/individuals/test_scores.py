"""Residual, weights and scores against closed forms and SciPy."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from cohorts.individuals import scores
from cohorts.individuals.data import GLUCOSE, INSULIN, PeopleTests, scaled_covariates
from cohorts.individuals.hidden import truncated
from cohorts.individuals.residual import START, covariance, log_density, masked

MINUTES = np.array([0.0, 30.0, 60.0, 90.0, 120.0])


def made_up(y: np.ndarray) -> PeopleTests:
    """People with given ln values, (person, 2, 5)."""
    n = len(y)
    none = np.full(n, np.nan)
    return PeopleTests(
        "made up",
        tuple(str(i) for i in range(n)),
        (GLUCOSE, INSULIN),
        MINUTES,
        y,
        np.ones(y.shape, dtype=bool),
        np.full(n, 80.0),
        none,
        scaled_covariates(none, none, none),
        "",
    )


@pytest.mark.parametrize("analytes", [("glucose", "insulin"), ("glucose", "insulin", "c_peptide")])
def test_residual_density_is_the_normal_of_what_is_there(analytes: tuple[str, ...]) -> None:
    S = np.asarray(covariance(START, MINUTES, analytes))
    assert np.linalg.eigvalsh(S).min() > 0.0
    rng = np.random.default_rng(1)
    mask = rng.random((3, len(S))) > 0.3
    r = np.where(mask[:, None], rng.multivariate_normal(np.zeros(len(S)), S, (3, 4)), 0.0)
    factor = jnp.linalg.inv(jnp.linalg.cholesky(masked(jnp.asarray(S), jnp.asarray(mask))))
    found = log_density(jnp.asarray(r), factor, jnp.asarray(mask))
    for lane in range(3):
        at = mask[lane]
        expected = multivariate_normal(np.zeros(at.sum()), S[np.ix_(at, at)]).logpdf(r[lane][:, at])
        assert np.allclose(found[lane], expected)


def test_crps_of_draws_is_that_of_their_distribution() -> None:
    rng = np.random.default_rng(2)
    y = np.array([0.0, 1.0, -2.5])
    draws = rng.standard_normal((3, 20_000)) * 2.0 + 0.5
    assert np.allclose(scores.crps_draws(y, draws), scores.crps_normal(y, 0.5, 2.0), atol=0.03)


def test_coverage_band_counts_people_not_values() -> None:
    """100 people whose ten values are all in or all out: the band is as wide as that of 100 values."""
    pit = np.where(np.arange(100) < 90, 0.5, 0.01)[:, None] * np.ones(10)
    mean, low, high = scores.band(scores.inside(pit), seed=0)
    assert mean == pytest.approx(0.9)
    assert high - low == pytest.approx(2 * 1.96 * 0.03, abs=0.02)


def test_regression_finds_a_normal_law_and_its_spread() -> None:
    """Values that are jointly normal: nominal 90 % covers, 400 people of ten values (SD of the share 0.6 %, five of
    them: false-alarm rate below 1e-6)."""
    rng = np.random.default_rng(4)
    A = rng.standard_normal((10, 10)) * 0.2 + np.eye(10)
    y = (rng.standard_normal((600, 10)) @ A.T).reshape(600, 2, 5)
    tests = made_up(y)
    train, test = tests.people(np.arange(200)), tests.people(np.arange(200, 600))
    mean, sd = scores.regression(train, test)
    share = np.mean(scores.inside(norm.cdf((test.ln_y - mean) / sd)))
    assert 0.87 < share < 0.93
    wide = scores.crps_normal(test.ln_y, *scores.interpolation(train, test)).mean()
    assert scores.crps_normal(test.ln_y, mean, sd).mean() < wide


def test_truncated_weights_are_weights() -> None:
    w = np.random.default_rng(5).standard_normal((4, 400)) * 6.0
    share = truncated(w)
    assert np.allclose(share.sum(axis=1), 1.0)
    assert np.all(
        1.0 / np.sum(share**2, axis=1)
        > 1.0 / np.sum((np.exp(w) / np.exp(w).sum(axis=1, keepdims=True)) ** 2, axis=1)
    )


def test_people_can_be_picked() -> None:
    tests = made_up(np.arange(30.0).reshape(3, 2, 5))
    some = tests.people(np.array([2, 0]))
    assert some.ids == ("2", "0") and np.array_equal(some.ln_y, tests.ln_y[[2, 0]])
    assert {f.name for f in dataclasses.fields(some)} == {f.name for f in dataclasses.fields(tests)}
