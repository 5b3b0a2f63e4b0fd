"""The one probabilistic model: prior, physics, error models. `laplace` and `nuts` both see this."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array

from twin.encode import CgmDays, ToleranceTests, WomanData
from twin.inference.priors import Latents, Prior, day_pattern, unpack
from twin.observation.blocks import (
    TERM_SD,
    AbstractErrorModel,
    BirthAge,
    Block,
    CgmError,
    OgttError,
    ScanError,
    SpotError,
    innovations,
    ogtt_scale,
    spot_cv,
)
from twin.observation.residual import CGM_STEP_MIN
from twin.physiology.coupled import Course, WeekPlan, course, glucose_weeks, recorded_edges
from twin.physiology.events import DayEvents, side_by_side
from twin.physiology.fetus import (
    FIRST_WEEK,
    GLUCOSE_FROM_WEEK,
    Growth,
    latent_ln_biometry,
    masses_at,
    table_weight,
)
from twin.physiology.maternal import Trajectory
from twin.physiology.parameters import MaternalParams
from twin.physiology.pregnancy import TEST_WEEK, at_weeks
from twin.physiology.simulate import COARSE_STEP_MIN, STEP_MIN, simulate_day
from twin.programs import stored

OGTT_MIN = 180.0
MANY = 200  # lanes a day from which days are simulated one after the other
CGM_FLOOR_MG_DL = 20.0  # the sensor's level has a logarithm
LOW_MG_DL, HIGH_MG_DL = 63.0, 140.0  # [B-TX-04]


class Past(NamedTuple):
    """The pregnancy up to now at each draw, draw axis last: where a forecast goes on."""

    growth: Growth
    exposure: Array  # (cell, draw)
    glucose: Array  # `glucose_summary` of each week's reference day, (3, week, draw)


class Predictions(NamedTuple):
    """What the model says of every reading, and the pregnancy behind it."""

    blocks: dict[str, Block]
    course: Course
    ok: Array


def _lift(x: Array, rank: int) -> Array:
    """Append ones for the batch."""
    return x.reshape(x.shape + (1,) * rank)


def _lift_events(events: DayEvents, rank: int) -> DayEvents:
    return jax.tree.map(lambda x: _lift(x, rank), events)


def plan_for(data: WomanData, latents: Latents, rank: int) -> WeekPlan:
    """The week plan with this draw's meal amounts."""
    events = _lift_events(data.plan.events, rank)
    events = dataclasses.replace(events, meal_mg=events.meal_mg * latents.meal_factor[:, None])
    return WeekPlan(events, _lift(data.plan.weight_kg, rank))


def mid_mass(growth: Growth) -> Array:
    """Fetal weight at the middle of each glucose week, g, (week, *batch)."""
    total = growth.edges.L + growth.edges.F
    first = GLUCOSE_FROM_WEEK - FIRST_WEEK
    return 0.5 * (total[first:-1] + total[first + 1 :])


def _between(G: Array, at: Array, *index: Array) -> Array:
    """Linear interpolation along the edges of (..., edge, *batch) at edge numbers `at`."""
    low = jnp.clip(jnp.floor(at).astype(int), 0, G.shape[len(index)] - 2)
    weight = _lift((at - low).astype(G.dtype), G.ndim - len(index) - 1)
    return G[(*index, low)] * (1.0 - weight) + G[(*index, low + 1)] * weight


def at_spots(data: WomanData, days: Array) -> Array:
    """Glucose of the reference days, (week, edge, *batch), at the finger pricks: (reading, *batch)."""
    spots = data.spots
    h = 1440.0 / (days.shape[1] - 1)
    return _between(days, jnp.clip(spots.minute / h, 0.0, days.shape[1] - 1.0), spots.week)


