"""What real records lack and get wrong: pricks not taken, sensors off, meals forgotten, scans missed or misread.

Each kind has random numbers of its own, a stream of the woman's seed, so that a lapse changes nothing else of her.
No row of the evidence table gives a rate of any of it: all numbers here and in the plans of a design are assumed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import expit, logit

from cohorts.synthetic.design import Design, Forgotten, ScanFaults, SmbgPlan, WearLapses
from cohorts.synthetic.schedule import Meal
from twin.encode import SCAN_SD
from twin.physiology.coupled import REFERENCE_MEALS

Row = dict[str, Any]
Seed = Sequence[int]

#: streams of her seed; 0-2 and 10-15 are the generators'
PRICKS, WEAR, DIARY, SCANS, WINDOW, ARM, CHOICE = range(20, 27)
SNACK_BELOW_G = 40.0
#: ln odds of a poor acoustic window at BMI 30, and per kg/m2: 15 % at 30, 33 % at 40
WINDOW_LN_ODDS, WINDOW_PER_BMI = -1.73, 0.10
WINDOW_SD_TIMES = 2.0  # error of a measure through it
WINDOW_UNSEEN = 0.15  # share of measures that cannot be taken through it
GROSS_LN = (0.10, 0.25)  # size of a gross error, either sign


def stream(seed: Seed, part: int) -> np.random.Generator:
    return np.random.default_rng([*seed, part])


def pricks_taken(seed: Seed, days: np.ndarray, uniform: np.ndarray, plan: SmbgPlan) -> np.ndarray:
    """Which planned finger pricks are taken. days, uniform : (prick,), gestational day and uniform number."""
    if plan.lapses is None:
        return np.asarray(uniform < plan.adherence)
    rng, lapses = stream(seed, PRICKS), plan.lapses
    own = expit(logit(plan.adherence) + lapses.between_women_ln_odds * rng.standard_normal())
    first = round(7.0 * plan.first_week)
    since = np.asarray(days) - first
    off = paused(rng, int(since.max(initial=0)) + 1, lapses.pause_share, lapses.pause_days)
    return (uniform < own * np.exp(-lapses.fatigue_per_week * since / 7.0)) & ~off[since]


def paused(rng: np.random.Generator, days: int, share: float, mean_days: float) -> np.ndarray:
    """A stationary chain of days: `share` of them in pauses of `mean_days` on average."""
    leave = 1.0 / mean_days
    enter = leave * share / (1.0 - share)
    u = rng.uniform(size=days)
    off = np.empty(days, bool)
    for i in range(days):
        chance = share if i == 0 else 1.0 - leave if off[i - 1] else enter
        off[i] = u[i] < chance
    return off


def sensor_on(seed: Seed, minutes: np.ndarray, lapses: WearLapses | None) -> np.ndarray:
    """Which sensor values are there. minutes : (value,), since the first 04:00."""
    here = np.ones(minutes.size, bool)
    if lapses is None or not minutes.size:
        return here
    rng = stream(seed, WEAR)
    first, last = float(minutes[0]), float(minutes[-1])
    here &= minutes < first + 1440.0 * rng.exponential(1.0 / lapses.ends_per_day)
    for _ in range(rng.poisson(lapses.off_per_day * (last - first) / 1440.0)):
        start, length = rng.uniform(first, last), rng.exponential(lapses.off_mean_min)
        here &= (minutes < start) | (minutes > start + length)
    return here


def with_forgotten(seed: Seed, meals: tuple[Meal, ...], forgotten: Forgotten | None) -> tuple[Meal, ...]:
    """The meals, of which those not written down have 0 g recorded."""
    if forgotten is None:
        return meals
    rng, kept = stream(seed, DIARY), []
    for _, of_day in itertools.groupby(meals, key=lambda m: m.day):
        whole_day = rng.uniform() < forgotten.day
        uniform = dict(enumerate(rng.uniform(size=len(REFERENCE_MEALS))))
        for meal in of_day:
            small = REFERENCE_MEALS[meal.slot][1] < SNACK_BELOW_G
            lost = whole_day or uniform[meal.slot] < (forgotten.snack if small else forgotten.meal)
            kept.append(replace(meal, recorded_g=0.0) if lost else meal)
    return tuple(kept)


def poor_window_chance(bmi: np.ndarray | float) -> np.ndarray | float:
    """Chance of a poor acoustic window, by BMI before pregnancy."""
    return expit(WINDOW_LN_ODDS + WINDOW_PER_BMI * (np.asarray(bmi) - 30.0))


def has_poor_window(seed: Seed, bmi: float, design: Design) -> bool | None:
    """None where the design knows of no windows."""
    if all(leaf.scan_faults is None for leaf in design.leaves):
        return None
    return bool(stream(seed, WINDOW).uniform() < poor_window_chance(bmi))


def as_scanned(seed: Seed, rows: Sequence[Row], faults: ScanFaults | None, poor_window: bool) -> list[Row]:
    """The measures that are taken, with their faults. rows : those of all planned scans, without faults."""
    if faults is None:
        return list(rows)
    rng, found = stream(seed, SCANS), []
    for _, scan in itertools.groupby(rows, key=lambda r: r["time_local"]):
        took_place = rng.uniform() < faults.taken
        for row in scan:
            unseen, gross, sign, size = rng.uniform(size=4)
            blur = rng.standard_normal()
            if not took_place or (poor_window and unseen < WINDOW_UNSEEN):
                continue
            error = 0.0
            if poor_window:
                error += np.sqrt(WINDOW_SD_TIMES**2 - 1.0) * SCAN_SD[row["quantity"]] * blur
            if gross < faults.gross_errors:
                error += np.sign(sign - 0.5) * (GROSS_LN[0] + (GROSS_LN[1] - GROSS_LN[0]) * size)
            found.append(row | {"value": round(float(row["value"] * np.exp(error)), 1)} if error else row)
    return found
