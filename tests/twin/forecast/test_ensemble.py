"""The ensemble: its past is the posterior's, its future is the coupled model's, its noise is common."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.one_woman import AS_OF_DAY, FORECAST_DRAWS, STANDARD
from twin.encode import DailyPattern, events_of, weight_by_week
from twin.forecast import DeliveryPolicy, day_profile, run
from twin.forecast.ensemble import END_WEEK, FIRST_DAY, _titrate, future_edges, run_ensemble
from twin.forecast.run import _future
from twin.inference.model import evaluate, plan_for
from twin.inference.priors import XI_CELLS, deviations, n_deviations, unpack
from twin.physiology.coupled import WeekPlan, course, glucose_weeks, recorded_edges, reference_exposure
from twin.physiology.fetus import FIRST_WEEK, GLUCOSE_FROM_WEEK, LAST_WEEK, masses_at
from twin.schema import FORECAST_DIMS, FORECAST_SCALARS, FORECAST_SERIES

PAST = slice(140, int(AS_OF_DAY))
TARGETS = (95.0, 140.0)


def test_dataset_is_the_schema(one_forecast):
    ds = one_forecast.dataset
    for names, dims in ((FORECAST_SERIES, FORECAST_DIMS), (FORECAST_SCALARS, FORECAST_DIMS[:2])):
        for name, (unit, text) in names.items():
            assert ds[name].dims == dims
            assert ds[name].attrs == {"units": unit, "long_name": text}
            assert np.isfinite(ds[name].values).all(), name
    assert set(ds.data_vars) == set(FORECAST_SERIES) | set(FORECAST_SCALARS)
    assert {"posterior_id", "code_version", "prior_id", "growth_standard", "seed"} <= set(ds.attrs)
    assert list(ds["scenario"].values) == ["as_now", "doses_fixed", "untreated"]
    assert ds.sizes["draw"] == FORECAST_DRAWS


def test_values_are_possible(one_forecast):
    ds = one_forecast.dataset
    assert ((ds["time_in_range"] >= 0) & (ds["time_in_range"] <= 1)).all()
    assert (ds["mean_glucose_mg_dl"] > 50).all() and (ds["mean_glucose_mg_dl"] < 300).all()
    grown = ds["fetal_weight_g"].diff("gestational_day")
    assert (grown >= 0).all() and (grown.isel(gestational_day=slice(None, -21)) > 0).all(), (
        "growth never reverses"
    )
    np.testing.assert_allclose(ds["fetal_lean_g"] + ds["fetal_fat_g"], ds["fetal_weight_g"], rtol=1e-5)
    hours = one_forecast.hours_low
    assert ((hours >= 0) & (hours <= 24)).all()


def test_one_past_for_all_scenarios(one_forecast):
    ds = one_forecast.dataset.sel(gestational_day=PAST)
    for name in FORECAST_SERIES:
        values = ds[name].values
        np.testing.assert_array_equal(values, np.broadcast_to(values[:1], values.shape), err_msg=name)


def test_past_is_the_posterior(one_forecast, one_posterior):
    """Measures at each scan against the model's own prediction of that scan; mean glucose against the reference days.
    Single precision and interpolation of a day's growth: 2e-4; every sixth edge of the day: 1 %."""
    scans, chosen = one_posterior.data.scans, one_forecast.chosen
    loc = np.asarray(one_posterior.evaluation.loc["biometry"])[:, chosen]
    names = ("hc_mm", "ac_mm", "fl_mm", "bpd_mm")
    for i in np.flatnonzero(np.asarray(scans.mask)):
        day = float(scans.week[i]) * 7.0
        series = np.log(one_forecast.dataset[names[int(scans.quantity[i])]].isel(scenario=0))
        got = series.interp(gestational_day=day).values
        np.testing.assert_allclose(got, loc[i], atol=2e-4)
    days = np.asarray(one_posterior.evaluation.reference_days)[:, :-1].mean(axis=1)[:, chosen]  # (week, draw)
    for week in (22, 26, 30):
        got = one_forecast.dataset["mean_glucose_mg_dl"].isel(scenario=0).sel(gestational_day=7 * week + 3)
        np.testing.assert_allclose(got.values, days[week - GLUCOSE_FROM_WEEK], rtol=0.01)


def test_growth_is_continuous_today(one_forecast):
    """The day of the forecast adds no step: its increment lies between its neighbours' extremes, widened by 30 %."""
    weight = one_forecast.dataset["fetal_weight_g"].sel(gestational_day=slice(219, 229)).values
    step = np.diff(np.log(weight), axis=-1)
    today = step[..., 3:6]
    around = np.delete(step, [3, 4, 5], axis=-1)
    assert (today < 1.3 * around.max(axis=-1, keepdims=True)).all()
    assert (today > 0.7 * around.min(axis=-1, keepdims=True)).all()


