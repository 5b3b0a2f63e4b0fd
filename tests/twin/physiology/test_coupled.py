"""Minutes and weeks together: the standard at euglycaemia, weekly averaging, direction, gradients, precision."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.statistical import pregnancies
from tests.statistical.bridge import cast
from tests.statistical.pregnancies import LAST_WEEK, STANDARD, draw_pregnancies, full_course, weight_at_end
from twin.growth_standards import WEIGHT_STANDARDS, weight_median_g
from twin.physiology.coupled import (
    REFERENCE_MEALS,
    REFERENCE_WEIGHT_KG,
    WeekPlan,
    course,
    glucose_weeks,
    power_mean,
    reference_exposure,
    since_day_start,
)
from twin.physiology.events import DayEvents
from twin.physiology.fetus import FIRST_WEEK, GLUCOSE_FROM_WEEK, growth_table
from twin.physiology.parameters import FetalParams, MaternalParams
from twin.physiology.pregnancy import PregnancyParams

WOMEN = 8
WEEKS = LAST_WEEK - GLUCOSE_FROM_WEEK


@pytest.fixture(scope="module")
def group():
    return draw_pregnancies(WOMEN, seed=5)


def _reference_plan():
    """The reference woman's day in the slots and lanes of the other tests, so that one program serves all."""
    blank = pregnancies.to_events([({}, {})] * WOMEN, pregnancies.SLOTS)
    minutes = jnp.asarray([float(since_day_start(t)) for t, _ in REFERENCE_MEALS])
    grams = jnp.asarray([g for _, g in REFERENCE_MEALS])
    like = jnp.ones((1, WOMEN))
    events = dataclasses.replace(
        blank, meal_min=minutes[:, None] * like, meal_mg=1000.0 * grams[:, None] * like
    )
    weekly = jax.tree.map(lambda x: jnp.broadcast_to(x[:, None], (x.shape[0], WEEKS, WOMEN)), events)
    return WeekPlan(weekly, jnp.full((WEEKS, WOMEN), REFERENCE_WEIGHT_KG))


def _lanes(tree):
    return jax.tree.map(lambda x: jnp.full(WOMEN, x, dtype=float), tree)


@pytest.mark.parametrize("standard", WEIGHT_STANDARDS)
def test_euglycaemia_is_the_standard(standard):
    """The reference woman's fetus weighs the published median: 0.1 % at every week from 24 to 40."""
    table = growth_table(standard)
    run = full_course(
        _lanes(MaternalParams.reference()),
        _lanes(PregnancyParams.reference()),
        _lanes(FetalParams.reference()),
        _reference_plan(),
        jnp.asarray(reference_exposure(standard)),
        table,
    )
    assert run.ok.all()
    assert np.abs(run.exposure).max() < 1e-3
    weight = np.asarray(run.growth.edges.L + run.growth.edges.F)[:, 0]
    weeks = np.arange(24, 41)
    published = np.asarray(weight_median_g(7 * weeks, standard=standard))
    assert np.isfinite(published).all()
    np.testing.assert_allclose(weight[weeks - FIRST_WEEK], published, rtol=1e-3)


def test_reference_exposure_is_computed_from_the_reference_day():
    """Near 97.7 mg/dL at 28 weeks [MODEL 2.2], smooth over the weeks, and nearly the same for every standard."""
    exposure = reference_exposure("hadlock1991")
    assert exposure[28 - GLUCOSE_FROM_WEEK] == pytest.approx(97.7, abs=1.5)
    assert np.abs(np.diff(exposure)).max() < 2.0
    for other in WEIGHT_STANDARDS[1:]:
        np.testing.assert_allclose(reference_exposure(other), exposure, rtol=0.02)


def test_weekly_averaging_against_minute_resolution(group):
    """Birth weight within 0.3 %, paired effects within 3 % or 2 g; 200 women: tests/statistical."""
    result = pregnancies.measure(group, ("usual", "less carbohydrate", "basal insulin"), checked=3)
    weekly, minute = result["usual"]
    for name, (ours, exact) in result.items():
        np.testing.assert_allclose(ours, exact, rtol=3e-3, err_msg=name)
        assert (pregnancies.shortfall(ours - weekly, exact - minute) <= 1.0).all(), name