def spot_block(data: WomanData, latents: Latents, G: Array) -> Block:
    """G : `at_spots`."""
    spots = data.spots
    rank = G.ndim - 1
    G = G * (1.0 + day_pattern(latents.profile, spots.minute))
    value, censor, mask = (_lift(x, rank) for x in (jnp.log(spots.value), spots.censor, spots.mask))
    return Block(SpotError(), value, censor, mask, jnp.log(G), spot_cv(G, _lift(spots.day_cv, rank)))


def _at(data: WomanData, latents: Latents, mass: Array, when: CgmDays | ToleranceTests) -> MaternalParams:
    """Her parameters on sensor days or tests. mass : `mid_mass`."""
    rank = mass.ndim - 1
    mass_28 = table_weight(data.table, jnp.asarray(TEST_WEEK)).astype(mass.dtype)
    return at_weeks(
        latents.maternal,
        latents.pregnancy,
        _lift(when.week, rank),
        mass[when.glucose_week] / mass_28,
        _lift(when.weight_kg, rank),
    )


def sensor_events(data: WomanData, latents: Latents, rank: int) -> DayEvents:
    """Events of the sensor days with this draw's amounts, (event, day, *batch)."""
    cgm = data.cgm
    events = _lift_events(cgm.events, rank)
    # a day without its own record eats the usual meals in this draw's amounts, as the reference days do
    slot = jnp.minimum(jnp.arange(events.meal_mg.shape[0]), latents.meal_factor.shape[0] - 1)
    usual = jnp.where(_lift(cgm.usual_meals, rank)[None], latents.meal_factor[slot][:, None], latents.portion)
    return dataclasses.replace(events, meal_mg=events.meal_mg * usual * latents.meal_amount)


def sensor_level(data: WomanData, latents: Latents, IG: Array, h: float) -> Array:
    """What the sensor shows of interstitial glucose: (edge, day, *batch) to (day, time, *batch), mg/dL."""
    n_time, every = data.cgm.value.shape[1], int(CGM_STEP_MIN / h)
    level = jnp.moveaxis(IG[: n_time * every : every], 0, 1)
    pattern = day_pattern(latents.profile, jnp.arange(n_time) * CGM_STEP_MIN)
    gain, offset = latents.sensor_gain[None, None], latents.sensor_offset[None, None]
    level = gain * level * (1.0 + pattern)[None] + offset
    return jnp.maximum(level, CGM_FLOOR_MG_DL)


def sensor_days(data: WomanData, latents: Latents, weekly: MaternalParams, h: float) -> Array:
    """Level of the sensor on its days, (day, time, *batch), mg/dL."""
    events = sensor_events(data, latents, weekly.S_I.ndim - 1)
    if math.prod(weekly.S_I.shape[1:]) < MANY:
        IG = simulate_day(weekly, events, h=h).IG
    else:  # one day after the other keeps the lanes in the processor's cache
        n_days, n_edges = data.cgm.value.shape[0], data.cgm.value.shape[1] * int(CGM_STEP_MIN / h)

        def one_day(inputs: tuple[MaternalParams, DayEvents]) -> Array:
            return simulate_day(*inputs, h=h).IG[:n_edges]

        by_day = jax.tree.map(lambda x: jnp.broadcast_to(x, (n_days, *x.shape[1:])), weekly)
        each = jax.lax.map(one_day, (by_day, jax.tree.map(lambda e: jnp.moveaxis(e, 1, 0), events)))
        IG = jnp.moveaxis(each, 0, 1)
    return sensor_level(data, latents, IG, h)


def cgm_block(data: WomanData, latents: Latents, level: Array) -> Block:
    """level : (day, time, *batch), mg/dL."""
    cgm = data.cgm
    value, mask = (_lift(x, level.ndim - 2) for x in (jnp.log(cgm.value), cgm.mask))
    sd, memory = latents.cgm_cv[None, None], latents.sensor_memory
    loc, scale = innovations(value, mask, jnp.log(level), sd, memory, cgm.gain, cgm.spread)
    flat = [x.reshape((-1, *x.shape[2:])) for x in (value, jnp.zeros_like(value), mask, loc, scale)]
    return Block(CgmError(), *flat)


