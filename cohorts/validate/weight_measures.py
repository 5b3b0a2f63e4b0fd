"""Measures of predicted birth weights against what was weighed.

Errors are predicted less observed: above 0 is predicted too heavy. times : (..., row) how often each row counts, as in
`measures`; every measure has one value for each leading index.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from cohorts.validate.measures import mean


def sd(x: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Standard deviation, n - 1 below."""
    t = np.ones(len(x)) if times is None else times
    centred = x - x.mean()  # the differences of squares then lose nothing
    n = t.sum(axis=-1)
    variance = mean(centred**2, times) - mean(centred, times) ** 2
    return np.sqrt(np.maximum(variance, 0.0) * n / np.maximum(n - 1.0, 1.0))


def slope(observed: np.ndarray, predicted: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Least-squares slope of observed on predicted: below 1 where predictions are too far apart."""
    x, y = predicted - predicted.mean(), observed - observed.mean()
    mx, my = mean(x, times), mean(y, times)
    spread = mean(x**2, times) - mx**2
    return np.divide(
        mean(x * y, times) - mx * my, spread, out=np.full(spread.shape, np.nan), where=spread > 1e-15
    )


def crps_normal(y: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of a normal forecast, in the unit of y (Gneiting and Raftery 2007)."""
    z = (y - mean) / sd
    return np.asarray(sd * (z * (2.0 * norm.cdf(z) - 1.0) + 2.0 * norm.pdf(z) - 1.0 / np.sqrt(np.pi)))


def pinball(y: np.ndarray, quantiles: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(row,) mean over the quantiles of twice the pinball loss: what the CRPS is made of, at the quantiles known.

    quantiles : (row, q), in the unit of y.
    """
    below = y[:, None] - quantiles
    return np.asarray(2.0 * np.mean(np.maximum(q * below, (q - 1.0) * below), axis=-1))


def coverage(y: np.ndarray, low: np.ndarray, high: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """Share of the weights inside their interval, its ends included."""
    return mean(((y >= low) & (y <= high)).astype(float), times)


def pit_normal(y: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Chance that a normal forecast gave to less than what was observed; uniform where forecasts are right."""
    return np.asarray(norm.cdf((y - mean) / sd))


def pit_shares(y: np.ndarray, quantiles: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
    """(..., q + 1) share of the weights below the first quantile, between each two, and above the last: the PIT
    histogram of a forecast of any shape. A weight on a quantile lies below it. quantiles : (row, q)."""
    bin_of = np.sum(y[:, None] > quantiles, axis=-1)
    found = [mean((bin_of == i).astype(float), times) for i in range(quantiles.shape[1] + 1)]
    return np.stack(found, axis=-1)
