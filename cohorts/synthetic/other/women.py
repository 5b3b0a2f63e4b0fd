"""One woman of the other generator: who she is, her hidden traits, and each of her days.

Covariates and schedule are those of the own generator for the same key, so that a seed gives the same women under
both; what is hidden differs. Every day has its own random numbers, whatever the design looks at.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cohorts.synthetic.design import Design
from cohorts.synthetic.lapses import has_poor_window, with_forgotten
from cohorts.synthetic.other.fetus import MEASURES, SHAPE_DF, n_days
from cohorts.synthetic.other.mother import TRAITS
from cohorts.synthetic.schedule import (
    HABIT_LN_SD,
    MEAL_LN_SD,
    MEAL_TIME_SD_MIN,
    SNACK_SKIPPED,
    Meal,
    Schedule,
    draw_schedule,
)
from cohorts.synthetic.women import Woman, draw_woman
from twin.encode import DATING_SD_DAYS, expected_gain_kg
from twin.physiology.coupled import REFERENCE_MEALS

Floats = np.ndarray

#: ln SD of a day around her usual: Vmx and kp3; emptying; secretion; production. Sensitivity and emptying give most of
#: the test-retest CV of a tolerance test [A-OGTT-12, RECALLED]; all assumed
DAY_LN_SD = {"sensitivity": 0.15, "emptying": 0.35, "secretion": 0.15, "production": 0.03}
#: a recorded meal: carbohydrate CV, clock error [MODEL 3.3]; a small meal that is left out (assumed)
RECORDED_CV, RECORDED_TIME_SD_MIN, SNACK_NOT_RECORDED = 0.25, 15.0, 0.10
SNACK_BELOW_G = 40.0
LATEST_SHIFT_MIN = 40.0
LEAST_BEFORE_BREAKFAST_MIN = 5.0  # a fasting reading comes before breakfast
#: streams of her seed: 0 and 1 as in the own generator
_HIDDEN, _DAY, _SENSOR, _METER, _LABORATORY, _SCAN = range(10, 16)
_LATE_GAIN_KG_WEEK = 0.4  # after her last weighing; usual gain [A-BW-01]


class Eaten(NamedTuple):
    """One meal: minute of the day and grams, truly and as recorded; recorded_g 0 where it was left out."""

    slot: int
    clock_min: float
    grams: float
    recorded_min: float
    recorded_g: float


class Day(NamedTuple):
    """A day's factors on sensitivity, emptying, secretion and production, and its meals."""

    factor: dict[str, float]
    meals: tuple[Eaten, ...]


@dataclass
class Hidden:
    """One woman on her way through the generator."""

    pseudonym: str
    seed: tuple[int, ...]
    plan: Schedule
    poor_window: bool | None
    onset: float  # uniform
    birth: float  # standard normal
    adherence: Floats  # (spot,), uniform
    traits: dict[str, float]  # standard normals, TRAITS
    growth: dict[str, float]  # standard normals: size, asymptote, rate
    shape: Floats  # (measure,), unit variance
    deviation: Floats  # (day,), standard normals
    dating_shift_weeks: float
    habit_g: Floats  # (slot,)
    days: dict[int, Day] = field(default_factory=dict)

    @property
    def woman(self) -> Woman:
        return self.plan.woman

    def stream(self, *part: int) -> np.random.Generator:
        return np.random.default_rng([*self.seed, *part])

    @property
    def sensor_rng(self) -> np.random.Generator:
        return self.stream(_SENSOR)

    @property
    def meter_rng(self) -> np.random.Generator:
        return self.stream(_METER)

    @property
    def laboratory_rng(self) -> np.random.Generator:
        return self.stream(_LABORATORY)

    @property
    def scan_rng(self) -> np.random.Generator:
        return self.stream(_SCAN)

    def day(self, day: int) -> Day:
        """Her gestational day `day`, drawn once."""
        if day not in self.days:
            self.days[day] = _draw_day(self.stream(_DAY, day), self.habit_g)
        return self.days[day]

    def weight_kg(self, week: float) -> float:
        """Weight at a recorded week: straight lines between what was weighed."""
        known = [(0.0, self.woman.weight_pre_kg), *((d / 7.0, kg) for d, kg in self.woman.weights)]
        last_week, last_kg = known[-1]
        known.append((last_week + 10.0, last_kg + 10.0 * _LATE_GAIN_KG_WEEK))
        return float(np.interp(week, [w for w, _ in known], [kg for _, kg in known]))

    def extra_gain_kg(self) -> float:
        """Gain at her last weighing over the usual; 0 before 20 weeks."""
        if not self.woman.weights or self.woman.weights[-1][0] < 140:
            return 0.0
        day, kg = self.woman.weights[-1]
        return kg - self.woman.weight_pre_kg - float(expected_gain_kg(np.array(day / 7.0)))


