"""Record to arrays: what the mother takes in (`WeekPlan`), and the readings with masks. Tables end here.

Shapes are bucketed so that women of like data share one compiled program: each reading axis is padded to the
next bucket, padding has mask False and harmless values.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

import equinox as eqx
import numpy as np
import pandas as pd
from jaxtyping import Array

from twin.growth_standards import efw_g
from twin.observation.residual import CGM_STEP_MIN, gains
from twin.physiology.coupled import REFERENCE_MEALS, WeekPlan, reference_exposure, since_day_start
from twin.physiology.events import DayEvents
from twin.physiology.fetus import (
    FIRST_WEEK,
    GLUCOSE_FROM_WEEK,
    LAST_WEEK,
    GrowthTable,
    growth_table,
)
from twin.physiology.parameters import INSULIN_F, INSULIN_TAU_MIN
from twin.programs import placed
from twin.record import PatientRecord, in_suspended_window

#: day-to-day CV of a reading around the week's reference day, by relation [A-OGTT-12, RECALLED]
DAY_CV = {"fasting": 0.05, "pre_meal": 0.08, "post_meal_1h": 0.14, "post_meal_2h": 0.13, "bedtime": 0.12}
DAY_CV_OTHER = 0.14
#: measurement SD of one scan, ln, by quantity [C-ERR-01..04; MODEL 2.3]; EFW carries its formula's error
SCAN_SD = {"hc_mm": 0.011, "ac_mm": 0.019, "fl_mm": 0.024, "bpd_mm": 0.012, "efw_g": 0.075}
BIOMETRY = ("hc_mm", "ac_mm", "fl_mm", "bpd_mm", "efw_g")
#: range in which an EFW formula is valid; earlier estimates stay in the record and out of the likelihood
EFW_FROM_DAY = (
    154.0  # 22 weeks, INTERGROWTH EFW; Hadlock formulas were made on third-trimester fetuses [C-EFW-01]
)
DATING_SD_DAYS = 3.0  # first-trimester ultrasound [C-ERR-07, RECALLED]
DEFAULT_WEIGHT_KG = 70.0  # the reference woman, where none is recorded
#: slot bounds, minutes since 04:00: breakfast, morning, lunch, afternoon, dinner, evening
SLOTS = (0.0, 330.0, 450.0, 630.0, 810.0, 990.0, 1440.0)
#: which of breakfast, lunch, dinner a slot's amount moves with
SLOT_MEAL = (0, 0, 1, 1, 2, 2)
MAX_CGM_DAYS = 14
RECORDED_MEAL_CV = 0.25  # of one meal's effect around its recorded carbohydrate [MODEL 3.3]
RECORDED_SD, USUAL_SD = (
    (0.20, 0.10),
    (0.22, 0.15),
)  # ln, of all meals of a woman, and of each of her meals (assumed)
USUAL_MEAL_CV = 0.40  # the same where the usual meals stand in for a day without records (assumed)
FULL_DAY_MEALS = 2  # a day with fewer recorded meals was not recorded in full: its meals are the usual ones
OGTT_TIMES = 5


class Spots(eqx.Module):
    """Finger-prick and single laboratory readings against the reference day of their week."""

    week: Array  # index into the glucose weeks
    minute: Array  # since the day start
    value: Array
    censor: Array
    mask: Array
    day_cv: Array


class CgmDays(eqx.Module):
    """Sensor days on a 15-min grid."""

    value: Array  # (day, time)
    mask: Array
    week: Array  # (day,), gestational weeks with fraction
    glucose_week: Array  # (day,), index into the glucose weeks
    weight_kg: Array
    events: DayEvents  # (event, day)
    usual_meals: Array  # (day,), the day's own meals were not recorded: the usual ones stand in
    meal_cv: Array  # (day,), of each meal's amount
    gain: Array  # (term, component, day, time) and
    spread: Array  # (term, day, time): `residual.gains` of the mask


class ToleranceTests(eqx.Module):
    """75 g (or other) glucose tolerance tests."""

    value: Array  # (test, time)
    minute: Array
    mask: Array
    week: Array
    glucose_week: Array
    weight_kg: Array
    load_mg: Array


class Scans(eqx.Module):
    """Ultrasound measures in ln."""

    quantity: Array  # index into BIOMETRY
    ln_value: Array
    sd: Array
    week: Array  # recorded weeks
    cell: Array
    mask: Array


class WomanData(eqx.Module):
    """Everything inference may see of one woman, in arrays."""

    plan: WeekPlan  # (event, week)
    reference_exposure: Array  # (week,), mg/dL
    meal_of_slot: Array  # (meal,) 0 breakfast, 1 lunch, 2 dinner
    carbohydrate_sd: Array  # (2,): overall, per meal
    meals_recorded: Array  # whether the plan's meals are her own, not the usual ones
    spots: Spots
    cgm: CgmDays
    ogtt: ToleranceTests
    scans: Scans
    covariates: Array  # (covariate,), of COVARIATES
    known: Array  # (covariate,)
    dating_sd_weeks: Array
    birth_week: Array  # (1,) recorded week of a given birth of an undated pregnancy, else (0,)
    table: GrowthTable  # the growth standard
    n_cells: int = eqx.field(static=True)


def bucket(n: int, sizes: tuple[int, ...] = (0, 4, 16, 64, 192, 512, 1024, 2048)) -> int:
    """The smallest size that holds n rows."""
    for size in sizes:
        if n <= size:
            return size
    return int(2 ** math.ceil(math.log2(n)))


def expected_gain_kg(week: np.ndarray) -> np.ndarray:
    """Median gestational weight gain, kg [A-BW-01: INTERGROWTH-21st, normal-weight women, 14-40 weeks]."""
    w = np.clip(week, 14.0, 40.0)
    gain = np.exp(1.382972 - 56.14743 / w**2 + 0.2787683 * np.sqrt(w)) - 8.75
    return np.where(week < 14.0, gain * np.clip(week, 0.0, 14.0) / 14.0, gain)


def weight_by_week(record: PatientRecord, week: np.ndarray) -> np.ndarray:
    """Maternal weight at each week, kg: measured weights joined by the standard gain."""
    points: list[tuple[float, float]] = []
    if record.facts.weight_pre_kg is not None:
        points.append((0.0, record.facts.weight_pre_kg))
    for row in record.weights.itertuples():
        if np.isfinite(row.gestational_day):
            points.append((float(row.gestational_day) / 7.0, float(row.weight_kg)))
    if not points and record.facts.weight_now_kg is not None:
        points.append((float(np.max(week)), record.facts.weight_now_kg))
    if not points:
        return np.full_like(week, DEFAULT_WEIGHT_KG, dtype=float)
    points.sort()
    at = np.array([p[0] for p in points])
    above = np.array([p[1] for p in points]) - expected_gain_kg(at)
    return expected_gain_kg(week) + np.interp(week, at, above)


#: BMI before pregnancy, kg/m2, at most 45; weight gain above the standard's median, kg, -12 to 15, from 20 weeks;
#: height, cm; age, years; the others 1 or 0. Effects and population means are the prior's
COVARIATES = ("bmi", "gain", "smoking", "hypertension", "parous", "male", "height", "age")
LARGEST_BMI, GAIN_RANGE_KG, GAIN_FROM_DAY = 45.0, (-12.0, 15.0), 140.0
UNDATED = ("biometry", "none")  # dating methods that are no data beside the biometry
UNDATED_SD_WEEKS = 6.0  # nothing known of the age but the biometry itself


def covariates(record: PatientRecord) -> np.ndarray:
    """Her `COVARIATES`; NaN where not recorded."""
    facts = record.facts
    found: dict[str, float | bool | None] = {
        "bmi": None if facts.bmi_pre is None else min(facts.bmi_pre, LARGEST_BMI),
        "smoking": facts.smoking,
        "hypertension": facts.hypertension,
        "parous": None if facts.parity is None else facts.parity > 0,
        "male": None if not facts.fetal_sex else facts.fetal_sex == "male",
        "height": facts.height_cm,
        "age": facts.maternal_age_y,
    }
    if facts.weight_pre_kg is not None and len(record.weights):
        last = record.weights.dropna(subset=["gestational_day"]).tail(1)
        if len(last) and float(last.gestational_day.iloc[0]) >= GAIN_FROM_DAY:
            week = float(last.gestational_day.iloc[0]) / 7.0
            gain = float(last.weight_kg.iloc[0]) - facts.weight_pre_kg
            found["gain"] = float(np.clip(gain - expected_gain_kg(np.array(week)), *GAIN_RANGE_KG))
    each = [found.get(name) for name in COVARIATES]
    return np.array([math.nan if v is None else float(v) for v in each])


def _slot_means(minutes: np.ndarray, amount: np.ndarray, n_days: int) -> list[tuple[float, float]]:
    """Mean amount per day and amount-weighted time of each slot; empty slots keep amount 0."""
    rows = []
    for low, high in itertools.pairwise(SLOTS):
        here = (minutes >= low) & (minutes < high)
        total = float(amount[here].sum())
        at = float((minutes[here] * amount[here]).sum() / total) if total > 0 else (low + high) / 2
        rows.append((at, total / max(n_days, 1)))
    return rows


def _day_minutes(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(day number, minutes since 04:00) of each row's local time; a day runs from 04:00 to 04:00."""
    local = pd.to_datetime(table["time_local"])
    shifted = local - pd.Timedelta(minutes=240)
    day = shifted.dt.normalize()
    minutes = (shifted - day) / pd.Timedelta(minutes=1)
    return day.to_numpy(), minutes.to_numpy(dtype=float)


