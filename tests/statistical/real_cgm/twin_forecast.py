"""The only place where this check meets the twin: a fit to the days before, and sensor samples ahead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tests.statistical.real_cgm.intake import Dose, Meal
from twin.encode import DEFAULT_WEIGHT_KG
from twin.record import PatientRecord

FIT_DRAWS = 500
STANDARD = "hadlock1991"  # growth plays no part here, but a fit needs a standard
#: the packaged prior is one of pregnancy, these people are not pregnant
PRIOR = Path(__file__).with_name("adults.toml")


def fit(record: PatientRecord, as_of_day: float) -> Any:
    """Posterior of a person from a record that holds only rows before `as_of_day` (gestational days)."""
    from twin.inference.calibrate import calibrate
    from twin.inference.priors import load_prior

    return calibrate(
        jax.random.key(0),
        record,
        as_of_day=as_of_day,
        standard=STANDARD,
        prior=load_prior(str(PRIOR)),
        draws=FIT_DRAWS,
    )


def ahead(
    posterior: Any,
    day_meals: Sequence[Meal],
    day_doses: Sequence[Dose],
    week: float,
    weight_kg: float | None,
    history_values: np.ndarray,
    start_index: int,
    draws: int,
) -> np.ndarray:
    """Samples of the sensor, mg/dL (draw, time), on the 15-min grid from `start_index` to the end of the day.

    day_meals, day_doses : of the whole target day, minutes since 04:00: the plan is known. history_values : (day, 96),
    NaN unknown; the last row is the target day, known before `start_index`.
    """
    from twin.encode import DailyPattern
    from twin.forecast.glucose import sensor_day

    pattern = DailyPattern(
        meals=tuple((float(m), float(g)) for m, g in day_meals),
        doses=tuple((float(m), float(u), str(f)) for m, u, f in day_doses),
        meals_recorded=True,
    )
    day = sensor_day(
        jax.random.key(start_index),
        posterior,
        pattern,
        week=week,
        weight_kg=DEFAULT_WEIGHT_KG if weight_kg is None else weight_kg,
        readings=history_values[-1],
        draws=draws,
    )
    return day["sensor_glucose_mg_dl"].values[:, start_index:]
