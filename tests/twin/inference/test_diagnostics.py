"""Contraction and conflicts: closed forms, false alarm and power of the pivots, a planted error of a meter."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

from tests.one_woman import AS_OF_DAY, POSTERIOR_DRAWS, STANDARD, make_record, tables
from twin.inference import diagnostics
from twin.inference.calibrate import calibrate
from twin.observation.blocks import OgttError, ScanError, SpotError


def test_contraction_and_z_are_weighted_moments(one_posterior):
    """Draws of N(0.8, 0.3^2) under weights that make N(0.5, 0.3^2) of them: exact moments within 5 standard errors."""
    rng = np.random.default_rng(3)
    z = 0.8 + 0.3 * rng.standard_normal((one_posterior.z.shape[0], 20000))
    weights = np.exp(-(z[0] - 0.8) / 0.3)
    moved = dataclasses.replace(one_posterior, z=z, weights=weights / weights.sum())
    told = diagnostics.identifiability(moved)
    assert list(told) == [latent.name for latent in one_posterior.prior.latents]
    assert told["S_I"].z == pytest.approx(0.5, abs=0.03)
    assert told["S_I"].contraction == pytest.approx(1.0 - 0.09, abs=0.02)
    assert told["B"].z == pytest.approx(0.8, abs=0.03)  # the weights say nothing of it


def test_normal_scores_are_those_of_the_error_models():
    value = np.array([-3.0, 0.1, 0.4, 60.0])
    loc, scale = np.full((4, 1), 0.2), np.full((4, 1), 0.1)
    x = (value - 0.2) / 0.1
    wanted = {
        SpotError: np.sign(x) * stats.norm.isf(stats.t.sf(np.abs(x), 4)),
        ScanError: np.sign(x) * stats.norm.isf(stats.t.sf(np.abs(x) / np.sqrt(2.0 / 3.0), 6)),
        OgttError: x,
    }
    for error, scores in wanted.items():
        got = diagnostics.normal_scores(error(), value, loc, scale)[:, 0]
        np.testing.assert_allclose(got, scores, rtol=1e-6)


def gaussian_surprises(n_women: int, planted: float = 0.0) -> np.ndarray:
    """z of the level pivot of women with three latents and eight readings y = A z + noise, posterior in closed form."""
    rng = np.random.default_rng(5)
    A = rng.standard_normal((8, 3))
    covariance = np.linalg.inv(np.eye(3) + A.T @ A)
    root = np.linalg.cholesky(covariance)
    found = []
    for _ in range(n_women):
        y = A @ rng.standard_normal(3) + rng.standard_normal(8) + planted
        draws = (covariance @ A.T @ y)[:, None] + root @ rng.standard_normal((3, 500))
        pivot = (y[:, None] - A @ draws).sum(axis=0) / np.sqrt(8.0)
        found.append(diagnostics._surprise("readings", "level", pivot)[2])
    return np.array(found)


def test_surprise_is_standard_normal_in_a_gaussian_model():
    """Kolmogorov-Smirnov over 600 women at 1e-4; an SD wrong by 15 % or a mean off by 0.2 is found with
    probability 0.9 or more."""
    assert stats.kstest(gaussian_surprises(600), "norm").pvalue > 1e-4


def test_surprise_grows_with_a_planted_offset():
    """Eight readings 3 SD too high: flagged at 1 % in at least 9 of 10 women."""
    p = 2.0 * stats.norm.sf(np.abs(gaussian_surprises(50, planted=3.0)))
    assert (p < 0.01).mean() >= 0.9


def test_a_meter_that_reads_eighty_too_high_is_flagged(one_posterior):
    """The planted error, on the woman whose programs are compiled; without it the smallest p is far larger. (At 40
    mg/dL her day's own pattern can still explain it; how often, the planted part of `make faithful` measures.)"""
    rows = tables()
    for row in rows["glucose"]:
        if row["kind"] == "smbg":
            row["value_mg_dl"] += 80.0
    planted = calibrate(
        jax.random.key(5), make_record(rows), as_of_day=AS_OF_DAY, standard=STANDARD, draws=POSTERIOR_DRAWS
    )
    found, before = diagnostics.conflicts(planted), diagnostics.conflicts(one_posterior)
    assert any(c.flagged for c in found)
    assert min(c.p for c in found) < 1e-3 * min(c.p for c in before)
    assert all(c.flagged == (c.p * len(found) < diagnostics.FALSE_ALARM) for c in found)
    told = diagnostics.as_told(planted)
    assert len(told["conflicts"]) == len(found)


def test_few_draws_determine_nothing(one_posterior):
    """Directions of the prior in fewer effective draws than there are of them, whose sample variances are anything: no
    test of parameters. Of 2000 draws with three determined directions these three are tested: chi-square of their
    means."""
    rng, size = np.random.default_rng(11), one_posterior.z.shape[0]

    def told(z):
        n = z.shape[1]
        calibration = dataclasses.replace(one_posterior.calibration, ess_min=float(n))
        weights = np.full(n, 1.0 / n)
        drawn = dataclasses.replace(one_posterior, z=z, weights=weights, calibration=calibration)
        return diagnostics._parameters(drawn)

    assert told(rng.standard_normal((size, size - 10))) is None
    z = rng.standard_normal((size, 2000))
    z[:3] = 2.0 + 0.1 * z[:3]
    assert told(z)[3] == pytest.approx(stats.chi2.sf(12.0 / 0.99, 3), rel=0.1)
