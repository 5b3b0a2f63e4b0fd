"""Women as lanes against the twin's own path, one woman at a time: the same numbers, in single precision."""

from datetime import date

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cohorts.population.engine import Arm, lanes, pregnancy, tolerance_test
from cohorts.population.women import draw
from cohorts.synthetic.physics import Birth, outcomes, stack, usual_ln
from cohorts.synthetic.skeleton import skeleton_record
from tests.cohorts.population.stated import stated
from twin.encode import encode
from twin.forecast.onset import Who
from twin.inference.priors import load_prior
from twin.observation.blocks import OGTT_ASSAY_CV, OGTT_MODEL_CV

LMP = date(2025, 1, 1)
TEST_WEEK = 28


def her_record(w, i, *, tested):
    """Everything the arrays say of woman i, as a record: weights of every week, and a tolerance test to predict."""
    week = np.arange(12.0, 37.0)  # the gain that counts is that of 36 weeks
    kg = w.weight_kg(week)[:, i]
    start = np.datetime64(LMP)

    def at(weeks: float, hours: float = 10.0):
        return start + np.timedelta64(round(weeks * 168 * 60 + hours * 60), "m")

    rows = {"weights": [{"time_local": at(a), "weight_kg": float(b)} for a, b in zip(week, kg, strict=True)]}
    if tested:
        common = {"value_mg_dl": 100.0, "kind": "ogtt", "load_g": 75.0}
        rows["glucose"] = [
            {"time_local": at(TEST_WEEK, 8.0 + m / 60.0), "minutes_post_load": m, **common}
            for m in (0.0, 60.0, 120.0)
        ]
    return skeleton_record(f"w{i}", rows, stated(w, i, LMP))


@pytest.fixture(scope="module", autouse=True)
def ranks_may_differ():
    """Lanes share what all women have in common: scalars beside (woman,) arrays."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def both(ranks_may_differ):
    """Eight women through both paths."""
    prior = load_prior()
    w = next(draw(21, 8))
    side = lanes(prior, w)
    data = [encode(her_record(w, i, tested=True), 300.0, standard="hadlock1991") for i in range(len(w))]
    stacked = stack(data, with_doses=False)
    width = stacked.covariates.shape[-1]
    size = prior.n_shared(data[0])
    z = np.zeros((prior.size(data[0]), width))
    k = side.z.shape[0]
    z[:k, : len(w)] = np.asarray(side.z)
    day = prior.names(data[0])[:size]
    for j, name in enumerate(("S_I", "B", "k_e")):
        z[day.index(f"test0_{name}"), : len(w)] = w.test_day[0][j]
    z[:, len(w) :] = z[:, len(w) - 1 : len(w)]
    keys = np.zeros((3, 2, width), dtype=np.uint32)
    some = np.zeros(width)
    birth = Birth(some + 0.5, some + 280.0, Who(some, some, some), usual_ln("hadlock1991"))
    one = outcomes(prior, stacked, z, keys, birth, 200)
    return prior, w, side, one


def test_growth_and_glucose_of_every_week_agree(both):
    prior, w, side, one = both
    weeks = pregnancy(prior, {}, side, Arm(), False)
    n = len(w)
    total = np.asarray(weeks.L + weeks.F)
    cells = min(total.shape[0], one.fetal_weight_g.shape[0])
    np.testing.assert_allclose(total[:cells], one.fetal_weight_g[:cells, :n], rtol=2e-3)
    glucose = min(weeks.mean.shape[0], one.mean_glucose.shape[0])
    np.testing.assert_allclose(np.asarray(weeks.mean)[:glucose], one.mean_glucose[:glucose, :n], rtol=2e-3)


def test_tolerance_tests_agree(both):
    """The readings of the other path have noise, drawn once: mean within 4.5 standard errors, spread within a
    factor that 24 values pass but for one in ten thousand."""
    prior, w, side, one = both
    G, _ = tolerance_test(prior, {}, side, float(TEST_WEEK), w.test_day[0], 75.0, (0.0, 60.0, 120.0))
    apart = np.asarray(one.ogtt)[:3, : len(w)] / G - 1.0
    noise = np.hypot(OGTT_ASSAY_CV, OGTT_MODEL_CV)
    assert abs(apart.mean()) < 4.5 * noise / np.sqrt(apart.size)
    assert noise / 2.0 < apart.std() < 1.6 * noise


def test_an_arm_does_what_it_says(both):
    """Less carbohydrate from week 30 on changes nothing before, and lowers glucose and weight after."""
    prior, _, side, _ = both
    usual = pregnancy(prior, {}, side, Arm(), False)
    less = pregnancy(prior, {}, side, Arm(start_week=30.0, carbohydrate=0.7), False)
    before = 30 - 20
    np.testing.assert_array_equal(np.asarray(usual.mean)[:before], np.asarray(less.mean)[:before])
    assert (np.asarray(less.mean)[before + 1 :] < np.asarray(usual.mean)[before + 1 :]).all()
    assert (np.asarray(less.L + less.F)[-1] < np.asarray(usual.L + usual.F)[-1]).all()
    assert jnp.isfinite(usual.L).all()