def test_direction_of_birth_weight(group):
    """More carbohydrate and lower insulin sensitivity make a heavier fetus; every treatment a lighter one."""
    usual = pregnancies.run_fast(group, "usual")
    for name in pregnancies.STRATEGIES[1:]:
        assert (pregnancies.run_fast(group, name) < usual).all(), name
    eaters = [dataclasses.replace(w, day={"meals": [(t, 1.2 * g) for t, g in w.day["meals"]]}) for w in group]
    assert (pregnancies.run_fast(eaters, "usual") > usual).all()
    resistant = [dataclasses.replace(w, params=w.params | {"SI": 0.8 * w.params["SI"]}) for w in group]
    assert (pregnancies.run_fast(resistant, "usual") > usual).all()


def test_float32_course(group):
    """The ensemble path in float32, without the x64 flag: dtype kept, weight within 0.02 %."""
    arguments = pregnancies.arguments(group, "mealtime insulin")
    exact = np.asarray(weight_at_end(full_course(*arguments)))
    with jax.enable_x64(False):
        run = full_course(*cast(jax.tree.map(np.asarray, arguments), jnp.float32))
    assert run.exposure.dtype == run.growth.edges.L.dtype == run.G.dtype == jnp.float32
    np.testing.assert_allclose(weight_at_end(run), exact, rtol=2e-4)


def _short(p, fetus, meal_min):
    """Weight after three glucose weeks, one woman on two meals that overlap: small, to differentiate."""
    n, rank = GLUCOSE_FROM_WEEK - FIRST_WEEK + 3, 1
    minutes = jnp.stack([meal_min, jnp.full_like(meal_min, 170.0)])[:, None, None]
    events = dataclasses.replace(DayEvents.of(meals=((100.0, 60.0), (170.0, 60.0)), rank=2), meal_min=minutes)
    run = course(
        p, _one(PregnancyParams.reference()), fetus, WeekPlan(events, jnp.full((3, rank), 70.0)),
        jnp.zeros((n, 1)), jnp.zeros(1), jnp.full(3, 97.0), growth_table(STANDARD),
    )  # fmt: skip
    return run.growth.edges.F[-1, 0] * 1000.0


def _one(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype=float)[None], tree)


def test_gradient_of_fetal_fat():
    """jvp of fetal fat through both scales against central differences, the time of the meal included."""
    growth_table(STANDARD)  # made outside the traced function, read from its cache inside
    base = (_one(MaternalParams.reference(S_I=4e-4, B=0.7)), _one(FetalParams.reference()),
            jnp.asarray(100.3))  # fmt: skip
    zero = jax.tree.map(jnp.zeros_like, base)

    def along(changed):
        return tuple(changed.get(k, zero[k]) for k in range(3))

    directions = {
        "S_I": along({0: dataclasses.replace(zero[0], S_I=jnp.asarray([4e-6]))}),
        "k_e": along({0: dataclasses.replace(zero[0], k_e=jnp.asarray([2.5e-4]))}),
        "U_fp": along({0: dataclasses.replace(zero[0], U_fp=jnp.asarray([1.2e-3]))}),
        "s_F": along({1: dataclasses.replace(zero[1], s_F=jnp.asarray([0.01]))}),
        "meal time": along({2: jnp.asarray(0.1)}),
    }
    at = jax.jit(lambda at, to: jax.jvp(_short, at, to))  # one program for values and slopes
    for name, to in directions.items():
        ahead, behind = (at(jax.tree.map(lambda x, d, s=s: x + s * d, base, to), to)[0] for s in (1.0, -1.0))
        central, exact = float(ahead - behind) / 2, float(at(base, to)[1])
        assert abs(central) > 1e-7, name
        assert exact == pytest.approx(central, rel=5e-3), name


def test_power_mean_and_clock():
    G = jnp.asarray([[100.0], [100.0], [100.0], [0.0]])
    assert power_mean(G)[0] == pytest.approx(100.0)  # the last edge is the next day's first
    np.testing.assert_allclose(since_day_start(np.array([240.0, 239.0, 0.0])), [0.0, 1439.0, 1200.0])
    weeks = glucose_weeks()
    assert weeks[0] == GLUCOSE_FROM_WEEK + 0.5
