"""Gradients by the adjoint scan against JAX's own reverse mode through the plain scan."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from twin.physiology.adjoint import scan_states
from twin.physiology.events import DayEvents, side_by_side
from twin.physiology.parameters import MaternalParams
from twin.physiology.simulate import simulate_day

DAY = DayEvents.of(
    meals=((30.0, 45.0), (61.0, 20.0)),
    doses=((20.0, 4.0, "rapid"),),
    rank=1,
)


def test_a_day_has_the_same_gradient_both_ways():
    """Three lanes with meals and insulin; parameters and amounts moved: same value and gradient in double."""

    def parts(x):
        base = MaternalParams.reference()
        p = jax.tree.map(lambda v: v * jnp.exp(0.1 * x[:3]), base)
        p = dataclasses.replace(p, S_I=p.S_I * jnp.exp(x[3]), k_e=p.k_e * jnp.exp(x[4]))
        events = dataclasses.replace(
            DAY, meal_mg=DAY.meal_mg * jnp.exp(x[5]), dose_mU=DAY.dose_mU * jnp.exp(x[6])
        )
        return p, events

    def told(x, adjoint):
        day = simulate_day(*parts(x), n_steps=40, h=5.0, adjoint=adjoint)
        weight = jnp.linspace(1.0, 2.0, 41)[:, None]
        return (jnp.log(day.G) * weight).sum() + (day.IG[1::3] ** 2).sum() / 1e4 + day.end.I.sum()

    x = jnp.asarray([0.3, -0.2, 0.5, 0.2, -0.1, 0.1, 0.4])
    value, gradient = jax.jit(jax.value_and_grad(lambda x: told(x, False)))(x)
    same, other = jax.jit(jax.value_and_grad(lambda x: told(x, True)))(x)
    np.testing.assert_allclose(same, value, rtol=1e-12)
    np.testing.assert_allclose(other, gradient, rtol=1e-9)
    assert np.abs(np.asarray(gradient)).min() > 1e-3, "every direction is seen"


def test_linear_recurrence_in_closed_form():
    """y_{n+1} = a y_n + x_n: derivatives of the last state by start, a and every input are powers of a."""

    def last(a, y0, x):
        return scan_states(lambda p, y, now: p * y + now, a, y0, x)[-1]

    a, y0, x = jnp.asarray(0.9), jnp.asarray(2.0), jnp.zeros(8)
    of_a, of_start, of_inputs = jax.grad(last, argnums=(0, 1, 2))(a, y0, x)
    np.testing.assert_allclose(of_a, 8 * 0.9**7 * 2.0)
    np.testing.assert_allclose(of_start, 0.9**8)
    np.testing.assert_allclose(of_inputs, 0.9 ** np.arange(7, -1, -1))


def test_days_side_by_side_are_the_days():
    """A day of meals and insulin beside one with a single meal: each as when alone."""
    meal = DayEvents.of(meals=((0.0, 75.0),), rank=1)
    both = side_by_side([DAY, meal])
    p = jax.tree.map(lambda v: jnp.full((1,), v), MaternalParams.reference())
    day = jax.jit(lambda p, events: simulate_day(p, events, h=5.0).G)
    once = jax.jit(lambda p, events: simulate_day(p, events, n_steps=36, h=5.0, repeated=False).G)
    G = np.asarray(day(p, both))
    np.testing.assert_allclose(G[:, 0], np.asarray(day(p, DAY))[:, 0], rtol=1e-9)
    np.testing.assert_allclose(
        G[:37, 1], np.asarray(once(p, meal))[:, 0], rtol=1e-9, err_msg="nothing is left of yesterday's"
    )
