"""Virtual women of the other generator: the same designs, records and truth as the own one, other physics.

Woman i of a seed is the same whatever the number of women.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Array

from cohorts.population.waiting import MIDDLE_WEEK, days_of_birth
from cohorts.synthetic.arms import by_arm
from cohorts.synthetic.design import Design
from cohorts.synthetic.lapses import as_scanned, pricks_taken, sensor_on
from cohorts.synthetic.other import fetus
from cohorts.synthetic.other.days import (
    FASTING_AT,
    N_GLUCOSE_WEEKS,
    Column,
    by_week,
    habitual_weeks,
    middle_exposure,
    run_days,
    tolerance_tests,
    traits_of,
)
from cohorts.synthetic.other.errors import laboratory_values, meter_values, scan_errors, sensor_values
from cohorts.synthetic.other.meal_model import OUT_MIN, Floats
from cohorts.synthetic.other.mother import TRAITS, Mothers, mothers, pick
from cohorts.synthetic.other.women import Hidden, begin
from cohorts.synthetic.physics import REVIEW_MIN
from cohorts.synthetic.readings import METER_RANGE, Row, as_it_stands, meets_iadpsg, sensor_rows, with_limits
from cohorts.synthetic.schedule import (
    DAY_START_MIN,
    OGTT_MINUTES,
    Doses,
    glucose_rows,
    scan_rows,
    sensor_days,
)
from cohorts.synthetic.simulate import Assemble, seed_of, woman_key
from cohorts.synthetic.strata import of_birth, of_test
from cohorts.synthetic.titration import titrated
from cohorts.synthetic.truth import Truth
from twin.errors import UnusableInput
from twin.forecast.delivery import LAST_DAY_DIET, LAST_DAY_DRUG
from twin.forecast.onset import Who
from twin.growth_standards import reference_weight_g
from twin.physiology.fetus import GLUCOSE_FROM_WEEK
from twin.record import PatientRecord, build_record

GENERATOR_ID = "other-1"  # stands where the own generator names its prior
CHUNK = 32
LAST_DAYS = 7  # the last recorded week


def simulate_other(
    key: Array | int,
    n: int,
    design: Design,
    standard: str = "hadlock1991",
    *,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[PatientRecord, Truth]]:
    """n women, named sim-000000 and on; woman i has the key `woman_key(key, i)`, covariates and schedule of the own
    generator's woman of that key.

    standard : written into the truth for scoring; this growth law knows none. progress : called with the number made.
    Raises : UnusableInput "not-in-generator" for a design with metformin or walks; UnknownStandard.
    """
    refuse_unknown_physics(design)
    reference_weight_g(280.0, standard=standard)
    root = jax.random.key(key) if isinstance(key, int) else key
    for first in range(0, n, CHUNK):
        last = min(first + CHUNK, n)
        chunk = [(woman_key(root, i), f"sim-{i:06d}") for i in range(first, last)]
        yield from simulate_chunk(chunk, design, standard)
        if progress is not None:
            progress(last)


def simulate_chunk(
    chunk: list[tuple[Array, str]], design: Design, standard: str, *, assemble: Assemble = build_record
) -> list[tuple[PatientRecord, Truth]]:
    """Women given by (key, pseudonym), in one batch for each arm of the design."""

    def run_arm(some: list[tuple[Array, str]], arm: Design) -> list[tuple[PatientRecord, Truth]]:
        return simulate_women([begin(k, name, arm) for k, name in some], arm, standard, assemble=assemble)

    return by_arm(chunk, design, lambda w: seed_of(w[0]), run_arm) if design.arms else run_arm(chunk, design)


def refuse_unknown_physics(design: Design) -> None:
    """Raises : UnusableInput "not-in-generator"."""
    for _, arm in design.arms:
        refuse_unknown_physics(arm)
    for name, plan in (("metformin", design.metformin), ("walks", design.walks)):
        if plan is not None:
            raise UnusableInput(
                "not-in-generator",
                f"design {design.name!r} has {name}, which the other generator does not model; expected a design of "
                "meals and insulin only. Nothing was simulated. Use the own generator for it.",
            )


def simulate_women(
    women: Sequence[Hidden], design: Design, standard: str, *, assemble: Assemble = build_record
) -> list[tuple[PatientRecord, Truth]]:
    """Women of a design without arms in one batch."""
    n = len(women)
    m = mothers(traits_of([w.traits for w in women], TRAITS), np.array([w.woman.bmi for w in women]))
    fetuses, size_ln = _fetuses(women)
    tests = _tests(women, m, size_ln)
    gdm = [None if t is None else meets_iadpsg(list(t)) for t in tests]
    cared_for = [bool(g) for g in gdm] if design.if_gdm else [True] * n
    doses: list[Doses | None] = [None] * n
    weekly = habitual_weeks(n)
    if design.insulin is not None:
        doses = _titrate(women, m, size_ln, design.insulin.start_week, np.array(cared_for))
    habit = run_days(women, m, size_ln, weekly, doses).plasma
    mean = by_week(habit[:-1].mean(axis=0), n)
    course = _course(women, fetuses, mean, by_week(habit[FASTING_AT], n))
    drug = [bool(d and d.by_week) for d in doses]
    shift = np.array([w.dating_shift_weeks for w in women])
    day = _birth_days(
        women, course, np.array([bool(g) for g in gdm]), np.where(drug, LAST_DAY_DRUG, LAST_DAY_DIET), standard, design
    )  # fmt: skip
    ln_birth, _ = fetus.at_weeks(course, day / 7.0 + shift)
    recorded = np.arange(fetus.START_WEEK, fetus.END_WEEK, dtype=float)
    weight = np.exp(np.stack([fetus.at_weeks(course, w + shift)[0] for w in recorded]))
    readings, last_week = _readings(women, m, size_ln, doses, cared_for, design)
    results = []
    for i, w in enumerate(women):
        measured = as_scanned(w.seed, _scans(w, i, fetuses, course), design.scan_faults, bool(w.poor_window))
        record = _record(w, readings[i], tests[i], measured, doses[i], gdm[i], cared_for[i], design, assemble)
        parameters = _parameters(m, fetuses, i) | {"mean_glucose_last_week_mg_dl": float(last_week[i])}
        if w.poor_window is not None:
            parameters["poor_window"] = float(w.poor_window)
        latent = float(np.exp(ln_birth[i]))
        truth = Truth(
            pseudonym=w.pseudonym,
            design=design.name,
            prior_id=GENERATOR_ID,
            standard=standard,
            as_of_day=design.as_of_day,
            delivery_day=int(day[i]),
            birth_weight_g=latent * float(np.exp(fetus.BIRTH_LN_SD * w.birth)),
            latent_weight_at_birth_g=latent,
            dating_shift_weeks=w.dating_shift_weeks,
            fetal_sex=w.woman.fetal_sex,
            gdm=gdm[i],
            treated=drug[i],
            z={},
            parameters=parameters,
            fetal_weight_g=weight[:, i],
            mean_glucose_mg_dl=mean[:, i],
        )
        if not np.isfinite([truth.birth_weight_g, last_week[i], *mean[:, i]]).all():
            raise FloatingPointError(f"the simulation of {w.pseudonym} is not finite; report design and seed")
        results.append((record, truth))
    return results


def screened(women: Sequence[Hidden], design: Design, standard: str) -> dict[str, np.ndarray]:
    """Strata told by outcomes, (woman,), of women whose glucose is the population's but for the tolerance test."""
    m = mothers(traits_of([w.traits for w in women], TRAITS), np.array([w.woman.bmi for w in women]))
    fetuses, size_ln = _fetuses(women)
    tests = _tests(women, m, size_ln)
    mean, fasting = (np.repeat(x[:, None], len(women), axis=1) for x in middle_exposure())
    course = _course(women, fetuses, mean, fasting)
    day = _birth_days(women, course, np.zeros(len(women)), LAST_DAY_DIET, standard, design)
    shift = np.array([w.dating_shift_weeks for w in women])
    ln_birth, _ = fetus.at_weeks(course, day / 7.0 + shift)
    weight = np.exp(ln_birth + fetus.BIRTH_LN_SD * np.array([w.birth for w in women]))
    marks = of_birth(weight, day, np.array([w.woman.fetal_sex == "male" for w in women]))
    if all(t is not None for t in tests):
        marks["overt-diabetes"] = of_test(np.stack([t for t in tests if t is not None], axis=1))
    return marks


