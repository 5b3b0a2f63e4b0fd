"""Measures of forecast weights, against closed forms and integrals."""

import numpy as np
import pytest
from scipy.stats import binom, kstest, norm

from cohorts.validate import weight_measures as w
from cohorts.validate.measures import mean
from cohorts.validate.table import QUANTILES

Q = np.array(list(QUANTILES.values()))


def test_crps_of_a_normal_is_its_integral():
    """Integral over x of (F(x) - 1(x >= y))^2, by trapezoids."""
    x = np.linspace(-12.0, 12.0, 200_001)
    for y, mu, s in ((0.3, 0.0, 1.0), (-2.0, 0.5, 0.7), (4.0, 0.0, 1.0)):
        exact = np.trapezoid((norm.cdf(x, mu, s) - (x >= y)) ** 2, x)
        assert w.crps_normal(np.array([y]), np.array([mu]), np.array([s]))[0] == pytest.approx(
            exact, abs=2e-4
        )


def test_mean_crps_of_a_right_forecast():
    """sd / sqrt(pi), 100 000 draws, five SE (SE 0.0011 sd)."""
    y = np.random.default_rng(0).standard_normal(100_000)
    assert w.crps_normal(y, np.zeros(len(y)), np.ones(len(y))).mean() == pytest.approx(
        1 / np.sqrt(np.pi), abs=0.006
    )


def test_pinball_over_many_quantiles_is_the_crps():
    """Twice the mean pinball loss over 999 even quantiles, within the step of 1 / 1000."""
    y = np.array([-1.0, 0.2, 2.0])
    q = np.arange(1, 1000) / 1000
    many = w.pinball(y, np.broadcast_to(norm.ppf(q), (3, 999)), q)
    assert many == pytest.approx(w.crps_normal(y, np.zeros(3), np.ones(3)), abs=5e-3)


def test_pinball_is_least_at_the_right_quantiles():
    y = np.random.default_rng(1).standard_normal(20_000)
    right = w.pinball(y, np.broadcast_to(norm.ppf(Q), (len(y), 7)), Q).mean()
    for scale, shift in ((0.7, 0.0), (1.4, 0.0), (1.0, 0.2)):
        assert w.pinball(y, np.broadcast_to(shift + scale * norm.ppf(Q), (len(y), 7)), Q).mean() > right


def test_pit_and_coverage_of_a_right_forecast():
    """4000 women: exact binomial of each share and coverage at 1e-5 (11 comparisons: false alarms 2e-4 in all), and
    Kolmogorov-Smirnov at 1e-5."""
    rng = np.random.default_rng(2)
    n = 4000
    mu, s = rng.normal(8.1, 0.1, n), rng.uniform(0.05, 0.15, n)
    y = rng.normal(mu, s)
    q = mu[:, None] + s[:, None] * norm.ppf(Q)
    shares = w.pit_shares(y, q)
    for share, width in zip(shares, np.diff(Q, prepend=0.0, append=1.0), strict=True):
        low, high = binom.ppf([5e-6, 1 - 5e-6], n, width)
        assert low <= share * n <= high
    assert shares.sum() == pytest.approx(1.0)
    for low_q, high_q, nominal in ((2, 4, 0.5), (1, 5, 0.8), (0, 6, 0.9)):
        low, high = binom.ppf([5e-6, 1 - 5e-6], n, nominal)
        assert low <= n * w.coverage(y, q[:, low_q], q[:, high_q]) <= high
    assert kstest(w.pit_normal(y, mu, s), "uniform").pvalue > 1e-5


def test_too_narrow_a_forecast_is_seen():
    """Half the right SD: the 90 % interval covers 2 Phi(0.822) - 1 = 0.589."""
    y = np.random.default_rng(3).standard_normal(20_000)
    edge = np.full(len(y), 0.5 * norm.ppf(0.95))
    assert w.coverage(y, -edge, edge) == pytest.approx(0.589, abs=0.02)


def test_moments_and_slope_with_counts():
    rng = np.random.default_rng(4)
    x, y = rng.normal(8.1, 0.1, 200), rng.normal(8.1, 0.1, 200)
    times = rng.integers(0, 4, (5, 200)).astype(float)
    for i, n in enumerate(times.astype(int)):
        a, b = np.repeat(x, n), np.repeat(y, n)
        assert mean(x, times)[i] == pytest.approx(a.mean())
        assert w.sd(x, times)[i] == pytest.approx(a.std(ddof=1))
        assert w.slope(y, x, times)[i] == pytest.approx(np.polyfit(a, b, 1)[0])
    assert w.slope(8.0 + 0.8 * (x - 8.0), x) == pytest.approx(0.8)


def test_unknown_values_are_left_out_of_a_mean():
    assert mean(np.array([1.0, np.nan, 3.0])) == 2.0
    assert np.isnan(mean(np.array([np.nan, np.nan])))
