"""Days of many women run side by side: habitual days, lived days, tolerance tests."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cohorts.synthetic.other.fetus import population_ln_weight
from cohorts.synthetic.other.meal_model import OUT_MIN, Body, Floats, Intake, no_doses, run
from cohorts.synthetic.other.mother import MIDDLE_BMI, TRAITS, Mothers, at_week, mothers, pick
from cohorts.synthetic.other.women import Hidden
from cohorts.synthetic.physics import DOSE_FORMULATION, REVIEW_MIN
from cohorts.synthetic.schedule import DAY_START_MIN, DOSE_BEFORE_MEAL_MIN, NPH_CLOCK_MIN, RAPID_MEALS, Doses
from twin.encode import expected_gain_kg
from twin.physiology.coupled import REFERENCE_MEALS
from twin.physiology.fetus import GLUCOSE_FROM_WEEK
from twin.physiology.parameters import INSULIN_F, INSULIN_TAU_MIN

#: a day is run from 17:00 of the day before, so that dinner, evening snack and night are behind it at 04:00
LEAD_MIN = 660
DAY_MIN = 1440
EATING_MIN, DRINKING_MIN = 15.0, 5.0  # duration of a meal and of a glucose drink, assumed
COLUMNS_AT_ONCE = 1500  # bounds the memory of the feeding table; a cache-sized share of work
FASTING_AT = round(REVIEW_MIN[0] / OUT_MIN)
MIDDLE_HEIGHT_CM = 162.3  # of the covariates (cohorts/synthetic/women.py)
N_GLUCOSE_WEEKS = 24  # 20 to 43, as many as the own generator's truth


class Column(NamedTuple):
    """One day to run: whose, which gestational day, and whether it is her habitual day."""

    woman: int
    day: int
    habitual: bool


class Glucose(NamedTuple):
    """Plasma and interstitial glucose, mg/dL, every OUT_MIN from 04:00 to 04:00, (time, column)."""

    plasma: Floats
    tissue: Floats


def true_weeks(women: Sequence[Hidden], columns: Sequence[Column]) -> Floats:
    return np.array([(c.day + 0.5) / 7.0 + women[c.woman].dating_shift_weeks for c in columns])


def bodies(women: Sequence[Hidden], m: Mothers, size_ln: Floats, columns: Sequence[Column]) -> Body:
    """Parameters of the columns, factors of the day in them except that on sensitivity.

    size_ln : (woman,), ln of each fetus's size, which scales uteroplacental uptake."""
    who = np.array([c.woman for c in columns])
    week = true_weeks(women, columns)
    weight = np.array([women[c.woman].weight_kg(c.day / 7.0) for c in columns])
    fetal = np.exp(population_ln_weight(week) - population_ln_weight(np.array(40.0)) + size_ln[who])
    p = at_week(pick(m, who), week, weight, fetal)

    def factor(name: str) -> Floats:
        return np.array([1.0 if c.habitual else women[c.woman].day(c.day).factor[name] for c in columns])

    empty, secrete = factor("emptying"), factor("secretion")
    return p._replace(
        kmax=p.kmax * empty,
        kmin=p.kmin * empty,
        beta=p.beta * secrete,
        K=p.K * secrete,
        kp1=p.kp1 * factor("production"),
    )


def sensitivities(women: Sequence[Hidden], columns: Sequence[Column]) -> tuple[Floats, Floats]:
    """The day's factor on sensitivity: of the evening before, and of the day."""

    def of(c: Column, back: int) -> float:
        return 1.0 if c.habitual else women[c.woman].day(c.day - back).factor["sensitivity"]

    return np.array([of(c, 1) for c in columns]), np.array([of(c, 0) for c in columns])


def _eaten(h: Hidden, day: int, habitual: bool) -> list[tuple[float, float]]:
    """(minute since 04:00, g) of a day's meals."""
    if habitual:
        return [(t - DAY_START_MIN, g) for (t, _), g in zip(REFERENCE_MEALS, h.habit_g, strict=True)]
    return [(m.clock_min - DAY_START_MIN, m.grams) for m in h.day(day).meals]


