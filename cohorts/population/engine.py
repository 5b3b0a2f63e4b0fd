"""Programs over many women at once: her parameters by week, tolerance tests, a day, a pregnancy under a treatment.

The woman is the last axis of every array; numbers of the prior are traced, so one compiled program serves every
population. Float32 at the ensemble's step.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cohorts.population.numbers import beside, with_numbers
from cohorts.population.women import Women
from cohorts.synthetic.skeleton import skeleton_record
from twin.encode import WomanData, encode
from twin.inference.model import HIGH_MG_DL, LOW_MG_DL, in_precision, plan_for
from twin.inference.priors import Latents, Prior, n_deviations, unpack
from twin.physiology.coupled import Week, live_week, recorded_edges, to_mid_week
from twin.physiology.events import DayEvents, drives
from twin.physiology.fetus import (
    FIRST_WEEK,
    GLUCOSE_FROM_WEEK,
    FetusState,
    grow,
    starting_state,
    table_weight,
)
from twin.physiology.maternal import StepCoefficients, Trajectory, fasting_state, slice_drives, step
from twin.physiology.parameters import INSULIN_F, INSULIN_TAU_MIN, MaternalParams
from twin.physiology.pregnancy import TEST_WEEK, at_weeks
from twin.physiology.simulate import COARSE_STEP_MIN, simulate_day, with_meals
from twin.physiology.simulate import starting_state as at_rest
from twin.record import Statement
from twin.timeline import DatingStatement

Numbers = Mapping[str, Array]
END_DAY = 300.0
TEST_STEP_MIN = 3.0
USUAL_LOAD_G = 75.0
FIRST_PHASE_LOAD = 300.0  # mg/kg, intravenous test
#: minutes since 04:00: fasting, an hour after breakfast, lunch and dinner of the reference day
READ_MIN = (190.0, 270.0, 570.0, 930.0)
DOSE_MIN = (205.0, 505.0, 865.0, 1080.0)  # before breakfast, lunch, dinner; at bedtime
FORMULATION = ("rapid", "rapid", "rapid", "nph")
TABLET_MIN = (210.0, 870.0)
WALK_MIN, WALK_LENGTH_MIN = (250.0, 550.0, 910.0), 20.0


class Lanes(NamedTuple):
    """Women as the twin's arrays: shared parts of `data` once, covariates and weights (.., woman)."""

    data: WomanData
    z: Array  # (latent, woman)
    weight_kg: Array  # of each glucose week, (week, woman)
    weight_pre_kg: Array


class Fasting(NamedTuple):
    """Her parameters and fasting state at given weeks, (week, woman)."""

    params: MaternalParams
    G: Array
    I: Array


class Weeks(NamedTuple):
    """A pregnancy: glucose of each week's reference day, the fetus at the cell edges from FIRST_WEEK on."""

    mean: Array  # (week, woman), mg/dL, and
    inside: Array  # share of the time in the pregnancy range
    low: Array  # hours below it
    read: Array  # (reading, week, woman) at READ_MIN
    insulin_U: Array  # (week, woman)
    L: Array  # (edge, woman), g
    F: Array
    J: Array
    shift: Array  # (woman,), true less recorded weeks
    ok: Array


@functools.lru_cache(maxsize=4)
def template(standard: str) -> WomanData:
    """A woman of whom only the dating is known, to the end of pregnancy."""
    lmp = date(2025, 1, 1)
    dated = Statement("dating", DatingStatement(lmp, "ultrasound", True, lmp), lmp)
    return encode(skeleton_record("template", {}, [dated]), END_DAY, standard=standard)


def lanes(prior: Prior, women: Women, standard: str = "hadlock1991") -> Lanes:
    base = template(standard)
    weeks = GLUCOSE_FROM_WEEK + 0.5 + np.arange(base.plan.weight_kg.shape[0])
    covariates = jnp.asarray(women.covariates(), dtype=jnp.float32)
    data = dataclasses.replace(base, covariates=covariates, known=jnp.ones((len(covariates), 1), dtype=bool))
    size = len(prior.latents) + n_deviations(base)
    return Lanes(
        in_precision(data, jnp.float32),
        jnp.asarray(women.z[:size], dtype=jnp.float32),
        jnp.asarray(women.weight_kg(weeks), dtype=jnp.float32),
        jnp.asarray(women.weight_pre_kg, dtype=jnp.float32),
    )


def subset(who: Lanes, at: np.ndarray) -> Lanes:
    """Some of the women, by index."""
    data = dataclasses.replace(who.data, covariates=who.data.covariates[:, at])
    return Lanes(data, who.z[:, at], who.weight_kg[:, at], who.weight_pre_kg[at])


