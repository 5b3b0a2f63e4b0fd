"""What the pictures show: ROC, calibration and PIT, with what chance alone would do to them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from cohorts.validate import measures as m
from cohorts.validate.bootstrap import CURVE_RESAMPLES, Resamples, resampled
from cohorts.validate.table import QUANTILES
from cohorts.validate.weight_measures import pit_shares

_POINTS = 81


class Group(NamedTuple):
    """Women of like chances: mean chance, observed frequency with its 95 % interval (Wilson), women and events."""

    predicted: float
    observed: float
    low: float
    high: float
    n: int
    events: int


class Calibration(NamedTuple):
    """Flexible curve over `at` with the 95 % band of the resamples, and tenths of the women (fifths below 200)."""

    at: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    groups: list[Group]


def calibration(rows: pd.DataFrame, resamples: Resamples) -> Calibration:
    """rows : of one case and model. The band is NaN where fewer than half of the resamples have a curve."""
    p, y = rows["p"].to_numpy(), rows["y"].to_numpy()
    at = np.linspace(p.min(), p.max(), _POINTS)
    times = resamples.times(rows["woman"])[:CURVE_RESAMPLES]
    drawn = resampled(lambda t: {"curve": m.calibration_curve(p, y, at, t)}, times)["curve"]
    known = np.isfinite(drawn).mean(axis=0) >= 0.5
    low, high = np.full((2, len(at)), np.nan)
    if known.any():
        low[known], high[known] = np.nanquantile(drawn[:, known], [0.025, 0.975], axis=0)
    return Calibration(at, m.calibration_curve(p, y, at), low, high, groups(p, y))


def groups(p: np.ndarray, y: np.ndarray) -> list[Group]:
    """Of like size, by rank; women of equal chances may be parted."""
    from statsmodels.stats.proportion import proportion_confint

    found = []
    for some in np.array_split(np.argsort(p, kind="stable"), 10 if len(p) >= 200 else 5):
        if len(some):
            events = int(y[some].sum())
            low, high = proportion_confint(events, len(some), method="wilson")
            predicted, observed = float(p[some].mean()), events / len(some)
            found.append(Group(predicted, observed, float(low), float(high), len(some), events))
    return found


def roc(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """False-positive rate and detection rate; thinned to 400 points where there are more."""
    x, d = m.roc(rows["p"].to_numpy(), rows["y"].to_numpy())
    some = np.unique(np.linspace(0, len(x) - 1, 400).astype(int))
    return x[some], d[some]


class Pit(NamedTuple):
    """Share of the weights between the forecast's quantiles, beside what a right forecast has, and the 95 % band of
    chance around that. edges : 0 to 1, one more than shares."""

    edges: np.ndarray
    share: np.ndarray
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray


def pit(rows: pd.DataFrame) -> Pit:
    edges = np.array([0.0, *QUANTILES.values(), 1.0])
    expected, n = np.diff(edges), len(rows)
    low, high = (binom.ppf(q, n, expected) / n for q in (0.025, 0.975))
    share = pit_shares(rows["y"].to_numpy(), rows[list(QUANTILES)].to_numpy())
    return Pit(edges, share, expected, low, high)
