"""The fast path against the reference, LSODA, diffrax, itself at half the step, and itself one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.reference import maternal_lsoda
from tests.reference.women import draw_women
from tests.statistical import numerics
from tests.statistical.bridge import cast, matched_women
from twin.physiology.diffrax_day import diffrax_day
from twin.physiology.events import DayEvents
from twin.physiology.maternal import MaternalState, StepCoefficients, StepDrive, step, vector_field
from twin.physiology.parameters import MaternalParams
from twin.physiology.simulate import DAY_STEPS, STEP_MIN, simulate_day


@pytest.fixture(scope="module")
def hundred():
    """The first hundred of the 2 000 women of docs/model/numerics.md, with reference (0.5 min) and fast path."""
    drawn = matched_women(draw_women(100, seed=1))
    return drawn, numerics.run_reference(drawn, step_min=0.5), numerics.run_fast(drawn)


@pytest.mark.parametrize("use", numerics.USES)
def test_error_of_the_fast_path(hundred, use):
    """p99 over women of the largest |G| and |IG| error in two days; all 2 000 in tests/statistical."""
    drawn, truth, fast = hundred
    dtype, h, limit = numerics.USES[use]
    for worst in numerics.errors(
        truth, fast if dtype == "float64" else numerics.run_fast(drawn, dtype, h), h
    ):
        assert np.isfinite(worst).all()
        assert np.quantile(worst, 0.99) <= limit
        assert worst.max() <= numerics.LARGEST


def test_a_third_solver_agrees(hundred):
    """SciPy LSODA, which shares nothing with the reference but closed forms, for women on insulin and metformin."""
    drawn, _, (G, IG, _) = hundred
    chosen = [lane for lane, (_, e) in enumerate(drawn) if e["doses"] and e["tablets"]][:2]
    for lane in chosen:
        other = maternal_lsoda.simulate(*drawn[lane], 2880.0, out_every_min=STEP_MIN)
        assert np.abs(other["G"] - G[:, lane]).max() < 0.5
        assert np.abs(other["IG"] - IG[:, lane]).max() < 0.5


def test_halving_the_step(hundred):
    """The scheme is of second order: half the step moves glucose by less than the bar and quarters the error."""
    drawn, truth, fast = hundred
    half = numerics.run_fast(drawn, h=STEP_MIN / 2)
    assert np.quantile(np.abs(half[0][::2] - fast[0]).max(axis=0), 0.99) <= numerics.USES["density"][2]
    ratio = numerics.errors(truth, fast)[0] / numerics.errors(truth, half, h=STEP_MIN / 2)[0]
    assert 3.0 < np.median(ratio) < 5.0


def test_diffrax_gives_the_same_day(woman_arrays, simulate):
    """The solver as diffrax steps it and the scan of the hot path are one scheme."""
    p, events = woman_arrays
    np.testing.assert_allclose(jax.jit(diffrax_day)(p, events), simulate(p, events).G, rtol=1e-12)


def test_vector_field_is_the_limit_of_the_scheme(woman_arrays):
    """At a small step the scheme moves along the right-hand side the docs print."""
    p, _ = woman_arrays
    h, drive = 1e-5, StepDrive(None, 3.0, 0.05, (0.001, 0.001), 1.3)
    like = jnp.ones_like(p.BW)
    y = MaternalState(*(x * like for x in (4000.0, 2500.0, 9000.0, 110.0, 0.012, 6.0, 45.0, 103.0)))
    moved = jax.jit(lambda p, y: step(p, StepCoefficients.of(p, h), y, drive))(p, y)
    slope = vector_field(jnp.asarray(0.0), y, (p, drive))
    for name, before, after, exact in zip(y._fields, y, moved, slope, strict=True):
        np.testing.assert_allclose((after - before) / h, exact, rtol=2e-3, atol=1e-8, err_msg=name)


def test_a_loop_equals_the_batch(woman_arrays, simulate):
    p, events = woman_arrays
    batch = simulate(p, events)
    for lane in (0, 5, 11):
        alone = simulate(*jax.tree.map(lambda x: x[..., lane : lane + 1], (p, events)))  # noqa: B023
        np.testing.assert_allclose(alone.G[:, 0], batch.G[:, lane], rtol=1e-12)


def test_ones_broadcast_over_a_batch_of_two_axes(woman_arrays, simulate):
    """(week, woman): parameters that differ by woman, events that differ by week."""
    p, events = woman_arrays
    lifted = jax.tree.map(lambda x: x[None], p)
    two = jax.tree.map(lambda x: jnp.stack([x[:, :1], x[:, 1:2]], axis=1), events)
    run = simulate(lifted, two)
    assert run.G.shape == (DAY_STEPS + 1, 2, p.BW.shape[0])
    alone = simulate(*jax.tree.map(lambda x: x[..., 1:2], (p, events)))
    np.testing.assert_allclose(run.G[:, 1, 1], alone.G[:, 0], rtol=1e-11)


def test_traces_do_not_grow_with_meals():
    """Meals within one bucket share a trace, empty slots change nothing, and the program of a bigger bucket
    is no longer than that of a small one."""
    traced = []

    @jax.jit
    def day(p, events):
        traced.append(events.meal_mg.shape)
        return simulate_day(p, events).G

    p = jax.tree.map(lambda x: x[None], MaternalParams.reference())

    def padded(meals, slots):
        return DayEvents.of(meals=(*meals, *(((0.0, 0.0),) * (slots - len(meals)))), rank=1)

    meals = tuple((100.0 + 217.3 * k, 25.0) for k in range(6))
    runs = [day(p, padded(meals[:k], 6)) for k in (0, 1, 3, 6)]
    assert len(traced) == 1
    assert all(
        (np.abs(np.diff(r, axis=0)) > 1e-3).any() == (k > 0) for r, k in zip(runs, (0, 1, 3, 6), strict=True)
    )
    exact = day(p, DayEvents.of(meals=meals[:3], rank=1))
    np.testing.assert_allclose(runs[2], exact, rtol=1e-13)

    def length(slots):
        return str(jax.make_jaxpr(lambda e: simulate_day(p, e).G)(padded((), slots))).count("\n")

    assert length(4) == length(64)


def test_float32_stays_float32(woman_arrays, simulate):
    """Nothing widens the ensemble path under the x64 flag, and it stays close to float64."""
    run = simulate(*cast(woman_arrays, jnp.float32))
    assert {x.dtype.name for x in jax.tree.leaves((run.G, run.IG, run.end))} == {"float32"}
    exact = simulate(*woman_arrays)
    assert np.abs(np.asarray(run.G, float) - np.asarray(exact.G)).max() < 2e-2
