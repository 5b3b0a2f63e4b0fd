"""Hazards fitted to births that were drawn from known ones."""

import jax.numpy as jnp
import numpy as np
import pytest

from cohorts.ladder.delivery import COUNTED, WEEK, WEIGHED, Fetuses, Group, chances, expected, fit, start
from twin.forecast.onset import Who


@pytest.fixture(scope="module")
def made():
    """400 fetuses of made-up growth: ln weight straight in the week, 12 % around it."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal(400)
    ln = 8.13 + 0.045 * (WEEK[:, None] - 40.0) + 0.12 * z[None]
    week = np.broadcast_to(WEEK[:, None], ln.shape)
    zz = np.broadcast_to(z, ln.shape)
    male = (np.arange(400) % 2).astype(float)
    arrays = [jnp.asarray(x, jnp.float32) for x in (ln, zz, week, male, np.zeros(400), np.zeros(400))]
    return Fetuses(*arrays, np.zeros(13), np.full(13, 0.12))


def test_everybody_is_born_once(made):
    p = np.asarray(chances(start(), made, Who()))
    np.testing.assert_allclose(p.sum(axis=(0, 1)), 1.0, rtol=1e-4)
    share, mean = expected(start(), made, Who())
    assert float(share.sum()) == pytest.approx(1.0, rel=1e-5)
    assert (np.diff(np.asarray(mean)[:, 8:15]) > 0).all()  # heavier by the week where few weeks are wrong


@pytest.mark.slow
def test_known_hazards_are_found_again(made):
    """Expected births of known hazards as data of 100 000: shares within 5 %, weights within 15 g, an effect of size of
    the right sign and half."""
    true = start()
    true = true._replace(
        spontaneous=true.spontaneous._replace(
            size=jnp.asarray([0.0, 0.4]), level=true.spontaneous.level + 0.5
        )
    )
    share, mean = (np.asarray(x) for x in expected(true, made, Who()))
    weeks = np.arange(26, 44)
    number = 1e5 * share[:, np.searchsorted(weeks, COUNTED)]
    weight = mean[:, np.searchsorted(weeks, WEIGHED)]
    found = fit(made, [Group("all", Who(), number, weight, np.full(weight.shape, 5.0))])
    got_share, got_weight = found.told["all"]
    big = number > 200
    np.testing.assert_allclose(got_share[big], (number / number.sum())[big], rtol=0.05)
    np.testing.assert_allclose(got_weight, weight, atol=15.0)
    assert 0.2 < float(np.asarray(found.hazards.spontaneous.size)[1]) < 0.6