def begin(key: Array, pseudonym: str, design: Design) -> Hidden:
    """One woman from her own key (`woman_key`)."""
    who = jax.random.split(key, 3)[0]
    typed = bool(jnp.issubdtype(who.dtype, jax.dtypes.prng_key))
    seed = tuple(int(x) for x in np.asarray(jax.random.key_data(who) if typed else who))
    rng, timing, hidden = (np.random.default_rng([*seed, part]) for part in (0, 1, _HIDDEN))
    woman = draw_woman(rng, design)
    onset, birth = float(rng.uniform(1e-6, 1.0 - 1e-6)), float(rng.standard_normal())
    plan = draw_schedule(timing, woman, design)
    traits = dict(zip(TRAITS, (float(v) for v in hidden.standard_normal(len(TRAITS))), strict=True))
    names = ("size", "asymptote", "rate")
    growth = dict(zip(names, (float(v) for v in hidden.standard_normal(3)), strict=True))
    shape = hidden.standard_t(SHAPE_DF, len(MEASURES)) * np.sqrt((SHAPE_DF - 2.0) / SHAPE_DF)
    shift = DATING_SD_DAYS / 7.0 * float(hidden.standard_normal())
    overall = HABIT_LN_SD[0] * hidden.standard_normal()
    meal = HABIT_LN_SD[1] * hidden.standard_normal(len(REFERENCE_MEALS))
    habit = np.array([g for _, g in REFERENCE_MEALS]) * np.exp(overall + meal)
    deviation = hidden.standard_normal(n_days())
    h = Hidden(
        pseudonym=pseudonym,
        seed=seed,
        plan=plan,
        poor_window=has_poor_window(seed, woman.bmi, design),
        onset=onset,
        birth=birth,
        adherence=timing.uniform(size=len(plan.spots)),
        traits=traits,
        growth=growth,
        shape=shape,
        deviation=deviation,
        dating_shift_weeks=shift,
        habit_g=habit,
    )
    meals = with_forgotten(seed, _diary(h), design.forgotten)
    h.plan = replace(plan, meals=meals, spots=_spots(h))
    return h


def _draw_day(rng: np.random.Generator, habit_g: Floats) -> Day:
    factor = {name: float(np.exp(sd * rng.standard_normal())) for name, sd in DAY_LN_SD.items()}
    meals = []
    for slot, (clock, reference_g) in enumerate(REFERENCE_MEALS):
        amount, when, note, noted_when = rng.standard_normal(4)
        skipped, forgotten = rng.uniform(size=2)
        small = reference_g < SNACK_BELOW_G
        if small and skipped < SNACK_SKIPPED:
            continue
        grams = float(habit_g[slot] * np.exp(MEAL_LN_SD * amount - 0.5 * MEAL_LN_SD**2))
        at = round(clock + float(np.clip(MEAL_TIME_SD_MIN * when, -LATEST_SHIFT_MIN, LATEST_SHIFT_MIN)))
        noted = at + float(np.clip(RECORDED_TIME_SD_MIN * noted_when, -LATEST_SHIFT_MIN, LATEST_SHIFT_MIN))
        ln_sd = np.sqrt(np.log1p(RECORDED_CV**2))
        recorded = max(1.0, float(round(grams * float(np.exp(ln_sd * note - 0.5 * ln_sd**2)))))
        if small and forgotten < SNACK_NOT_RECORDED:
            recorded = 0.0
        meals.append(Eaten(slot, float(at), grams, float(round(noted)), recorded))
    return Day(factor, tuple(meals))


def _diary(h: Hidden) -> tuple[Meal, ...]:
    """Her recorded meals on the days the schedule keeps a diary of."""
    return tuple(
        Meal(day, m.recorded_min, m.grams, m.recorded_g, m.slot)
        for day in sorted({m.day for m in h.plan.meals})
        for m in h.day(day).meals
        if m.recorded_g > 0.0
    )


def _spots(h: Hidden) -> tuple[tuple[int, float, str], ...]:
    """Finger pricks as she takes them: fasting before that day's breakfast, 1-h readings about an hour after that
    day's own meal; the minutes by which she is early or late are the schedule's."""
    out = []
    for day, clock, relation in h.plan.spots:
        eaten = {m.slot: m.clock_min for m in h.day(day).meals}
        if relation == "fasting":
            clock = min(clock, eaten[0] - LEAST_BEFORE_BREAKFAST_MIN)
        elif relation == "post_meal_1h":
            slot = int(np.argmin([abs(t + 60.0 - clock) for t, _ in REFERENCE_MEALS]))
            clock += eaten.get(slot, REFERENCE_MEALS[slot][0]) - REFERENCE_MEALS[slot][0]
        out.append((day, float(clock), relation))
    return tuple(out)
