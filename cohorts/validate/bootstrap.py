"""Intervals from women drawn again: each resample draws women whole, and every figure sees the same resamples.

Two models, two as-ofs or a group and the rest are therefore compared on the same draws, and a difference has the
interval of a paired one. Models that were fitted (by cross-validation or before) are not fitted again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

RESAMPLES = 2000
CURVE_RESAMPLES = (
    500  # of which the flexible curve is drawn, and what is measured from it: slow, and rough anyhow
)
UNDEFINED = 0.05  # an interval is not given if the measure is undefined in a larger share of the resamples
_CELLS = 100_000  # resamples x rows at a time: what stays in the cache of one core

Draws = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Resamples:
    """women : their ids, each once. drawn : (resample, woman) how often."""

    women: pd.Index
    drawn: np.ndarray

    @classmethod
    def of(cls, women: Sequence[str] | pd.Series, n: int, seed: int) -> Resamples:
        """n resamples, each of as many women as there are. The order of the rows does not matter."""
        index = pd.Index(sorted(set(women)))
        rng = np.random.default_rng(seed)
        drawn = np.empty((n, len(index)), dtype=np.uint8)
        for i in range(n):
            drawn[i] = np.bincount(rng.integers(0, len(index), len(index)), minlength=len(index))
        return cls(index, drawn)

    def times(self, women: Sequence[str] | pd.Series) -> np.ndarray:
        """(resample, row) how often each row's woman was drawn."""
        return self.drawn[:, self.women.get_indexer(pd.Index(women))]


def resampled(measures: Callable[[np.ndarray], Draws], times: np.ndarray) -> dict[str, np.ndarray]:
    """Each measure in each resample. times : (resample, row)."""
    step = max(1, _CELLS // max(1, times.shape[1]))
    parts = [measures(times[i : i + step].astype(float)) for i in range(0, len(times), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class Interval(NamedTuple):
    """Standard error, 95 % and 90 % percentile intervals."""

    se: float
    low_95: float
    low_90: float
    high_90: float
    high_95: float


def interval(draws: np.ndarray) -> Interval:
    """Of a measure's resamples; NaN where the measure is undefined in more than `UNDEFINED` of them."""
    known = draws[np.isfinite(draws)]
    if len(known) < 2 or len(known) < (1.0 - UNDEFINED) * len(draws):
        return Interval(*[float("nan")] * 5)
    ends = np.quantile(known, [0.025, 0.05, 0.95, 0.975])
    return Interval(float(known.std(ddof=1)), *map(float, ends))