def _fetuses(women: Sequence[Hidden]) -> tuple[fetus.Fetuses, Floats]:
    """The fetuses, and the ln size of each against the population's."""
    who = [w.woman for w in women]
    covariate = fetus.covariate_ln(
        bmi=np.array([w.bmi for w in who]),
        gain_kg=np.array([w.extra_gain_kg() for w in women]),
        smoking=np.array([float(w.smoking) for w in who]),
        hypertension=np.array([float(w.hypertension) for w in who]),
        sex=[w.fetal_sex for w in who],
    )
    z = traits_of([w.growth for w in women], ("size", "asymptote", "rate"))
    later_child = np.array([float(w.parity > 0) for w in who])
    p = fetus.fetuses(z, covariate, later_child, np.stack([w.shape for w in women], axis=1))
    return p, p.ln_start - fetus.population_ln_weight(np.array(float(fetus.START_WEEK)))


def _tests(women: Sequence[Hidden], m: Mothers, size_ln: Floats) -> list[Floats | None]:
    """Tolerance tests as reported, mg/dL, where one is planned."""
    days = [w.plan.ogtt_day for w in women]
    if days[0] is None:
        return [None] * len(women)
    level = tolerance_tests(women, m, size_ln, [d for d in days if d is not None])
    return [np.round(laboratory_values(w.laboratory_rng, level[:, i])) for i, w in enumerate(women)]


