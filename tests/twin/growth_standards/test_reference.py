"""The continued median curve that the fetal model grows along."""

import jax
import numpy as np
import pytest

from twin import growth_standards as gs


@pytest.mark.parametrize("standard", gs.WEIGHT_STANDARDS)
def test_inside_its_range_the_reference_is_the_published_median(standard):
    first, last = gs.range_days(standard)
    day = np.linspace(first, last, 981)
    np.testing.assert_allclose(
        gs.reference_weight_g(day, standard=standard), gs.weight_median_g(day, standard=standard), rtol=1e-13
    )


@pytest.mark.parametrize("standard", gs.WEIGHT_STANDARDS)
def test_weight_and_growth_rate_are_continuous_everywhere(standard):
    day = np.arange(70, 315.01, 0.25)
    weight = np.asarray(gs.reference_weight_g(day, standard=standard))
    rate = np.asarray(gs.reference_log_rate_per_day(day, standard=standard))
    assert np.isfinite(weight).all() and (np.diff(weight) > 0).all()
    assert (rate > 0).all()
    assert np.abs(np.diff(rate)).max() < 6e-4  # per quarter day; a jump at an edge would be 10 times that
    # The trapezoid sum of the rate is the log weight gained.
    gained = np.cumsum((rate[1:] + rate[:-1]) / 2 * 0.25)
    np.testing.assert_allclose(np.log(weight[1:] / weight[0]), gained, atol=2e-5)


def test_hadlock_1991_continues_as_its_own_equation():
    week = np.arange(40.0, 45.01, 0.5)
    np.testing.assert_allclose(
        gs.reference_weight_g(7 * week, standard="hadlock1991"),
        np.exp(0.578 + 0.332 * week - 0.00354 * week**2),
        rtol=1e-12,
    )


def test_outside_ten_to_forty_five_weeks_there_is_none():
    day = np.array([69.9, 70.0, 315.0, 315.1])
    weight = gs.reference_weight_g(day, standard="intergrowth21_efw")
    assert list(np.isfinite(weight)) == [False, True, True, False]


@pytest.mark.parametrize("standard", ["who", "nichd", "intergrowth21_efw"])
def test_gradient_and_jit_at_an_edge(standard):
    first, last = (float(d) for d in gs.range_days(standard))

    def weight(day):
        return gs.reference_weight_g(day, standard=standard)

    slope = jax.jit(jax.grad(weight))
    for day in (
        first + 0.5,
        last - 0.5,
        (first + last) / 2 + 0.3,
        min(last + 3.0, 314.0),
        max(first - 3.0, 71.0),
    ):
        difference = (weight(day + 1e-4) - weight(day - 1e-4)) / 2e-4
        assert float(slope(day)) == pytest.approx(float(difference), rel=1e-6)


def test_sex_moves_the_who_reference_only():
    who = gs.reference_weight_g(266, standard="who", sex=np.array([0, 1]))
    assert float(who[1]) > float(who[0])
    hadlock = gs.reference_weight_g(266, standard="hadlock1991", sex=np.array([0, 1]))
    assert float(hadlock[1]) == float(hadlock[0])
