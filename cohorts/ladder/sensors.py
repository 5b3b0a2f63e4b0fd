"""What a sensor shows beside the model, from people who wore one: spread and memory of the residual, by moments.

Of each person the mean day is taken away; what is left of ln glucose, on CGM_STEP_MIN, is the residual. Its SD between
people gives the spread of `cgm_cv`; how alike it is a step later gives `sensor_memory` (t_a of
`twin.observation.residual`). The people are not pregnant: the center of `cgm_cv` is left to norms of pregnancy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from cohorts.ladder.people import POPULATION_SD, Moved, combined
from twin.inference.priors import Prior
from twin.observation.residual import CGM_STEP_MIN, DRIVEN_RANGE_MIN, DRIVING_MIN

BIGIDEAS = "data/cgm_meals_bigideas/cgm.csv.gz"
SHANGHAI = "data/cgm_meals_insulin_shanghai/records.csv.gz"
FILES = (BIGIDEAS, SHANGHAI)
SLOTS = round(1440 / CGM_STEP_MIN)
FULL = 0.8  # of a day's slots, from which the day is used
LEAST_DAYS = 4
LARGEST_GAP = 2  # slots, over which readings are joined


class Person(NamedTuple):
    """sd : of ln glucose around the own mean day. memory_min : t_a."""

    sd: float
    memory_min: float


def people(shared: Path) -> dict[str, list[Person]]:
    """By data set: those with enough full days."""
    found = {}
    for name, series in ((BIGIDEAS, _bigideas(shared)), (SHANGHAI, _shanghai(shared))):
        each = (person(days_of(s)) for s in series)
        found[name] = [p for p in each if p is not None]
    return found


def _bigideas(shared: Path) -> Iterator[pd.Series]:
    d = pd.read_csv(shared / BIGIDEAS, parse_dates=["timestamp"])
    for _, one in d.groupby("subject"):
        yield one.set_index("timestamp")["glucose_mg_dl"]


def _shanghai(shared: Path) -> Iterator[pd.Series]:
    """Recordings of people with type 2 diabetes."""
    d = pd.read_csv(shared / SHANGHAI, parse_dates=["timestamp"], low_memory=False)
    for _, one in d[d["type"] == "T2DM"].groupby("recording"):
        yield one.set_index("timestamp")["cgm_mg_dl"]


def days_of(series: pd.Series) -> np.ndarray:
    """ln glucose, (day, SLOTS); NaN where there is none; days with FULL of their slots."""
    s = np.log(series[series > 0.0].sort_index())
    grid = s.groupby(s.index.floor(f"{CGM_STEP_MIN:g}min")).mean()
    whole = grid.asfreq(f"{CGM_STEP_MIN:g}min").interpolate(limit=LARGEST_GAP, limit_area="inside")
    table = pd.DataFrame(
        {
            "day": whole.index.normalize(),
            "slot": ((whole.index - whole.index.normalize()).total_seconds() // (60.0 * CGM_STEP_MIN)),
            "ln": whole.to_numpy(),
        }
    )
    days = table.pivot(index="day", columns="slot", values="ln").reindex(columns=range(SLOTS)).to_numpy()
    return np.asarray(days[np.isfinite(days).mean(axis=1) >= FULL])


def person(days: np.ndarray) -> Person | None:
    """days : ln glucose, (day, SLOTS). None with fewer than LEAST_DAYS of them."""
    n = len(days)
    if n < LEAST_DAYS:
        return None
    r = (days - np.nanmean(days, axis=0, keepdims=True)) * np.sqrt(n / (n - 1.0))
    moving = r - np.nanmean(r, axis=1, keepdims=True)
    alike = 1.0 - 0.5 * np.nanmean(np.diff(moving, axis=1) ** 2) / np.nanmean(moving**2)
    return Person(float(np.sqrt(np.nanmean(r**2))), memory(float(alike)))


def correlation(memory_min: float) -> float:
    """Of the moving part of the residual after one step, at this t_a."""
    a, b, h = memory_min, DRIVING_MIN, CGM_STEP_MIN
    return float((b * np.exp(-h / b) - a * np.exp(-h / a)) / (b - a))


def memory(alike: float) -> float:
    """t_a at which the moving part is so alike after one step; the ends of its range beyond them."""
    low, high = DRIVEN_RANGE_MIN
    if alike <= correlation(low):
        return low
    if alike >= correlation(high):
        return high
    return float(brentq(lambda t: correlation(t) - alike, low, high))


def start_from(prior: Prior, found: dict[str, list[Person]]) -> tuple[Prior, list[Moved]]:
    """The prior with the memory of people's residuals and the spread of their SDs."""
    latents, moved = list(prior.latents), []
    for name, take in (("sensor_memory", "memory_min"), ("cgm_cv", "sd")):
        at = prior.index[name]
        old = latents[at]
        rows = []
        for each in found.values():
            ln = np.log([getattr(p, take) for p in each])
            sd, n = float(ln.std(ddof=1)), len(ln)
            rows.append((float(ln.mean()), sd / n**0.5, sd, sd / (2.0 * n) ** 0.5))
        new = combined(old, rows, POPULATION_SD)
        if name == "cgm_cv":  # people's level is not that of pregnancy
            new = dataclasses.replace(old, sd=new.sd)
        latents[at] = new
        moved.append(Moved(name, (old.center, old.sd, old.center_sd), (new.center, new.sd, new.center_sd)))
    return dataclasses.replace(prior, latents=tuple(latents)), moved
