"""Measures of chances, against closed forms, other libraries, tables counted by hand, and what must not matter."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, confusion_matrix, roc_auc_score, roc_curve

from cohorts.validate import measures as m
from tests.cohorts.validate.tables import chances

#: outcomes of ten women by hand: three flagged rightly, two wrongly, at 0.3
P = np.array([0.9, 0.8, 0.3, 0.3, 0.5, 0.2, 0.1, 0.1, 0.05, 0.0])
Y = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])


def test_auc_of_two_normals():
    """Phi(d / sqrt 2); 200 000 women, SE below 0.0011 (Hanley and McNeil), five of them: false alarms 6e-7 each."""
    rng = np.random.default_rng(0)
    y = rng.uniform(size=200_000) < 0.5
    for d in (0.0, 0.5, 1.5):
        x = rng.standard_normal(len(y)) + d * y
        assert m.auc(x, y) == pytest.approx(norm.cdf(d / np.sqrt(2.0)), abs=5 * 0.0011)


@pytest.mark.parametrize(
    ("r", "auc", "at_ten"),
    [(0.50, 0.772, 0.39), (0.65, 0.848, 0.53), (0.75, 0.895, 0.66), (0.80, 0.920, 0.73), (0.85, 0.941, 0.80)],
)
def test_correlation_gives_auc_for_the_heaviest_tenth(r, auc, at_ten):
    """Row E-14 of the evidence, by Monte Carlo there (400 000 draws, SE 0.0008 at 0.77): rounding and 4 SE.

    And by integral: P(forecast of a heavy woman > that of another).
    """
    rng = np.random.default_rng(1)
    weight = rng.standard_normal(300_000)
    forecast = r * weight + np.sqrt(1.0 - r**2) * rng.standard_normal(len(weight))
    heavy = weight > norm.ppf(0.9)
    got = m.auc(forecast, heavy)
    assert got == pytest.approx(auc, abs=0.004)
    assert got == pytest.approx(_auc_by_integral(r), abs=0.003)
    assert m.detection_rate(forecast, heavy, 0.10) == pytest.approx(at_ten, abs=0.015)


def _auc_by_integral(r):
    x = np.linspace(-6.0, 6.0, 4001)
    limit = norm.ppf(0.9)
    spread = np.sqrt(1.0 - r**2)
    heavy = norm.pdf(x) * norm.sf((limit - r * x) / spread) / 0.1
    other = norm.pdf(x) * norm.cdf((limit - r * x) / spread) / 0.9
    return np.trapezoid(heavy * np.cumsum(other) * (x[1] - x[0]), x)


def test_ten_women_counted_by_hand():
    at = m.flagged(P, Y, 0.3)
    assert [float(x) for x in at] == [3, 2, 1, 4]
    assert [at.sensitivity, at.specificity, at.ppv, at.npv] == pytest.approx([0.75, 4 / 6, 0.6, 0.8])
    assert m.net_benefit(P, Y, np.array([0.3]))[0] == pytest.approx(3 / 10 - 2 / 10 * 0.3 / 0.7)
    assert m.net_benefit_of_all(Y, np.array([0.3]))[0] == pytest.approx(4 / 10 - 6 / 10 * 3 / 7)
    assert m.observed_expected(P, Y) == pytest.approx(4 / P.sum())
    # 24 pairs: one tie (0.3 and 0.3); 0.3 below 0.5, 0.2 below 0.3 and below 0.5; the other 20 in order
    assert m.auc(P, Y) == pytest.approx((20 + 0.5) / 24)


def test_detection_between_the_points_of_the_curve():
    """Two with and two without: (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1); a step up counts at its own rate."""
    p, y = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1.0, 0.0, 1.0, 0.0])
    assert [float(m.detection_rate(p, y, f)) for f in (0.0, 0.25, 0.5, 1.0)] == [0.5, 0.5, 1.0, 1.0]
    tied = np.full(4, 0.3)
    assert m.detection_rate(tied, y, 0.1) == pytest.approx(0.1)  # chance alone: the diagonal


@given(seed=st.integers(0, 10_000), ties=st.sampled_from([2, 10, 10_000]))
def test_scikit_learn_agrees(seed, ties):
    """With how often each woman counts as its weights."""
    rng = np.random.default_rng(seed)
    p, y = chances(rng, 60)
    p = np.round(p * ties) / ties
    times = rng.integers(0, 4, 60).astype(float)
    if len(np.unique(y[times > 0])) < 2:
        return
    assert m.auc(p, y, times) == pytest.approx(roc_auc_score(y, p, sample_weight=times), abs=1e-9)
    assert m.brier(p, y, times) == pytest.approx(brier_score_loss(y, p, sample_weight=times), abs=1e-9)
    (tn, fp), (fn, tp) = confusion_matrix(y, p >= 0.2, sample_weight=times)
    assert [float(x) for x in m.flagged(p, y, 0.2, times)] == pytest.approx([tp, fp, fn, tn])
    x, d, _ = roc_curve(y, p, sample_weight=times, drop_intermediate=False)
    for f in (0.05, 0.1, 0.2):
        assert m.detection_rate(p, y, f, times) == pytest.approx(np.interp(f, x, d), abs=1e-9)


@given(seed=st.integers(0, 10_000))
def test_counting_a_woman_twice_is_having_her_twice(seed):
    """Every measure, resamples side by side as one by one."""
    rng = np.random.default_rng(seed)
    p, y = chances(rng, 80)
    times = rng.integers(0, 3, (3, 80)).astype(float)
    grid = np.array([0.1, 0.2])
    together = [
        m.auc(p, y, times),
        m.scaled_brier(p, y, times),
        m.calibration_intercept(p, y, times),
        m.calibration_slope(p, y, times),
        *m.calibration_distance(p, y, times),
        *m.net_benefit(p, y, grid, times).T,
    ]
    for i, n in enumerate(times.astype(int)):
        q, z = np.repeat(p, n), np.repeat(y, n)
        alone = [
            m.auc(q, z),
            m.scaled_brier(q, z),
            m.calibration_intercept(q, z),
            m.calibration_slope(q, z),
            *m.calibration_distance(q, z),
            *m.net_benefit(q, z, grid),
        ]
        assert [float(t[i]) for t in together] == pytest.approx(
            [float(a) for a in alone], abs=1e-7, nan_ok=True
        )


@given(seed=st.integers(0, 10_000), power=st.floats(0.2, 5.0))
def test_auc_knows_only_the_order(seed, power):
    rng = np.random.default_rng(seed)
    p, y = chances(rng, 50)
    assert m.auc(p**power, y) == pytest.approx(m.auc(p, y), nan_ok=True)
    assert m.auc(1.0 - p, y) == pytest.approx(1.0 - m.auc(p, y), nan_ok=True)


def test_recalibration_is_logistic_regression():
    """statsmodels' GLM, with and without an offset; chances of 0 and 1 clipped."""
    rng = np.random.default_rng(2)
    p, y = chances(rng, 500, slope=0.7, shift=-0.3)
    p[:3] = [0.0, 1.0, 0.0]
    x = logit(np.clip(p, 1e-6, 1 - 1e-6))
    both = sm.GLM(y, sm.add_constant(x), family=sm.families.Binomial()).fit()
    alone = sm.GLM(y, np.ones(500), family=sm.families.Binomial(), offset=x).fit()
    assert m.calibration_slope(p, y) == pytest.approx(both.params[1], abs=1e-7)
    assert m.calibration_intercept(p, y) == pytest.approx(alone.params[0], abs=1e-7)


