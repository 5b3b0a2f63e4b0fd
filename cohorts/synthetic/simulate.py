"""Virtual women: latents from the prior, readings from the model's own error models, a record and its truth.

Woman i of a seed is the same whatever the number of women.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cohorts.synthetic.arms import by_arm
from cohorts.synthetic.design import Design
from cohorts.synthetic.lapses import as_scanned, has_poor_window, pricks_taken, sensor_on, with_forgotten
from cohorts.synthetic.physics import WIDTHS, Birth, Outcome, outcomes, reviews, some_women, stack, usual_ln
from cohorts.synthetic.readings import (
    METER_RANGE,
    Row,
    as_it_stands,
    meets_iadpsg,
    sensor_rows,
    sensor_values,
    with_limits,
)
from cohorts.synthetic.schedule import Doses, Schedule, draw_schedule, glucose_rows, intake_rows, scan_rows
from cohorts.synthetic.skeleton import skeleton_record
from cohorts.synthetic.titration import titrate
from cohorts.synthetic.truth import Truth
from cohorts.synthetic.women import draw_woman
from twin.encode import WomanData, encode
from twin.forecast.delivery import LAST_DAY_DIET, LAST_DAY_DRUG
from twin.forecast.ensemble import BIRTH_RESIDUAL_SD
from twin.forecast.onset import Who
from twin.inference.priors import Prior, meal_shape
from twin.observation.residual import CGM_STEP_MIN
from twin.record import PatientRecord, Statement, build_record

#: encoding on this day makes every week of a pregnancy
ENCODE_DAY = 300.0
#: a record from pseudonym, rows and statements: `build_record`, or `skeleton_record`, which checks nothing
Assemble = Callable[[str, dict[str, list[Row]], list[Statement]], PatientRecord]


@dataclass
class _Woman:
    """One woman on her way through the simulator."""

    pseudonym: str
    seed: tuple[int, ...]
    plan: Schedule
    poor_window: bool | None
    glucose: list[Row]  # placeholders, in time order within each kind
    scans: list[Row]
    z_key: Array
    noise_keys: np.ndarray
    sensor: np.random.Generator
    adherence: np.ndarray  # (spot,), uniform
    onset: float  # uniform
    birth: float  # standard normal


def simulate_woman(
    key: Array, design: Design, prior: Prior, standard: str = "hadlock1991", *, pseudonym: str = "sim"
) -> tuple[PatientRecord, Truth]:
    """One woman from her own key (`woman_key`)."""
    return simulate_chunk([(key, pseudonym)], design, prior, standard)[0]


def simulate_cohort(
    key: Array,
    n: int,
    design: Design,
    prior: Prior,
    standard: str = "hadlock1991",
    *,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[PatientRecord, Truth]]:
    """n women, named sim-000000 and on; woman i has the key `woman_key(key, i)`.

    The physics runs in chunks, of which at most one is held. progress : called with the number made so far.
    """
    for first in range(0, n, WIDTHS[-1]):
        last = min(first + WIDTHS[-1], n)
        chunk = [(woman_key(key, i), f"sim-{i:06d}") for i in range(first, last)]
        yield from simulate_chunk(chunk, design, prior, standard)
        if progress is not None:
            progress(last)


def _latents(key: Array, shared: int, meals: int, days: int) -> np.ndarray:
    """Standard normals of one woman; a meal's does not depend on how many meals others have."""
    single = [jax.random.normal(jax.random.fold_in(key, m), (days,)) for m in range(meals)]
    return np.concatenate([np.asarray(x) for x in (jax.random.normal(key, (shared,)), *single)])


def woman_key(key: Array, index: int) -> Array:
    return jax.random.fold_in(key, index)


