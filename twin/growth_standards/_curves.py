"""Families of reference curves as scalar kernels (one value, one day, one sex); `_evaluate` maps them.

A `Standard` is two functions, value from z and z from value, that are inverses of each other, and the days
between which its source publishes them. Kernels see only days inside that range.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

Kernel = Callable[[Array, Array, Array], Array]
"""(z or value, gestational day, sex code) -> value or z; all scalars."""

FEMALE, MALE, UNKNOWN = 0, 1, -1


@dataclass(frozen=True, eq=False)
class Standard:
    """One curve family of one quantity. `typical` is any value inside the support; it stands in for values
    that are masked out, so that gradients stay finite."""

    name: str
    first_day: float
    last_day: float
    value_from_z: Kernel
    z_from_value: Kernel
    typical: float


def polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Horner's rule, lowest power first."""
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def normal(mean: Callable[[Array], Array], sd: Callable[[Array], Array]) -> tuple[Kernel, Kernel]:
    """Value = mean + z sd; both are functions of exact weeks."""

    def value_from_z(z: Array, day: Array, sex: Array) -> Array:
        return mean(day / 7) + z * sd(day / 7)

    def z_from_value(value: Array, day: Array, sex: Array) -> Array:
        return (value - mean(day / 7)) / sd(day / 7)

    return value_from_z, z_from_value


def lognormal(mu: Callable[[Array], Array], sigma: Callable[[Array], Array]) -> tuple[Kernel, Kernel]:
    """ln value = mu + z sigma; both are functions of exact weeks."""
    log_from_z, z_from_log = normal(mu, sigma)

    def value_from_z(z: Array, day: Array, sex: Array) -> Array:
        return jnp.exp(log_from_z(z, day, sex))

    def z_from_value(value: Array, day: Array, sex: Array) -> Array:
        return z_from_log(jnp.log(value), day, sex)

    return value_from_z, z_from_value


def lms_of_log(
    lam: Callable[[Array], Array], mu: Callable[[Array], Array], sigma: Callable[[Array], Array]
) -> tuple[Kernel, Kernel]:
    """Cole's LMS on y = ln value: z = ((y/M)^L - 1) / (L S). Written so that L = 0 is an ordinary point.

    NaN where 1 + L S z <= 0: no weight has that z. For both INTERGROWTH-21st weight standards |z| is then
    above 7.
    """

    def value_from_z(z: Array, day: Array, sex: Array) -> Array:
        week = day / 7
        spread = sigma(week) * z
        u = lam(week) * spread
        small = jnp.abs(u) < 1e-4
        safe = jnp.where(small, 1.0, u)
        ratio = jnp.where(small, 1 - u / 2 + u * u / 3, jnp.log1p(safe) / safe)
        return jnp.exp(mu(week) * jnp.exp(spread * ratio))

    def z_from_value(value: Array, day: Array, sex: Array) -> Array:
        week = day / 7
        log_ratio = jnp.log(jnp.log(value) / mu(week))
        t = lam(week) * log_ratio
        small = jnp.abs(t) < 1e-4
        safe = jnp.where(small, 1.0, t)
        return log_ratio * jnp.where(small, 1 + t / 2 + t * t / 6, jnp.expm1(safe) / safe) / sigma(week)

    return value_from_z, z_from_value


def piecewise_linear(
    x: Array, knots_x: Array, knots_y: Array, slope_below: Array, slope_above: Array
) -> Array:
    """Monotone interpolation of one scalar through (K,) knots, with straight tails; no search, no gather.

    Each segment adds its slope times the part of it below x, so the sum is exact at every knot.
    """
    low, high = knots_x[:-1], knots_x[1:]
    slopes = jnp.diff(knots_y) / (high - low)
    inside = jnp.sum(slopes * (jnp.clip(x, low, high) - low))
    below = slope_below * jnp.minimum(x - knots_x[0], 0)
    above = slope_above * jnp.maximum(x - knots_x[-1], 0)
    return knots_y[0] + inside + below + above


def quantile_knots(
    z_knots: np.ndarray,
    log_knots: Callable[[Array, Array], Array],
    log_sd: Callable[[Array], tuple[Array, Array]],
) -> tuple[Kernel, Kernel]:
    """Published quantile curves joined by straight lines in (z, ln value).

    log_knots : (day, sex) -> (K,) ln of the curves at `z_knots`, increasing.
    log_sd : (K,) ln curves -> the local SD on the ln scale used below the first and above the last curve.
    """

    def value_from_z(z: Array, day: Array, sex: Array) -> Array:
        logs = log_knots(day, sex)
        below, above = log_sd(logs)
        return jnp.exp(piecewise_linear(z, jnp.asarray(z_knots, logs.dtype), logs, below, above))

    def z_from_value(value: Array, day: Array, sex: Array) -> Array:
        logs = log_knots(day, sex)
        below, above = log_sd(logs)
        return piecewise_linear(jnp.log(value), logs, jnp.asarray(z_knots, logs.dtype), 1 / below, 1 / above)

    return value_from_z, z_from_value


def chord_sd(z_knots: np.ndarray) -> Callable[[Array], tuple[Array, Array]]:
    """Local SD of each tail: from the median curve to the outermost published curve, per unit of z."""
    median = int(np.argmin(np.abs(z_knots)))

    def log_sd(logs: Array) -> tuple[Array, Array]:
        below = (logs[0] - logs[median]) / float(z_knots[0] - z_knots[median])
        above = (logs[-1] - logs[median]) / float(z_knots[-1] - z_knots[median])
        return below, above

    return log_sd