@given(
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([0.5, 2.0, 5.0]),
    slope=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_newton_settles_wherever_regression_does(seed, spread, slope):
    """Steep chances of a flat truth are the hard ones. Nearly separated data are left alone."""
    p, y = chances(np.random.default_rng(seed), 150, base=0.1, spread=spread, slope=slope)
    if not 3 <= y.sum() <= 147:
        return
    x = logit(np.clip(p, m.CLIP, 1 - m.CLIP))
    fit = sm.GLM(y, sm.add_constant(x), family=sm.families.Binomial()).fit(maxiter=200, tol=1e-12)
    if abs(fit.params[1]) * spread < 8.0:
        assert m.calibration_slope(p, y) == pytest.approx(fit.params[1], abs=1e-5)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.6, 0.0), (1.4, 0.5)])
def test_distorted_logits_are_found(slope, shift):
    """Within 5 SE of 40 000 women (SE of slope and of intercept below 0.02; false alarms 6e-7 each)."""
    p, y = chances(np.random.default_rng(3), 40_000, slope=slope, shift=shift)
    assert m.calibration_slope(p, y) == pytest.approx(slope, abs=0.1)
    if slope == 1.0:
        assert m.calibration_intercept(p, y) == pytest.approx(shift, abs=0.1)
        assert m.observed_expected(p, y) == pytest.approx(1.0, abs=0.05)


