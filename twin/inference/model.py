"""The one probabilistic model: prior, physics, error models. `laplace` and `nuts` both see this."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array

from twin.encode import WomanData
from twin.inference.priors import Latents, Prior, unpack
from twin.observation.blocks import (
    CGM_RHO,
    CGM_STEP_MIN,
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
from twin.physiology.coupled import Course, WeekPlan, course, recorded_edges
from twin.physiology.events import DayEvents
from twin.physiology.fetus import (
    FIRST_WEEK,
    GLUCOSE_FROM_WEEK,
    latent_ln_biometry,
    masses_at,
    table_weight,
)
from twin.physiology.pregnancy import TEST_WEEK, at_weeks
from twin.physiology.simulate import STEP_MIN, simulate_day
from twin.programs import stored

OGTT_STEPS = 72  # 180 minutes


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


def _mid_mass(c: Course) -> Array:
    """Fetal weight at the middle of each glucose week, g."""
    total = c.growth.edges.L + c.growth.edges.F
    first = GLUCOSE_FROM_WEEK - FIRST_WEEK
    return 0.5 * (total[first:-1] + total[first + 1 :])


def _spot_block(data: WomanData, c: Course) -> Block:
    spots = data.spots
    rank = c.exposure.ndim - 1
    at = jnp.clip(spots.minute / STEP_MIN, 0.0, c.G.shape[1] - 1.0)
    low = jnp.minimum(jnp.floor(at).astype(int), c.G.shape[1] - 2)
    weight = _lift(at - low, rank)
    G = c.G[spots.week, low] * (1.0 - weight) + c.G[spots.week, low + 1] * weight
    value, censor, mask = (_lift(x, rank) for x in (jnp.log(spots.value), spots.censor, spots.mask))
    return Block(SpotError(), value, censor, mask, jnp.log(G), spot_cv(G, _lift(spots.day_cv, rank)))


def _relative_mass(data: WomanData, c: Course, glucose_week: Array) -> Array:
    mass_28 = table_weight(data.table, jnp.asarray(TEST_WEEK)).astype(c.exposure.dtype)
    return _mid_mass(c)[glucose_week] / mass_28


def _cgm_block(data: WomanData, latents: Latents, c: Course) -> Block:
    cgm = data.cgm
    rank = c.exposure.ndim - 1
    weekly = at_weeks(
        latents.maternal,
        latents.pregnancy,
        _lift(cgm.week, rank),
        _relative_mass(data, c, cgm.glucose_week),
        _lift(cgm.weight_kg, rank),
    )
    events = _lift_events(cgm.events, rank)
    # a day without its own record eats the usual meals in this draw's amounts, as the reference days do
    slot = jnp.minimum(jnp.arange(events.meal_mg.shape[0]), latents.meal_factor.shape[0] - 1)
    amount = jnp.where(_lift(cgm.usual_meals, rank)[None], latents.meal_factor[slot][:, None], 1.0)
    events = dataclasses.replace(events, meal_mg=events.meal_mg * amount)
    days = simulate_day(weekly, events)
    every = int(CGM_STEP_MIN / STEP_MIN)
    level = days.IG[: cgm.value.shape[1] * every : every]  # (time, day, *batch)
    level = jnp.swapaxes(level, 0, 1)
    level = latents.sensor_gain[None, None] * level + latents.sensor_offset[None, None]
    sd = latents.cgm_cv[None, None] * jnp.maximum(level, 20.0)
    value, mask = _lift(cgm.value, rank), _lift(cgm.mask, rank)
    loc, scale = innovations(value, mask, level, sd, CGM_RHO)
    flat = [x.reshape((-1, *x.shape[2:])) for x in (value, jnp.zeros_like(value), mask, loc, scale)]
    return Block(CgmError(), *flat)


def _ogtt_block(data: WomanData, latents: Latents, c: Course) -> Block:
    tests = data.ogtt
    rank = c.exposure.ndim - 1
    weekly = at_weeks(
        latents.maternal,
        latents.pregnancy,
        _lift(tests.week, rank),
        _relative_mass(data, c, tests.glucose_week),
        _lift(tests.weight_kg, rank),
    )
    day = jnp.exp(latents.test_day)
    weekly = dataclasses.replace(
        weekly, S_I=weekly.S_I * day[:, 0], B=weekly.B * day[:, 1], k_e=weekly.k_e * day[:, 2]
    )
    zero, none = jnp.zeros((1, tests.value.shape[0])), jnp.zeros((0, tests.value.shape[0]))
    drink = DayEvents(zero, tests.load_mg[None], *(none,) * 9)
    trajectory = simulate_day(weekly, _lift_events(drink, rank), n_steps=OGTT_STEPS, repeated=False)
    at = jnp.clip(tests.minute / STEP_MIN, 0.0, float(OGTT_STEPS))
    low = jnp.minimum(jnp.floor(at).astype(int), OGTT_STEPS - 1)
    weight = _lift(at - low, rank)
    test = jnp.arange(tests.value.shape[0])[:, None]
    loc = trajectory.G[low, test] * (1.0 - weight) + trajectory.G[low + 1, test] * weight
    value, mask = _lift(tests.value, rank), _lift(tests.mask, rank)
    flat = [x.reshape((-1, *x.shape[2:])) for x in (value, jnp.zeros_like(value), mask, loc, ogtt_scale(loc))]
    return Block(OgttError(), *flat)


def _scan_block(data: WomanData, latents: Latents, c: Course) -> Block:
    scans = data.scans
    rank = c.exposure.ndim - 1
    shift = latents.dating_shift_weeks
    edges = recorded_edges(data.n_cells, shift.dtype, rank) + shift[None]
    week = _lift(scans.week, rank) + shift[None]
    L, F = masses_at(latents.fetus, c.growth, edges, scans.cell, week, data.table)
    q_scale = latents.fetus.q_scale[None]
    measures = latent_ln_biometry(L, F, week, q_scale, data.table)
    every = jnp.concatenate([measures, jnp.log(L + F)[None]]) + latents.shape[:, None]
    loc = every[scans.quantity, jnp.arange(scans.week.shape[0])]
    value, sd, mask = (_lift(x, rank) for x in (scans.ln_value, scans.sd, scans.mask))
    return Block(ScanError(), value, jnp.zeros_like(value), mask, loc, jnp.broadcast_to(sd, loc.shape))


def predict(prior: Prior, data: WomanData, z: Array) -> Predictions:
    """Everything the model says of this woman's readings. z : (latent, *batch)."""
    rank = z.ndim - 1
    latents = unpack(prior, data, z)
    c = course(
        latents.maternal,
        latents.pregnancy,
        latents.fetus,
        plan_for(data, latents, rank),
        latents.deviation,
        latents.dating_shift_weeks,
        data.reference_exposure,
        data.table,
    )
    blocks = {}
    if data.spots.value.shape[0]:
        blocks["spot_glucose"] = _spot_block(data, c)
    if data.cgm.value.shape[0]:
        blocks["cgm"] = _cgm_block(data, latents, c)
    if data.ogtt.value.shape[0]:
        blocks["ogtt"] = _ogtt_block(data, latents, c)
    if data.scans.ln_value.shape[0]:
        blocks["biometry"] = _scan_block(data, latents, c)
    if data.birth_week.shape[0]:
        age = _lift(data.birth_week, rank) + latents.dating_shift_weeks[None]
        same = jnp.zeros_like(age)
        blocks["birth_age"] = Block(BirthAge(), age, same, same == 0, age, same + TERM_SD)
    return Predictions(blocks, c, c.ok)