def _within(table: pd.DataFrame, from_day: float, to_day: float) -> pd.DataFrame:
    """Rows of the gestational-day window."""
    if not len(table):  # asked for every week of every woman
        return table
    at = table["gestational_day"].to_numpy(dtype=float)
    return table[(at >= from_day) & (at < to_day)]


@dataclass(frozen=True)
class DailyPattern:
    """A day's habits: (minute since 04:00, amount) lists."""

    meals: tuple[tuple[float, float], ...]
    doses: tuple[tuple[float, float, str], ...] = ()
    tablets: tuple[tuple[float, float], ...] = ()
    bouts: tuple[tuple[float, float, float], ...] = ()
    meals_recorded: bool = False


def usual_meals() -> tuple[tuple[float, float], ...]:
    return tuple((float(since_day_start(t)), g) for t, g in REFERENCE_MEALS)


def meal_pattern(record: PatientRecord) -> tuple[tuple[tuple[float, float], ...], bool]:
    """Mean recorded meals by slot over days with at least two meals; else the reference day, and False."""
    if len(record.meals):
        day, minutes = _day_minutes(record.meals)
        grams = record.meals["carbohydrate_g"].to_numpy(dtype=float)
        days, counts = np.unique(day, return_counts=True)
        full = days[counts >= FULL_DAY_MEALS]
        if len(full):
            keep = np.isin(day, full)
            return tuple(_slot_means(minutes[keep], grams[keep], len(full))), True
    return usual_meals(), False