def simulate_chunk(
    chunk: list[tuple[Array, str]],
    design: Design,
    prior: Prior,
    standard: str,
    *,
    assemble: Assemble = build_record,
) -> list[tuple[PatientRecord, Truth]]:
    """Women given by (key, pseudonym) in one batch, at most the largest of WIDTHS, or one for each arm."""
    if design.arms:

        def run_arm(some: list[tuple[Array, str]], arm: Design) -> list[tuple[PatientRecord, Truth]]:
            return simulate_chunk(some, arm, prior, standard, assemble=assemble)

        return by_arm(chunk, design, lambda w: seed_of(w[0]), run_arm)
    women = [_begin(key, name, design) for key, name in chunk]
    room = design.insulin is not None
    as_of = design.as_of_day
    data = _encoded(women, [None] * len(women), design, standard, np.zeros(len(women), bool))
    first = data[0]
    shared = prior.n_shared(first)
    slots, days = max(meal_shape(d)[0] for d in data), meal_shape(first)[1]
    names = prior.names(first)[:shared] + [f"meal{m}_day{d}" for m in range(slots) for d in range(days)]
    z = np.stack([_latents(w.z_key, shared, slots, days) for w in women], axis=-1)
    keys = np.stack([w.noise_keys for w in women], axis=-1)

    def run(stacked: WomanData, gdm: np.ndarray, drug: np.ndarray) -> Outcome:
        width = stacked.plan.weight_kg.shape[-1]
        each = (z, keys, _birth(women, gdm, drug))
        z_, keys_, birth = jax.tree.map(lambda x: _repeat_last(x, width), each)
        out = outcomes(prior, stacked, z_, keys_, birth._replace(usual_ln=usual_ln(standard)), as_of)
        return jax.tree.map(lambda x: x[..., : len(women)], out)

    stacked = stack(data, with_doses=room)
    none = np.zeros(len(women))
    out = run(stacked, none, none)
    gdm = [
        None if out.ogtt is None else meets_iadpsg([_whole(v) for v in out.ogtt[:3, i]])
        for i in range(len(women))
    ]
    cared_for = np.array([bool(g) for g in gdm]) if design.if_gdm else np.ones(len(women), bool)
    doses: list[Doses | None] = [None] * len(women)
    if design.metformin is not None:
        data = _encoded(women, doses, design, standard, cared_for)
        stacked = stack(data, with_doses=room)
    if design.insulin is not None:
        treated = np.flatnonzero(cared_for)
        if treated.size:
            few, own = some_women(stacked, treated), some_women(z, treated)
            given = titrate(lambda d: reviews(prior, d, own), few, design.insulin.start_week)
            doses = _put(doses, treated, given[: treated.size])
        on = np.array([i for i, d in enumerate(doses) if d and d.by_week], int)
        again = _encoded([women[i] for i in on], [doses[i] for i in on], design, standard, cared_for[on])
        data = _put(data, on, again)
        stacked = stack(data, with_doses=room)
    drug = cared_for & np.array([bool(d and d.by_week) or design.metformin is not None for d in doses])
    out = run(stacked, np.array([bool(g) for g in gdm]), drug)
    results = []
    for i, w in enumerate(women):
        mine = jax.tree.map(lambda x, i=i: x[..., i], out)
        if not bool(mine.ok) or not np.isfinite(mine.weight_at_birth_g):
            raise FloatingPointError(f"the simulation of {w.pseudonym} is not finite; report design and seed")
        record = _record(w, mine, doses[i], gdm[i], bool(cared_for[i]), design, assemble)
        truth = _truth(w, mine, names, z[:, i], gdm[i], bool(drug[i]), design, prior, standard)
        results.append((record, truth))
    return results


def seed_of(key: Array) -> tuple[int, ...]:
    """The seed of what is drawn of a woman by numpy."""
    return _seed(jax.random.split(key, 3)[0])


def _seed(who: Array) -> tuple[int, ...]:
    return tuple(int(x) for x in np.asarray(jax.random.key_data(who) if _typed(who) else who))


def _begin(key: Array, pseudonym: str, design: Design) -> _Woman:
    who, z_key, noise = jax.random.split(key, 3)
    seed = _seed(who)
    rng, timing, sensor = (np.random.default_rng([*seed, part]) for part in range(3))
    woman = draw_woman(rng, design)
    onset, birth = float(rng.uniform(1e-6, 1.0 - 1e-6)), float(rng.standard_normal())
    plan = draw_schedule(timing, woman, design)
    plan = replace(plan, meals=with_forgotten(seed, plan.meals, design.forgotten))
    noise_keys = jax.random.split(noise, 3)
    return _Woman(
        pseudonym=pseudonym,
        seed=seed,
        plan=plan,
        poor_window=has_poor_window(seed, woman.bmi, design),
        glucose=glucose_rows(plan),
        scans=scan_rows(plan),
        z_key=z_key,
        noise_keys=np.asarray(jax.random.key_data(noise_keys) if _typed(noise_keys) else noise_keys),
        sensor=sensor,
        adherence=timing.uniform(size=len(plan.spots)),
        onset=onset,
        birth=birth,
    )


def _typed(key: Array) -> bool:
    return bool(jnp.issubdtype(key.dtype, jax.dtypes.prng_key))


def _encoded(
    women: list[_Woman], doses: list[Doses | None], design: Design, standard: str, treated: np.ndarray
) -> list[WomanData]:
    """The placeholders as inference would see them, beside what she really eats and takes."""
    out = []
    for w, d, t in zip(women, doses, treated, strict=True):
        intake = intake_rows(w.plan, design, d, recorded=False, treated=bool(t))
        rows = {"glucose": w.glucose, "biometry": w.scans} | intake
        data = encode(
            skeleton_record(w.pseudonym, rows, w.plan.woman.statements()), ENCODE_DAY, standard=standard
        )
        assert int(data.spots.mask.sum()) == len(w.plan.spots)
        out.append(data)
    return out