def latents_of(prior: Prior, numbers: Numbers, who: Lanes) -> Latents:
    return unpack(with_numbers(prior, numbers), who.data, who.z)


def _at(latents: Latents, who: Lanes, week: Array, weight_kg: Array) -> MaternalParams:
    """Her parameters at weeks (week, 1), the fetus of the standard's weight; no fetus at week 0."""
    mass = table_weight(who.data.table, week) / table_weight(who.data.table, jnp.asarray(TEST_WEEK))
    mass = jnp.where(week < 11.0, mass * (week / 11.0) ** 3, mass).astype(week.dtype)
    return at_weeks(latents.maternal, latents.pregnancy, week, mass, weight_kg)


@functools.partial(jax.jit, static_argnames=("prior", "weeks"))
def fasting(prior: Prior, numbers: Numbers, who: Lanes, weeks: tuple[float, ...]) -> Fasting:
    latents = latents_of(prior, numbers, who)
    week = jnp.asarray(weeks, dtype=who.z.dtype)[:, None]
    p = _at(latents, who, week, jnp.broadcast_to(who.weight_pre_kg, (len(weeks), who.z.shape[1])))
    p = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(weeks), who.z.shape[1])), p)
    state = fasting_state(p, jnp.zeros_like(p.BW), jnp.zeros_like(p.BW))
    return Fasting(p, state.G, state.I)


def first_phase(p: MaternalParams) -> Array:
    """What dynamic secretion gives to an intravenous load, uU/mL: a rise of FIRST_PHASE_LOAD / VG at once."""
    return p.B * p.K_d * FIRST_PHASE_LOAD / p.VG


