"""Regressions of births and scans recover what was planted."""

import numpy as np
import pytest

from cohorts.evidence.designs import people


def test_effects_at_equal_week_are_recovered():
    """ln weight with planted coefficients and a jump each week: exact without noise, within 4.5 standard errors with
    (false-alarm rate 5e-5 over the eight)."""
    rng = np.random.default_rng(3)
    n = 4000
    week = rng.integers(37, 42, n)
    who = {k: rng.standard_normal(n) for k in people.COVARIATES}
    planted = np.array([0.04, 0.03, 0.004, 0.003, 0.001, -0.06, -0.04, 0.004])
    clean = (
        8.0
        + 0.05 * (week - 39) ** 1.0
        + sum(b * who[k] for b, k in zip(planted, people.COVARIATES, strict=True))
    )
    exact, _ = people.regressed(np.exp(clean), week, who)
    np.testing.assert_allclose(exact, planted, atol=1e-10)
    noisy, se = people.regressed(np.exp(clean + 0.13 * rng.standard_normal(n)), week, who)
    assert (np.abs(noisy - planted) < 4.5 * se).all()
    np.testing.assert_allclose(se, 0.13 / np.sqrt(n), rtol=0.15)


def test_residual_around_the_last_scan_is_that_planted():
    """SD of a normal between its 2nd and 98th centiles is 0.900 of its own; 20 000 draws, within 2.5 %."""
    rng = np.random.default_rng(5)
    efw, days = 8.0 + 0.1 * rng.standard_normal(20_000), rng.uniform(0.0, 20.0, 20_000)
    ln = 1.0 + 0.9 * efw + 0.004 * days + 0.07 * rng.standard_normal(20_000)
    sd, n = people.residual(ln, efw, days)
    assert n == 20_000 and sd == pytest.approx(0.07 * 0.900, rel=0.025)
