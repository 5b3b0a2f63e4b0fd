"""Measures of predicted chances against what happened.

p, y : (row,) chance 0 to 1, and 0 or 1. times : (..., row) how often each row counts, once if not given; leading axes
are resamples, and every measure has one value for each. A measure that is not defined (one class alone, nobody
flagged) is NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

CLIP = 1e-6  # p is kept this far from 0 and 1 where its logit is taken
SPAN = 0.75  # share of the women whom the flexible curve looks at around each chance
_KNOTS = 41


def auc(p: np.ndarray, y: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Chance that a woman with the event was given more than one without; ties count half."""
    with_event, without = _by_chance(p, y, times)
    below = np.cumsum(without, axis=-1) - 0.5 * without
    pairs = with_event.sum(axis=-1) * without.sum(axis=-1)
    return _ratio(np.sum(with_event * below, axis=-1), pairs)


def detection_rate(
    p: np.ndarray, y: np.ndarray, false_positive_rate: float, times: np.ndarray | None = None
) -> np.ndarray:
    """Share of the events flagged where that share of the women without is flagged too, on the ROC curve drawn with
    straight lines between its points."""
    x, d = roc(p, y, times)
    at = np.maximum(np.sum(x <= false_positive_rate, axis=-1, keepdims=True) - 1, 0)
    after = np.minimum(at + 1, x.shape[-1] - 1)
    x0, x1, d0, d1 = (np.take_along_axis(a, i, axis=-1)[..., 0] for a in (x, d) for i in (at, after))
    share = np.where(x1 == x0, 0.0, _ratio(false_positive_rate - x0, x1 - x0))
    return np.asarray(d0 + share * (d1 - d0))