@pytest.fixture(scope="module")
def varied(one_record, one_posterior, one_plans):
    """Other scenarios of the same shapes: a twin of `doses_fixed`, more carbohydrate, twice the insulin."""
    fixed = one_plans[1]
    more = dataclasses.replace(fixed.pattern, meals=tuple((t, 1.5 * g) for t, g in fixed.pattern.meals))
    twice = dataclasses.replace(fixed.pattern, doses=tuple((t, 2 * u, f) for t, u, f in fixed.pattern.doses))
    plans = [
        dataclasses.replace(fixed, name="again"),
        dataclasses.replace(fixed, name="more carbohydrate", pattern=more),
        dataclasses.replace(fixed, name="twice the insulin", pattern=twice),
    ]
    return run(jax.random.key(6), one_posterior, one_record, plans, draws=FORECAST_DRAWS, seed=6)


def test_noise_is_common_to_scenarios(one_forecast, varied):
    """The same plan under another name and beside other scenarios: the same bits."""
    for name in (*FORECAST_SERIES, *FORECAST_SCALARS):
        a = one_forecast.dataset[name].sel(scenario="doses_fixed").values
        np.testing.assert_array_equal(a, varied.dataset[name].sel(scenario="again").values)


def test_inputs_have_their_direction(varied):
    """In every draw: carbohydrate raises glucose and weight, insulin lowers glucose and weight."""
    weeks = varied.dataset.sel(gestational_day=slice(232, 280))
    base, more, insulin = (weeks.isel(scenario=i) for i in range(3))
    assert (more["mean_glucose_mg_dl"] > base["mean_glucose_mg_dl"]).all()
    assert (insulin["mean_glucose_mg_dl"] < base["mean_glucose_mg_dl"]).all()
    late = slice(270, 280)
    assert (more["fetal_weight_g"] > base["fetal_weight_g"]).sel(gestational_day=late).all()
    assert (insulin["fetal_weight_g"] < base["fetal_weight_g"]).sel(gestational_day=late).all()


def test_doses_move_only_when_titrated(one_forecast):
    insulin = one_forecast.daily_insulin_U.sel(gestational_day=slice(int(AS_OF_DAY) + 1, 294))
    fixed = insulin.sel(scenario="doses_fixed").values
    assert np.ptp(fixed) < 1e-4 and fixed[0, 0] == pytest.approx(12.0, abs=0.01)
    assert (insulin.sel(scenario="untreated").values == 0.0).all()
    now = insulin.sel(scenario="as_now").values
    weekly = now[:, ::7]
    ratio = weekly[:, 1:] / weekly[:, :-1]
    assert ratio.max() <= 1.15 + 1e-4 and ratio.min() >= 0.9 - 1e-4
    assert np.ptp(now[:, -1]) > 0, "draws are titrated each by their own glucose"


def titrate(factor, basal, after_meal):
    """One basal and one rapid dose (minute 200); glucose at 06:30 and 75 min after the rapid dose as given."""
    events = events_of([DailyPattern(meals=(), doses=((1080.0, 8.0, "glargine"), (200.0, 4.0, "rapid")))])
    G = np.full((289, 1), 100.0)
    G[30], G[55] = basal, after_meal
    start = jnp.full((events.dose_mU.shape[0], 1), factor)
    return [
        np.asarray(_titrate(start, events, jnp.asarray(G), jnp.asarray([t]), TARGETS))[:2, 0]
        for t in (True, False)
    ]


def test_titration_rule_by_hand():
    for (basal, after), want in {
        (100.0, 120.0): (1.15, 1.0),  # fasting above 95, meal below 140
        (90.0, 150.0): (1.0, 1.15),
        (65.0, 60.0): (0.9, 0.9),  # low
        (90.0, 130.0): (1.0, 1.0),  # at target: nothing moves
    }.items():
        moved, kept = titrate(1.0, basal, after)
        assert moved.tolist() == pytest.approx(list(want))
        assert kept.tolist() == [1.0, 1.0]


def test_titration_has_a_floor_and_a_ceiling():
    assert titrate(0.2, 60.0, 60.0)[0].tolist() == pytest.approx([0.2, 0.2])
    assert titrate(12.0, 200.0, 200.0)[0].tolist() == pytest.approx([12.0, 12.0])


@pytest.mark.parametrize("week", [20.3, 24.0, 31.9, 36.5, 41.0])
def test_future_edges(week):
    edges = future_edges(week)
    assert edges[0] == week and edges[-1] == END_WEEK
    assert (np.diff(edges) >= 0).all() and (np.diff(edges) <= 1.0).all()
    assert (len(edges) - 1) % 4 == 0, "few shapes"


