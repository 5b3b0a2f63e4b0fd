"""The log density of a pregnancy made cheap for gradients, and close enough to be corrected by weights.

In `log_joint` the weeks follow one another, because the fetus takes up what its mass asks for. Here all days, those of
the weeks, the sensor and the tests, run side by side at coarse steps. The mass that feeds back is that of a fetus
growing without its mother's glucose, scaled to meet the true mass at one known point. Over a posterior the logarithm
differs from `log_joint` by a constant and about 0.1 (tested).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from twin.encode import WomanData
from twin.inference.model import (
    Predictions,
    at_spots,
    cgm_block,
    every_day,
    fetal_blocks,
    in_precision,
    mid_mass,
    ogtt_block,
    sensor_level,
    spot_block,
    total,
)
from twin.inference.priors import Latents, Prior, unpack
from twin.observation.blocks import Block
from twin.physiology.coupled import Course, power_mean, recorded_edges
from twin.physiology.fetus import Growth, grow, starting_state
from twin.physiology.simulate import COARSE_STEP_MIN


class Known(NamedTuple):
    """The woman, and the mass that feeds back over that of a fetus without glucose, (week,), at one point."""

    data: WomanData
    mass_ratio: Array


def known_at(prior: Prior, data: WomanData, z: Array, mass: Array) -> Known:
    """mass : fetal weight at mid-week at z, (week,), g."""
    return Known(data, mass / _mass_at(prior, data, z))


@functools.partial(jax.jit, static_argnames="prior")
def _mass_at(prior: Prior, data: WomanData, z: Array) -> Array:
    return _mass_without_glucose(data, unpack(prior, data, z))


def _growth(data: WomanData, latents: Latents, exposure: Array) -> Growth:
    """Growth of the fetus under the exposure of each glucose week, (week,); none before."""
    dtype = exposure.dtype
    none = jnp.zeros(data.n_cells - exposure.shape[0], dtype)
    edges = recorded_edges(data.n_cells, dtype, 0) + latents.dating_shift_weeks
    start = starting_state(latents.fetus, edges[0], data.table)
    return grow(latents.fetus, start, edges, jnp.concatenate([none, exposure]), latents.deviation, data.table)


def _mass_without_glucose(data: WomanData, latents: Latents) -> Array:
    return mid_mass(_growth(data, latents, jnp.zeros_like(data.reference_exposure)))


@dataclass(frozen=True)
class NearJoint:
    """Nearly `log_joint`, of one woman at one point z (latent,), in single precision with sums in double."""

    prior: Prior
    step_min: float = COARSE_STEP_MIN

    def __call__(self, known: Known, z: Array) -> Array:
        z, h = z.astype(jnp.float32), self.step_min
        data = in_precision(known.data, z.dtype)
        latents = unpack(self.prior, data, z)
        mass = _mass_without_glucose(data, latents) * known.mass_ratio.astype(z.dtype)
        every = every_day(data, latents, mass, h, adjoint=True)
        n_weeks, n_sensor = mass.shape[0], data.cgm.week.shape[0]
        days = every.G[:, :n_weeks]
        exposure = jnp.log(power_mean(days) / data.reference_exposure)
        growth = _growth(data, latents, exposure)
        blocks: dict[str, Block] = {}
        if data.spots.value.shape[0]:
            blocks["spot_glucose"] = spot_block(data, latents, at_spots(data, days.T))
        if n_sensor:
            IG = every.IG[:, n_weeks : n_weeks + n_sensor]
            blocks["cgm"] = cgm_block(data, latents, sensor_level(data, latents, IG, h))
        if data.ogtt.week.shape[0]:
            blocks["ogtt"] = ogtt_block(data, every.G[:, n_weeks + n_sensor :], h)
        ok = every.ok.all()
        course = Course(days.T, exposure, growth, ok)
        return total(z, Predictions(blocks | fetal_blocks(data, latents, growth), course, ok))
