"""The rows of a record before any value is known: when she is measured, what she eats, takes and does.

Placeholders stand where readings will be, so that the encoder that inference uses decides what each reading
is of (its week, its minute of the reference day, its cell).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np

from cohorts.synthetic.design import CgmPlan, Design
from cohorts.synthetic.women import Woman
from twin.growth_standards import biometry_median
from twin.observation.residual import CGM_STEP_MIN
from twin.physiology.coupled import REFERENCE_MEALS
from twin.physiology.fetus import MEASURES

PLACEHOLDER_MG_DL = 100.0
DAY_START_MIN = 240.0  # a day of events runs from 04:00 to 04:00
LAST_WEEK = 44  # drugs and walks go on to here, whenever birth is
OGTT_MINUTES = (0.0, 60.0, 120.0)
OGTT_CLOCK_MIN, SCAN_CLOCK_MIN = 480.0, 630.0
DIARY_DAYS = 7  # before the record ends, where no sensor sets the days

# Assumed, in want of a source: how days differ from habit, and recorded from actual
READING_SD_MIN = 8.0
MEAL_TIME_SD_MIN = 15.0
MEAL_LN_SD = 0.25  # carbohydrate of a meal around her habit
SNACK_SKIPPED = 0.15
HABIT_LN_SD = (
    0.20,
    0.10,
)  # her habit against the reference day: overall, per meal [MODEL 3.3 gives 25 % in all]
DOSE_BEFORE_MEAL_MIN = 5.0
#: rapid doses belong to these reference meals (index); NPH at 22:00
RAPID_MEALS = (0, 2, 4)
NPH_CLOCK_MIN = 1320.0


@dataclass(frozen=True)
class Doses:
    """Insulin of each gestational week, U: {week: (breakfast, lunch, dinner, bedtime NPH)}."""

    by_week: Mapping[int, tuple[float, float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Meal:
    """recorded_g is 0 where the meal was not written down."""

    day: int  # gestational day
    clock_min: float
    actual_g: float
    recorded_g: float
    slot: int


@dataclass(frozen=True)
class Schedule:
    """Everything planned; `when` fields are gestational day and clock minute."""

    woman: Woman
    spots: tuple[tuple[int, float, str], ...]
    ogtt_day: int | None
    scan_days: tuple[int, ...]
    cgm: CgmPlan | None
    meals: tuple[Meal, ...]
    walks: tuple[int, ...]  # gestational days


def at(lmp: date, day: int, clock_min: float) -> dict[str, Any]:
    """Time columns of a row; simulated women live on UTC."""
    local = datetime.combine(lmp, time()) + timedelta(days=day, minutes=round(clock_min))
    return {"time_local": local, "time_utc": local.isoformat() + "Z"}


def draw_schedule(rng: np.random.Generator, woman: Woman, design: Design) -> Schedule:
    """When everything happens. The number of readings depends on the design alone."""
    spots: list[tuple[int, float, str]] = []
    if design.smbg is not None:
        for day in range(round(7.0 * design.smbg.first_week), design.as_of_day, design.smbg.every_days):
            for clock, relation in design.smbg.slots:
                shift = float(np.clip(READING_SD_MIN * rng.standard_normal(), -25.0, 25.0))
                spots.append((day, round(clock + shift), relation))
    ogtt = None
    if design.ogtt_week is not None:
        ogtt = round(7.0 * design.ogtt_week) + int(rng.integers(-7, 8))
    scans = tuple(round(7.0 * w) + int(rng.integers(-2, 3)) for w in design.scan_weeks)
    walks: tuple[int, ...] = ()
    if design.walks is not None:
        days = np.arange(round(7.0 * design.walks.start_week), 7 * LAST_WEEK)
        walks = tuple(int(d) for d in days[rng.uniform(size=len(days)) < design.walks.adherence])
    meals = _diary(rng, design) if design.meals_recorded else ()
    return Schedule(woman, tuple(spots), ogtt, scans, design.cgm, meals, walks)


def _diary(rng: np.random.Generator, design: Design) -> tuple[Meal, ...]:
    """Meals of the sensor's days, else of the last week: eaten around a habit, recorded with error."""
    first, n = design.as_of_day - DIARY_DAYS, DIARY_DAYS
    if design.cgm is not None:
        first, n = round(7.0 * design.cgm.start_week), design.cgm.days
    overall = HABIT_LN_SD[0] * rng.standard_normal()
    habit = [g * np.exp(overall + HABIT_LN_SD[1] * rng.standard_normal()) for _, g in REFERENCE_MEALS]
    meals = []
    for day in range(first, first + n):
        for slot, (clock, reference_g) in enumerate(REFERENCE_MEALS):
            a, b, c, u = *rng.standard_normal(3), rng.uniform()
            if reference_g < 40.0 and u < SNACK_SKIPPED:
                continue
            grams = float(habit[slot] * np.exp(MEAL_LN_SD * a - 0.5 * MEAL_LN_SD**2))
            shift = float(np.clip(MEAL_TIME_SD_MIN * b, -40.0, 40.0))
            recorded = round(max(1.0, grams * float(np.exp(design.counting_ln_sd * c))))
            meals.append(Meal(day, float(round(clock + shift)), grams, float(recorded), slot))
    return tuple(meals)