def log_joint(prior: Prior, data: WomanData, z: Array) -> Array:
    """Log of prior times likelihood, (*batch); -inf where the solver failed."""
    predictions = predict(prior, data, z)
    total = jnp.sum(dist.Normal(0.0, 1.0).log_prob(z), axis=0)
    for block in predictions.blocks.values():
        total = total + block.log_likelihood()
    return jnp.where(predictions.ok & jnp.isfinite(total), total, -jnp.inf)


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
        "cgm": (data.cgm.value, data.cgm.mask),
        "ogtt": (data.ogtt.value, data.ogtt.mask),
        "biometry": (data.scans.ln_value, data.scans.mask),
    }
    return {
        name: Reading(ERRORS[name], np.asarray(value).reshape(-1), np.asarray(mask).reshape(-1))
        for name, (value, mask) in every.items()
        if value.shape[0]
    }


@jax.jit
def replicate(key: Array, loc: dict[str, Array], scale: dict[str, Array]) -> dict[str, Array]:
    """Readings drawn at locations and scales of `evaluate`, by kind, (reading, draw)."""
    drawn = {}
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


@stored("prior")
def evaluate(prior: Prior, data: WomanData, z: Array) -> Evaluation:
    """Everything known at draws z, (latent, draw), in one program: weights, residuals, reference days."""
    predictions = predict(prior, data, z)
    each = {name: block.pointwise() for name, block in predictions.blocks.items()}
    total = jnp.sum(dist.Normal(0.0, 1.0).log_prob(z), axis=0)
    for values in each.values():
        total = total + jnp.sum(values, axis=0)
    total = jnp.where(predictions.ok & jnp.isfinite(total), total, -jnp.inf)
    loc = {name: block.loc for name, block in predictions.blocks.items()}
    scale = {name: block.scale for name, block in predictions.blocks.items()}
    return Evaluation(total, each, loc, scale, predictions.course.G[:, :: int(CGM_STEP_MIN / STEP_MIN)])


def observe(predictions: Predictions) -> None:
    """The likelihood as numpyro factors, one per kind of reading; a failed solve is impossible."""
    numpyro.factor("solver_ok", jnp.where(predictions.ok, 0.0, -jnp.inf))
    for name, block in predictions.blocks.items():
        numpyro.factor(name, block.log_likelihood())


def pregnancy_model(prior: Prior, data: WomanData) -> None:
    """The numpyro model. Sites: `z`, and one factor per kind of reading."""
    z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([prior.size(data)]).to_event(1))
    observe(predict(prior, data, z))
