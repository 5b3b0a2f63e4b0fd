"""One Gauss-Newton sweep: log density, gradient and curvature of a woman's posterior, for one or many women.

Only a proposal is made of it, so it is computed where it is cheap: at the coarse step, in single precision, with the
fetal mass that feeds back on the mother taken from the sweep before. All days are lanes of one simulation. Derivatives
are forward, and follow the model's structure: the fetus does not move glucose but through that mass, what only meter
and sensor show comes after the equations, and a meal touches its own day, so that one direction per meal serves all
sensor days.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twin.encode import WomanData
from twin.inference.model import (
    at_spots,
    cgm_block,
    every_day,
    fetal_blocks,
    in_precision,
    log_prior,
    mid_mass,
    ogtt_block,
    sensor_level,
    spot_block,
)
from twin.inference.priors import Prior, meal_shape, unpack
from twin.observation.blocks import Block
from twin.observation.residual import CGM_STEP_MIN
from twin.physiology.coupled import glucose_weeks, power_mean, recorded_edges
from twin.physiology.fetus import FIRST_WEEK, GLUCOSE_FROM_WEEK, Growth, grow, starting_state, table_weight
from twin.physiology.simulate import COARSE_STEP_MIN
from twin.programs import COMPILED_FAST, placed, stored


class Sweep(NamedTuple):
    """The posterior at one point. `mass`: fetal weight at mid-week there, (week,), g."""

    value: Array
    gradient: Array
    H: Array
    mass: Array


def standard_mass(data: WomanData) -> np.ndarray:
    """Fetal weight of the growth standard in the middle of each glucose week, g, (week,)."""
    n = data.n_cells - (GLUCOSE_FROM_WEEK - FIRST_WEEK)
    return np.asarray(_table_weight(data.table, placed(glucose_weeks()[:n])))


_table_weight = jax.jit(table_weight)


def _moving(blocks: dict[str, Block]) -> dict[str, tuple[Array, Array]]:
    return {name: (b.loc, jnp.log(b.scale)) for name, b in blocks.items()}


def _slopes(block: Block) -> tuple[Array, tuple[Array, Array], tuple[Array, Array]]:
    """Log likelihood, its slopes in location and ln scale, and the Fisher weights of both."""

    def likelihood(loc: Array, ln_scale: Array) -> Array:
        return jnp.sum(block._replace(loc=loc, scale=jnp.exp(ln_scale)).pointwise().astype(float))

    value, slopes = jax.value_and_grad(likelihood, argnums=(0, 1))(block.loc, jnp.log(block.scale))
    weights = tuple(jnp.where(block.mask, w, 0.0) for w in block.error.fisher(block.scale))
    return value, slopes, weights  # type: ignore[return-value]


def _jacobian(f: Callable, x: Array) -> tuple[Any, Any]:
    """(Jacobian, direction last; what else f returns). The nonlinear part runs once and leaves its coefficients, the
    directions then only multiply and add: three times faster than `jax.jacfwd`, which XLA fuses into one."""
    _, along, other = jax.linearize(f, x, has_aux=True)
    return jax.vmap(along, out_axes=-1)(jnp.eye(x.shape[0], dtype=x.dtype)), other


def sweep(prior: Prior, data: WomanData, z: Array, mass: Array) -> Sweep:
    """One woman. z : (latent,); mass : (week,), the fetal weight her uptake is computed with."""
    dtype, h, n = jnp.float32, COARSE_STEP_MIN, z.shape[0]
    z, mass, data = z.astype(dtype), mass.astype(dtype), in_precision(data, dtype)
    shared, (meals, days) = prior.n_shared(data), meal_shape(data)
    acting, of_shown = (jnp.asarray(x) for x in prior.of_the_mother(data))
    n_glucose = mass.shape[0]

    def simulated(s: Array) -> tuple[tuple, tuple]:
        """s : (acting + meals,), moves away from z; each meal's moves it on every day."""
        single = jnp.repeat(s[len(acting) :], days)
        v = (z + jnp.concatenate([jnp.zeros(shared, dtype), single])).at[acting].add(s[: len(acting)])
        every = every_day(data, unpack(prior, data, v), mass, h)
        x = jnp.log(power_mean(every.G[:, :n_glucose]) / data.reference_exposure)
        level: dict[str, Array] = {}
        blocks: dict[str, Block] = {}
        if data.spots.value.shape[0]:
            level["spot_glucose"] = at_spots(data, every.G[:, :n_glucose].T)
        if days:
            level["cgm"] = every.IG[: -1 : int(CGM_STEP_MIN / h), n_glucose : n_glucose + days]
        if data.ogtt.value.shape[0]:
            blocks["ogtt"] = ogtt_block(data, every.G[:, n_glucose + days :], h)
        return (x, level, _moving(blocks)), (x, level, blocks, every.ok.all())

    (dx, d_level, J_days), (x0, level, blocks, ok) = _jacobian(
        simulated, jnp.zeros(len(acting) + meals, dtype)
    )

    def fetus(v: Array) -> tuple[dict, tuple[dict[str, Block], Growth]]:
        latents = unpack(prior, data, jnp.concatenate([v, z[shared:]]))
        moved = x0 + dx[:, : len(acting)] @ (v - z[:shared])[acting]
        exposure = jnp.concatenate([jnp.zeros(data.n_cells - n_glucose, dtype), moved])
        edges = recorded_edges(data.n_cells, dtype, 0) + latents.dating_shift_weeks
        start = starting_state(latents.fetus, edges[0], data.table)
        growth = grow(latents.fetus, start, edges, exposure, latents.deviation, data.table)
        found = fetal_blocks(data, latents, growth)
        return _moving(found), (found, growth)

    J_fetus, (fetal, growth) = _jacobian(fetus, z[:shared])

    value = log_prior(z)
    gradient = -z
    H = jnp.eye(n, dtype=dtype)

    def add(block: Block, J: tuple[Array, Array], columns: Array, n_meals: int = 0) -> None:
        nonlocal value, gradient, H
        each, slopes, weights = _slopes(block)
        value = value + each
        for along, slope, weight in zip(J, slopes, weights, strict=True):
            own = along[:, : len(columns)]
            gradient = gradient.at[columns].add(own.T @ slope)
            H = H.at[columns[:, None], columns[None]].add(own.T @ (own * weight[:, None]))
            if n_meals:
                by_day = along.reshape(days, -1, len(columns) + n_meals)
                gradient, H = _add_meals(gradient, H, columns, by_day, slope, weight)

    for name, block in fetal.items():
        add(block, J_fetus[name], jnp.arange(shared))
    for name, block in blocks.items():
        add(block, J_days[name], acting)
    for name, at in level.items():
        n_meals = meals if name == "cgm" else 0
        through = d_level[name][..., : len(acting) + n_meals]
        block, J = _shown(name, prior, data, z, of_shown, len(acting), at, through)
        add(block, J, jnp.concatenate([acting, of_shown]), n_meals)
    good = ok & jnp.isfinite(value) & jnp.isfinite(gradient).all() & jnp.isfinite(H).all()
    return Sweep(
        jnp.where(good, value, -jnp.inf),
        gradient.astype(float),
        H.astype(float),
        mid_mass(growth).astype(float),
    )


