"""The end of virtual pregnancies against the hazards, day by day."""

import jax.numpy as jnp
import numpy as np
import pytest

from cohorts.population.waiting import LANES, MIDDLE_WEEK, days_of_birth, share_initiated
from twin.forecast.onset import FROM_DAY, TO_DAY, Who, load_hazards, log_odds, size_for_age
from twin.growth_standards import reference_weight_g


@pytest.fixture(autouse=True)
def ranks_may_differ():
    import jax

    with jax.numpy_rank_promotion("allow"):
        yield


N = 5


@pytest.fixture(scope="module")
def women():
    """ln weights at equal centiles of the standard, dating shifts, conditions, uniform numbers."""
    usual = np.log(np.asarray(reference_weight_g(7.0 * MIDDLE_WEEK, standard="hadlock1991")))
    ln = usual[:, None] + np.linspace(-0.2, 0.2, N)[None]
    who = Who(np.array([0, 0, 1, 1, 0.0]), np.array([0, 1, 0, 1, 0.0]), np.array([1, 0, 1, 0, 1.0]))
    return ln, np.linspace(-0.5, 0.5, N), who, np.linspace(0.05, 0.95, N)


def by_hand(ln, shift, who):
    """Chance of birth on each day, (way, day, woman), by the product of daily chances."""
    h = load_hazards()
    usual = np.log(np.asarray(reference_weight_g(7.0 * MIDDLE_WEEK, standard="hadlock1991")))
    week = MIDDLE_WEEK[:, None] + shift[None]
    week_jax = jnp.asarray(week)
    z = size_for_age(h, jnp.asarray(ln - usual[:, None]), week_jax)
    p, q = (
        1.0 / (1.0 + np.exp(-np.asarray(log_odds(c, jnp.asarray(w), z, who))))
        for c, w in ((h.spontaneous, week), (h.initiated, np.broadcast_to(MIDDLE_WEEK[:, None], week.shape)))
    )
    stays = np.cumprod(np.concatenate([np.ones((1, N)), (1.0 - p) * (1.0 - q)]), axis=0)
    return stays, p, q


def test_days_are_quantiles_of_the_product_of_daily_chances(women):
    ln, shift, who, uniform = women
    stays, _, _ = by_hand(ln, shift, who)
    want = [FROM_DAY + int((stays[1:, i] >= 1.0 - uniform[i]).sum()) for i in range(N)]
    got = days_of_birth(ln, shift, who, uniform, "hadlock1991", last_day=TO_DAY)
    assert np.abs(got - want).max() <= 1  # single precision at the edge of a day
    capped = days_of_birth(ln, shift, who, uniform, "hadlock1991", last_day=270)
    np.testing.assert_array_equal(capped, np.minimum(got, 270))


def test_padding_changes_nobody(women):
    ln, shift, who, uniform = women
    one = days_of_birth(ln[:, :1], shift[:1], Who(*(x[:1] for x in who)), uniform[:1], "hadlock1991")
    all_of_them = days_of_birth(ln, shift, who, uniform, "hadlock1991")
    assert one[0] == all_of_them[0] and LANES > N


def test_share_brought_about_is_that_of_the_daily_chances(women):
    """On a day both ways are possible the share is by their hazards: within one point of the daily chances'."""
    ln, shift, who, _ = women
    stays, p, q = by_hand(ln, shift, who)
    exact = (
        stays[:-1] * (1.0 - (1.0 - p) * (1.0 - q)) * (-np.log1p(-q)) / (-np.log1p(-p) - np.log1p(-q))
    ).sum(0)
    np.testing.assert_allclose(share_initiated(ln, shift, who, "hadlock1991"), exact, atol=2e-3)
    assert (exact > 0.1).all() and (exact < 0.95).all()