def insulin_pattern(
    record: PatientRecord, from_day: float, to_day: float
) -> tuple[tuple[float, float, str], ...]:
    """Mean daily doses by formulation and slot, over the days with any dose in the gestational-day window."""
    table = _within(record.insulin, from_day, to_day)
    if not len(table):
        return ()
    day, minutes = _day_minutes(table)
    n_days = len(np.unique(day))
    rows: list[tuple[float, float, str]] = []
    for name in INSULIN_TAU_MIN:
        here = (table["formulation"] == name).to_numpy()
        units = table["dose_U"].to_numpy(dtype=float)[here]
        rows += [(t, u, name) for t, u in _slot_means(minutes[here], units, n_days) if u > 0.05]
    return tuple(rows)


#: minutes since 04:00 of tablets without a clock time: with dinner, breakfast, lunch
TABLET_MIN = (870.0, 210.0, 510.0)
WEEKS_BACK = 6  # single doses of an earlier week stand for today's as long as this


def tablet_pattern(record: PatientRecord, day: float) -> tuple[tuple[float, float], ...]:
    """Metformin of a gestational day, (minute since 04:00, mg): every regimen that covers it, and doses recorded one
    by one as their daily mean in the newest week with any. A dose that is not known is not modelled."""
    table = record.medication
    if not len(table):  # asked for every week of every woman
        return ()
    known = (table["drug"] == "metformin") & table["dose_mg"].notna() & (table["gestational_day"] <= day)
    table = table[known]
    if not len(table):
        return ()
    one_by_one = table["per_day"].isna() & table["end_local"].isna()
    rows: list[tuple[float, float]] = []
    for row in table[~one_by_one].itertuples():
        if pd.notna(row.end_local):
            length = (pd.Timestamp(row.end_local) - pd.Timestamp(row.time_local)) / pd.Timedelta(days=1)
            if row.gestational_day + length < day:
                continue
        per_day = row.per_day if np.isfinite(row.per_day) and row.per_day > 0 else 1.0
        times = max(1, round(per_day))
        rows += [
            (TABLET_MIN[(len(rows) + i) % len(TABLET_MIN)], float(row.dose_mg) * per_day / times)
            for i in range(times)
        ]
    single = table[one_by_one]
    for back in range(WEEKS_BACK if len(single) else 0):
        start = 7.0 * (math.floor(day / 7.0) - back)
        week = single[(single["gestational_day"] >= start) & (single["gestational_day"] < start + 7.0)]
        if len(week):
            date, minutes = _day_minutes(week)
            means = _slot_means(minutes, week["dose_mg"].to_numpy(dtype=float), len(np.unique(date)))
            rows += [(t, mg) for t, mg in means if mg > 0.0]
            break
    return tuple(sorted(rows))


