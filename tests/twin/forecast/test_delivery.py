"""Delivery against the truncated normal of SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import truncnorm

from twin.forecast import DeliveryPolicy, delivery_days, spontaneous_day, week_day
from twin.forecast.delivery import SPONTANEOUS_MEDIAN_DAY as MEDIAN
from twin.forecast.delivery import SPONTANEOUS_SD_DAYS as SD

U = np.linspace(1e-5, 1 - 1e-5, 20_001)


@pytest.mark.parametrize("as_of", [168.0, 224.0, 262.5, 275.0])
def test_onset_is_a_normal_truncated_at_today(as_of):
    """Exact by quantile: floor of the truncated normal's quantile, at most one in a thousand off by rounding."""
    got = np.asarray(delivery_days(jnp.asarray(U), DeliveryPolicy(last_day=400), as_of))
    want = np.floor(truncnorm((as_of - MEDIAN) / SD, np.inf, MEDIAN, SD).ppf(U))
    assert (got != want).mean() < 1e-3
    assert got.min() >= np.floor(as_of)


def test_policy_ends_the_wait_and_pairs_births():
    early, late = (
        np.asarray(delivery_days(jnp.asarray(U), DeliveryPolicy(last_day=d), 224.0)) for d in (279, 286)
    )
    assert early.max() == 279 and late.max() == 286
    np.testing.assert_array_equal(early, np.minimum(late, 279))  # the same births, some brought forward
    free = truncnorm((224.0 - MEDIAN) / SD, np.inf, MEDIAN, SD)
    assert (early == 279).mean() == pytest.approx(free.sf(279), abs=2e-3)


def test_policy_already_past_means_tomorrow_at_the_latest():
    got = np.asarray(delivery_days(jnp.asarray(U), DeliveryPolicy(last_day=279), 283.0))
    assert set(got.tolist()) <= {283.0, 284.0}


def test_given_day_replaces_the_model():
    got = delivery_days(jnp.asarray(U), DeliveryPolicy(given_day=273), 224.0)
    assert set(np.asarray(got).tolist()) == {273.0}
    assert "39+0" in DeliveryPolicy(given_day=273).describe()
    assert week_day(286) == "40+6" and "40+6" in DeliveryPolicy().describe()


def test_single_precision_agrees():
    got = np.asarray(delivery_days(jnp.asarray(U, dtype=jnp.float32), DeliveryPolicy(), 224.0))
    want = np.asarray(delivery_days(jnp.asarray(U), DeliveryPolicy(), 224.0))
    assert got.dtype == np.float32 and (got != want).mean() < 2e-3


def test_spontaneous_days_of_a_cohort():
    """Mean of 4 000 against the truncated, capped normal; z-test at 4.4 SD: false-alarm rate 1e-5, power 0.99 for a
    shift of one day."""
    days = np.asarray(spontaneous_day(jax.random.key(1), 4000))
    exact = np.floor(np.minimum(truncnorm((168.0 - MEDIAN) / SD, np.inf, MEDIAN, SD).ppf(U), 294.0))
    assert abs(days.mean() - exact.mean()) < 4.4 * exact.std() / np.sqrt(4000)