def _titrate(
    women: Sequence[Hidden], m: Mothers, size_ln: Floats, start_week: float, treated: np.ndarray
) -> list[Doses | None]:
    """Weekly doses of the treated, by the own generator's rule on this generator's days."""
    chosen = [w for w, t in zip(women, treated, strict=True) if t]
    out: list[Doses | None] = [None] * len(women)
    if not chosen:
        return out
    who = np.flatnonzero(treated)
    mine = pick(m, who)
    weeks = GLUCOSE_FROM_WEEK + np.arange(N_GLUCOSE_WEEKS)
    columns = habitual_weeks(len(chosen))
    at = [round(t / OUT_MIN) for t in REVIEW_MIN]

    def review(units: Floats) -> Floats:
        given = [
            Doses({int(w): tuple(units[:, k, i]) for k, w in enumerate(weeks)}) for i in range(len(chosen))
        ]
        G = run_days(chosen, mine, size_ln[who], columns, given).plasma
        return by_week(np.concatenate([G[at], G.min(axis=0, keepdims=True)]), len(chosen))

    doses = titrated(review, weeks, start_week, np.ones(len(chosen), bool))
    for i, d in zip(who, doses, strict=True):
        out[i] = d
    return out


def _course(women: Sequence[Hidden], p: fetus.Fetuses, mean: Floats, fasting: Floats) -> fetus.Course:
    """Growth of the fetuses under their mothers' glucose; exposures of mid-weeks are joined by straight lines."""
    mean_0, fasting_0 = middle_exposure()
    weekly = fetus.ln_exposure(mean, fasting, mean_0[:, None], fasting_0[:, None])
    mid = GLUCOSE_FROM_WEEK + np.arange(N_GLUCOSE_WEEKS) + 0.5
    week = fetus.START_WEEK + (np.arange(fetus.n_days()) + 0.5) / fetus.DAYS
    x = np.stack(
        [np.interp(week - w.dating_shift_weeks, mid, weekly[:, i]) for i, w in enumerate(women)], axis=1
    )
    return fetus.grow(p, x, fetus.deviations(np.stack([w.deviation for w in women], axis=1)))


def _birth_days(
    women: Sequence[Hidden],
    course: fetus.Course,
    gdm: Floats,
    last_day: int | np.ndarray,
    standard: str,
    design: Design,
) -> np.ndarray:
    """Births as registered for fetuses of these weights, or the day policy ends the wait; after the record ends."""
    shift = np.array([w.dating_shift_weeks for w in women])
    ln_weight = np.stack([fetus.at_weeks(course, week + shift)[0] for week in MIDDLE_WEEK])
    who = [w.woman for w in women]
    known = (gdm, [w.hypertension for w in who], [w.parity > 0 for w in who])
    return days_of_birth(
        ln_weight,
        shift,
        Who(*(np.asarray(x, dtype=float) for x in known)),
        np.array([w.onset for w in women]),
        standard,
        as_of_day=float(design.as_of_day + 1),
        last_day=last_day,
    )