def params_of_test(weekly: MaternalParams, latents: Latents) -> MaternalParams:
    """Her parameters of the week, as they are on the days of the tests."""
    day = jnp.exp(latents.test_day)
    return dataclasses.replace(
        weekly, S_I=weekly.S_I * day[:, 0], B=weekly.B * day[:, 1], k_e=weekly.k_e * day[:, 2]
    )


def drink_of_test(data: WomanData, rank: int) -> DayEvents:
    """The drink of each tolerance test, (event, test, *ones)."""
    like = data.ogtt.load_mg[None]
    zero, none = jnp.zeros_like(like), like[:0]
    return _lift_events(DayEvents(zero, like, *(none,) * 9), rank)


def ogtt_block(data: WomanData, G: Array, h: float) -> Block:
    """G : (edge, test, *batch)."""
    tests = data.ogtt
    rank = G.ndim - 2
    test = jnp.arange(tests.value.shape[0])[:, None]
    at = jnp.clip(tests.minute / h, 0.0, OGTT_MIN / h)
    loc = _between(jnp.moveaxis(G, 0, 1), at, test)
    value, mask = _lift(tests.value, rank), _lift(tests.mask, rank)
    flat = [x.reshape((-1, *x.shape[2:])) for x in (value, jnp.zeros_like(value), mask, loc, ogtt_scale(loc))]
    return Block(OgttError(), *flat)


def _scan_block(data: WomanData, latents: Latents, growth: Growth) -> Block:
    scans = data.scans
    shift = latents.dating_shift_weeks
    rank = shift.ndim
    edges = recorded_edges(data.n_cells, shift.dtype, rank) + shift[None]
    week = _lift(scans.week, rank) + shift[None]
    L, F = masses_at(latents.fetus, growth, edges, scans.cell, week, data.table)
    q_scale = latents.fetus.q_scale[None]
    measures = latent_ln_biometry(L, F, week, q_scale, data.table)
    every = jnp.concatenate([measures, jnp.log(L + F)[None]]) + latents.shape[:, None]
    loc = every[scans.quantity, jnp.arange(scans.week.shape[0])]
    value, sd, mask = (_lift(x, rank) for x in (scans.ln_value, scans.sd, scans.mask))
    return Block(ScanError(), value, jnp.zeros_like(value), mask, loc, jnp.broadcast_to(sd, loc.shape))


def every_day(
    data: WomanData, latents: Latents, mass: Array, h: float, *, adjoint: bool = False
) -> Trajectory:
    """Reference days, sensor days and tests as lanes of one simulation. A test is a day that begins with its drink: of
    the same drink the day before nothing is left. mass : (week,), g."""
    cgm, tests = data.cgm, data.ogtt
    plan = plan_for(data, latents, 0)
    weeks = jnp.asarray(glucose_weeks()[: mass.shape[0]], dtype=mass.dtype)
    mass_28 = table_weight(data.table, jnp.asarray(TEST_WEEK)).astype(mass.dtype)
    n_before = mass.shape[0] + cgm.week.shape[0]
    weekly = at_weeks(
        latents.maternal,
        latents.pregnancy,
        jnp.concatenate([weeks, cgm.week, tests.week]),
        jnp.concatenate([mass, mass[cgm.glucose_week], mass[tests.glucose_week]]) / mass_28,
        jnp.concatenate([plan.weight_kg, cgm.weight_kg, tests.weight_kg]),
    )
    usual = jnp.zeros((n_before, *latents.test_day.shape[1:]), mass.dtype)
    weekly = params_of_test(weekly, latents._replace(test_day=jnp.concatenate([usual, latents.test_day])))
    events = [plan.events]
    if cgm.week.shape[0]:
        events.append(sensor_events(data, latents, 0))
    if tests.week.shape[0]:
        events.append(drink_of_test(data, 0))
    return simulate_day(weekly, side_by_side(events), h=h, adjoint=adjoint)