def _shown(
    name: str,
    prior: Prior,
    data: WomanData,
    z: Array,
    of_shown: Array,
    n_acting: int,
    level: Array,
    through: Array,
) -> tuple[Block, tuple[Array, Array]]:
    """The block of meter or sensor and its Jacobian, directions: acting latents, those of what is shown, meals.

    level : glucose at the readings, interstitial (time, day) for the sensor; through : its derivatives along acting
    latents and meals, direction last.
    """
    own = len(of_shown)

    def seen(s: Array, level: Array) -> tuple[tuple[Array, Array], Block]:
        latents = unpack(prior, data, z.at[of_shown].add(s))
        if name == "cgm":
            block = cgm_block(data, latents, sensor_level(data, latents, level, CGM_STEP_MIN))
        else:
            block = spot_block(data, latents, level)
        return _moving({name: block})[name], block

    _, along, block = jax.linearize(seen, jnp.zeros(own, z.dtype), level, has_aux=True)
    n_meals = through.shape[-1] - n_acting
    none = jnp.zeros((*level.shape, own), level.dtype)
    through = jnp.concatenate([through[..., :n_acting], none, through[..., n_acting:]], axis=-1)
    itself = jnp.eye(n_acting + own + n_meals, dtype=z.dtype)[:, n_acting : n_acting + own]
    return block, jax.vmap(along, in_axes=(0, -1), out_axes=-1)(itself, through)


def _add_meals(
    gradient: Array, H: Array, columns: Array, J: Array, slope: Array, weight: Array
) -> tuple[Array, Array]:
    """The arrow: meals of one day meet each other and what all days share. J : (day, time, mother's + meals)."""
    days, n_time, width = J.shape
    n_mother = len(columns)
    meals = width - n_mother
    first = H.shape[0] - meals * days
    shared, single = J[..., :n_mother], J[..., n_mother:]
    weighted = single * weight.reshape(days, n_time, 1)
    index = first + jnp.arange(meals)[:, None] * days + jnp.arange(days)[None]  # (meal, day)
    gradient = gradient.at[index].add(jnp.einsum("dtm,dt->md", single, slope.reshape(days, n_time)))
    across = jnp.einsum("dtg,dtm->gmd", shared, weighted)
    H = H.at[columns[:, None, None], index[None]].add(across)
    H = H.at[index[None], columns[:, None, None]].add(across)
    within = jnp.einsum("dtm,dtk->mkd", single, weighted)
    return gradient, H.at[index[:, None], index[None]].add(within)


@stored("prior", options=COMPILED_FAST)
def sweep_many(prior: Prior, women: WomanData, z: Array, mass: Array) -> Sweep:
    """`sweep` of women stacked on the leading axis (`stack_women`). z : (woman, latent); mass : (woman, week)."""
    return each_woman(functools.partial(sweep, prior), women, z, mass)


def each_woman(one: Callable, women: WomanData, *rows: Array) -> Any:
    """`one(data, *row)` for each of the stacked women, side by side; the growth table is common."""
    stacked = dataclasses.replace(jax.tree.map(lambda _: 0, women), table=None)
    return jax.vmap(one, in_axes=(stacked, *(0 for _ in rows)))(women, *rows)


def stack_women(women: list[WomanData]) -> WomanData:
    """Women of equal shapes on a new leading axis; the growth table stays one."""
    bare = [dataclasses.replace(w, table=None) for w in women]  # type: ignore[arg-type]
    stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *bare)
    return dataclasses.replace(stacked, table=women[0].table)
