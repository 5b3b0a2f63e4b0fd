"""What is scored: on each target day the day as a whole, and the readings 1, 2 and 4 h after nine origins."""

from __future__ import annotations

import dataclasses
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np

from tests.statistical.real_cgm import regression, twin_forecast
from tests.statistical.real_cgm.climatology import climatology
from tests.statistical.real_cgm.grid import DAY_START_MIN, STEP_MIN
from tests.statistical.real_cgm.people import Person
from tests.statistical.real_cgm.scores import (
    crps_ensemble,
    crps_lognormal,
    inside_90_ensemble,
    inside_90_lognormal,
)
from twin.record import PatientRecord, as_of

FIRST_TARGET, MIN_READINGS, MAX_TARGETS, MAX_BEFORE = 3, 60, 5, 14
MIN_FULL_BEFORE = 2  # days with as many readings among those before
#: every 2 h from 06:00 to 22:00; the reading at the origin is known
ORIGINS = np.arange(6 * 60 - DAY_START_MIN, 22 * 60 - DAY_START_MIN + 1, 120) // STEP_MIN
HORIZONS_H = (1, 2, 4)
STEPS_PER_H = 60 // STEP_MIN
DRAWS = 500


def target_days(values: np.ndarray) -> list[int]:
    """Indices of the days to forecast, (day, 96) given: recorded well enough, with days before, evenly spread."""
    full = np.isfinite(values).sum(axis=1) >= MIN_READINGS
    found = [
        d
        for d in range(FIRST_TARGET, len(values))
        if full[d] and full[max(0, d - MAX_BEFORE) : d].sum() >= MIN_FULL_BEFORE
    ]
    if len(found) <= MAX_TARGETS:
        return found
    return [found[i] for i in np.round(np.linspace(0, len(found) - 1, MAX_TARGETS)).astype(int)]


def record_before(person: Person, day: int) -> PatientRecord:
    """The person's record as known just before 04:00 of day index `day`."""
    start = datetime.combine(person.first_day + timedelta(days=day), time(4))
    return as_of(person.record, start - timedelta(microseconds=1))


def tally(crps: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Sums over readings, so that cases add up."""
    return {"n": len(crps), "crps": round(float(np.sum(crps)), 6), "inside": int(np.sum(inside))}


def score_baselines(person: Person, day: int) -> dict[str, Any]:
    """Climatology of the day, and the regression at each horizon."""
    first = max(0, day - MAX_BEFORE)
    days = person.values[first : day + 1]
    today = days[-1]
    known = np.isfinite(today)
    mean, sd = climatology(days[:-1])
    out: dict[str, Any] = {
        "day": tally(
            crps_lognormal(today[known], mean[known], sd[known]),
            inside_90_lognormal(today[known], mean[known], sd[known]),
        )
    }
    for hours in HORIZONS_H:
        steps = hours * STEPS_PER_H
        origins = ORIGINS[known[ORIGINS + steps]]
        y = today[origins + steps]
        meals, doses = person.meals[first : day + 1], person.doses[first : day + 1]
        at, spread = regression.forecast(days, meals, origins, steps, doses)
        out[f"{hours}h"] = tally(crps_lognormal(y, at, spread), inside_90_lognormal(y, at, spread))
    return out


def score_twin(person: Person, day: int) -> dict[str, Any]:
    """The twin, fitted to the days before, on the same readings."""
    first = max(0, day - MAX_BEFORE)
    today = person.values[day]
    known = np.isfinite(today)
    start = person.gestational_day(day)
    posterior = twin_forecast.fit(record_before(person, day), start)

    def samples(start_index: int) -> np.ndarray:
        history = person.values[first : day + 1].copy()
        history[-1, start_index:] = np.nan
        return twin_forecast.ahead(
            posterior,
            person.meals[day],
            person.doses[day],
            (start + 0.5) / 7.0,
            person.weight_kg,
            history,
            start_index,
            DRAWS,
        )

    whole = samples(0)[:, known]
    out: dict[str, Any] = {
        "day": tally(crps_ensemble(today[known], whole), inside_90_ensemble(today[known], whole))
    }
    by_horizon: dict[int, list[tuple[float, bool]]] = {h: [] for h in HORIZONS_H}
    for origin in ORIGINS:
        drawn = samples(int(origin) + 1)
        for hours in HORIZONS_H:
            steps = hours * STEPS_PER_H
            y = today[origin + steps]
            if np.isfinite(y):
                x = drawn[:, steps - 1]
                by_horizon[hours].append((float(crps_ensemble(y, x)), bool(inside_90_ensemble(y, x))))
    for hours, got in by_horizon.items():
        out[f"{hours}h"] = tally(np.array([c for c, _ in got]), np.array([i for _, i in got]))
    return out | {"calibration": dataclasses.asdict(posterior.calibration)}


def score_case(person: Person, day: int, *, baselines_only: bool) -> dict[str, Any]:
    """One person and day."""
    out: dict[str, Any] = {"dataset": person.dataset, "person": person.name}
    out["baseline"] = score_baselines(person, day)
    if not baselines_only:
        out["twin"] = score_twin(person, day)
    return out