def activity_pattern(
    record: PatientRecord, from_day: float, to_day: float
) -> tuple[tuple[float, float, float], ...]:
    """Mean bouts by slot over the window's days; a slot's duration is its mean minutes per day."""
    table = _within(record.activity, from_day, to_day)
    if not len(table):
        return ()
    _, minutes = _day_minutes(table)
    n_days = max(round(to_day - from_day), 1)
    work = table["duration_min"].to_numpy(dtype=float)
    rows = _slot_means(minutes, work, n_days)
    intensity = float(np.average(table["intensity"], weights=np.maximum(work, 1e-6)))
    return tuple((t, t + d, intensity) for t, d in rows if d >= 1.0)


def events_of(patterns: list[DailyPattern]) -> DayEvents:
    """Patterns side by side, (event, pattern); event axes padded to a bucket over all of them."""

    def pad(rows: list[tuple[tuple[float, ...], ...]], width: int, sizes: tuple[int, ...]) -> np.ndarray:
        n = bucket(max((len(r) for r in rows), default=0), sizes)
        out = np.zeros((width, n, len(rows)))
        for j, row in enumerate(rows):
            for i, item in enumerate(row):
                out[:, i, j] = item
        return out

    meals = pad([p.meals for p in patterns], 2, (6, 12, 24, 48))
    doses = pad(
        [tuple((t, u, INSULIN_TAU_MIN[f], INSULIN_F[f]) for t, u, f in p.doses) for p in patterns],
        4,
        (0, 6, 12, 24),
    )
    tablets = pad([p.tablets for p in patterns], 2, (0, 3))
    bouts = pad([p.bouts for p in patterns], 3, (0, 6, 12))
    tau = np.where(doses[2] > 0, doses[2], 100.0)
    return DayEvents(
        meal_min=placed(meals[0]),
        meal_mg=placed(1000.0 * meals[1]),
        dose_min=placed(doses[0]),
        dose_mU=placed(1000.0 * doses[1]),
        dose_tau=placed(tau),
        dose_F=placed(doses[3]),
        tablet_min=placed(tablets[0]),
        tablet_mg=placed(tablets[1]),
        bout_start=placed(bouts[0]),
        bout_end=placed(bouts[1]),
        bout_intensity=placed(bouts[2]),
    )