def _birth(women: Sequence[_Woman], gdm: np.ndarray, on_drug: np.ndarray) -> Birth:
    """Births as registered, or the day policy ends the wait."""
    who = [w.plan.woman for w in women]
    known = (gdm, [w.hypertension for w in who], [w.parity > 0 for w in who])
    return Birth(
        np.array([w.onset for w in women]),
        np.where(on_drug > 0, float(LAST_DAY_DRUG), float(LAST_DAY_DIET)),
        Who(*(np.asarray(x, dtype=float) for x in known)),
        np.empty(0),
    )


def _record(
    w: _Woman,
    out: Outcome,
    doses: Doses | None,
    gdm: bool | None,
    cared_for: bool,
    design: Design,
    assemble: Assemble,
) -> PatientRecord:
    """The record as it stands at noon of the as-of day."""
    plan = w.plan
    by_kind = {kind: [r for r in w.glucose if r["kind"] == kind] for kind in ("ogtt", "smbg")}
    glucose: list[Row] = []
    if out.ogtt is not None:
        tests = by_kind["ogtt"]
        glucose += [
            r | {"value_mg_dl": _whole(v)} for r, v in zip(tests, out.ogtt[: len(tests)], strict=True)
        ]
    if out.ln_spots is not None and design.smbg is not None and cared_for:
        rows = by_kind["smbg"]
        days = np.array([day for day, _, _ in plan.spots], int)
        taken = pricks_taken(w.seed, days, w.adherence, design.smbg)
        glucose += [
            with_limits(r, float(np.exp(v)), METER_RANGE)
            for r, v, t in zip(rows, out.ln_spots[: len(rows)], taken, strict=True)
            if t
        ]
    if plan.cgm is not None and out.cgm_level is not None and out.cgm_sd is not None and cared_for:
        memory = float(out.latents.sensor_memory)
        minutes, values = sensor_values(w.sensor, *_in_day_order(plan, out), memory)
        here = sensor_on(w.seed, minutes, plan.cgm.lapses)
        glucose += sensor_rows(plan, minutes[here], values[here])
    measured: list[Row] = []
    if out.ln_scans is not None:
        pairs = zip(w.scans, out.ln_scans[: len(w.scans)], strict=True)
        measured = [r | {"value": round(float(np.exp(v)), 1)} for r, v in pairs]
        measured = as_scanned(w.seed, measured, design.scan_faults, bool(w.poor_window))
    measurements = {"glucose": glucose, "biometry": measured}
    return assemble(w.pseudonym, *as_it_stands(plan, design, measurements, doses, gdm, cared_for))


def _in_day_order(plan: Schedule, out: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """The encoder puts the newest sensor day first, and pads."""
    assert plan.cgm is not None and out.cgm_level is not None and out.cgm_sd is not None
    grid = (-1, int(1440 / CGM_STEP_MIN))
    level, sd = (
        np.asarray(x).reshape(grid)[: plan.cgm.days][::-1].ravel() for x in (out.cgm_level, out.cgm_sd)
    )
    return level, sd


def _truth(
    w: _Woman,
    out: Outcome,
    names: list[str],
    z: np.ndarray,
    gdm: bool | None,
    treated: bool,
    design: Design,
    prior: Prior,
    standard: str,
) -> Truth:
    parameters: dict[str, float] = {}
    for part in (out.latents.maternal, out.latents.pregnancy, out.latents.fetus):
        parameters |= {f.name: float(getattr(part, f.name)) for f in fields(part) if f.name != "BW"}
    for name in ("sensor_gain", "sensor_offset", "cgm_cv", "sensor_memory"):
        parameters[name] = float(getattr(out.latents, name))
    if w.poor_window is not None:
        parameters["poor_window"] = float(w.poor_window)
    weight = float(out.weight_at_birth_g)
    return Truth(
        pseudonym=w.pseudonym,
        design=design.name,
        prior_id=prior.id,
        standard=standard,
        as_of_day=design.as_of_day,
        delivery_day=int(out.birth_day),
        birth_weight_g=weight * float(np.exp(BIRTH_RESIDUAL_SD * w.birth)),
        latent_weight_at_birth_g=weight,
        dating_shift_weeks=float(out.latents.dating_shift_weeks),
        fetal_sex=w.plan.woman.fetal_sex,
        gdm=gdm,
        treated=treated,
        z=dict(zip(names, (float(v) for v in z), strict=True)),
        parameters=parameters,
        fetal_weight_g=np.asarray(out.fetal_weight_g),
        mean_glucose_mg_dl=np.asarray(out.mean_glucose),
    )


def _whole(value: float) -> float:
    return float(round(float(value)))


def _repeat_last(x: np.ndarray, width: int) -> np.ndarray:
    extra = width - x.shape[-1]
    return x if extra <= 0 else np.concatenate([x, np.repeat(x[..., -1:], extra, axis=-1)], axis=-1)


def _put(values: list[Any], at: np.ndarray, new: Sequence[Any]) -> list[Any]:
    """A copy with new values at some places."""
    changed = dict(zip(at.tolist(), new, strict=True))
    return [changed.get(i, v) for i, v in enumerate(values)]