def glucose_rows(plan: Schedule) -> list[dict[str, Any]]:
    """Placeholders of every glucose reading, in time order within each kind; the sensor on the encoder's own
    grid, from 04:00 to 04:00."""
    lmp = plan.woman.lmp_equivalent

    def reading(day: int, clock: float, kind: str, **more: Any) -> dict[str, Any]:
        return at(lmp, day, clock) | {"value_mg_dl": PLACEHOLDER_MG_DL, "kind": kind} | more

    rows = [reading(d, m, "smbg", relation=r, device="meter") for d, m, r in plan.spots]
    if plan.ogtt_day is not None:
        for minute in OGTT_MINUTES:
            relation = "fasting" if minute == 0.0 else ""
            extra = {"minutes_post_load": minute, "load_g": 75.0, "relation": relation}
            rows.append(reading(plan.ogtt_day, OGTT_CLOCK_MIN + minute, "ogtt", **extra))
    if plan.cgm is not None:
        n = int(1440 / CGM_STEP_MIN)
        for day in sensor_days(plan.cgm):
            rows += [reading(day, DAY_START_MIN + i * CGM_STEP_MIN, "cgm", device="sensor") for i in range(n)]
    rows.sort(key=lambda r: r["time_local"])
    return [r | {"source": f"{i:06d}"} for i, r in enumerate(rows)]


def sensor_days(plan: CgmPlan) -> range:
    first = round(7.0 * plan.start_week)
    return range(first, first + plan.days)


def scan_rows(plan: Schedule) -> list[dict[str, Any]]:
    """Placeholders of every ultrasound measure: the median of the day, which is plausible."""
    rows = []
    for day in plan.scan_days:
        for i, quantity in enumerate(MEASURES):
            here = at(plan.woman.lmp_equivalent, day, SCAN_CLOCK_MIN)
            rows.append(here | {"quantity": quantity, "value": _median(quantity, day), "source": str(i)})
    return rows


@functools.lru_cache(maxsize=512)
def _median(quantity: str, day: int) -> float:
    return float(biometry_median(quantity, min(max(day, 98), 280), standard="intergrowth21"))


def intake_rows(
    plan: Schedule, design: Design, doses: Doses | None, *, recorded: bool, treated: bool
) -> dict[str, list[dict[str, Any]]]:
    """Meals (actual or as recorded), insulin, tablets, walks and weights, to the end of pregnancy.

    treated : whether drugs are given, which a design may leave to the tolerance test.
    """
    lmp = plan.woman.lmp_equivalent
    rows: dict[str, list[dict[str, Any]]] = {
        "meals": [
            at(lmp, m.day, m.clock_min) | {"carbohydrate_g": m.recorded_g if recorded else m.actual_g}
            for m in plan.meals
            if m.recorded_g > 0.0 or not recorded
        ],
        "weights": [at(lmp, d, 660.0) | {"weight_kg": kg} for d, kg in plan.woman.weights],
    }
    if doses is not None:
        rows["insulin"] = _dose_rows(plan, doses)
    if design.metformin is not None and treated:
        start = round(7.0 * design.metformin.start_week)
        course = {"drug": "metformin", "dose_mg": design.metformin.dose_mg}
        rows["medication"] = [at(lmp, start, 480.0) | course | {"per_day": float(design.metformin.per_day)}]
    if design.walks is not None:
        bout = {"duration_min": design.walks.minutes, "intensity": 1.0}
        rows["activity"] = [at(lmp, d, 1155.0) | bout for d in plan.walks]
    return rows


def _dose_rows(plan: Schedule, doses: Doses) -> list[dict[str, Any]]:
    lmp = plan.woman.lmp_equivalent
    eaten = {(m.day, m.slot): m.clock_min for m in plan.meals}
    rows = []
    for week, (*rapid, nph) in sorted(doses.by_week.items()):
        for day in range(7 * week, 7 * week + 7):
            for slot, units in zip(RAPID_MEALS, rapid, strict=True):
                clock = eaten.get((day, slot), REFERENCE_MEALS[slot][0]) - DOSE_BEFORE_MEAL_MIN
                if units > 0:
                    rows.append(at(lmp, day, clock) | {"dose_U": units, "formulation": "rapid"})
            if nph > 0:
                rows.append(at(lmp, day, NPH_CLOCK_MIN) | {"dose_U": nph, "formulation": "nph"})
    return rows
