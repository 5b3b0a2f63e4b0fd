"""One compiled program from latents to readings, for many women at once: the model function of inference.

Truth comes out of `twin.inference.model.predict`, readings out of its own blocks and error models, so what is
recovered is the model's own world. The woman is the trailing axis of every array.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from twin.encode import WomanData
from twin.forecast.onset import FROM_DAY, TO_DAY, Who, ln_waiting, load_hazards, onset_days
from twin.growth_standards import reference_weight_g
from twin.inference.model import predict, reference_step
from twin.inference.priors import Latents, Prior, unpack
from twin.physiology.coupled import recorded_edges
from twin.physiology.fetus import FIRST_WEEK, masses_at
from twin.physiology.parameters import INSULIN_F, INSULIN_TAU_MIN
from twin.physiology.simulate import STEP_MIN

WIDTHS = (1, 16, 128)  # women per program; chunks are padded up to one of these
#: minutes since 04:00 at which a clinic looks at a day: fasting, an hour after breakfast, lunch and dinner
REVIEW_MIN = (190.0, 270.0, 570.0, 930.0)
#: minutes since 04:00 of the doses: before breakfast, lunch, dinner, and at bedtime
DOSE_MIN = (205.0, 505.0, 865.0, 1080.0)
DOSE_FORMULATION = ("rapid", "rapid", "rapid", "nph")
DOSE_ROWS = 6  # the encoder's bucket


class Birth(NamedTuple):
    """What decides when her pregnancy ends. who : as her clinic knows her. usual_ln : of the standard's weight on each
    day from FROM_DAY on."""

    uniform: ArrayLike
    last_day: ArrayLike
    who: Who
    usual_ln: ArrayLike


class Outcome(NamedTuple):
    """What one woman's latents give; the woman is the last axis of every array.

    `ln_spots`, `ogtt`, `ln_scans` are sampled readings; the sensor is its noiseless level and SD of ln on the encoder's
    grid. `review` (5, week): glucose at REVIEW_MIN and the lowest of the day.
    """

    ln_spots: Array | None
    ogtt: Array | None
    ln_scans: Array | None
    cgm_level: Array | None
    cgm_sd: Array | None
    mean_glucose: Array
    review: Array
    fetal_weight_g: Array  # at the cell edges, recorded weeks FIRST_WEEK..
    birth_day: Array  # recorded
    weight_at_birth_g: Array
    latents: Latents
    ok: Array


def _one(prior: Prior, as_of_day: int, data: WomanData, z: Array, keys: Array, birth: Birth) -> Outcome:
    # a masked sensor leaves the block's level and SD free of the placeholder values
    data = dataclasses.replace(data, cgm=dataclasses.replace(data.cgm, mask=jnp.zeros_like(data.cgm.mask)))
    predictions = predict(prior, data, z)
    latents = unpack(prior, data, z)

    def sampled(name: str, i: int) -> Array | None:
        if name not in predictions.blocks:
            return None
        block = predictions.blocks[name]
        return block.error.distribution(block.loc, block.scale).sample(jax.random.wrap_key_data(keys[i]))

    cgm = predictions.blocks.get("cgm")
    c = predictions.course
    edges = recorded_edges(data.n_cells, z.dtype, 0) + latents.dating_shift_weeks
    weight = c.growth.edges.L + c.growth.edges.F
    day = _birth_day(birth, as_of_day, weight, latents.dating_shift_weeks)
    cell = jnp.floor(day / 7.0).astype(int)[None] - FIRST_WEEK
    true_week = day[None] / 7.0 + latents.dating_shift_weeks
    L, F = masses_at(latents.fetus, c.growth, edges, cell, true_week, data.table)
    return Outcome(
        ln_spots=sampled("spot_glucose", 0),
        ogtt=sampled("ogtt", 1),
        ln_scans=sampled("biometry", 2),
        cgm_level=None if cgm is None else jnp.exp(cgm.loc),
        cgm_sd=None if cgm is None else jnp.broadcast_to(latents.cgm_cv, cgm.loc.shape),
        mean_glucose=jnp.mean(c.G[:, :-1], axis=1),
        review=_review(data, c.G),
        fetal_weight_g=weight,
        birth_day=day,
        weight_at_birth_g=(L + F)[0],
        latents=latents,
        ok=predictions.ok,
    )


def _birth_day(birth: Birth, as_of_day: int, weight: Array, shift_weeks: Array) -> Array:
    """By the hazards, after `as_of_day`. weight : at the cell edges."""
    week = (0.5 + jnp.arange(FROM_DAY, TO_DAY, dtype=weight.dtype)) / 7.0
    edge = jnp.arange(len(weight), dtype=weight.dtype) + FIRST_WEEK
    ratio = jnp.interp(week, edge, jnp.log(weight), right="extrapolate") - birth.usual_ln
    waiting = ln_waiting(load_hazards(), ratio, FROM_DAY, shift_weeks, birth.who)
    onset = onset_days(birth.uniform, waiting, FROM_DAY, as_of_day + 1)
    return jnp.minimum(onset.astype(weight.dtype), birth.last_day)


@functools.partial(jax.jit, static_argnames=("prior", "as_of_day"))
def _many(prior: Prior, as_of_day: int, data: WomanData, z: Array, keys: Array, birth: Birth) -> Outcome:
    axes = dataclasses.replace(jax.tree.map(lambda _: -1, data), table=None)
    waits = jax.tree.map(lambda _: -1, birth)._replace(usual_ln=None)
    run = functools.partial(_one, prior, as_of_day)
    return jax.vmap(run, in_axes=(axes, -1, -1, waits), out_axes=-1)(data, z, keys, birth)


def outcomes(
    prior: Prior, data: WomanData, z: np.ndarray, keys: np.ndarray, birth: Birth, as_of_day: int
) -> Outcome:
    """Run stacked women (`stack`). z : (latent, woman). keys : (3, 2, woman), one per kind of reading. birth : (woman,)
    but for `usual_ln`. Births are after `as_of_day`. Returns numpy arrays.
    """
    out = _many(prior, as_of_day, *jax.tree.map(jnp.asarray, (data, z, keys, birth)))
    return jax.tree.map(np.asarray, out)


@functools.cache
def usual_ln(standard: str) -> np.ndarray:
    """ln of the standard's weight in the middle of each day on which birth may come."""
    days = np.arange(FROM_DAY, TO_DAY) + 0.5
    return np.log(np.asarray(reference_weight_g(days, standard=standard)))


