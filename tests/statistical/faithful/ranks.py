"""Tests of ranks: is the truth a typical draw of its posterior?

A rank is the posterior probability below the truth, u in 0-1, uniform over women if inference is right. Three tests of
n ranks: how many central 90 % and 50 % intervals hold the truth (exact binomial), and the empirical distribution
against uniform over 20 points at once (exact: counts at successive points are a Markov chain, so the probability that
none leaves its own binomial band is a product of sparse matrices; the band is that of Säilynoja et al. 2022,
Stat Comput 32:32). Ranks of several latents of one woman (her meals) hang together: there women are the units, by
large-sample tests.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from scipy.stats import binom, chi2, norm

POINTS = 20  # at which the empirical distribution is looked at
BINS = 10  # of ranks that hang together
LEVELS = (0.9, 0.5)


def rank(truth: float, draws: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Posterior probability below the truth. draws, weights : (draw,)."""
    below = draws < truth
    return float(below.mean() if weights is None else weights @ below)


def covered(u: np.ndarray, level: float) -> np.ndarray:
    """Whether the central interval of that level holds the truth."""
    return np.abs(np.asarray(u) - 0.5) <= 0.5 * level


def coverage_p(hits: int, n: int, level: float) -> float:
    """Two-sided exact binomial p of `hits` of n."""
    return float(min(1.0, 2.0 * min(binom.cdf(hits, n, level), binom.sf(hits - 1, n, level))))


def accepted_hits(n: int, level: float, alpha: float) -> tuple[int, int]:
    """Smallest and largest count whose `coverage_p` is at least alpha."""
    hits = np.arange(n + 1)
    p = 2.0 * np.minimum(binom.cdf(hits, n, level), binom.sf(hits - 1, n, level))
    kept = hits[p >= alpha]
    return int(kept[0]), int(kept[-1])


def coverage_power(n: int, level: float, true: float, alpha: float) -> float:
    """Probability that n intervals of true coverage `true` are not accepted."""
    low, high = accepted_hits(n, level, alpha)
    return float(binom.cdf(low - 1, n, true) + binom.sf(high, n, true))


def ecdf_counts(u: np.ndarray) -> np.ndarray:
    """Ranks at or below each of the inner points, (POINTS - 1,)."""
    at = np.arange(1, POINTS) / POINTS
    return np.searchsorted(np.sort(np.asarray(u)), at, side="right")


def furthest(u: np.ndarray) -> float:
    """Smallest two-sided binomial p over the inner points."""
    n, at, counts = len(u), np.arange(1, POINTS) / POINTS, ecdf_counts(u)
    return float(np.min(2.0 * np.minimum(binom.cdf(counts, n, at), binom.sf(counts - 1, n, at))))


def band(n: int, pointwise: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts that stay inside at each inner point: those of two-sided binomial p above `pointwise`."""
    hits = np.arange(n + 1)[:, None]
    at = (np.arange(1, POINTS) / POINTS)[None]
    inside = 2.0 * np.minimum(binom.cdf(hits, n, at), binom.sf(hits - 1, n, at)) > pointwise
    return inside.argmax(axis=0), n - inside[::-1].argmax(axis=0)


def leaves_band(n: int, pointwise: float) -> float:
    """Probability that the counts of n uniform ranks leave `band` somewhere; the mass that leaves is what is summed, so
    that small probabilities keep their digits."""
    low, high = band(n, pointwise)
    state, first, lost = np.ones(1), 0, 0.0
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        step = 1.0 / (POINTS - i)
        left = n - first - np.arange(len(state))
        new = np.arange(a, b + 1)[None] - (first + np.arange(len(state)))[:, None]
        move = binom.pmf(new, left[:, None], step)
        out = binom.cdf(new[:, 0] - 1, left, step) + binom.sf(new[:, -1], left, step)
        lost += float(state @ out)
        state, first = state @ move, int(a)
    return min(lost, 1.0)


@functools.lru_cache(maxsize=64)
def simultaneous(n: int, alpha: float) -> float:
    """Pointwise level at which the band is left with probability alpha at most."""
    low, high = alpha / (10 * POINTS), alpha
    for _ in range(14):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if leaves_band(n, middle) <= alpha else (low, middle)
    return float(low)


def grouped_coverage_p(hits: Sequence[float], level: float) -> float:
    """Two-sided p of the mean share of covered latents, women as units. hits : (woman,) shares."""
    x = np.asarray(hits)
    return float(2.0 * norm.sf(abs(x.mean() - level) / (x.std(ddof=1) / np.sqrt(len(x)))))


def bin_shares(u: np.ndarray) -> np.ndarray:
    """Share of one woman's ranks in each of BINS bins."""
    return np.bincount(np.minimum((np.asarray(u) * BINS).astype(int), BINS - 1), minlength=BINS) / len(u)


def grouped_uniform_p(shares: np.ndarray) -> float:
    """Chi-square p of equal mean shares, with the covariance between women. shares : (woman, BINS)."""
    off = shares[:, :-1].mean(axis=0) - 1.0 / BINS
    covariance = np.cov(shares[:, :-1].T) / len(shares)
    return float(chi2.sf(off @ np.linalg.solve(covariance, off), BINS - 1))


def uniform_power(
    n: int, alpha: float, spread: float, shift: float = 0.0, *, repeats: int = 200, seed: int = 0
) -> float:
    """Probability that the test of `furthest` finds a Gaussian posterior whose SD is `spread` times the right one
    and whose mean is off by `shift` right SDs."""
    rng = np.random.default_rng(seed)
    low, high = band(n, simultaneous(n, alpha))
    out = 0
    for _ in range(repeats):
        counts = ecdf_counts(norm.cdf((rng.standard_normal(n) - shift) / spread))
        out += bool(np.any((counts < low) | (counts > high)))
    return out / repeats
