"""The sweep behind the mode: value, slope and curvature against the model, differentiated without its shortcuts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.one_woman import AS_OF_DAY, STANDARD, at, make_record, tables
from twin.encode import encode
from twin.inference.linearise import stack_women, standard_mass, sweep_many
from twin.inference.model import log_joint, predict, total
from twin.physiology.simulate import COARSE_STEP_MIN

MEALS = [
    at(d, c, carbohydrate_g=g, source=f"m{d}{c}")
    for d in (218, 219, 220)
    for c, g in (("08:00", 40.0), ("13:00", 60.0), ("19:00", 55.0 + d - 218))
]
SENSOR = [
    at(d, f"{h:02d}:{m:02d}", value_mg_dl=98.0 + 25.0 * np.sin(h), kind="cgm", source=f"c{d}{h}{m}")
    for d in (218, 219, 220) for h in range(24) for m in range(0, 60, 15)
]  # fmt: skip


@pytest.fixture(scope="module")
def sensor_data():
    """The invented woman with three sensor days and their meals beside everything else."""
    rows = tables()
    return encode(
        make_record(rows | {"glucose": rows["glucose"] + SENSOR, "meals": MEALS}),
        AS_OF_DAY,
        standard=STANDARD,
    )


@pytest.fixture(scope="module")
def points(prior, sensor_data):
    """The center of the prior and a point 0.4 SD from it, with the sweep there, the fed-back mass settled."""
    size = prior.size(sensor_data)
    z = np.stack([np.zeros(size), 0.4 * np.asarray(jax.random.normal(jax.random.key(8), (size,)))])
    women = stack_women([sensor_data] * 2)
    mass = np.stack([standard_mass(sensor_data)] * 2)
    for _ in range(3):
        found = sweep_many(prior, women, z, mass)
        mass = np.asarray(found.mass)
    return z, found


@pytest.fixture(scope="module")
def dense(prior, sensor_data):
    """Value, gradient and curvature in float64 with every coupling: central differences of the model in one batch."""
    size, h = prior.size(sensor_data), 1e-4

    @jax.jit
    def at_points(z):
        predictions = predict(prior, sensor_data, z, COARSE_STEP_MIN)
        return total(z, predictions), predictions.blocks

    def both(z):
        steps = np.concatenate([np.zeros((size, 1)), h * np.eye(size), -h * np.eye(size)], axis=1)
        value, blocks = jax.tree.map(np.asarray, at_points(jnp.asarray(z[:, None] + steps)))
        up, down = slice(1, size + 1), slice(size + 1, None)
        H = np.eye(size)
        for block in blocks.values():
            for moved, weight in zip(
                (block.loc, np.log(block.scale)),
                block.error.fisher(jnp.asarray(block.scale[:, 0])),
                strict=True,
            ):
                J = (moved[:, up] - moved[:, down]) / (2 * h)
                H = H + J.T @ (J * np.where(block.mask, np.asarray(weight)[:, None], 0.0))
        return value[0], (value[up] - value[down]) / (2 * h), H

    return both


def test_sweep_is_the_model(points, dense):
    """Only the mass that feeds back is taken from the sweep before, and the precision is single: the value within 0.05,
    the gradient within 1 %, the curvature within 3 % of their size."""
    z, found = points
    for i in range(2):
        value, gradient, H = dense(z[i])
        assert float(found.value[i]) == pytest.approx(float(value), abs=0.05)
        error = np.abs(np.asarray(found.gradient[i]) - gradient)
        assert error.max() < 0.01 * np.abs(gradient).max()
        scale = np.sqrt(np.outer(np.diag(H), np.diag(H)))
        assert (np.abs(np.asarray(found.H[i]) - H) / scale).max() < 0.03


def test_meals_of_different_days_do_not_meet(prior, sensor_data, points):
    """The arrow: curvature between meals of different days is zero, between meals of one day it is not."""
    _, found = points
    meals, days = sensor_data.cgm.events.meal_mg.shape
    first = prior.n_shared(sensor_data)
    corner = np.asarray(found.H[1])[first:, first:].reshape(meals, days, meals, days)
    across = corner * ~np.eye(days, dtype=bool)[None, :, None, :]
    assert np.abs(across).max() == 0.0
    assert np.abs(corner[0, 0, 1, 0]) > 0.01
    assert np.linalg.eigvalsh(np.asarray(found.H[1])).min() >= 1.0 - 1e-4, "curvature is at least the prior's"


def test_coarse_value_is_near_the_fitting_step(prior, sensor_data, points):
    """The proposal is made at the coarse step; the weights are not. How far the two densities are apart."""
    z, found = points
    fine = jax.jit(lambda v: log_joint(prior, sensor_data, v))(jnp.asarray(z.T))
    np.testing.assert_allclose(np.asarray(found.value), np.asarray(fine), atol=1.5)


def test_single_precision_weights(prior, sensor_data, points):
    """Draws are weighed in float32: ln weights of 40 draws near a point agree with float64 within 0.02."""
    z, _ = points
    near = z[1][:, None] + 0.1 * np.random.default_rng(2).standard_normal((z.shape[1], 40))
    run = jax.jit(lambda v: log_joint(prior, sensor_data, v))
    single = np.asarray(run(jnp.asarray(near, jnp.float32)))
    double = np.asarray(run(jnp.asarray(near.astype(np.float32), jnp.float64)))
    np.testing.assert_allclose(single - single.mean(), double - double.mean(), atol=0.02)