def pattern_at(record: PatientRecord, week: float, meals: tuple[tuple[float, float], ...]) -> DailyPattern:
    """Habits around one gestational week. Insulin: that week, else the newest week before it."""
    doses: tuple[tuple[float, float, str], ...] = ()
    for back in range(WEEKS_BACK):
        start = 7.0 * (math.floor(week) - back)
        doses = insulin_pattern(record, start, start + 7.0)
        if doses:
            break
    start = 7.0 * math.floor(week)
    return DailyPattern(
        meals=meals,
        doses=doses,
        tablets=tablet_pattern(record, 7.0 * week),
        bouts=activity_pattern(record, start, start + 7.0),
    )


def _pad(values: np.ndarray, size: int, fill: float = 0.0, dtype: type = float) -> Array:
    out = np.full((size, *values.shape[1:]), fill, dtype)
    out[: len(values)] = values
    return placed(out)


def _spots(record: PatientRecord, last_glucose_week: int, meals: tuple[tuple[float, float], ...]) -> Spots:
    table = record.glucose
    kinds = table[table["kind"].isin(["smbg", "lab"])]
    day = kinds["gestational_day"].to_numpy(dtype=float)
    week = np.floor(day / 7.0) - GLUCOSE_FROM_WEEK
    keep = np.isfinite(day) & (week >= 0) & (week < last_glucose_week)
    kinds, week = kinds[keep], week[keep].astype(int)
    _, minutes = _day_minutes(kinds) if len(kinds) else (None, np.zeros(0))
    relation = kinds["relation"].to_numpy(dtype=str)
    at = np.array([t for t, g in meals if g >= 10.0] or [t for t, _ in meals])
    when = np.array(minutes)
    for i, r in enumerate(relation):
        after = {"post_meal_1h": 60.0, "post_meal_2h": 120.0}.get(r)
        if r == "fasting":
            when[i] = min(max(minutes[i], 90.0), float(at.min()) - 5.0)
        elif after is not None:  # the reference day's nearest meal, so that a late lunch stays a lunch
            when[i] = float(at[np.argmin(np.abs(at + after - minutes[i]))]) + after
        elif r == "pre_meal":
            when[i] = float(at[np.argmin(np.abs(at - 5.0 - minutes[i]))]) - 5.0
    size = bucket(len(kinds))
    censor = kinds["censor"].map({"": 0, "low": -1, "high": 1}).fillna(0).to_numpy(dtype=float)
    cv = np.array([DAY_CV.get(r, DAY_CV_OTHER) for r in relation])
    return Spots(
        week=_pad(week, size, dtype=int),
        minute=_pad(np.clip(when, 0.0, 1440.0), size),
        value=_pad(kinds["value_mg_dl"].to_numpy(dtype=float), size, 100.0),
        censor=_pad(censor, size),
        mask=_pad(np.ones(len(kinds)), size, dtype=bool),
        day_cv=_pad(cv, size, 0.1),
    )


