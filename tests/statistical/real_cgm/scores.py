"""Proper scores of forecasts, coverage, and ratios with people as the unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

Z_90 = 1.6448536269514722  # central 90 % of a normal


def crps_normal(y: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """CRPS of a normal forecast [Gneiting and Raftery 2007]."""
    z = (y - mean) / sd
    return sd * (z * (2.0 * norm.cdf(z) - 1.0) + 2.0 * norm.pdf(z) - 1.0 / np.sqrt(np.pi))


def crps_lognormal(y: np.ndarray, mean_ln: np.ndarray, sd_ln: np.ndarray) -> np.ndarray:
    """CRPS, in the unit of y, of a forecast normal in ln y [Baran and Lerch 2015]."""
    z = (np.log(y) - mean_ln) / sd_ln
    middle = np.exp(mean_ln + 0.5 * sd_ln**2)
    spread = norm.cdf(z - sd_ln) + norm.cdf(sd_ln / np.sqrt(2.0)) - 1.0
    return y * (2.0 * norm.cdf(z) - 1.0) - 2.0 * middle * spread


def crps_ensemble(y: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Fair CRPS of draws (draw, *batch) against y (*batch): unbiased for the distribution they come from."""
    n = len(draws)
    ranked = np.sort(draws, axis=0)
    rank = (2.0 * np.arange(1, n + 1) - n - 1.0).reshape(-1, *[1] * (draws.ndim - 1))
    spread = 2.0 * np.sum(rank * ranked, axis=0) / (n * (n - 1))
    return np.mean(np.abs(draws - y), axis=0) - 0.5 * spread


def inside_90_lognormal(y: np.ndarray, mean_ln: np.ndarray, sd_ln: np.ndarray) -> np.ndarray:
    """Whether y lies in the central 90 % of a forecast normal in ln y."""
    return np.abs(np.log(y) - mean_ln) <= Z_90 * sd_ln


def inside_90_ensemble(y: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Whether y lies between the 5 % and 95 % quantiles of draws (draw, *batch)."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return (low <= y) & (y <= high)


@dataclass(frozen=True)
class Interval:
    """An estimate with its central 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def ratio_over_people(ours: np.ndarray, theirs: np.ndarray, *, n_boot: int = 4000, seed: int = 0) -> Interval:
    """Sum of `ours` over the sum of `theirs`, people (axis 0) resampled with both of their sums together."""
    pick = np.random.default_rng(seed).integers(0, len(ours), size=(n_boot, len(ours)))
    return _interval(ours.sum() / theirs.sum(), ours[pick].sum(axis=1) / theirs[pick].sum(axis=1))


def relative_difference(
    ours: np.ndarray, theirs: np.ndarray, *, n_boot: int = 4000, seed: int = 0
) -> Interval:
    """Mean over people of ours / theirs - 1, every person with the same weight."""
    own = ours / theirs - 1.0
    pick = np.random.default_rng(seed).integers(0, len(own), size=(n_boot, len(own)))
    return _interval(own.mean(), own[pick].mean(axis=1))


def _interval(value: float, boot: np.ndarray) -> Interval:
    low, high = np.quantile(boot, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))
