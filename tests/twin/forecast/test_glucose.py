"""Glucose of the coming hours: the readings of the day enter in closed form, and what is known stays known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.one_woman import FORECAST_DRAWS
from twin.encode import DailyPattern
from twin.errors import UnusableInput
from twin.forecast.glucose import ESS_KEPT, TIMES, _carried, _flattened, _given, sensor_day
from twin.inference.psis import effective_sample_size
from twin.observation.residual import CGM_STEP_MIN, at_memory, correlation, filtered, gains

BREAKFAST, LUNCH, DINNER = (240.0, 45.0), (510.0, 55.0), (870.0, 60.0)
DAY = DailyPattern(meals=(BREAKFAST, LUNCH, DINNER), meals_recorded=True)
WEEK, KG = 31.5, 79.0
MEMORY = 9.0  # t_a, min


@pytest.fixture(scope="module")
def day(one_posterior):
    def run(pattern=DAY, readings=None, key=4):
        return sensor_day(
            jax.random.key(key),
            one_posterior,
            pattern,
            week=WEEK,
            weight_kg=KG,
            readings=readings,
            draws=FORECAST_DRAWS,
        )

    return run


def test_paths_are_the_conditional_gaussian():
    """Mean, variances and the likelihood of the readings against the textbook formulas; 20 000 paths of one draw, means
    within 5 standard errors at 96 times (false-alarm rate 6e-5)."""
    rng, n = np.random.default_rng(1), 20_000
    mean = np.log(100.0 + 20.0 * np.sin(np.arange(TIMES) / 9.0))
    J = 0.1 * np.exp(-0.5 * ((np.arange(TIMES)[None] - np.array([[20.0], [60.0]])) / 6.0) ** 2)
    known = np.zeros(TIMES, bool)
    known[[3, 4, 10, 18, 22, 30]] = True
    value = mean + 0.15 * rng.standard_normal(TIMES)
    cv = 0.12
    R = correlation(CGM_STEP_MIN * np.subtract.outer(np.arange(TIMES), np.arange(TIMES)), MEMORY)
    C = cv**2 * R + J.T @ J
    inside = C[np.ix_(known, known)]
    gain = C[:, known] @ np.linalg.inv(inside)
    want = mean + gain @ (value - mean)[known]
    spread = np.sqrt(np.maximum(np.diag(C - gain @ C[known]), 0.0))
    path, told = _given(
        jax.random.key(0),
        jnp.asarray(np.tile(mean, (n, 1))),
        jnp.asarray(np.tile(J, (n, 1, 1))),
        jnp.full(n, cv),
        jnp.asarray(R),
        jnp.asarray(value),
        jnp.asarray(known),
    )
    path = np.asarray(path)
    assert (np.abs(path.mean(axis=0) - want) < 5.0 * spread / np.sqrt(n) + 1e-3).all()
    np.testing.assert_allclose(path.std(axis=0)[~known], spread[~known], rtol=0.05)
    off = (value - mean)[known]
    density = -0.5 * off @ np.linalg.solve(inside, off) - 0.5 * np.linalg.slogdet(inside)[1]
    assert float(told[0]) == pytest.approx(density, abs=0.01)


def test_the_days_before_carry_on():
    """Innovations of residuals that are known: a level held for three days is expected of the next one, at the share of
    the day's level, and narrows the spread by what is known of it. Without sensor days nothing is carried."""

    def carried(residual):
        """residual : (day, time), the eve first."""
        mask, memory = np.ones(residual.shape, bool), jnp.full(1, MEMORY)
        gain, _ = gains(mask)
        at = at_memory(jnp.asarray(gain), memory)
        mean = filtered(jnp.asarray(residual[..., None]), jnp.asarray(mask[..., None]), at, memory)
        before = 1.0 + np.arange(len(residual))
        return _carried(residual[..., None] - np.asarray(mean), mask, gain, np.asarray(memory), before)

    rng = np.random.default_rng(2)
    R = correlation(CGM_STEP_MIN * np.subtract.outer(np.arange(TIMES), np.arange(TIMES)), MEMORY)
    noise = np.linalg.cholesky(R + 1e-9 * np.eye(TIMES)) @ rng.standard_normal((TIMES, 3))
    high, _ = carried(noise.T + 1.0)
    low, _ = carried(noise.T - 1.0)
    assert ((high - low) > 0.5).all() and ((high - low) < 2.0).all()
    _, given = carried(noise.T)
    left = np.diag(given)
    assert left[0] < 0.5 < left[-1] < 1.0  # the first readings of the day follow those of the evening before
    mean, alone = carried(np.zeros((0, TIMES)))
    assert not mean.any()
    np.testing.assert_allclose(alone, R)


def test_a_day_ahead(day):
    """Shape, units, and a day that looks like hers: 96 readings, meals rise, no value outside 20 to 600 mg/dL."""
    ds = day()
    glucose = ds["sensor_glucose_mg_dl"]
    assert glucose.dims == ("draw", "minute_of_day") and glucose.shape == (FORECAST_DRAWS, TIMES)
    assert glucose.attrs["units"] == "mg/dL" and float(ds["minute_of_day"][0]) == 240.0
    assert float(glucose.min()) > 20.0 and float(glucose.max()) < 600.0
    level = ds["level_mg_dl"].median("draw").values
    at = [round((m + 60.0) / CGM_STEP_MIN) for m, _ in DAY.meals]
    assert (level[at] > level[10] + 8.0).all(), "an hour after each meal above the night"


def test_what_was_read_stays_and_narrows_what_follows(day):
    alone = day()["sensor_glucose_mg_dl"]
    readings = np.full(TIMES, np.nan)
    readings[:40] = alone.values[7, :40] * 1.08
    given = day(readings=readings)["sensor_glucose_mg_dl"]
    np.testing.assert_allclose(given.values[:, :40], np.tile(readings[:40], (FORECAST_DRAWS, 1)), rtol=1e-6)
    soon = slice(40, 42)
    assert float(given[:, soon].std("draw").mean()) < 0.6 * float(alone[:, soon].std("draw").mean())
    assert abs(float(given[:, 40].mean()) / readings[39] - 1.0) < 0.15


def test_more_carbohydrate_and_less_insulin_raise_glucose(day):
    def level(**changes):
        pattern = DailyPattern(**({"meals": DAY.meals, "meals_recorded": True} | changes))
        return float(day(pattern)["level_mg_dl"].mean())

    plain = level()
    assert level(meals=((240.0, 80.0), LUNCH, DINNER)) > plain
    assert level(doses=((225.0, 6.0, "rapid"),)) < plain
    assert level(bouts=((560.0, 590.0, 1.0),)) < plain


def test_same_key_same_day(day):
    np.testing.assert_array_equal(day()["sensor_glucose_mg_dl"], day()["sensor_glucose_mg_dl"])


def test_weights_are_flattened_until_enough_draws_count():
    told = -500.0 * np.random.default_rng(3).random(500) ** 2
    weights, power = _flattened(told)
    assert power < 1.0
    assert effective_sample_size(weights) >= ESS_KEPT and np.all(np.argsort(weights) == np.argsort(told))
    same, power = _flattened(np.zeros(500))
    assert power == 1.0
    np.testing.assert_allclose(same, 1.0 / 500)


@pytest.mark.parametrize("readings", [np.zeros(TIMES), np.full(TIMES, np.inf), np.full(10, 100.0)])
def test_readings_that_are_none(day, readings):
    with pytest.raises(UnusableInput, match="expected 96 values"):
        day(readings=readings)
