"""One Gauss-Newton sweep: log density, gradient and curvature of a woman's posterior, for one or many women.

Only a proposal is made of it, so it is computed where it is cheap: at the coarse step, in single precision, with the
fetal mass that feeds back on the mother taken from the sweep before. Derivatives are forward, and follow the model's
structure: the fetus does not move glucose but through that mass, and a meal touches its own day, so that one direction
per meal serves all sensor days.
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
    fetal_blocks,
    glucose_blocks,
    in_precision,
    log_prior,
    mid_mass,
    plan_for,
)
from twin.inference.priors import Prior, meal_shape, unpack
from twin.observation.blocks import Block
from twin.physiology.coupled import glucose_weeks, power_mean, recorded_edges, reference_days
from twin.physiology.fetus import FIRST_WEEK, GLUCOSE_FROM_WEEK, Growth, grow, starting_state, table_weight
from twin.physiology.simulate import COARSE_STEP_MIN
from twin.programs import COMPILED_FAST, stored


class Sweep(NamedTuple):
    """The posterior at one point. `mass`: fetal weight at mid-week there, (week,), g."""

    value: Array
    gradient: Array
    H: Array
    mass: Array


def standard_mass(data: WomanData) -> np.ndarray:
    """Fetal weight of the growth standard in the middle of each glucose week, g, (week,)."""
    n = data.n_cells - (GLUCOSE_FROM_WEEK - FIRST_WEEK)
    return np.asarray(table_weight(data.table, jnp.asarray(glucose_weeks()[:n])))


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
    dtype, n = jnp.float32, z.shape[0]
    z, mass, data = z.astype(dtype), mass.astype(dtype), in_precision(data, dtype)
    shared, (meals, days) = prior.n_shared(data), meal_shape(data)
    columns = jnp.asarray(prior.of_the_mother(data))
    n_mother, n_glucose = len(columns), data.reference_exposure.shape[0]
    weeks = jnp.asarray(glucose_weeks()[:n_glucose], dtype=dtype)

    def mother(s: Array) -> tuple[tuple, tuple]:
        """s : (mother's latents + meals,), moves away from z; each meal's moves it on every day."""
        single = jnp.repeat(s[n_mother:], days)
        v = (z + jnp.concatenate([jnp.zeros(shared, dtype), single])).at[columns].add(s[:n_mother])
        latents = unpack(prior, data, v)
        plan = plan_for(data, latents, 0)
        trajectory, _ = reference_days(
            latents.maternal, latents.pregnancy, plan, weeks, mass, data.table, COARSE_STEP_MIN
        )
        x = jnp.log(power_mean(trajectory.G) / data.reference_exposure)
        blocks = glucose_blocks(data, latents, trajectory.G.T, mass, COARSE_STEP_MIN)
        return (x, _moving(blocks)), (x, blocks, trajectory.ok.all())

    (dx, J_mother), (x0, blocks, ok) = _jacobian(mother, jnp.zeros(n_mother + meals, dtype))

    def fetus(v: Array) -> tuple[dict, tuple[dict[str, Block], Growth]]:
        latents = unpack(prior, data, jnp.concatenate([v, z[shared:]]))
        moved = x0 + dx[:, :n_mother] @ (v - z[:shared])[columns]
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
    for name, block in fetal.items():
        each, slopes, weights = _slopes(block)
        value = value + each
        for J, slope, weight in zip(J_fetus[name], slopes, weights, strict=True):
            gradient = gradient.at[:shared].add(J.T @ slope)
            H = H.at[:shared, :shared].add(J.T @ (J * weight[:, None]))
    for name, block in blocks.items():
        each, slopes, weights = _slopes(block)
        value = value + each
        for J, slope, weight in zip(J_mother[name], slopes, weights, strict=True):
            own = J[:, :n_mother]
            gradient = gradient.at[columns].add(own.T @ slope)
            H = H.at[columns[:, None], columns[None]].add(own.T @ (own * weight[:, None]))
            if name == "cgm":
                gradient, H = _add_meals(
                    gradient, H, columns, J.reshape(days, -1, n_mother + meals), slope, weight
                )
    good = ok & jnp.isfinite(value) & jnp.isfinite(gradient).all() & jnp.isfinite(H).all()
    return Sweep(
        jnp.where(good, value, -jnp.inf),
        gradient.astype(float),
        H.astype(float),
        mid_mass(growth).astype(float),
    )


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
