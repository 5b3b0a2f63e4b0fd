"""Scores of predictions of hidden values, with bands over people, and two baselines fitted on other people."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import norm

from cohorts.individuals.data import PeopleTests

NOMINAL = 0.90
_RIDGES = np.geomspace(0.01, 1000.0, 26)


def crps_draws(y: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Fair estimate of the CRPS from draws. y : (...); draws : (..., draw). NaN stays NaN."""
    x = np.sort(draws, axis=-1)
    n = x.shape[-1]
    rank = 2 * np.arange(1, n + 1) - n - 1
    spread = 2.0 * np.sum(rank * x, axis=-1) / (n * (n - 1))
    return np.asarray(np.mean(np.abs(x - y[..., None]), axis=-1) - 0.5 * spread)


def crps_normal(y: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    z = (y - mean) / sd
    return np.asarray(sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)))


def inside(pit: np.ndarray) -> np.ndarray:
    """1 where the value lies in the central interval of `NOMINAL`, 0 outside, NaN where there is none."""
    tail = 0.5 * (1.0 - NOMINAL)
    return np.where(np.isfinite(pit), (pit >= tail) & (pit <= 1.0 - tail), np.nan)


def band(values: np.ndarray, seed: int, n_boot: int = 2000) -> tuple[float, float, float]:
    """Mean over values and its 95 % bootstrap band, people drawn whole. values : (person, ...), NaN where none."""
    flat = values.reshape(len(values), -1)
    total, count = np.nansum(flat, axis=1), np.sum(np.isfinite(flat), axis=1)
    rng = np.random.default_rng(seed)
    pick = rng.integers(0, len(values), (n_boot, len(values)))
    means = total[pick].sum(axis=1) / np.maximum(count[pick].sum(axis=1), 1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(total.sum() / count.sum()), float(low), float(high)


def interpolation(train: PeopleTests, test: PeopleTests) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (person, analyte, time): ln values interpolated between neighbours in time, the nearest beyond the
    ends, moved by the mean error and spread by the SD of the error of the people of `train` at that time."""

    def guess(tests: PeopleTests) -> np.ndarray:
        y = np.where(tests.mask, tests.ln_y, np.nan)
        out = np.full(y.shape, np.nan)
        for i in range(y.shape[0]):
            for a in range(y.shape[1]):
                for t in range(y.shape[2]):
                    known = np.isfinite(y[i, a]) & (np.arange(y.shape[2]) != t)
                    out[i, a, t] = np.interp(tests.minute[t], tests.minute[known], y[i, a, known])
        return out

    error = np.where(train.mask, train.ln_y, np.nan) - guess(train)
    return guess(test) + np.nanmean(error, axis=0), np.broadcast_to(
        np.nanstd(error, axis=0, ddof=1), test.ln_y.shape
    )


def regression(train: PeopleTests, test: PeopleTests) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD (person, analyte, time): ridge regression of each ln value on the person's ln values of all analytes
    at all other times, penalty and SD by leaving one person of `train` out. All values must be present.

    A normal distribution of all values jointly, learnt without any physiology, predicts the same way.
    """
    assert train.mask.all() and test.mask.all()
    mean, sd = np.zeros(test.ln_y.shape), np.zeros(test.ln_y.shape)
    for t in range(test.ln_y.shape[2]):
        X = np.delete(train.ln_y, t, axis=2).reshape(len(train), -1)
        X_new = np.delete(test.ln_y, t, axis=2).reshape(len(test), -1)
        middle, scale = X.mean(axis=0), X.std(axis=0)
        X, X_new = (X - middle) / scale, (X_new - middle) / scale
        U, s, Vt = np.linalg.svd(X, full_matrices=False)
        for a in range(test.ln_y.shape[1]):
            y = train.ln_y[:, a, t]
            best = np.inf
            for ridge in _RIDGES:
                keep = s**2 / (s**2 + ridge)
                hat = (U**2) @ keep + 1.0 / len(y)
                r = (y - y.mean() - U @ (keep * (U.T @ (y - y.mean())))) / (1.0 - hat)
                if (rms := float(np.sqrt(np.mean(r**2)))) < best:
                    best = rms
                    beta = Vt.T @ ((s / (s**2 + ridge)) * (U.T @ (y - y.mean())))
                    mean[:, a, t], sd[:, a, t] = y.mean() + X_new @ beta, rms
    return mean, sd


def summary(
    ln_y: np.ndarray,
    pit: np.ndarray,
    crps: np.ndarray,
    baselines: dict[str, tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> dict[str, Any]:
    """Coverage and CRPS with bands over people. ln_y, pit, crps : (person, analyte-or-any, time)."""
    cover = band(inside(pit), seed)
    out: dict[str, Any] = {
        "people": len(ln_y),
        "values": int(np.isfinite(pit).sum()),
        "coverage_90": cover[0],
        "coverage_band": cover[1:],
        "crps_ln": float(np.nanmean(crps)),
    }
    for name, (mean, sd) in baselines.items():
        theirs = crps_normal(ln_y, mean, sd)
        covered = inside(norm.cdf((ln_y - mean) / sd))
        gap = band(crps - theirs, seed)
        out[name] = {
            "crps_ln": float(np.nanmean(theirs)),
            "coverage_90": float(np.nanmean(covered)),
            "crps_difference": gap[0],
            "crps_difference_band": gap[1:],
        }
    return out
