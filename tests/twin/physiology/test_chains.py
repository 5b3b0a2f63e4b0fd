"""Linear chains against the reference's closed forms and explicit sums, equal rates and both precisions included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference import closed_form
from twin.physiology import chains
from twin.physiology.parameters import METFORMIN_K_ABS

DAY = 1440.0


@pytest.mark.parametrize("k_a", [0.004, 0.025, 0.0250001, 0.026, 0.057, 0.5])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gut_states_have_their_closed_form(k_a, dtype):
    age = np.array([-3.0, 0.0, 1e-6, 0.4, 2.5, 17.3, 120.0, 700.0, 2880.0])
    got = chains.gut_states(*(jnp.asarray(x, dtype) for x in (62000.0, age, 0.025, k_a)))
    expected = closed_form.gut_states(age, 62.0, 0.025, k_a)
    # before the meal the gut is empty; the closed form there is the meal's own start
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == dtype and ours[0] == 0.0
        np.testing.assert_allclose(ours[1:], theirs[1:], atol=6e-7 * 62000.0 if dtype == "float32" else 1e-8)


def test_gut_step_is_the_semigroup_of_the_closed_form():
    for k_e, k_a in [(0.025, 0.057), (0.03, 0.03), (0.06, 0.01)]:
        e, s12, s1q, s2q, aq = chains.gut_propagator(2.5, jnp.asarray(k_e), jnp.asarray(k_a))
        S1, S2, Q = (float(x) for x in closed_form.gut_states(40.0, 50.0, k_e, k_a))
        later = closed_form.gut_states(42.5, 50.0, k_e, k_a)
        ours = (e * S1, e * S2 + s12 * S1, aq * Q + s2q * S2 + s1q * S1)
        np.testing.assert_allclose(ours, later, rtol=1e-12)


def test_injected_insulin_absorbed_is_the_integral_of_its_rate():
    t = np.linspace(0.0, 1440.0, 144001)
    for tau in (55.0, 600.0):
        rate = closed_form.subcutaneous_rate(t, 1.0, tau, 1.0) / 1000.0
        total = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(t))])
        got = chains.two_stage_absorbed(jnp.asarray(t[::1000]), jnp.asarray(tau))
        np.testing.assert_allclose(got, total[::1000], atol=1e-9)


@pytest.mark.parametrize("k_el", [0.0005, 0.00324, METFORMIN_K_ABS * (1 + 1e-7), METFORMIN_K_ABS, 0.02])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_daily_tablets_are_the_sum_over_all_earlier_days(k_el, dtype):
    age = np.array([0.0, 3.0, 100.0, 700.0, 1439.9])
    params = {"k_m": METFORMIN_K_ABS, "k_el": k_el, "F_m": 1.0}
    expected = sum(closed_form.metformin_amount(age + DAY * d, 1.0, params) for d in range(60))
    args = (jnp.asarray(x, dtype) for x in (age, METFORMIN_K_ABS, k_el))
    got = chains.depot_amount_periodic(*args, DAY)
    np.testing.assert_allclose(got, expected, rtol=5e-6 if dtype == "float32" else 1e-11)
    once = chains.depot_amount(jnp.asarray(age), METFORMIN_K_ABS, jnp.asarray(k_el))
    np.testing.assert_allclose(once, closed_form.metformin_amount(age, 1.0, params), rtol=1e-11)


@pytest.mark.parametrize("tau", [55.0, 360.0, 1200.0])
def test_daily_insulin_is_the_sum_over_all_earlier_days(tau):
    age = np.array([0.0, 3.0, 100.0, 700.0, 1439.9])
    since = (age[:, None] + DAY * np.arange(60)) / tau
    left = ((1.0 + since) * np.exp(-since)).sum(axis=1)
    got = chains.two_stage_remaining_periodic(jnp.asarray(age), jnp.asarray(tau), DAY)
    np.testing.assert_allclose(got, left, rtol=1e-11)


def test_phi_functions_through_zero():
    x = np.array([-700.0, -3.0, -0.31, -0.29, -1e-3, -1e-9, 0.0, 1e-9, 0.2, 0.4, 2.0])
    z = np.where(x == 0, 1.0, x)
    exact1 = np.where(x == 0, 1.0, np.expm1(z) / z)
    np.testing.assert_allclose(chains.phi1(jnp.asarray(x)), exact1, rtol=1e-14)
    # integral of (1 - s) exp(x s) over s in 0..1, by a rule of high order
    s, w = np.polynomial.legendre.leggauss(60)
    s, w = 0.5 * (s + 1), 0.5 * w
    exact2 = np.array([np.sum(w * (1 - s) * np.exp(v * s)) for v in x[1:]])
    np.testing.assert_allclose(chains.phi2(jnp.asarray(x))[1:], exact2, rtol=1e-11)
    slopes = jax.jit(jax.vmap(jax.grad(chains.phi2)))(jnp.asarray([-1e-12, 0.0, 1e-12]))
    np.testing.assert_allclose(slopes, 1 / 6, rtol=1e-9)
