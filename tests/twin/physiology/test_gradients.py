"""Derivatives of glucose: exact ones against central differences, in time across the step edges too."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.physiology.events import DayEvents
from twin.physiology.parameters import MaternalParams
from twin.physiology.simulate import glucose_at, simulate_day

#: central differences hold to this part of the derivative's size over the day
RELATIVE = 2e-3
READINGS = jnp.asarray([63.0, 130.0, 201.7, 333.3, 420.0, 700.0])
FIELDS = (
    "S_I",
    "B",
    "R0",
    "E_G0",
    "k_e",
    "k_a",
    "K_d",
    "n",
    "p2",
    "G_s",
    "T_s",
    "tau_IG",
    "tau_rapid",
    "U_fp",
)


def _readings(p, meal_min, meal_mg, dose_min, dose_mU, bout):
    """Interstitial glucose at six minutes; a meal, rapid insulin, metformin and a walk, from rest."""
    events = DayEvents.of(
        meals=((0.0, 60.0),), doses=((0.0, 1.0, "rapid"),), tablets=((60.3, 850.0),), bouts=((0.0, 1.0, 1.0),)
    )
    events = dataclasses.replace(
        events, meal_min=meal_min, meal_mg=meal_mg, dose_min=dose_min, dose_mU=dose_mU,
        bout_start=bout, bout_end=bout + 25.0,
    )  # fmt: skip
    return glucose_at(simulate_day(p, events, n_steps=288, repeated=False).IG, READINGS)


def _base(meal=97.3, dose=88.1, bout=131.2):
    p = jax.tree.map(lambda x: jnp.asarray(x, dtype=float), MaternalParams.reference(B=0.7))
    return (p, *(jnp.asarray([x]) for x in (meal, 60000.0, dose, 5000.0, bout)))


@pytest.fixture(scope="module")
def tangent():
    """(readings, their derivative along a direction): one program for values and slopes."""
    return jax.jit(lambda at, to: jax.jvp(_readings, at, to))


def _check(tangent, base, to, name):
    ahead, behind = (
        np.asarray(tangent(jax.tree.map(lambda x, d, s=s: x + s * d, base, to), to)[0]) for s in (1.0, -1.0)
    )
    central, exact = (ahead - behind) / 2.0, np.asarray(tangent(base, to)[1])
    assert np.abs(central).max() > 1e-7, name
    np.testing.assert_allclose(exact, central, atol=RELATIVE * np.abs(central).max(), err_msg=name)


def _direction(base, place, size):
    zero = jax.tree.map(jnp.zeros_like, base)
    return tuple(jnp.full_like(base[k], size) if k == place else zero[k] for k in range(len(base)))


@pytest.mark.parametrize("name", FIELDS)
def test_gradient_in_parameters(tangent, name):
    base = _base()
    zero = jax.tree.map(jnp.zeros_like, base)
    change = dataclasses.replace(zero[0], **{name: 1e-3 * getattr(base[0], name)})
    _check(tangent, base, (change, *zero[1:]), name)


@pytest.mark.parametrize(("place", "size"), [(2, 60.0), (4, 5.0)])
def test_gradient_in_amounts(tangent, place, size):
    base = _base()
    _check(tangent, base, _direction(base, place, size), place)


@pytest.mark.parametrize("minute", [97.3, 98.76, 100.0, 102.5, 102.5 + 1e-6])
@pytest.mark.parametrize(("place", "name"), [(1, "meal"), (3, "dose"), (5, "bout")])
def test_gradient_in_time(tangent, place, name, minute):
    """Meal, dose and walk moved by +- 0.02 min, inside a step, at its edge and across it."""
    base = _base(**{name: minute})
    _check(tangent, base, _direction(base, place, 0.02), f"{name} at {minute}")


def test_glucose_is_continuous_in_the_time_of_a_dose(tangent):
    """Moving an event over an edge by a billionth of a minute moves no reading: nothing is rounded to the grid."""
    for name in ("meal", "dose", "bout"):
        left, right = (
            np.asarray(tangent(b := _base(**{name: 100.0 + s * 1e-9}), _direction(b, 2, 1.0))[0])
            for s in (-1, 1)
        )
        assert np.abs(left - right).max() < 1e-8, name


def test_reverse_mode_is_forward_mode():
    """The same numbers by `jax.vjp` and `jax.jvp`: parameters, time and mass of a meal."""

    def readings(p, meal_min, meal_mg):
        events = dataclasses.replace(DayEvents.of(meals=((0.0, 0.0),)), meal_min=meal_min, meal_mg=meal_mg)
        return glucose_at(simulate_day(p, events, n_steps=288, repeated=False).IG, READINGS)

    weights = jnp.asarray([1.0, -0.5, 0.3, 0.7, -0.2, 0.1])
    at = _base()[:3]
    to = jax.tree.map(lambda x: 0.01 * x, at)

    @jax.jit
    def both():
        return jax.vjp(readings, *at)[1](weights), jax.jvp(readings, at, to)[1]

    reverse, forward = both()
    pulled = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), reverse, to)))
    np.testing.assert_allclose(pulled, (weights * forward).sum(), rtol=1e-10)
    assert all(np.isfinite(np.asarray(g)).all() for g in jax.tree.leaves(reverse))