def glucose_blocks(data: WomanData, latents: Latents, days: Array, mass: Array, h: float) -> dict[str, Block]:
    """Readings of the mother. days : G of the reference days, (week, edge, *batch); mass : `mid_mass`."""
    blocks = {}
    if data.spots.value.shape[0]:
        blocks["spot_glucose"] = spot_block(data, latents, at_spots(data, days))
    if data.cgm.value.shape[0]:
        weekly = _at(data, latents, mass, data.cgm)
        blocks["cgm"] = cgm_block(data, latents, sensor_days(data, latents, weekly, h))
    if data.ogtt.value.shape[0]:
        weekly = params_of_test(_at(data, latents, mass, data.ogtt), latents)
        drink = drink_of_test(data, mass.ndim - 1)
        test = simulate_day(weekly, drink, n_steps=round(OGTT_MIN / h), h=h, repeated=False)
        blocks["ogtt"] = ogtt_block(data, test.G, h)
    return blocks


def fetal_blocks(data: WomanData, latents: Latents, growth: Growth) -> dict[str, Block]:
    """Readings of the fetus, and the given birth of an undated pregnancy."""
    blocks = {}
    if data.scans.ln_value.shape[0]:
        blocks["biometry"] = _scan_block(data, latents, growth)
    if data.birth_week.shape[0]:
        shift = latents.dating_shift_weeks
        age = _lift(data.birth_week, shift.ndim) + shift[None]
        same = jnp.zeros_like(age)
        blocks["birth_age"] = Block(BirthAge(), age, same, same == 0, age, same + TERM_SD)
    return blocks


def in_precision(data: WomanData, dtype: Any) -> WomanData:
    """The data's floating point arrays in the precision of the draws."""

    def cast(x: Array) -> Array:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(cast, data)


def reference_step(data: WomanData, h: float) -> float:
    """Step of the reference days, minutes: without finger pricks they only feed the fetus, as in the ensemble."""
    return h if data.spots.value.shape[0] else max(h, COARSE_STEP_MIN)


def predict(prior: Prior, data: WomanData, z: Array, h: float = STEP_MIN) -> Predictions:
    """Everything the model says of this woman's readings. z : (latent, *batch); h : solver step, minutes.

    Computed in the precision of z.
    """
    data = in_precision(data, z.dtype)
    latents = unpack(prior, data, z)
    c = course(
        latents.maternal,
        latents.pregnancy,
        latents.fetus,
        plan_for(data, latents, z.ndim - 1),
        latents.deviation,
        latents.dating_shift_weeks,
        data.reference_exposure,
        data.table,
        reference_step(data, h),
    )
    blocks = glucose_blocks(data, latents, c.G, mid_mass(c.growth), h) | fetal_blocks(data, latents, c.growth)
    return Predictions(blocks, c, c.ok)


def glucose_summary(G: Array) -> Array:
    """Mean, mg/dL, share of the time in range, and hours a day below it, of days on the first axis: (3, ...)."""
    inside = (G[:-1] >= LOW_MG_DL) & (G[:-1] <= HIGH_MG_DL)
    low = G[:-1] < LOW_MG_DL
    return jnp.stack(
        [
            jnp.mean(G[:-1], axis=0),
            jnp.mean(inside, axis=0, dtype=G.dtype),
            24.0 * jnp.mean(low, axis=0, dtype=G.dtype),
        ]
    )


def past_of(course: Course, reference_days: Array) -> Past:
    """reference_days : glucose at 15-min edges, (week, time, *batch)."""
    return Past(course.growth, course.exposure, glucose_summary(jnp.moveaxis(reference_days, 1, 0)))


def days_at_15_min(data: WomanData, course: Course) -> Array:
    """Glucose of the reference days at 15-min edges, (week, time, *batch), of a course at the fitting step."""
    return course.G[:, :: int(CGM_STEP_MIN / reference_step(data, STEP_MIN))]


def log_prior(z: Array) -> Array:
    """Standard normal, (*batch), summed in full precision."""
    wide = z.astype(float)
    return -0.5 * jnp.sum(wide**2, axis=0) - 0.5 * z.shape[0] * jnp.log(2.0 * jnp.pi)