def _cgm(record: PatientRecord, n_glucose: int, meals: tuple[tuple[float, float], ...]) -> CgmDays:
    table = record.glucose[(record.glucose["kind"] == "cgm") & record.glucose["gestational_day"].notna()]
    n_time = int(1440 / CGM_STEP_MIN)
    values: list[np.ndarray] = []
    days: list[np.datetime64] = []
    weeks: list[float] = []
    if len(table):
        day, minutes = _day_minutes(table)
        grid = np.round(minutes / CGM_STEP_MIN).astype(int)
        gap = np.abs(minutes - grid * CGM_STEP_MIN)
        usable = (table["censor"] == "").to_numpy() & (grid < n_time)
        level = table["value_mg_dl"].to_numpy(dtype=float)
        ga = table["gestational_day"].to_numpy(dtype=float) / 7.0
        for d in np.unique(day)[::-1]:
            here = np.flatnonzero((day == d) & usable)
            if len(here) < n_time // 8 or not (
                GLUCOSE_FROM_WEEK <= ga[here].mean() < GLUCOSE_FROM_WEEK + n_glucose
            ):
                continue
            row = np.full(n_time, np.nan)
            for i in here[
                np.argsort(-gap[here], kind="stable")
            ]:  # the nearest to the grid point is written last
                row[grid[i]] = level[i]
            values.append(row)
            days.append(d)
            weeks.append(float(ga[here].mean()))
            if len(values) == MAX_CGM_DAYS:
                break
    size = bucket(len(values), (0, 3, 7, 14))
    meal_day, meal_min = (
        _day_minutes(record.meals) if len(record.meals) else (np.zeros(0, "M8[ns]"), np.zeros(0))
    )
    grams = record.meals["carbohydrate_g"].to_numpy(dtype=float)
    dose_day, dose_min = (
        _day_minutes(record.insulin) if len(record.insulin) else (np.zeros(0, "M8[ns]"), np.zeros(0))
    )
    patterns = []
    recorded = np.array([np.sum(meal_day == d) >= FULL_DAY_MEALS for d in days], dtype=bool)
    for d, w, own in zip(days, weeks, recorded, strict=True):
        eaten = tuple(
            (float(m), float(g)) for m, g in zip(meal_min[meal_day == d], grams[meal_day == d], strict=True)
        )
        given = tuple(
            (float(m), float(u), str(f))
            for m, u, f in zip(
                dose_min[dose_day == d],
                record.insulin["dose_U"].to_numpy(dtype=float)[dose_day == d],
                record.insulin["formulation"].to_numpy(dtype=str)[dose_day == d],
                strict=True,
            )
        )
        gd = 7.0 * w
        patterns.append(
            DailyPattern(
                meals=eaten if own else meals,
                doses=given,
                tablets=tablet_pattern(record, gd),
                bouts=activity_pattern(record, math.floor(gd), math.floor(gd) + 1.0),
            )
        )
    patterns += [DailyPattern(meals=())] * (size - len(patterns))
    week = np.array(weeks + [28.5] * (size - len(weeks)))
    value = np.array(values).reshape(-1, n_time)
    read = _pad(np.isfinite(value), size, dtype=bool)
    gain, spread = gains(np.asarray(read))
    return CgmDays(
        value=_pad(np.nan_to_num(value, nan=100.0), size, 100.0),
        mask=read,
        week=placed(week),
        glucose_week=placed(np.clip(np.floor(week) - GLUCOSE_FROM_WEEK, 0, n_glucose - 1).astype(int)),
        weight_kg=placed(weight_by_week(record, week)),
        events=events_of(patterns),
        usual_meals=_pad(~recorded, size, dtype=bool),
        meal_cv=_pad(np.where(recorded, RECORDED_MEAL_CV, USUAL_MEAL_CV), size),
        gain=placed(gain),
        spread=placed(spread),
    )


