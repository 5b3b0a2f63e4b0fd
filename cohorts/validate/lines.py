"""One line per number of a validation: whose, of whom, how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cohorts.validate.bootstrap import CURVE_RESAMPLES, Draws, Resamples, interval, resampled
from cohorts.validate.catalogue import THRESHOLDS, of_curve, of_rows
from cohorts.validate.table import events

#: estimand to model: of what; versus: another model or `rest`, then the value is a difference; stratum and level: empty
#: for everybody; low and high: 95 %; detectable: of a group against the rest, see `subgroups`; note: why no value
COLUMNS = (
    *("estimand", "outcome", "as_of", "model", "measure", "versus", "stratum", "level"),
    *("value", "low", "high", "low_90", "high_90", "se", "n", "events", "detectable", "note"),
)


@dataclass(frozen=True)
class Scored:
    """Measures of one model's rows: value, its resamples, number of women and of events."""

    value: dict[str, float]
    draws: Draws
    n: int
    events: int | None

    def less(self, other: Scored, who: Scored | None = None) -> Scored:
        """The difference, resample by resample. who : whose n and events it has, without: its own."""
        who = who or self
        value = {k: v - other.value[k] for k, v in self.value.items()}
        return Scored(value, {k: v - other.draws[k] for k, v in self.draws.items()}, who.n, who.events)


def scored(
    rows: pd.DataFrame,
    resamples: Resamples,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    curve: bool = True,
) -> Scored:
    """rows : of one case and model. curve : with ICI, E50 and E90 of chances, over `CURVE_RESAMPLES`."""
    every, times, n = of_rows(rows, thresholds), resamples.times(rows["woman"]), events(rows)
    value, draws = dict(every(None)), resampled(every, times)
    if curve and n is not None:
        away = of_curve(rows)
        value |= away(None)
        draws |= resampled(away, times[:CURVE_RESAMPLES])
    return Scored({k: float(v) for k, v in value.items()}, draws, len(rows), n)


def lines(case: dict[str, str], model: str, found: Scored, **more: Any) -> list[dict[str, Any]]:
    """A line per measure. more : further columns."""
    made = []
    for measure, value in found.value.items():
        i = interval(found.draws[measure])
        ends = {"low": i.low_95, "high": i.high_95, "low_90": i.low_90, "high_90": i.high_90, "se": i.se}
        who = {"model": model, "measure": measure, "n": found.n, "events": found.events}
        made.append(case | who | {"value": value} | ends | more)
    return made


def as_table(found: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """With all columns of `COLUMNS`, whole numbers whole."""
    empty: dict[str, Any] = {"versus": "", "stratum": "", "level": "", "note": ""}
    table = pd.DataFrame([empty | line for line in found], columns=list(COLUMNS))
    numbers = ("value", "low", "high", "low_90", "high_90", "se", "detectable")
    return table.astype(dict.fromkeys(numbers, "float64") | dict.fromkeys(("n", "events"), "Int64"))


def of_models(
    case: dict[str, str],
    models: dict[str, pd.DataFrame],
    resamples: Resamples,
    judged: str,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[dict[str, Any]]:
    """Lines of every model, and of the judged less each other one on the women that have both."""
    found = {name: scored(rows, resamples, thresholds) for name, rows in models.items()}
    made = [line for name, one in found.items() for line in lines(case, name, one)]
    if judged not in models:
        return made
    ours = models[judged]
    for name, theirs in models.items():
        if name == judged:
            continue
        if np.array_equal(ours["woman"], theirs["woman"]):
            a, b = found[judged], found[name]
        else:
            both = set(ours["woman"]) & set(theirs["woman"])
            if not both:
                continue
            a, b = (scored(rows[rows["woman"].isin(both)], resamples, thresholds) for rows in (ours, theirs))
        made += lines(case, judged, a.less(b), versus=name)
    return made