def total(z: Array, predictions: Predictions) -> Array:
    """Log of prior times likelihood, (*batch), summed in full precision; -inf where the solver failed."""
    value = log_prior(z)
    for block in predictions.blocks.values():
        value = value + jnp.sum(block.pointwise().astype(float), axis=0)
    return jnp.where(predictions.ok & jnp.isfinite(value), value, -jnp.inf)


def log_joint(prior: Prior, data: WomanData, z: Array) -> Array:
    """Log of prior times likelihood, (*batch); -inf where the solver failed."""
    return total(z, predict(prior, data, z))


class Reading(NamedTuple):
    """Observed values of one kind, in the order and on the scale of its block."""

    error: AbstractErrorModel
    value: np.ndarray
    mask: np.ndarray


ERRORS = {"spot_glucose": SpotError(), "cgm": CgmError(), "ogtt": OgttError(), "biometry": ScanError()}


def readings(data: WomanData) -> dict[str, Reading]:
    """What was observed, by kind, flat like the blocks of `predict`."""
    every = {
        "spot_glucose": (np.log(np.asarray(data.spots.value)), data.spots.mask),
        "cgm": (np.log(np.asarray(data.cgm.value)), data.cgm.mask),
        "ogtt": (data.ogtt.value, data.ogtt.mask),
        "biometry": (data.scans.ln_value, data.scans.mask),
    }
    return {
        name: Reading(ERRORS[name], np.asarray(value).reshape(-1), np.asarray(mask).reshape(-1))
        for name, (value, mask) in every.items()
        if value.shape[0]
    }


@stored()
def replicate(key_data: Array, loc: dict[str, Array], scale: dict[str, Array]) -> dict[str, Array]:
    """Readings drawn at locations and scales of `evaluate`, by kind, (reading, draw). key_data : of a random key."""
    key, drawn = jax.random.wrap_key_data(key_data), {}
    for i, name in enumerate(sorted(set(loc) & set(ERRORS))):
        drawn[name] = ERRORS[name].distribution(loc[name], scale[name]).sample(jax.random.fold_in(key, i))
    return drawn


class Evaluation(NamedTuple):
    """The model at many draws, draw axis last."""

    log_joint: Array  # (draw,)
    log_density: dict[str, Array]  # (reading, draw)
    loc: dict[str, Array]
    scale: dict[str, Array]
    reference_days: Array  # glucose at 15-min edges of each week's reference day, (week, time, draw)
    past: Past

    @property
    def fetal_weight_g(self) -> np.ndarray:
        """At the edges of the weekly cells, (edge, draw)."""
        return np.asarray(self.past.growth.edges.L) + np.asarray(self.past.growth.edges.F)


@stored("prior")
def evaluate(prior: Prior, data: WomanData, z: Array) -> Evaluation:
    """Everything known at draws z, (latent, draw), in one program: weights, residuals, reference days."""
    predictions = predict(prior, data, z)
    blocks = predictions.blocks
    days = days_at_15_min(data, predictions.course)
    return Evaluation(
        total(z, predictions),
        {name: block.pointwise() for name, block in blocks.items()},
        {name: block.loc for name, block in blocks.items()},
        {name: block.scale for name, block in blocks.items()},
        days,
        past_of(predictions.course, days),
    )


def observe(predictions: Predictions) -> None:
    """The likelihood as numpyro factors, one per kind of reading; a failed solve is impossible."""
    numpyro.factor("solver_ok", jnp.where(predictions.ok, 0.0, -jnp.inf))
    for name, block in predictions.blocks.items():
        numpyro.factor(name, block.log_likelihood())


def pregnancy_model(prior: Prior, data: WomanData) -> None:
    """The numpyro model. Sites: `z`, and one factor per kind of reading."""
    z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([prior.size(data)]).to_event(1))
    observe(predict(prior, data, z))