def tolerance_test(
    prior: Prior,
    numbers: Numbers,
    who: Lanes,
    week: float,
    test_day: np.ndarray,
    load_g: float,
    minutes: tuple[float, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Plasma glucose, mg/dL, and insulin, uU/mL, (time, woman). test_day : (3, woman), standard normal."""
    G, I = _test(prior, numbers, who, jnp.float32(week), jnp.asarray(test_day, jnp.float32), load_g, minutes)
    return np.asarray(G), np.asarray(I)


@functools.partial(jax.jit, static_argnames=("prior", "load_g", "minutes"))
def _test(
    prior: Prior,
    numbers: Numbers,
    who: Lanes,
    week: Array,
    test_day: Array,
    load_g: float,
    minutes: tuple[float, ...],
) -> tuple[Array, Array]:
    latents = latents_of(prior, numbers, who)
    constant = with_numbers(prior, numbers).constant
    at = week.reshape(1, 1)
    kg = _interpolated_weight(who, at[0, 0])
    p = jax.tree.map(lambda x: jnp.broadcast_to(x[0], kg.shape), _at(latents, who, at, kg[None]))
    day = [jnp.exp(constant[f"test_{n}"] * test_day[i]) for i, n in enumerate(("S_I", "B", "k_e"))]
    slower = (USUAL_LOAD_G / load_g) ** jnp.asarray(beside(numbers, "measure.load_emptying"), kg.dtype)
    p = dataclasses.replace(p, S_I=p.S_I * day[0], B=p.B * day[1], k_e=p.k_e * day[2] * slower)
    drink = DayEvents.of(meals=((0.0, load_g),), rank=1)
    drink = jax.tree.map(lambda x: x.astype(kg.dtype), drink)
    steps = round(max(minutes) / TEST_STEP_MIN)
    d = drives(drink, p, steps, TEST_STEP_MIN, repeated=False)
    c = StepCoefficients.of(p, TEST_STEP_MIN)
    start = jax.tree.map(lambda x: jnp.broadcast_to(x, kg.shape), at_rest(p, d))
    drive = slice_drives(d)

    def advance(y, row):
        y = step(p, c, y, with_meals(drive._replace(gut=(row,)), d.meals))
        return y, (y.G, y.I)

    assert drive.gut is not None
    _, (G, I) = jax.lax.scan(advance, start, drive.gut[0], length=steps)
    index = jnp.asarray([round(m / TEST_STEP_MIN) for m in minutes])
    return (
        jnp.concatenate([start.G[None], G])[index],
        jnp.concatenate([start.I[None], I])[index],
    )


def _interpolated_weight(who: Lanes, week: Array) -> Array:
    """Mother's weight at a week, kg, (woman,): before pregnancy's to 12 weeks, then towards the glucose weeks'."""
    at = week - (GLUCOSE_FROM_WEEK + 0.5)
    last = who.weight_kg.shape[0] - 1
    low = jnp.clip(jnp.floor(at).astype(int), 0, last - 1)
    share = jnp.clip(at - low, 0.0, 1.0)
    late = who.weight_kg[low] * (1.0 - share) + who.weight_kg[low + 1] * share
    early = jnp.clip((week - 12.0) / (GLUCOSE_FROM_WEEK + 0.5 - 12.0), 0.0, 1.0)
    return jnp.where(at < 0.0, who.weight_pre_kg + early * (who.weight_kg[0] - who.weight_pre_kg), late)


class Arm(NamedTuple):
    """A treatment from `start_week` on, each (woman,) or a number.

    carbohydrate : factor of every meal. metformin_mg : a day, in two doses. walks : three of 20 min after meals, 0 or
    1. insulin : allowed, 0 or 1: titrated each week to `targets`, mg/dL, fasting and an hour after meals. growth : what
    the treatment adds to the growth-rate exponent by other ways than glucose.
    """

    start_week: Array | float = 99.0
    carbohydrate: Array | float = 1.0
    metformin_mg: Array | float = 0.0
    walks: Array | float = 0.0
    insulin: Array | float = 0.0
    growth: Array | float = 0.0
    targets: tuple[float, float] = (95.0, 140.0)


def one_day(prior: Prior, numbers: Numbers, who: Lanes, week: Array, arm: Arm) -> tuple[Trajectory, Latents]:
    """The reference day of a week, edges at COARSE_STEP_MIN, with the arm's walks and meals; no drugs."""
    latents = latents_of(prior, numbers, who)
    at = jnp.asarray(week, dtype=who.z.dtype).reshape(1, 1)
    kg = _interpolated_weight(who, at[0, 0])
    p = jax.tree.map(lambda x: jnp.broadcast_to(x[0], kg.shape), _at(latents, who, at, kg[None]))
    events = jax.tree.map(lambda e: e[:, 0], plan_for(who.data, latents, 1).events)
    on = (at[0, 0] >= jnp.asarray(arm.start_week, kg.dtype)).astype(kg.dtype)
    start = jnp.asarray(WALK_MIN, dtype=kg.dtype)[:, None] + jnp.zeros((1, *kg.shape), kg.dtype)
    events = dataclasses.replace(
        events,
        meal_mg=events.meal_mg * (1.0 + on * (jnp.asarray(arm.carbohydrate, kg.dtype) - 1.0)),
        bout_start=start,
        bout_end=start + WALK_LENGTH_MIN,
        bout_intensity=jnp.zeros_like(start) + on * jnp.asarray(arm.walks, kg.dtype),
    )
    return simulate_day(p, events, h=COARSE_STEP_MIN), latents


# how a clinic titrates: units per mg/dL above the aim, aims inside the targets, steps and largest doses (assumed)
AIM_BELOW = (5.0, 10.0)
UNITS_PER_MG_DL = (0.15, 0.15, 0.15, 0.35)
LARGEST_STEP_U = 5.0
LARGEST_DOSE_U = (40.0, 40.0, 40.0, 60.0)
FIRST_DOSE_U = 4.0  # what missing a target asks for at first
DIET_FIRST_WEEKS = 2.0  # of diet, and tablets where given, before insulin (assumed)


@functools.partial(jax.jit, static_argnames=("prior", "drugs"))
def pregnancy(prior: Prior, numbers: Numbers, who: Lanes, arm: Arm, drugs: bool) -> Weeks:
    """From FIRST_WEEK to the last cell, the reference day of each week under the arm. drugs : whether any arm has
    tablets, insulin or walks; without, the program is shorter."""
    latents = latents_of(prior, numbers, who)
    data, fetus, xi = who.data, latents.fetus, latents.deviation
    dtype, n_women = who.z.dtype, who.z.shape[1]
    first = GLUCOSE_FROM_WEEK - FIRST_WEEK
    n = xi.shape[0] - first
    edges = recorded_edges(xi.shape[0], dtype, 1) + latents.dating_shift_weeks[None]
    start = starting_state(fetus, edges[0], data.table)
    early = grow(fetus, start, edges[: first + 1], jnp.zeros_like(xi[:first]), xi[:first], data.table)
    middle = (GLUCOSE_FROM_WEEK + 0.5 + jnp.arange(n, dtype=dtype))[:, None]
    weekly = at_weeks(latents.maternal, latents.pregnancy, middle, jnp.ones_like(middle), who.weight_kg[:n])
    usual = plan_for(data, latents, 1).events
    mass_28 = table_weight(data.table, jnp.asarray(TEST_WEEK)).astype(dtype)
    at = jnp.asarray([round(m / COARSE_STEP_MIN) for m in READ_MIN])
    fill = jnp.zeros((1, n_women), dtype=dtype)

    def column(values: tuple[float, ...]) -> Array:
        return jnp.asarray(values, dtype=dtype)[:, None]

    def events_of_week(week: Array, index: Array, units: Array) -> DayEvents:
        e = jax.tree.map(lambda x: x[:, index], usual)
        on = (week >= jnp.asarray(arm.start_week, dtype)).astype(dtype)
        meals = e.meal_mg * (1.0 + on * (jnp.asarray(arm.carbohydrate, dtype) - 1.0))
        e = dataclasses.replace(e, meal_mg=meals)
        if not drugs:
            return e
        half = on * jnp.asarray(arm.metformin_mg, dtype) / 2.0 + fill
        walking = on * jnp.asarray(arm.walks, dtype) + fill
        return dataclasses.replace(
            e,
            dose_min=column(DOSE_MIN) + fill,
            dose_mU=1000.0 * units,
            dose_tau=column(tuple(INSULIN_TAU_MIN[f] for f in FORMULATION)) + fill,
            dose_F=column(tuple(INSULIN_F[f] for f in FORMULATION)) + fill,
            tablet_min=column(TABLET_MIN) + fill,
            tablet_mg=jnp.concatenate([half, half]),
            bout_start=column(WALK_MIN) + fill,
            bout_end=column(WALK_MIN) + WALK_LENGTH_MIN + fill,
            bout_intensity=jnp.concatenate([walking] * len(WALK_MIN)),
        )

    def reviewed(week: Array, units: Array, G: Array) -> Array:
        """Next week's doses."""
        read = G[at]
        value = jnp.concatenate([read[1:], read[:1]])
        target = column((arm.targets[1],) * 3 + (arm.targets[0],))
        aim = target - column((AIM_BELOW[1],) * 3 + (AIM_BELOW[0],))
        change = jnp.clip(column(UNITS_PER_MG_DL) * (value - aim), -LARGEST_STEP_U, LARGEST_STEP_U)
        begun = (units > 0.0) | (value > target)
        change = jnp.where((units == 0.0) & begun, jnp.maximum(change, FIRST_DOSE_U), change)
        later = jnp.where(begun, jnp.clip(units + change, 0.0, column(LARGEST_DOSE_U)), 0.0)
        later = jnp.where(G.min(axis=0)[None] < LOW_MG_DL, jnp.minimum(later, 0.85 * units), later)
        begins = jnp.asarray(arm.start_week, dtype) + DIET_FIRST_WEEKS
        allowed = (week + 1.0 >= begins) & (jnp.asarray(arm.insulin, dtype) > 0.0)
        return jnp.where(allowed, later, 0.0)

    def advance(carry: tuple[FetusState, Array], cell: tuple) -> tuple[tuple[FetusState, Array], tuple]:
        state, units = carry
        index, week, params, pair, to_mid, reference, deviation = cell
        events = events_of_week(week, index, units)
        on = (week >= jnp.asarray(arm.start_week, dtype)).astype(dtype)
        deviation = deviation + on * jnp.asarray(arm.growth, dtype)
        days, _, grew = live_week(
            fetus, state, Week(params, events, pair, to_mid, reference, deviation), mass_28, data.table,
            COARSE_STEP_MIN,
        )  # fmt: skip
        end = FetusState(*(s[1] for s in grew.edges))
        G = days.G[:-1]
        told = (
            G.mean(axis=0),
            ((G >= LOW_MG_DL) & (G <= HIGH_MG_DL)).mean(axis=0, dtype=dtype),
            24.0 * (G < LOW_MG_DL).mean(axis=0, dtype=dtype),
            G[at],
            units.sum(axis=0),
            end,
            days.ok,
        )
        return (end, reviewed(week, units, G) if drugs else units), told

    later = edges[first:]
    cells = (
        jnp.arange(n),
        middle[:, 0],
        jax.tree.map(lambda v: jnp.broadcast_to(v, (n, *v.shape[1:])), weekly),
        jnp.stack([later[:-1], later[1:]], axis=1),
        to_mid_week(later, data.table),
        data.reference_exposure[:n].astype(dtype)[:, None],
        xi[first:],
    )
    begin = FetusState(*(s[-1] for s in early.edges))
    none = jnp.zeros((len(DOSE_MIN), n_women), dtype)
    _, (mean, inside, low, read, insulin, ends, ok) = jax.lax.scan(advance, (begin, none), cells)
    states = [jnp.concatenate(pair) for pair in zip(early.edges, ends, strict=True)]
    L, F, J = states
    return Weeks(
        mean,
        inside,
        low,
        jnp.moveaxis(read, 1, 0),
        insulin,
        L,
        F,
        J,
        latents.dating_shift_weeks,
        ok.all(axis=0),
    )
