"""What studies compute, against closed forms."""

import numpy as np
import pytest

from cohorts.evidence.statistics import above_own_centile, odds_ratio, slope, standardised


def test_odds_ratio_of_a_two_by_two_table():
    """ad / bc, exactly."""
    exposure = np.repeat([0.0, 1.0], [100, 80])
    outcome = np.concatenate([np.repeat([1, 0], [10, 90]), np.repeat([1, 0], [20, 60])])
    assert odds_ratio(outcome, exposure) == pytest.approx((20 / 60) / (10 / 90), rel=1e-6)


def test_odds_ratio_adjusts():
    """A confounder that carries everything leaves an odds ratio of 1: within 5 standard errors, false alarms 1e-6."""
    rng = np.random.default_rng(0)
    c = rng.standard_normal(40_000)
    x = c + rng.standard_normal(40_000)
    y = rng.uniform(size=40_000) < 1.0 / (1.0 + np.exp(2.0 - c))
    assert odds_ratio(y, x) > 1.3
    assert abs(np.log(odds_ratio(y, x, c))) < 5.0 * 0.02


def test_slope_is_least_squares():
    x = np.array([0.0, 1.0, 2.0, 5.0])
    assert slope(3.0 - 2.0 * x, x) == pytest.approx(-2.0)
    also = np.array([1.0, 0.0, 1.0, 0.0])
    assert slope(1.0 + 0.5 * x + 4.0 * also, x, also) == pytest.approx(0.5)


def test_label_takes_its_share_and_knows_the_week():
    """A tenth is above the 90th centile, and a tenth of each week, sex and parity where they only shift ln weight."""
    rng = np.random.default_rng(1)
    n = 30_000
    day, boy = rng.integers(259, 288, n).astype(float), rng.uniform(size=n) < 0.5
    weight = np.exp(8.1 + 0.02 * (day / 7.0 - 39.5) + 0.03 * boy + 0.12 * rng.standard_normal(n))
    large = above_own_centile(weight, day, 0.9, boy)
    assert large.mean() == pytest.approx(0.10, abs=1e-3)
    for here in (boy, ~boy, day < 270, day >= 280):
        assert large[here].mean() == pytest.approx(0.10, abs=5.0 * np.sqrt(0.09 / here.sum()))


def test_standardised_has_no_trend_left():
    rng = np.random.default_rng(2)
    day = rng.uniform(259, 288, 5000)
    z = standardised(np.exp(8.0 + 0.01 * (day - 275.0) + 0.1 * rng.standard_normal(5000)), day)
    assert z.std() == pytest.approx(1.0) and abs(np.corrcoef(z, day)[0, 1]) < 1e-8


def test_newborn_centiles_follow_the_day_of_birth():
    """ln weight linear in the week with normal residuals: centiles by closed form, 40 000 births, within 1 %."""
    from scipy.stats import norm

    from cohorts.evidence.designs.growth import _by_day

    rng = np.random.default_rng(8)
    day = rng.integers(36 * 7, 42 * 7, 40_000)
    weight = 3400.0 * np.exp(0.04 * (day / 7.0 - 40.0) + 0.12 * rng.standard_normal(40_000))
    centile = _by_day(weight, day)
    for week, q in ((37.14, 0.5), (40.14, 0.1), (40.14, 0.9)):
        exact = 3400.0 * np.exp(0.04 * (week - 40.0) + 0.12 * norm.ppf(q))
        assert centile(week, q) == pytest.approx(exact, rel=0.01)