def roc(p: np.ndarray, y: np.ndarray, times: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """False-positive rate and detection rate as the threshold falls from above all chances, (..., point) each."""
    with_event, without = (a[..., ::-1] for a in _by_chance(p, y, times))
    found = []
    for a in (without, with_event):
        rate = _ratio(np.cumsum(a, axis=-1), a.sum(axis=-1, keepdims=True))
        found.append(np.concatenate([0.0 * rate[..., :1], rate], axis=-1))
    return found[0], found[1]


class Flagged(NamedTuple):
    """Women by flag and event, at one threshold."""

    true_positive: np.ndarray
    false_positive: np.ndarray
    false_negative: np.ndarray
    true_negative: np.ndarray

    @property
    def sensitivity(self) -> np.ndarray:
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> np.ndarray:
        return _ratio(self.true_negative, self.true_negative + self.false_positive)

    @property
    def ppv(self) -> np.ndarray:
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def npv(self) -> np.ndarray:
        return _ratio(self.true_negative, self.true_negative + self.false_negative)


def flagged(p: np.ndarray, y: np.ndarray, threshold: float, times: np.ndarray | None = None) -> Flagged:
    """Flagged are those given the threshold or more."""
    t = _times(p, times)
    f, e = (p >= threshold).astype(float), y.astype(float)
    return Flagged(t @ (f * e), t @ (f * (1.0 - e)), t @ ((1.0 - f) * e), t @ ((1.0 - f) * (1.0 - e)))


def brier(p: np.ndarray, y: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    return mean((p - y) ** 2, times)


def scaled_brier(p: np.ndarray, y: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """1 for perfect, 0 for what giving everybody the observed frequency would score, below 0 for worse."""
    rate = mean(y, times)
    return 1.0 - _ratio(brier(p, y, times), rate * (1.0 - rate))


def observed_expected(p: np.ndarray, y: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Events over the sum of chances: calibration in the large."""
    t = _times(p, times)
    return _ratio(t @ y.astype(float), t @ p)


def calibration_intercept(p: np.ndarray, y: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """a of logit P(y) = a + logit p: above 0 where the chances are too low. p is clipped at `CLIP`; NaN where all women
    share one."""
    return _recalibrate(p, y, times, with_slope=False)[..., 0]


def calibration_slope(p: np.ndarray, y: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """b of logit P(y) = a + b logit p: below 1 where the chances are too extreme. p is clipped at `CLIP`."""
    return _recalibrate(p, y, times, with_slope=True)[..., 1]


def calibration_curve(
    p: np.ndarray, y: np.ndarray, at: np.ndarray, times: np.ndarray | None = None
) -> np.ndarray:
    """Frequency observed among women given about `at`, (..., at): the flexible curve of Austin and Steyerberg 2019
    (doi 10.1002/sim.8281).

    Their loess is locally quadratic; this is statsmodels' lowess, locally linear, of the same share of women (`SPAN`),
    without its robust steps, which would take events for outliers. Kept within 0 and 1. NaN outside the chances given,
    and everywhere if so many women share one chance that there is no curve.
    """
    order = np.argsort(p, kind="stable")
    p, y, t = p[order], y[order].astype(float), _times(p, times)[..., order]
    found = [_lowess(np.repeat(p, n), np.repeat(y, n), at) for n in t.reshape(-1, len(p)).astype(int)]
    return np.array(found).reshape(*t.shape[:-1], len(at))


def calibration_distance(
    p: np.ndarray, y: np.ndarray, times: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ICI, E50 and E90: mean, median and 90th centile over women of the distance between her chance and the flexible
    curve. Never below 0, and above it by chance in small groups even where calibration is perfect."""
    order = np.argsort(p, kind="stable")
    p, y, t = p[order], y[order].astype(float), _times(p, times)[..., order]
    found = []
    for n in t.reshape(-1, len(p)).astype(int):
        chance = np.repeat(p, n)
        away = np.abs(_lowess(chance, np.repeat(y, n), chance) - chance)
        found.append([away.mean(), *np.quantile(away, [0.5, 0.9])])
    out = np.array(found).reshape(*t.shape[:-1], 3)
    return out[..., 0], out[..., 1], out[..., 2]


def net_benefit(
    p: np.ndarray, y: np.ndarray, thresholds: np.ndarray, times: np.ndarray | None = None
) -> np.ndarray:
    """(..., threshold) true positives per woman less false positives at the threshold's odds (Vickers 2006)."""
    t = _times(p, times)
    flag = (p[:, None] >= thresholds).astype(float)
    e = y.astype(float)[:, None]
    harm = thresholds / (1.0 - thresholds)
    return _ratio(t @ (flag * (e - (1.0 - e) * harm)), t.sum(axis=-1)[..., None])


def net_benefit_of_all(y: np.ndarray, thresholds: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """(..., threshold) of flagging everybody; of nobody it is 0."""
    return net_benefit(np.ones(len(y)), y, thresholds, times)


def mean(x: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Over the rows where x is known."""
    known = np.isfinite(x)
    t = _times(x, times)
    return _ratio(t @ np.where(known, x, 0.0).astype(float), t @ known.astype(float))


def _times(x: np.ndarray, times: np.ndarray | None) -> np.ndarray:
    return np.ones(len(x)) if times is None else times


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = np.broadcast_arrays(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0.0)


def _by_chance(p: np.ndarray, y: np.ndarray, times: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Women with and without the event at each distinct chance, rising; (..., chance) each."""
    order = np.argsort(p, kind="stable")
    first = np.flatnonzero(np.diff(p[order], prepend=-1.0) > 0.0)
    t, e = _times(p, times)[..., order], y[order].astype(float)
    return np.add.reduceat(t * e, first, axis=-1), np.add.reduceat(t * (1.0 - e), first, axis=-1)


def _recalibrate(p: np.ndarray, y: np.ndarray, times: np.ndarray | None, *, with_slope: bool) -> np.ndarray:
    """(..., 2) intercept and slope by Newton's steps; NaN where they do not settle, as where events are separated."""
    t = _times(p, times)
    x, e = logit(np.clip(p, CLIP, 1.0 - CLIP)), y.astype(float)
    middle, spread = x.mean(), x.std()
    if spread < 1e-9:
        return np.full((*t.shape[:-1], 2), np.nan)
    X = np.column_stack([np.ones(len(p)), (x - middle) / spread])
    pairs = X[:, [0, 0, 1]] * X[:, [0, 1, 1]]
    # towards a slope from none at all: from a steep start the steps may never settle
    start = [logit(np.clip(y.mean(), 0.01, 0.99)), 0.0] if with_slope else [middle, spread]
    beta = np.broadcast_to(start, (*t.shape[:-1], 2))
    settled = np.zeros(t.shape[:-1], dtype=bool)
    for _ in range(50):
        chance = expit(beta @ X.T)
        g0, g1 = np.moveaxis((t * (e - chance)) @ X, -1, 0)
        h00, h01, h11 = np.moveaxis((t * chance * (1.0 - chance)) @ pairs, -1, 0)
        if with_slope:
            det = h00 * h11 - h01**2
            step = np.stack([_ratio(h11 * g0 - h01 * g1, det), _ratio(h00 * g1 - h01 * g0, det)], axis=-1)
        else:
            step = np.stack([_ratio(g0, h00), np.zeros_like(h00)], axis=-1)
        far = np.max(np.abs(step), axis=-1, keepdims=True)
        beta = beta + step / np.maximum(1.0, far / 2.0)
        settled = far[..., 0] < 1e-8
        if settled.all():
            break
    slope = beta[..., 1] / spread
    found = np.stack([beta[..., 0] - middle * slope, slope], axis=-1)
    return np.where(settled[..., None], found, np.nan)


def _lowess(p: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Fitted at up to `_KNOTS` of the women's own chances, straight lines between. p : rising."""
    from statsmodels.nonparametric.smoothers_lowess import lowess

    _, sharing = np.unique(p, return_counts=True)
    if len(p) < 3 or sharing.max() >= SPAN * len(p):
        return np.full(len(at), np.nan)
    knots = np.unique(np.quantile(p, np.linspace(0.0, 1.0, _KNOTS), method="inverted_cdf"))
    fitted = lowess(y, p, frac=SPAN, it=0, xvals=knots, is_sorted=True)
    inside = (at >= p[0]) & (at <= p[-1])
    return np.where(inside, np.interp(at, knots, np.clip(fitted, 0.0, 1.0)), np.nan)