def _ogtt(record: PatientRecord, n_glucose: int) -> ToleranceTests:
    table = record.glucose[(record.glucose["kind"] == "ogtt").to_numpy()]
    day, after, grams, level = (
        table[c].to_numpy(dtype=float)
        for c in ("gestational_day", "minutes_post_load", "load_g", "value_mg_dl")
    )
    # an unknown load says nothing after time 0
    usable = np.isfinite(day) & np.isfinite(after) & (np.isfinite(grams) | (after == 0.0))
    ms = np.where(usable, 60_000.0 * after, 0.0).astype("timedelta64[ms]")
    begun = (table["time_local"].to_numpy() - ms).astype("datetime64[D]")
    groups = (np.flatnonzero(usable & (begun == d)) for d in np.unique(begun[usable]))
    tests = [rows for rows in groups if day[rows].min() >= 84.0]
    size = bucket(len(tests), (0, 1, 2, 4))
    tests = tests[-size:] if size else []
    value = np.full((size, OGTT_TIMES), 100.0)
    minute = np.zeros((size, OGTT_TIMES))
    mask = np.zeros((size, OGTT_TIMES), bool)
    week = np.full(size, 28.0)
    load = np.full(size, 75_000.0)
    read = (table["censor"] == "").to_numpy() & (after >= 0.0) & (after <= 180.0)
    for i, test in enumerate(tests):
        rows = test[np.argsort(after[test], kind="stable")][:OGTT_TIMES]
        k = len(rows)
        value[i, :k] = level[rows]
        minute[i, :k] = np.clip(after[rows], 0.0, 180.0)
        mask[i, :k] = read[rows]
        week[i] = day[rows[0]] / 7.0
        known = grams[rows][np.isfinite(grams[rows])]
        load[i] = 1000.0 * known[0] if len(known) else 75_000.0
    return ToleranceTests(
        value=placed(value),
        minute=placed(minute),
        mask=placed(mask),
        week=placed(week),
        glucose_week=placed(np.clip(np.floor(week) - GLUCOSE_FROM_WEEK, 0, n_glucose - 1).astype(int)),
        weight_kg=placed(weight_by_week(record, week)),
        load_mg=placed(load),
    )


def _scans(record: PatientRecord, n_cells: int) -> Scans:
    table = record.biometry
    day = table["gestational_day"].to_numpy(dtype=float)
    week = day / 7.0
    keep = np.isfinite(day) & (week >= FIRST_WEEK) & (week < FIRST_WEEK + n_cells)
    keep &= table["quantity"].isin(BIOMETRY).to_numpy()
    keep &= ~((table["quantity"] == "efw_g").to_numpy() & (day < EFW_FROM_DAY))
    keep &= ~table["method"].str.contains("outside-formula-range", regex=False).to_numpy(dtype=bool)
    measured = table[keep & (table["quantity"] != "efw_g").to_numpy()]
    raw = set(measured["scan"])
    # raw biometry and an EFW made from it are the same information: never both [MODEL 2.3]
    keep &= ~((table["quantity"] == "efw_g").to_numpy() & table["scan"].isin(raw).to_numpy())
    rows = table[keep]
    size = bucket(len(rows), (0, 4, 12, 24, 48))
    value = rows["value"].to_numpy(dtype=float)
    given = rows["sd_mm"].to_numpy(dtype=float) / value
    given[given <= 0.0] = np.nan  # no measurement is without error; the reader has said so
    usual = rows["quantity"].map(SCAN_SD).to_numpy(dtype=float)
    bmi = record.facts.bmi_pre
    if bmi is not None and bmi > 30.0:  # harder to image [MODEL 2.3, assumed: +2 % of the error per kg/m2]
        usual = np.where(rows["quantity"] == "ac_mm", usual * (1.0 + 0.02 * (bmi - 30.0)), usual)
    at = rows["gestational_day"].to_numpy(dtype=float) / 7.0
    index = rows["quantity"].map({q: i for i, q in enumerate(BIOMETRY)}).to_numpy(dtype=float)
    return Scans(
        quantity=_pad(index, size, dtype=int),
        ln_value=_pad(np.log(value), size, 5.0),
        sd=_pad(np.where(np.isfinite(given), given, usual), size, 1.0),
        week=_pad(at, size, 30.0),
        cell=_pad(np.floor(at) - FIRST_WEEK, size, dtype=int),
        mask=_pad(np.ones(len(rows)), size, dtype=bool),
    )


