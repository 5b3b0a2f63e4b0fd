"""Every measure in groups of women, against the rest of them, and what a group of that size could show at all.

A group that is too small has no figure but its size: an interval that holds everything would be read as fair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from cohorts.validate.bootstrap import Resamples, interval
from cohorts.validate.catalogue import THRESHOLDS
from cohorts.validate.lines import lines, scored
from cohorts.validate.table import WEIGHT, events

NOT_RECORDED = "not recorded"
FEW = 5  # distinct numbers up to which each is a group of its own
#: (1.96 + 0.84): a difference of so many SE is found with 80 % power at two-sided 5 %
DETECTABLE = float(norm.ppf(0.975) + norm.ppf(0.80))


@dataclass(frozen=True)
class Minimum:
    """women, events : a group needs for measures of chances, as many without an event as with. women_weight : for those
    of weights."""

    women: int = 100
    events: int = 20
    women_weight: int = 50

    def lacking(self, rows: pd.DataFrame) -> str:
        """Why the rows are too few, or nothing."""
        if (rows["outcome"] == WEIGHT).all():
            return "" if len(rows) >= self.women_weight else f"too small: {len(rows)} women"
        rarer = int(min(rows["y"].sum(), (1.0 - rows["y"]).sum()))
        if len(rows) >= self.women and rarer >= self.events:
            return ""
        return f"too small: {len(rows)} women, {int(rows['y'].sum())} events"


def labelled(
    used: pd.DataFrame, strata: Sequence[str], edges: Mapping[str, Sequence[float]] | None = None
) -> pd.DataFrame:
    """The table with each stratum as an ordered category.

    edges : of numbers, by stratum; a number is in the group above an edge it equals. Numbers without edges: each a
    group if there are `FEW`, else tertiles of the women. Empty: `not recorded`.
    """
    table = used.copy()
    once = used.drop_duplicates(["woman", "as_of"])
    for name in strata:
        cuts = (edges or {}).get(name)
        number = pd.api.types.is_numeric_dtype(used[name]) and not pd.api.types.is_bool_dtype(used[name])
        if cuts is None and (not number or used[name].nunique() <= FEW):
            table[name] = _as_they_are(used[name], number)
        else:
            values = pd.to_numeric(used[name], errors="coerce")
            chosen = np.nanquantile(pd.to_numeric(once[name], errors="coerce"), [1 / 3, 2 / 3])
            table[name] = _cut(values, np.unique(chosen if cuts is None else cuts))
    return table


def _as_they_are(values: pd.Series, number: bool) -> pd.Series:
    text = values.map(lambda x: NOT_RECORDED if pd.isna(x) else f"{x:g}" if number else str(x))
    known = values.dropna().unique()
    order = [f"{x:g}" for x in sorted(known)] if number else sorted(map(str, known))
    return pd.Series(pd.Categorical(text, [*order, NOT_RECORDED], ordered=True), index=values.index)


def _cut(values: pd.Series, cuts: np.ndarray) -> pd.Series:
    between = [f"{a:.4g} to < {b:.4g}" for a, b in pairwise(cuts)]
    names = [f"< {cuts[0]:.4g}", *between, f"≥ {cuts[-1]:.4g}"]
    at = np.where(np.isfinite(values), np.searchsorted(cuts, values, side="right"), len(names))
    return pd.Series(pd.Categorical.from_codes(at, [*names, NOT_RECORDED], ordered=True), index=values.index)


def of_model(
    case: dict[str, str],
    rows: pd.DataFrame,
    resamples: Resamples,
    strata: Sequence[str],
    minimum: Minimum | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[dict[str, Any]]:
    """Lines of each level, and of each less the rest of the women, with the smallest difference detectable.

    rows : of one case and model, strata labelled. A group too small has one line, measure empty, and says so. ICI and
    its like are left out: above 0 by chance, and the more so the smaller the group, they cannot be compared.
    """
    minimum = minimum or Minimum()
    model, made = str(rows["model"].iloc[0]), []
    for name in strata:
        for level in rows[name].cat.categories:
            there = rows[name] == level
            if not there.any():
                continue
            about = {"stratum": name, "level": str(level)}
            here, rest = rows[there], rows[~there]
            if lacking := minimum.lacking(here):
                who = {"model": model, "measure": "", "n": len(here), "events": events(here)}
                made.append({**case, **about, **who, "note": lacking})
                continue
            inside = scored(here, resamples, thresholds, curve=False)
            made += lines(case, model, inside, **about)
            if not len(rest) or minimum.lacking(rest):
                continue
            gap = inside.less(scored(rest, resamples, thresholds, curve=False))
            for line in lines(case, model, gap, versus="rest", **about):
                made.append(line | {"detectable": DETECTABLE * interval(gap.draws[line["measure"]]).se})
    return made
