"""Exact solutions of the linear chains: gut, subcutaneous insulin, metformin, activity.

All are divided differences of the exponential; where two rates meet the closed form is singular, so phi
functions with a series are used. No dose is ever rounded to a grid: each enters at its own minute.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

_SERIES_BELOW = 0.3  # below it the series of 9 terms is exact to 1e-12 relative


def phi1(x: Array) -> Array:
    """(exp(x) - 1) / x, entire, 1 at 0."""
    safe = jnp.where(x == 0, 1.0, x)
    return jnp.where(x == 0, 1.0 + x / 2, jnp.expm1(safe) / safe)


def phi2(x: Array) -> Array:
    """(exp(x) - 1 - x) / x^2, entire, 1/2 at 0."""
    small = jnp.abs(x) < _SERIES_BELOW
    safe = jnp.where(small, 1.0, x)
    xs = jnp.where(small, x, 0.0)
    series = jnp.zeros_like(x)
    for k in (11.0, 10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0):  # Horner: 1/2! + x/3! + x^2/4! + ...
        series = (1.0 + series) * xs / k
    return jnp.where(small, (1.0 + series) / 2, (jnp.expm1(safe) - safe) / safe**2)


def gut_states(mass: Array, age: Array, k_e: Array, k_a: Array) -> tuple[Array, Array, Array]:
    """(S1, S2, Q) in the unit of `mass`, `age` >= 0 minutes after it entered S1 (zero before)."""
    given = age >= 0
    t = jnp.where(given, age, 0.0)
    m = jnp.where(given, mass, 0.0)
    emptied = jnp.exp(-k_e * t)
    s1 = m * emptied
    s2 = s1 * (k_e * t)
    # Q = m k_e^2 * exp[k_e, k_e, k_a], second divided difference of exp(-k t). phi2's argument is kept <= 0 by
    # choosing the larger exponential as the common factor, so that nothing overflows.
    d = (k_e - k_a) * t
    low = emptied * t**2 * phi2(jnp.minimum(d, 0.0))  # k_e <= k_a
    dp = jnp.maximum(d, 0.0)
    high = jnp.exp(-k_a * t) * t**2 * (phi1(-dp) - jnp.exp(-dp)) / jnp.where(dp > 1e-6, dp, 1.0)
    high = jnp.where(dp > 1e-3, high, emptied * t**2 * (0.5 + dp / 6 + dp**2 / 24))
    return s1, s2, m * k_e**2 * jnp.where(d <= 0, low, high)


def two_stage_absorbed(age: Array, tau: Array) -> Array:
    """Fraction that has left a two-compartment chain `age` minutes after the dose (0 before it)."""
    u = jnp.maximum(age, 0.0) / tau
    return -jnp.expm1(-u) - u * jnp.exp(-u)


def depot_amount(age: Array, k_in: float, k_out: Array) -> Array:
    """Amount in the central compartment per unit dose, depot emptied at `k_in`, eliminated at `k_out`."""
    t = jnp.maximum(age, 0.0)
    return k_in * t * jnp.exp(-k_out * t) * phi1((k_out - k_in) * t)


def depot_amount_periodic(age: Array, k_in: float, k_out: Array, period: float) -> Array:
    """`depot_amount` summed over the same dose on this and all earlier periods; `age` in [0, period).

    The difference of two geometric series over the difference of the rates, both taken as phi functions: every
    term is positive, and nothing is singular or cancels where the rates meet.
    """
    slow, fast = -jnp.expm1(-k_out * period), -jnp.expm1(-k_in * period)
    gap = k_out - k_in
    decayed = jnp.exp(-k_out * age) * age * phi1(gap * age) * fast
    carried = jnp.exp(-k_in * age) * jnp.exp(-k_out * period) * period * phi1(gap * period)
    return k_in * (decayed + carried) / (slow * fast)


def two_stage_remaining_periodic(age: Array, tau: Array, period: float) -> Array:
    """Amount still in the chain, summed over this and all earlier periods; `age` in [0, period)."""
    q = jnp.exp(-period / tau)
    one = 1.0 / (1 - q)
    return jnp.exp(-age / tau) * ((1 + age / tau) * one + (period / tau) * q * one**2)


def bout_level(t: Array, start: Array, end: Array, tau: float) -> Array:
    """First-order response at `t` to intensity 1 between `start` and `end`."""
    on = jnp.clip(t - start, 0.0, jnp.maximum(end - start, 0.0))
    after = jnp.maximum(t - end, 0.0)
    return -jnp.expm1(-on / tau) * jnp.exp(-after / tau)


def gut_propagator(h: float, k_e: Array, k_a: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Exact step of (S1, S2, Q): e, s12, s1q, s2q, aq with
    S1' = e S1; S2' = e S2 + s12 S1; Q' = aq Q + s2q S2 + s1q S1."""
    one = jnp.ones_like(k_e * k_a)
    e, s12, s1q = gut_states(one, h * one, k_e, k_a)
    aq = jnp.exp(-k_a * h)
    s2q = k_e * h * aq * phi1((k_a - k_e) * h)
    return e, s12, s1q, s2q, aq