def cells_for(as_of_day: float) -> int:
    """Weekly cells needed to reach `as_of_day`, in steps of four so that women share programs."""
    need = math.floor(as_of_day / 7.0) + 1 - FIRST_WEEK
    first = GLUCOSE_FROM_WEEK - FIRST_WEEK
    return int(min(LAST_WEEK - FIRST_WEEK, first + 4 * max(1, math.ceil((need - first) / 4))))


def encode(
    record: PatientRecord, as_of_day: float, *, standard: str, birth_day: float | None = None
) -> WomanData:
    """Arrays of one woman as known on `as_of_day` (gestational days).

    The record must already hide what was not known then (`record.as_of`). birth_day : a birth day taken as given,
    recorded gestational days; it dates an undated pregnancy and informs nothing else.
    """
    if len(record.glucose):  # steroid and illness days are not her usual glucose (scope gate)
        usual = ~in_suspended_window(record.glucose["time_local"], record.facts)
        record = dataclasses.replace(record, glucose=record.glucose[usual].reset_index(drop=True))
    n_cells = cells_for(as_of_day)
    n_glucose = n_cells - (GLUCOSE_FROM_WEEK - FIRST_WEEK)
    weeks = np.arange(n_glucose) + GLUCOSE_FROM_WEEK + 0.5
    meals, recorded = meal_pattern(record)
    plan = WeekPlan(
        events_of([pattern_at(record, float(w), meals) for w in weeks]),
        placed(weight_by_week(record, weeks)),
    )
    slots = np.array([SLOT_MEAL[int(np.searchsorted(SLOTS, t, side="right")) - 1] for t, _ in meals])
    her = covariates(record)
    undated = record.facts.dating_method in UNDATED
    # an age read off the biometry is not data beside that biometry: the age is then open, and a given birth day
    # brings in when births happen
    dating_sd = UNDATED_SD_WEEKS if undated else (record.facts.dating_sd_days or DATING_SD_DAYS) / 7.0
    birth = [birth_day / 7.0] if undated and birth_day is not None else []
    return WomanData(
        plan=plan,
        reference_exposure=placed(reference_exposure(standard)[:n_glucose]),
        meal_of_slot=placed(np.resize(slots, plan.events.meal_mg.shape[0])),
        carbohydrate_sd=placed(RECORDED_SD if recorded else USUAL_SD),
        meals_recorded=placed(np.array(recorded)),
        spots=_spots(record, n_glucose, meals),
        cgm=_cgm(record, n_glucose, meals),
        ogtt=_ogtt(record, n_glucose),
        scans=_scans(record, n_cells),
        covariates=placed(np.nan_to_num(her)),
        known=placed(np.isfinite(her)),
        dating_sd_weeks=placed(dating_sd),
        birth_week=placed(birth),
        table=growth_table(standard),
        n_cells=n_cells,
    )


def efw_of_scan(rows: pd.DataFrame) -> float | None:
    """EFW, g, of one examination: recorded, else Hadlock 3 (HC, AC, FL), else Hadlock 2 or 1; None without AC."""
    value = dict(zip(rows["quantity"], rows["value"], strict=True))
    if "efw_g" in value:
        return float(value["efw_g"])
    for formula, needs in (
        ("hadlock3", ("hc_mm", "ac_mm", "fl_mm")),
        ("hadlock2", ("bpd_mm", "ac_mm", "fl_mm")),
        ("hadlock1", ("ac_mm", "fl_mm")),
    ):
        if all(q in value for q in needs):
            return float(efw_g(formula, **{q: placed(float(value[q])) for q in needs}))
    return None