def _injected(h: Hidden, day: int, doses: Doses | None) -> list[tuple[float, float, str]]:
    """(minute since 04:00, U, formulation) of a day's insulin, at the minutes the record gives."""
    given = () if doses is None else doses.by_week.get(day // 7, ())
    eaten = {m.slot: m.clock_min for m in h.plan.meals if m.day == day}
    clocks = [eaten.get(s, REFERENCE_MEALS[s][0]) - DOSE_BEFORE_MEAL_MIN for s in RAPID_MEALS] + [
        NPH_CLOCK_MIN
    ]
    return [
        (clock - DAY_START_MIN, units, name)
        for clock, units, name in zip(clocks, given, DOSE_FORMULATION, strict=bool(given))
        if units > 0.0
    ]


def intake(women: Sequence[Hidden], columns: Sequence[Column], doses: Sequence[Doses | None]) -> Intake:
    """Meals of the columns and of the evening before, insulin of the day and the day before."""
    meals, shots = [], []
    for c in columns:
        h = women[c.woman]
        before = [(t - DAY_MIN, g) for t, g in _eaten(h, c.day - 1, c.habitual) if t - DAY_MIN >= -LEAD_MIN]
        meals.append(before + _eaten(h, c.day, c.habitual))
        given = doses[c.woman]
        earlier = [(t - DAY_MIN, u, f) for t, u, f in _injected(h, c.day - 1, given)]
        shots.append(earlier + _injected(h, c.day, given))
    n, n_meals, n_shots = len(columns), max(map(len, meals)), max(map(len, shots))
    table = np.zeros((2, n_meals, n))
    injected = np.zeros((4, n_shots, n))
    injected[2] = 100.0  # time constant of an empty slot
    for j in range(n):
        for i, (t, g) in enumerate(meals[j]):
            table[:, i, j] = t, 1000.0 * g
        for i, (t, u, f) in enumerate(shots[j]):
            injected[:, i, j] = t, u, INSULIN_TAU_MIN[f], INSULIN_F[f]
    return Intake(table[0], table[1], EATING_MIN, *injected)


def run_days(
    women: Sequence[Hidden],
    m: Mothers,
    size_ln: Floats,
    columns: Sequence[Column],
    doses: Sequence[Doses | None],
) -> Glucose:
    """Run every column; in pieces, so that memory stays bounded."""
    parts = []
    for first in range(0, len(columns), COLUMNS_AT_ONCE):
        some = columns[first : first + COLUMNS_AT_ONCE]
        parts.append(
            run(
                bodies(women, m, size_ln, some),
                intake(women, some, doses),
                -LEAD_MIN,
                DAY_MIN,
                sensitivities(women, some),
            )
        )
    return Glucose(*(np.concatenate([p[i] for p in parts], axis=1) for i in (0, 1)))


def tolerance_tests(
    women: Sequence[Hidden], m: Mothers, size_ln: Floats, days: Sequence[int], load_g: float = 75.0
) -> Floats:
    """Plasma glucose at 0, 60 and 120 min, mg/dL, (3, woman); she comes fasting and drinks at once."""
    columns = [Column(i, day, False) for i, day in enumerate(days)]
    n = len(columns)
    drink = Intake(np.zeros((1, n)), np.full((1, n), 1000.0 * load_g), DRINKING_MIN, **no_doses(n))
    today = sensitivities(women, columns)[1]
    plasma, _, _ = run(bodies(women, m, size_ln, columns), drink, 0, 120, (today, today))
    return plasma[:: 60 // OUT_MIN]


def traits_of(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, Floats]:
    return {name: np.array([r[name] for r in rows]) for name in names}


def habitual_weeks(women: int) -> list[Column]:
    """The habitual day in the middle of every glucose week, women fastest."""
    weeks = GLUCOSE_FROM_WEEK + np.arange(N_GLUCOSE_WEEKS)
    return [Column(i, round(7 * int(w) + 3), True) for w in weeks for i in range(women)]


def by_week(values: Floats, women: int) -> Floats:
    """The last axis, columns of `habitual_weeks`, as (..., week, woman)."""
    return values.reshape(*values.shape[:-1], N_GLUCOSE_WEEKS, women)


@functools.cache
def middle_exposure() -> tuple[Floats, Floats]:
    """24-h mean and fasting glucose, mg/dL, (week,), of the middle woman on the reference day: computed, never typed.

    Every trait at its centre, BMI and height in the middle, usual gain, the reference meals.
    """
    m = mothers({name: np.zeros(1) for name in TRAITS}, np.array([MIDDLE_BMI]))
    week = GLUCOSE_FROM_WEEK + np.arange(N_GLUCOSE_WEEKS) + 0.5
    kg = MIDDLE_BMI * (MIDDLE_HEIGHT_CM / 100.0) ** 2 + expected_gain_kg(week)
    fetal = np.exp(population_ln_weight(week) - population_ln_weight(np.array(40.0)))
    p = at_week(pick(m, np.zeros(len(week), int)), week, kg, fetal)
    clock = np.array([t for t, _ in REFERENCE_MEALS]) - DAY_START_MIN
    grams = np.array([g for _, g in REFERENCE_MEALS])
    minutes = np.concatenate([clock - DAY_MIN, clock])[:, None] + np.zeros((1, len(week)))
    mg = np.where(minutes >= -LEAD_MIN, 1000.0 * np.concatenate([grams, grams])[:, None], 0.0)
    plasma, _, _ = run(p, Intake(minutes, mg, EATING_MIN, **no_doses(len(week))), -LEAD_MIN, DAY_MIN)
    return plasma[:-1].mean(axis=0), plasma[FASTING_AT]
