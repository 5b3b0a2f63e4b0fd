"""Pareto-smoothed importance sampling, in NumPy so that a forecast need not load a plotting library.

The tail of the weights is replaced by the quantiles of a generalised Pareto distribution fitted to it; its shape k
says whether the weights can be trusted [Vehtari et al. 2024, JMLR 25:72]. The fit is the profile-posterior mean of
Zhang and Stephens 2009 (Technometrics 51:316), k drawn towards 0.5 by ten observations. Oracle: arviz.
"""

from __future__ import annotations

import numpy as np

PRIOR_K, PRIOR_OBSERVATIONS = 0.5, 10.0
LEAST_TAIL = 5


def effective_sample_size(weights: np.ndarray) -> float:
    """Kish effective size of normalised weights."""
    return float(1.0 / np.sum(np.square(weights)))


def tail_length(n: int) -> int:
    """Draws in the tail: a fifth of them, at most three square roots."""
    return int(np.ceil(min(n / 5.0, 3.0 * np.sqrt(n))))


def fit_pareto(excess: np.ndarray) -> tuple[float, float]:
    """(k, sigma) of a generalised Pareto distribution from sorted positive excesses, (draw,)."""
    n = len(excess)
    grid = 30 + int(np.sqrt(n))
    quartile = excess[int(n / 4.0 + 0.5) - 1]
    b = 1.0 / excess[-1] + (1.0 - np.sqrt(grid / (np.arange(1.0, grid + 1.0) - 0.5))) / (3.0 * quartile)
    k = np.mean(np.log1p(-b[:, None] * excess), axis=1)
    profile = n * (np.log(-b / k) - k - 1.0)
    weight = np.exp(profile - profile.max())
    best = float(np.sum(weight * b) / np.sum(weight))
    raw = float(np.mean(np.log1p(-best * excess)))
    return (n * raw + PRIOR_OBSERVATIONS * PRIOR_K) / (n + PRIOR_OBSERVATIONS), -raw / best


def pareto_smooth(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """(smoothed log weights, largest raw one at most 0; k). log_weights : (draw,), -inf where impossible.

    k is infinite where fewer than five draws stand out of the body: no tail can be fitted.
    """
    finite = np.where(np.isfinite(log_weights), log_weights, -1e6)
    log_w = finite - np.max(finite)
    order = np.argsort(log_w, kind="stable")
    cut = max(log_w[order[-tail_length(len(log_w)) - 1]], np.log(np.finfo(float).tiny))
    tail = order[log_w[order] > cut]
    if len(tail) < LEAST_TAIL:
        return log_w, float("inf")
    floor = np.exp(cut)
    k, sigma = fit_pareto(np.exp(log_w[tail]) - floor)
    if np.isfinite(k) and sigma > 0.0:
        p = (np.arange(len(tail)) + 0.5) / len(tail)
        step = -np.log1p(-p) if abs(k) < 1e-12 else np.expm1(-k * np.log1p(-p)) / k
        log_w[tail] = np.minimum(np.log(floor + sigma * step), 0.0)
    return log_w, float(k)