@pytest.fixture(scope="module")
def in_double(one_record, one_posterior, one_plans, one_forecast):
    """The same forecast in double precision."""
    data = one_posterior.data
    n_beyond = -(-(LAST_WEEK - FIRST_WEEK) // XI_CELLS) - -(-data.n_cells // XI_CELLS)
    k_xi = jax.random.split(jax.random.key(6), 4)[1]
    fresh = jax.random.normal(k_xi, (n_beyond, FORECAST_DRAWS), dtype=jnp.float32).astype(float)
    z = jnp.asarray(one_posterior.z[:, one_forecast.chosen])
    future = _future(one_record, AS_OF_DAY, one_plans, STANDARD)
    past = evaluate(one_posterior.prior, data, z).past
    return run_ensemble(one_posterior.prior, data, z, past, fresh, future, TARGETS), z, fresh


def test_single_precision_is_enough(one_forecast, in_double):
    """Untitrated scenarios: a titrated dose may turn on the last bit of a reading."""
    double = np.asarray(in_double[0].lean_g + in_double[0].fat_g)
    single = one_forecast.dataset["fetal_weight_g"].values
    np.testing.assert_allclose(single[1:], double[1:], rtol=1e-4)
    glucose = one_forecast.dataset["mean_glucose_mg_dl"].values
    np.testing.assert_allclose(glucose[1:], np.asarray(in_double[0].mean_glucose)[1:], atol=0.02)
    assert abs(single[0] / double[0] - 1.0).mean() < 1e-3


def test_future_is_the_coupled_model_continued(one_record, one_posterior, one_plans, in_double):
    """`doses_fixed` against one uninterrupted `coupled.course` with the same latents and growth noise: fetal weight to
    38 weeks within 0.1 % in every draw. (The week of today is cut in two.)"""
    out, z, fresh = in_double
    prior, data = one_posterior.prior, one_posterior.data
    latents = unpack(prior, data, z)
    start, n_xi = len(prior.latents), n_deviations(data)
    every = jnp.concatenate([z[start : start + n_xi], fresh])
    n_cells = END_WEEK - FIRST_WEEK
    xi = deviations(prior, every, 2 * every.shape[0])[:n_cells]
    weeks = glucose_weeks()[: n_cells - (GLUCOSE_FROM_WEEK - FIRST_WEEK)]
    past = plan_for(data, latents, 1)
    n_past = int(np.floor(AS_OF_DAY / 7.0)) - GLUCOSE_FROM_WEEK
    ahead = events_of([one_plans[1].pattern])

    def joined(old, new, scale=1.0):
        new = jnp.broadcast_to((new[:, :, None] * scale), (new.shape[0], len(weeks) - n_past, old.shape[2]))
        return jnp.concatenate([old[:, :n_past], new], axis=1)

    events = jax.tree.map(joined, past.events, ahead)
    factor = latents.meal_factor[: ahead.meal_mg.shape[0], None]
    events = dataclasses.replace(events, meal_mg=joined(past.events.meal_mg, ahead.meal_mg, factor))
    plan = WeekPlan(events, jnp.asarray(weight_by_week(one_record, weeks))[:, None])
    shift = latents.dating_shift_weeks
    reference = jnp.asarray(reference_exposure(STANDARD))
    full = jax.jit(course)(
        latents.maternal, latents.pregnancy, latents.fetus, plan, xi, shift, reference, data.table
    )
    edges = recorded_edges(n_cells, shift.dtype, 1) + shift[None]
    days = np.array([200, 223, 224, 230, 240, 250, 260, 266])
    cell = jnp.asarray(days // 7 - FIRST_WEEK)
    true_week = jnp.asarray(days / 7.0)[:, None] + shift[None]
    want = np.asarray(sum(masses_at(latents.fetus, full.growth, edges, cell, true_week, data.table))).T
    got = np.asarray(out.lean_g + out.fat_g)[1][:, days - FIRST_DAY]
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_given_birth_day(one_record, one_posterior, one_plans):
    plans = [dataclasses.replace(p, delivery=DeliveryPolicy(given_day=270)) for p in one_plans]
    ds = run(jax.random.key(6), one_posterior, one_record, plans, draws=FORECAST_DRAWS).dataset
    assert (ds["delivery_day"] == 270).all()
    ratio = np.log(ds["birth_weight_g"] / ds["fetal_weight_g"].sel(gestational_day=270)).values
    np.testing.assert_allclose(
        ratio, np.broadcast_to(ratio[:1], ratio.shape), atol=1e-5
    )  # one residual a draw
    assert 0.045 < ratio[0].std() < 0.075


def test_day_profile_is_ordered_and_covers(one_posterior, one_record):
    profile = day_profile(jax.random.key(2), one_posterior)
    assert (profile["q05"] < profile["q50"]).all() and (profile["q50"] < profile["q95"]).all()
    assert profile["minute_of_day"].values.tolist() == sorted(profile["minute_of_day"].values)
    assert profile.sizes["minute_of_day"] == 96
    fasting = one_record.glucose[one_record.glucose["relation"] == "fasting"]["value_mg_dl"].mean()
    assert abs(profile["q50"].sel(minute_of_day=405).item() - fasting) < 8.0