def _readings(
    women: Sequence[Hidden],
    m: Mothers,
    size_ln: Floats,
    doses: Sequence[Doses | None],
    cared_for: Sequence[bool],
    design: Design,
) -> tuple[list[list[Row]], Floats]:
    """Meter and sensor rows of each woman, and the mean glucose of her last recorded week, mg/dL."""
    last = range(design.as_of_day - LAST_DAYS, design.as_of_day)
    taken = [_taken(w, design) if cared else [] for w, cared in zip(women, cared_for, strict=True)]
    worn = [
        sensor_days(w.plan.cgm) if w.plan.cgm and c else () for w, c in zip(women, cared_for, strict=True)
    ]
    wanted = [sorted({*last, *worn[i], *(d for d, _, _ in taken[i])}) for i in range(len(women))]
    columns = [Column(i, d, False) for i, days in enumerate(wanted) for d in days]
    G = run_days(women, m, size_ln, columns, doses)
    where = {(c.woman, c.day): j for j, c in enumerate(columns)}
    minute = np.arange(len(G.plasma)) * OUT_MIN
    rows, means = [], np.empty(len(women))
    for i, w in enumerate(women):
        means[i] = np.mean([G.plasma[:-1, where[i, d]].mean() for d in last])
        level = np.array(
            [np.interp(clock - DAY_START_MIN, minute, G.plasma[:, where[i, d]]) for d, clock, _ in taken[i]]
        )
        value = {
            (d, clock): v for (d, clock, _), v in zip(taken[i], meter_values(w.meter_rng, level), strict=True)
        }
        mine = []
        for row, (d, clock, _) in _spot_rows(w):
            if (d, clock) in value:
                mine.append(with_limits(row, float(value[d, clock]), METER_RANGE))
        if len(worn[i]):
            tissue = np.concatenate([G.tissue[:-1, where[i, d]] for d in worn[i]])
            assert w.plan.cgm is not None
            minutes, values = sensor_values(w.sensor_rng, tissue)
            here = sensor_on(w.seed, minutes, w.plan.cgm.lapses)
            mine += sensor_rows(w.plan, minutes[here], values[here])
        rows.append(mine)
    return rows, means


def _taken(w: Hidden, design: Design) -> list[tuple[int, float, str]]:
    """The planned finger pricks that she takes."""
    if design.smbg is None:
        return []
    days = np.array([day for day, _, _ in w.plan.spots], int)
    taken = pricks_taken(w.seed, days, w.adherence, design.smbg)
    return [s for s, t in zip(w.plan.spots, taken, strict=True) if t]


def _spot_rows(w: Hidden) -> list[tuple[Row, tuple[int, float, str]]]:
    """Placeholder rows of finger pricks with their plans, in time order."""
    rows = [r for r in _placeholders(w) if r["kind"] == "smbg"]
    return list(zip(rows, sorted(w.plan.spots, key=lambda s: (s[0], s[1])), strict=True))


def _placeholders(w: Hidden) -> list[Row]:
    """Meter and laboratory rows without values; the sensor's are made with theirs."""
    return glucose_rows(replace(w.plan, cgm=None))


def _scans(w: Hidden, i: int, p: fetus.Fetuses, course: fetus.Course) -> list[Row]:
    """Ultrasound rows, mm to 0.1."""
    rows = scan_rows(w.plan)
    error = scan_errors(w.scan_rng, len(w.plan.scan_days), w.woman.bmi)
    mine = fetus.Fetuses(*(f[..., i : i + 1] for f in p))
    one = fetus.Course(course.week, course.ln_weight[:, i : i + 1], course.glucose_ln[:, i : i + 1])
    for k, day in enumerate(w.plan.scan_days):
        week = np.array([day / 7.0 + w.dating_shift_weeks])
        ln_mm = fetus.ln_biometry(mine, *fetus.at_weeks(one, week), week)[:, 0] + error[k]
        for q, name in enumerate(fetus.MEASURES):
            row = rows[k * len(fetus.MEASURES) + q]
            assert row["quantity"] == name
            row["value"] = round(float(np.exp(ln_mm[q])), 1)
    return rows


def _record(
    w: Hidden,
    readings: list[Row],
    test: Floats | None,
    measured: list[Row],
    doses: Doses | None,
    gdm: bool | None,
    cared_for: bool,
    design: Design,
    assemble: Assemble,
) -> PatientRecord:
    """The record as it stands at noon of the as-of day."""
    plan = w.plan
    glucose = list(readings)
    if test is not None:
        placeholders = [r for r in _placeholders(w) if r["kind"] == "ogtt"]
        assert len(placeholders) == len(OGTT_MINUTES)
        glucose += [r | {"value_mg_dl": float(v)} for r, v in zip(placeholders, test, strict=True)]
    measurements = {"glucose": glucose, "biometry": measured}
    return assemble(w.pseudonym, *as_it_stands(plan, design, measurements, doses, gdm, cared_for))


def _parameters(m: Mothers, p: fetus.Fetuses, i: int) -> dict[str, float]:
    """This generator's own parameters of one woman; the own model's have no counterpart and stay absent."""
    out = {f"meal_{name}": float(getattr(m.body, name)[i]) for name in m.body._fields if name != "BW"}
    out |= {f"meal_{name}": float(getattr(m, name)[i]) for name in m._fields if name != "body"}
    out |= {f"fetus_{name}": float(getattr(p, name)[i]) for name in p._fields if name != "shape"}
    return out | {f"fetus_shape_{q}": float(p.shape[k, i]) for k, q in enumerate(fetus.MEASURES)}