def test_distance_of_a_known_distortion():
    """Chances all 0.05 too high: the curve runs 0.05 below the diagonal (20 000 women, SE 0.004)."""
    rng = np.random.default_rng(4)
    p = rng.uniform(0.1, 0.9, 20_000)
    y = (rng.uniform(size=len(p)) < p - 0.05).astype(float)
    assert [float(x) for x in m.calibration_distance(p, y)] == pytest.approx([0.05] * 3, abs=0.02)
    at = np.array([0.05, 0.3, 0.5, 0.7, 0.95])
    curve = m.calibration_curve(p, y, at)
    assert np.isnan(curve[[0, -1]]).all() and curve[1:-1] == pytest.approx(at[1:-1] - 0.05, abs=0.02)


def test_flexible_curve_is_the_library_at_every_woman():
    """Drawn between some of the women's chances only; lowess at each of them: within 0.004."""
    from statsmodels.nonparametric.smoothers_lowess import lowess

    p, y = chances(np.random.default_rng(5), 700, base=0.1)
    exact = lowess(y, p, frac=m.SPAN, it=0, return_sorted=False)
    assert np.abs(m.calibration_curve(p, y, p) - np.clip(exact, 0.0, 1.0)).max() < 0.004


def test_permuted_outcomes_show_nothing():
    """40 permutations of 2000 women, 400 events: AUC 0.5 (SE 0.016), slope 0 (SE 0.056), each mean over 40 within four
    SE: false alarms 6e-5 each; a leak of 0.02 of AUC is found with power 0.99."""
    rng = np.random.default_rng(6)
    p, y = chances(rng, 2000)
    permuted = [rng.permutation(y) for _ in range(40)]
    se = np.sqrt((1 / y.sum() + 1 / (len(y) - y.sum())) / 12.0)
    assert np.mean([m.auc(p, z) for z in permuted]) == pytest.approx(0.5, abs=4 * se / np.sqrt(40))
    slopes = np.array([m.calibration_slope(p, z) for z in permuted])
    assert slopes.mean() == pytest.approx(0.0, abs=4 * slopes.std() / np.sqrt(40))
    assert slopes.std() == pytest.approx(1 / np.sqrt(len(y) * y.mean() * (1 - y.mean())), rel=0.5)


def test_scaled_brier_of_the_observed_frequency_is_zero():
    y = np.repeat([0.0, 1.0], [80, 20])
    assert m.scaled_brier(np.full(100, 0.2), y) == pytest.approx(0.0)
    assert m.scaled_brier(y, y) == 1.0


def test_what_is_not_defined_is_nan():
    p, ones = np.array([0.1, 0.5, 0.7]), np.ones(3)
    assert np.isnan([m.auc(p, ones), m.scaled_brier(p, ones), m.calibration_slope(p, ones)]).all()
    assert np.isnan(m.calibration_intercept(p, ones)) and np.isnan(m.detection_rate(p, ones, 0.1))
    assert np.isnan(m.flagged(p, ones, 0.9).ppv)
    same = np.full(100, 0.1)
    y = np.repeat([0.0, 1.0], [90, 10])
    assert np.isnan([m.calibration_slope(same, y), *m.calibration_distance(same, y)]).all()
    assert m.auc(same, y) == 0.5
    apart = np.concatenate([np.linspace(0.1, 0.2, 90), np.linspace(0.8, 0.9, 10)])
    assert np.isnan(m.calibration_slope(apart, y))  # separated: no finite slope
    assert np.isnan(m.auc(p, np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 1.0])))
