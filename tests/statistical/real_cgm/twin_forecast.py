"""The only place where this check meets the twin: a fit to the days before, and sensor samples ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from tests.statistical.real_cgm.intake import Dose, Meal
from twin.encode import DEFAULT_WEIGHT_KG
from twin.record import PatientRecord

FIT_DRAWS = 500
STANDARD = "hadlock1991"  # growth plays no part here, but a fit needs a standard


def fit(record: PatientRecord, as_of_day: float) -> Any:
    """Posterior of a person from a record that holds only rows before `as_of_day` (gestational days)."""
    from twin.inference.calibrate import calibrate

    return calibrate(jax.random.key(0), record, as_of_day=as_of_day, standard=STANDARD, draws=FIT_DRAWS)


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
    Raises : RuntimeError where the twin cannot forecast glucose.
    """
    try:
        from twin.forecast import glucose
    except ImportError as why:
        raise RuntimeError(
            "this twin has no twin.forecast.glucose, so only the baselines can be scored: add --baselines-only"
        ) from why
    samples = np.asarray(
        glucose.ahead(
            jax.random.key(start_index),
            posterior,
            day_meals=tuple(day_meals),
            day_doses=tuple(day_doses),
            week=week,
            weight_kg=DEFAULT_WEIGHT_KG if weight_kg is None else weight_kg,
            history_values=history_values,
            start_index=start_index,
            draws=draws,
        )
    )
    expected = (draws, history_values.shape[1] - start_index)
    if samples.shape != expected or not np.all(np.isfinite(samples)):
        raise RuntimeError(f"expected finite samples of shape {expected}, got shape {samples.shape}")
    return samples
