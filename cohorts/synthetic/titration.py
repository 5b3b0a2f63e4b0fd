"""Insulin as a clinic gives it: each week's doses move until that week's readings are at their aims."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cohorts.synthetic.physics import with_doses
from cohorts.synthetic.schedule import Doses
from twin.encode import WomanData
from twin.physiology.fetus import GLUCOSE_FROM_WEEK

# Assumed: aims a little inside the targets 95 and 140 mg/dL [B-TX-01], and the size of a step
AIM_FASTING, AIM_1H = 88.0, 128.0
UNITS_PER_MG_DL_BASAL, UNITS_PER_MG_DL_RAPID = 0.35, 0.15
LARGEST_STEP_U = 5.0
LOWEST_WANTED = 65.0  # below it every dose of the week is cut
LARGEST_DOSE_U = (40.0, 40.0, 40.0, 60.0)
ROUNDS = 10
FIRST_WEEK_SHARE = 0.5


def titrate(run: Callable[[WomanData], np.ndarray], data: WomanData, start_week: float) -> list[Doses | None]:
    """Weekly doses of stacked women, all treated. run : data to glucose as reviewed, (5, week, woman)."""
    weeks = GLUCOSE_FROM_WEEK + np.arange(data.plan.weight_kg.shape[0])

    everyone = np.ones(data.plan.weight_kg.shape[1], bool)
    return titrated(lambda units: run(with_doses(data, units)), weeks, start_week, everyone)


def titrated(
    review: Callable[[np.ndarray], np.ndarray], weeks: np.ndarray, start_week: float, treated: np.ndarray
) -> list[Doses | None]:
    """Weekly doses under any physics; None for the untreated.

    review : doses (4, week, woman), U in the order of DOSE_MIN, to glucose (5, week, woman) at REVIEW_MIN and the
    lowest of the day. Stands in for the weekly review of readings: every week is adjusted ROUNDS times towards the
    aims with the true reference day of that week, then rounded to whole units. treated : (woman,), bool.
    """
    n_weeks = len(weeks)
    given = (weeks >= start_week)[:, None] & treated[None]
    units = np.zeros((4, n_weeks, len(treated)))
    largest = np.array(LARGEST_DOSE_U)[:, None, None]
    for _ in range(ROUNDS):
        glucose = review(units)
        fasting, after, lowest = glucose[0], glucose[1:4], glucose[4]
        step = np.concatenate(
            [UNITS_PER_MG_DL_RAPID * (after - AIM_1H), UNITS_PER_MG_DL_BASAL * (fasting - AIM_FASTING)[None]]
        )
        units = units + np.clip(step, -LARGEST_STEP_U, LARGEST_STEP_U)
        units = np.where(lowest < LOWEST_WANTED, 0.85 * units, units)
        units = np.clip(units, 0.0, largest) * given[None]
    first = np.argmax(weeks >= start_week)
    units[:, first] *= FIRST_WEEK_SHARE
    whole = np.where(units < 2.0, 0.0, np.round(units))
    return [_doses(whole[..., i], weeks) if t else None for i, t in enumerate(treated)]


def _doses(units: np.ndarray, weeks: np.ndarray) -> Doses:
    rows = {int(w): tuple(float(u) for u in units[:, i]) for i, w in enumerate(weeks) if units[:, i].any()}
    return Doses(rows)  # type: ignore[arg-type]
