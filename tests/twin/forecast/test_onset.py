"""Hazards of birth against closed forms: constant hazards are geometric, a condition restarts the wait."""

import tomllib

import jax.numpy as jnp
import numpy as np
import pytest

from twin.forecast.onset import (
    FROM_DAY,
    KNOTS_WEEK,
    TO_DAY,
    Cause,
    Hazards,
    Who,
    from_table,
    ln_waiting,
    load_hazards,
    log_odds,
    onset_days,
    to_table,
)

U = np.linspace(1e-5, 1 - 1e-5, 20_001)
DAYS = TO_DAY - FROM_DAY


def constant(p: float, **effects: tuple[float, float]) -> Cause:
    level = jnp.full(len(KNOTS_WEEK), np.log(p / (1.0 - p)))
    none = {name: jnp.asarray(effects.get(name, (0.0, 0.0))) for name in Cause._fields[1:]}
    return Cause(level=level, **none)


def hazards(spontaneous: Cause, initiated: Cause) -> Hazards:
    return Hazards(spontaneous, initiated, jnp.zeros(len(KNOTS_WEEK)), jnp.full(len(KNOTS_WEEK), 0.1))


def waiting(h: Hazards, initiated: bool = True, ln_ratio: float = 0.0) -> np.ndarray:
    ratio = jnp.full((DAYS, 1), ln_ratio)
    return np.asarray(ln_waiting(h, ratio, FROM_DAY, jnp.zeros(1), Who(), initiated))


@pytest.mark.parametrize("initiated", [False, True])
def test_constant_hazards_are_geometric(initiated):
    """P(waiting after n days) = (1 - p)^n (1 - q)^n, the second where births are brought about."""
    p, q = 0.02, 0.05
    got = waiting(hazards(constant(p), constant(q)), initiated=initiated)[:, 0]
    n = np.arange(1, DAYS + 1)
    np.testing.assert_allclose(got, n * (np.log1p(-p) + initiated * np.log1p(-q)), rtol=1e-5)


@pytest.mark.parametrize("as_of", [FROM_DAY - 10.0, 200.0, 262.9])
def test_days_are_quantiles_of_the_wait_from_today(as_of):
    """Geometric from the day of forecasting on, whatever went before: exact by quantile."""
    p = 0.03
    w = waiting(hazards(constant(p), constant(0.01)), initiated=False)
    got = onset_days(U, w, FROM_DAY, as_of)
    first = max(int(as_of), FROM_DAY)
    want = np.minimum(first + np.floor(np.log1p(-U) / np.log1p(-p)), TO_DAY)
    assert (got != want).mean() < 1e-3  # rounding at the edges of days
    assert got.min() == first


def test_size_and_conditions_act_at_their_time():
    """Log odds by hand before, at and after the change at term."""
    cause = constant(0.01, size=(1.0, -2.0), gestational_diabetes=(0.5, 0.25), parous=(0.0, 3.0))
    week = jnp.asarray([[30.0], [37.0], [41.0]])
    z = jnp.full((3, 1), 1.5)
    got = np.asarray(log_odds(cause, week, z, Who(1.0, 0.0, 1.0)))[:, 0]
    share = 1.0 / (1.0 + np.exp(-(np.array([30.0, 37.0, 41.0]) - 37.0) / 0.5))
    want = np.log(0.01 / 0.99) + 1.5 * (1.0 - 3.0 * share) + 0.5 - 0.25 * share + 3.0 * share
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_size_for_age_is_in_standard_deviations():
    """A fetus one SD heavier waits as one whose level is raised by the effect."""
    h = hazards(constant(0.01, size=(0.4, 0.4)), constant(1e-9))
    raised = hazards(h.spontaneous._replace(level=h.spontaneous.level + 0.4), h.initiated)
    np.testing.assert_allclose(waiting(h, ln_ratio=0.1), waiting(raised), rtol=2e-5)


def test_packaged_hazards_are_births_as_registered():
    """Median near 39 weeks and at most 13 % before 37: US singletons of 2022 [us_births_2022], of average size."""
    h = load_hazards()
    days = np.arange(FROM_DAY, TO_DAY) / 7.0
    ratio = jnp.asarray(np.interp(days, KNOTS_WEEK, np.asarray(h.ratio)))[:, None]
    w = np.exp(np.asarray(ln_waiting(h, ratio, FROM_DAY, jnp.zeros(1), Who(0.08, 0.1, 0.6))))[:, 0]
    median = FROM_DAY + int((w > 0.5).sum())
    assert 38.5 * 7 < median < 39.9 * 7
    assert 0.05 < 1.0 - w[37 * 7 - FROM_DAY - 1] < 0.13


def test_table_holds_everything():
    h = load_hazards()
    again = from_table(tomllib.loads(to_table(h)))
    for a, b in zip(
        h.spontaneous + h.initiated + h[2:], again.spontaneous + again.initiated + again[2:], strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4)
