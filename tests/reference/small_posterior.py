"""A small posterior of glucose: Bergman's minimal model over one day, to compare samplers on.

    dG/dt = -(S_G + X) G + S_G G_b + Ra / V_G,   dX/dt = -p2 (X - S_I (I - I_b)),   X(0) = 0

288 readings of G, one at the end of each Heun step of 5 min, with normal errors; Ra and I are known and held over the
step. Five unknowns: ln S_I, ln S_G, ln p2, ln G(0), ln SD of the errors. All figures are assumed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twin.inference.laplace import Mode, climb
from twin.inference.linearise import Sweep
from twin.physiology.adjoint import scan_states

STEP_MIN, STEPS = 5.0, 288
G_B, V_G = 90.0, 1.6  # mg/dL, dL/kg
MEALS = ((480.0, 45.0), (780.0, 60.0), (1140.0, 70.0))  # min, g, of a woman of 70 kg
#: prior of the unknowns, mean and SD; readings are drawn at TRUTH
CENTER = np.array([np.log(6e-4), np.log(0.02), np.log(0.03), np.log(95.0), np.log(10.0)])
SD = np.array([0.7, 0.3, 0.5, 0.1, 0.5])
TRUTH = CENTER + SD * np.array([0.2, -0.1, 0.1, 0.3, 0.4])


class Day(NamedTuple):
    """What is known, (step,) each: Ra / V_G, mg/dL/min; insulin above its basal value, uU/mL; readings, mg/dL."""

    appearance: Array
    insulin: Array
    readings: Array


def glucose(theta: Array, appearance: Array, insulin: Array) -> Array:
    """G after each step, (step,). theta : (5,)."""
    S_I, S_G, p2 = jnp.exp(theta[0]), jnp.exp(theta[1]), jnp.exp(theta[2])

    def slope(p, y, x):
        return (
            -(p[1] + y[1]) * y[0] + p[1] * G_B + x[0],
            -p[2] * (y[1] - p[0] * x[1]),
        )

    def heun(p, y, x):
        a = slope(p, y, x)
        b = slope(p, tuple(u + STEP_MIN * v for u, v in zip(y, a, strict=True)), x)
        return tuple(u + 0.5 * STEP_MIN * (v + w) for u, v, w in zip(y, a, b, strict=True))

    start = (jnp.exp(theta[3]), jnp.zeros_like(theta[0]))
    return scan_states(heun, (S_I, S_G, p2), start, (appearance, insulin))[0]


@dataclass(frozen=True)
class SmallPosterior:
    """Log density in standard normal coordinates z (5,) of the prior."""

    def __call__(self, day: Day, z: Array) -> Array:
        theta = jnp.asarray(CENTER) + jnp.asarray(SD) * z
        off = (day.readings - glucose(theta, day.appearance, day.insulin)) / jnp.exp(theta[4])
        return -0.5 * jnp.sum(off**2) - STEPS * theta[4] - 0.5 * jnp.sum(z**2)


def make_day(seed: int) -> Day:
    t = STEP_MIN * np.arange(STEPS)
    appearance, insulin = np.zeros(STEPS), np.zeros(STEPS)
    for at, grams in MEALS:
        age = np.maximum(t - at, 0.0)
        appearance += 0.9 * 1000.0 * grams / 70.0 / V_G * age / 40.0**2 * np.exp(-age / 40.0)
        insulin += grams * age / 50.0 * np.exp(1.0 - age / 50.0)
    known = jnp.asarray(appearance), jnp.asarray(insulin)
    noise = np.random.default_rng(seed).standard_normal(STEPS)
    readings = np.asarray(glucose(jnp.asarray(TRUTH), *known)) + np.exp(TRUTH[4]) * noise
    return Day(*known, jnp.asarray(readings))


def mode_of(density: SmallPosterior, day: Day) -> Mode:
    """Its mode, by the search that finds a woman's; the curvature is that of the density."""

    def look(_: np.ndarray, z: np.ndarray, mass: np.ndarray) -> Sweep:
        return Sweep(*(x[None] for x in _whole(density, day, jnp.asarray(z[0]))), mass=mass)

    (mode,) = climb(look, np.zeros((1, 5)), np.zeros((1, 0)), 5)
    return mode


@functools.partial(jax.jit, static_argnums=0)
def _whole(density: SmallPosterior, day: Day, z: Array) -> tuple[Array, Array, Array]:
    return density(day, z), jax.grad(density, argnums=1)(day, z), _curvature(density, day, z)


def _curvature(density: SmallPosterior, day: Day, z: Array) -> Array:
    """Negative second derivative, by central differences of the gradient; far from the mode its positive part."""
    e = 1e-4 * jnp.eye(5)
    gradient = jax.vmap(lambda at: jax.grad(density, argnums=1)(day, at))
    H = -(gradient(z[None] + e) - gradient(z[None] - e)) / 2e-4
    value, vector = jnp.linalg.eigh(0.5 * (H + H.T))
    return (vector * jnp.maximum(value, 1.0)[None]) @ vector.T