def _review(data: WomanData, G: Array) -> Array:
    """(5, week) of days (week, time): at REVIEW_MIN, and the lowest."""
    at = [round(m / reference_step(data, STEP_MIN)) for m in REVIEW_MIN]
    return jnp.concatenate([G[:, jnp.asarray(at)], G.min(axis=1, keepdims=True)], axis=1).T


@functools.partial(jax.jit, static_argnames="prior")
def _reviews(prior: Prior, data: WomanData, z: Array) -> Array:
    def one(data: WomanData, z: Array) -> Array:
        return _review(
            data, predict(prior, data, z).course.G
        )  # what else is predicted, the compiler leaves out

    axes = dataclasses.replace(jax.tree.map(lambda _: -1, data), table=None)
    return jax.vmap(one, in_axes=(axes, -1), out_axes=-1)(data, z)


def reviews(prior: Prior, data: WomanData, z: np.ndarray) -> np.ndarray:
    """`Outcome.review` alone, (5, week, woman), of stacked women. z : (latent, woman)."""
    return np.asarray(_reviews(prior, data, jnp.asarray(z)))


W = TypeVar("W", WomanData, np.ndarray)


def some_women(stacked: W, at: np.ndarray) -> W:
    """Women of a stack by place, padded to a program width by repeating the last."""
    at = np.concatenate([at, np.repeat(at[-1:], width_for(len(at)) - len(at))])
    if isinstance(stacked, np.ndarray):
        return stacked[..., at]
    bare = dataclasses.replace(stacked, table=None)  # type: ignore[arg-type]
    picked = jax.tree.map(lambda x: np.asarray(x)[..., at], bare)
    return dataclasses.replace(picked, table=stacked.table)


def width_for(n: int) -> int:
    """The program width that holds n women; n may not exceed the largest."""
    return next(w for w in WIDTHS if n <= w)


def stack(women: Sequence[WomanData], *, with_doses: bool) -> WomanData:
    """Women of one design side by side on a trailing axis; padded to a program width by repeating the last.

    with_doses : make room for insulin also where a woman takes none.
    """
    women = [*women, *[women[-1]] * (width_for(len(women)) - len(women))]
    if with_doses:
        women = [_room_for_doses(w) for w in women]
    table = women[0].table
    bare = [dataclasses.replace(w, table=None) for w in women]  # type: ignore[arg-type]
    stacked = jax.tree.map(lambda *leaves: np.stack(_widened(leaves), axis=-1), *bare)
    return dataclasses.replace(stacked, table=table)


def _widened(leaves: Sequence[Array]) -> list[np.ndarray]:
    """Event axes to the longest; what is added carries no mass."""
    size = max(x.shape[0] for x in leaves) if leaves[0].ndim else 0
    out = []
    for leaf in leaves:
        x = np.asarray(leaf)
        if x.ndim and x.shape[0] < size:
            x = np.concatenate([x, np.zeros((size - x.shape[0], *x.shape[1:]), x.dtype)])
        out.append(x)
    return out


def _room_for_doses(woman: WomanData) -> WomanData:
    """Dose slots of zero units where there are none."""

    def roomy(events):
        if events.dose_mU.shape[0]:
            return events
        zero = jnp.zeros((DOSE_ROWS, events.meal_mg.shape[1]))
        return dataclasses.replace(
            events, dose_min=zero, dose_mU=zero, dose_F=zero, dose_tau=jnp.full_like(zero, 100.0)
        )

    plan = woman.plan._replace(events=roomy(woman.plan.events))
    return dataclasses.replace(
        woman, plan=plan, cgm=dataclasses.replace(woman.cgm, events=roomy(woman.cgm.events))
    )


def with_doses(data: WomanData, units: np.ndarray) -> WomanData:
    """Stacked women with given weekly doses. units : (4, week, woman), U, in the order of DOSE_MIN."""
    shape = data.plan.events.dose_mU.shape
    fill = np.zeros(shape)
    dose, minute, fraction, tau = fill.copy(), fill.copy(), fill.copy(), fill + 100.0
    dose[:4] = 1000.0 * units
    for i, (m, name) in enumerate(zip(DOSE_MIN, DOSE_FORMULATION, strict=True)):
        minute[i], fraction[i], tau[i] = m, INSULIN_F[name], INSULIN_TAU_MIN[name]
    events = dataclasses.replace(
        data.plan.events,
        dose_mU=jnp.asarray(dose),
        dose_min=jnp.asarray(minute),
        dose_F=jnp.asarray(fraction),
        dose_tau=jnp.asarray(tau),
    )
    return dataclasses.replace(data, plan=data.plan._replace(events=events))
