"""Cases to figures, and figures to bars."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tests.statistical.real_cgm.protocol import HORIZONS_H
from tests.statistical.real_cgm.scores import ratio_over_people, relative_difference

#: data sets judged together
POOL = ("cgmacros", "shanghai")
PARTS = ("day", *(f"{h}h" for h in HORIZONS_H))
POOLED = "+".join(POOL)

DAY_RATIO_POOLED, DAY_RATIO_BIGIDEAS, AHEAD_RATIO = 0.95, 1.01, 1.02
COVERAGE = (0.86, 0.94)


def by_person(cases: list[dict[str, Any]], who: str, part: str) -> np.ndarray:
    """(person, 3) sums of n, crps, inside of one forecaster."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for case in cases:
        row = np.array([case[who][part][k] for k in ("n", "crps", "inside")], dtype=float)
        key = (case["dataset"], case["person"])
        found[key] = found.get(key, np.zeros(3)) + row
    return np.array(list(found.values()))


def figures(cases: list[dict[str, Any]], part: str) -> dict[str, Any]:
    """CRPS (mg/dL, mean over readings) and coverage of one part; the ratio twin / baseline where both are there."""
    base = by_person(cases, "baseline", part)
    out: dict[str, Any] = {"people": len(base), "readings": int(base[:, 0].sum())}
    out |= {f"baseline_{k}": v for k, v in _level(base).items()}
    if all("twin" in c for c in cases):
        twin = by_person(cases, "twin", part)
        kept = base[:, 0] > 0
        out |= {f"twin_{k}": v for k, v in _level(twin).items()}
        ratio = ratio_over_people(twin[kept, 1], base[kept, 1])
        own = relative_difference(twin[kept, 1], base[kept, 1])
        out["ratio"] = {k: round(v, 4) for k, v in dataclasses.asdict(ratio).items()}
        out["mean_relative_difference"] = {k: round(v, 4) for k, v in dataclasses.asdict(own).items()}
    return out


def _level(sums: np.ndarray) -> dict[str, float]:
    n, crps, inside = sums.sum(axis=0)
    return {"crps": round(crps / n, 3), "coverage_90": round(inside / n, 4)}


def summarise(cases: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Data set (and the pool) -> part -> figures; "day" against climatology, hours against the regression."""
    groups = {d: [c for c in cases if c["dataset"] == d] for d in dict.fromkeys(c["dataset"] for c in cases)}
    if all(d in groups for d in POOL):
        groups[POOLED] = [c for d in POOL for c in groups[d]]
    return {name: {part: figures(own, part) for part in PARTS} for name, own in groups.items()}


def shortfalls(found: dict[str, dict[str, Any]]) -> list[str]:
    """The bars that are not met."""
    short = []
    for name, parts in found.items():
        for part, figure in parts.items():
            ratio, covered = figure["ratio"]["value"], figure["twin_coverage_90"]
            limit = {POOLED: DAY_RATIO_POOLED, "bigideas": DAY_RATIO_BIGIDEAS}.get(name)
            if part != "day":
                limit = AHEAD_RATIO if name != POOLED else None
            if limit is not None and ratio > limit:
                short.append(f"{name} {part}: CRPS ratio {ratio:.3f} above {limit}")
            if name == POOLED and part == PARTS[-1] and ratio >= 1.0:
                short.append(f"{name} {part}: CRPS ratio {ratio:.3f} not below 1")
            if not COVERAGE[0] <= covered <= COVERAGE[1]:
                short.append(f"{name} {part}: covered {covered:.3f}, accepted {COVERAGE}")
    return short
