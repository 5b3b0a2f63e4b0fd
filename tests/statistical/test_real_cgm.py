"""The parts of the real-sensor check, on invented people and closed forms; the shelf only for reading it."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from tests.statistical.real_cgm import intake, protocol, regression, scores, summary, twin_forecast
from tests.statistical.real_cgm.climatology import climatology
from tests.statistical.real_cgm.grid import day_and_minute, on_grid
from tests.statistical.real_cgm.people import Source, load_people, person_of
from twin.encode import encode
from twin.inference.calibrate import Calibration
from twin.inference.priors import load_prior
from twin.physiology.maternal import fasting_state
from twin.physiology.parameters import MaternalParams

N_DAYS = 7


def invented_source(seed: int = 3) -> Source:
    """A week of readings every 5 min from 10:00 of the first day, with three meals a day and a slip of the pen."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2020-03-01 10:00", "2020-03-07 09:00", freq="5min")
    hour = times.hour + times.minute / 60.0
    value = 105.0 + 20.0 * np.sin(2 * np.pi * hour / 24.0) + rng.normal(0.0, 6.0, len(times))
    meals = [(f"2020-03-0{d} {clock}", 50.0) for d in range(1, 7) for clock in ("08:00", "13:00", "19:00")]
    meals += [("2020-03-03 19:10", 20.0), ("2020-03-04 16:00", 700.0), ("2020-03-05 16:00", 0.0)]
    table = pd.DataFrame(meals, columns=["time_local", "carbohydrate_g"])
    return Source(
        pd.DataFrame({"time_local": times, "value_mg_dl": value}),
        table.assign(time_local=pd.to_datetime(table["time_local"])),
        height_cm=165.0,
        weight_kg=70.0,
    )


@pytest.fixture(scope="module")
def person():
    return person_of("invented", "1", invented_source())


def integrated_crps(cdf, y: float, low: float, high: float) -> float:
    x = np.linspace(low, high, 400_001)
    return float(np.trapezoid((cdf(x) - (x >= y)) ** 2, x))


@pytest.mark.parametrize("y", [80.0, 100.0, 131.0])
def test_crps_is_the_integral_of_squared_distance(y):
    normal = scores.crps_normal(np.array(y), np.array(100.0), np.array(12.0))
    assert normal == pytest.approx(integrated_crps(norm(100.0, 12.0).cdf, y, -50.0, 250.0), abs=1e-3)
    ln = scores.crps_lognormal(np.array(y), np.array(4.6), np.array(0.2))

    def cdf(x):
        return norm.cdf((np.log(np.maximum(x, 1e-9)) - 4.6) / 0.2)

    assert ln == pytest.approx(integrated_crps(cdf, y, 0.0, 500.0), abs=2e-3)


def test_crps_of_a_normal_at_its_mean():
    assert scores.crps_normal(np.array(5.0), np.array(5.0), np.array(2.0)) == pytest.approx(
        2.0 * (np.sqrt(2.0) - 1.0) / np.sqrt(np.pi)
    )


def test_ensemble_crps_is_the_fair_sum_over_pairs():
    draws = np.random.default_rng(1).normal(size=(7, 3))
    y = np.array([0.2, -1.0, 3.0])
    pairs = np.abs(draws[:, None] - draws[None]).sum(axis=(0, 1)) / (2 * 7 * 6)
    assert scores.crps_ensemble(y, draws) == pytest.approx(np.abs(draws - y).mean(axis=0) - pairs)


def test_ensemble_crps_tends_to_that_of_its_distribution():
    draws = norm.ppf((np.arange(4000) + 0.5) / 4000)[:, None]
    y = np.array([0.7])
    assert scores.crps_ensemble(y, draws) == pytest.approx(
        scores.crps_normal(y, np.zeros(1), np.ones(1)), abs=2e-3
    )


def test_coverage_counts_the_central_ninety_percent():
    quantiles = norm.ppf([0.049, 0.051, 0.5, 0.949, 0.951])
    assert scores.inside_90_lognormal(np.exp(quantiles), np.zeros(5), np.ones(5)).tolist() == [
        False,
        True,
        True,
        True,
        False,
    ]
    draws = np.linspace(0.0, 1.0, 1001)[:, None]
    assert scores.inside_90_ensemble(np.array([0.04, 0.06, 0.94, 0.96]), draws).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_ratio_keeps_people_whole():
    theirs = np.array([1.0, 5.0, 20.0])
    same = scores.ratio_over_people(0.9 * theirs, theirs)
    assert (same.value, same.low, same.high) == pytest.approx((0.9, 0.9, 0.9))
    other = scores.ratio_over_people(theirs * [0.5, 1.0, 1.5], theirs)
    assert other.value == pytest.approx(35.5 / 26.0) and other.low < other.value < other.high
    assert scores.relative_difference(theirs * [0.5, 1.0, 1.5], theirs).value == pytest.approx(0.0)


def test_a_day_begins_at_four():
    day, minute = day_and_minute(pd.Series(pd.to_datetime(["1970-01-03 03:59", "1970-01-03 04:00"])))
    assert day.tolist() == [1, 2] and minute.tolist() == [1439.0, 0.0]


def test_the_nearest_reading_stands_on_the_grid():
    minute = np.array([2.0, 1.0, 7.6, 25.0, 1436.0])
    grid = on_grid(np.zeros(5, dtype=int), minute, np.array([90.0, 91.0, 92.0, 93.0, 94.0]), 0, 1)
    assert grid[0, :3].tolist() == [91.0, 92.0, 93.0] and np.isnan(grid[0, 3:]).all()


def test_free_text_is_read():
    assert intake.food_carbohydrate("Egg 65 g; Milk 250 ml; Rice  20  g") == pytest.approx(67.0)
    assert intake.food_carbohydrate("data not available") is None
    doses, unknown = intake.insulin_doses("insulin glarigine, 14 IU, Humulin 70/30, 10 IU, potion, 3 IU")
    assert doses == [(14.0, "glargine"), (3.0, "regular"), (7.0, "nph")] and unknown == 1
    assert intake.insulin_doses("insulin aspart 70/30, 10 IU")[0] == [(3.0, "rapid"), (7.0, "nph")]
    assert intake.metformin_mg("liraglutide 1.2 mg, metformin 0.25 g") == 250.0
    pair = "sitagliptinphosphate/metforminhydrochloride tablets 50 mg / 500 mg"
    assert intake.metformin_mg(pair) == 500.0
    assert intake.metformin_mg("acarbose 50 mg") is None


def test_near_meals_are_one():
    assert intake.merged([(30.0, 5.0), (0.0, 10.0), (15.0, 1.0)]) == [(0.0, 11.0), (30.0, 5.0)]


def test_meals_of_a_person(person):
    assert person.counts == {"absurd": 1, "zero": 1, "unknown": 0, "merged": 1, "left_out": 0}
    assert [len(m) for m in person.meals] == [3, 3, 3, 3, 3, 3, 0]
    assert person.meals[2][-1] == (900.0, 70.0)


def test_an_unknown_meal_is_the_median():
    source = invented_source()
    meals = source.meals.assign(carbohydrate_g=[np.nan, *source.meals["carbohydrate_g"][1:]])
    found = person_of("invented", "1", Source(source.glucose, meals))
    assert found.counts["unknown"] == 1 and found.record.meals["carbohydrate_g"].iloc[0] == 50.0


def test_the_record_is_what_was_known_before_the_day(person):
    assert person.n_days == N_DAYS and not person.record.issues
    for day in (3, 5):
        record = protocol.record_before(person, day)
        newest = record.glucose["gestational_day"].max()
        assert person.gestational_day(day) - 6.0 / 1440.0 < newest < person.gestational_day(day)
        assert record.meals["gestational_day"].max() < person.gestational_day(day)
    assert person.gestational_day(N_DAYS - 1) == pytest.approx(196.0 + 4.0 / 24.0)


def test_the_grid_is_the_twins(person):
    cgm = encode(person.record, 198.0, standard="hadlock1991").cgm
    ours = person.values[np.isfinite(person.values).sum(axis=1) >= 12][::-1]
    theirs = np.where(np.asarray(cgm.mask), np.asarray(cgm.value), np.nan)[: len(ours)]
    np.testing.assert_array_equal(ours, theirs)


def test_target_days_are_full_and_spread():
    values = np.full((14, 96), 100.0)
    assert protocol.target_days(values) == [3, 5, 8, 11, 13]
    values[8, :40] = np.nan
    assert 8 not in protocol.target_days(values)
    values[:4] = np.nan  # too little before the next
    assert protocol.target_days(values)[0] == 6


def test_climatology_knows_spread_and_the_newest_days():
    rng = np.random.default_rng(2)
    steady = np.exp(4.6 + 0.1 * rng.standard_normal((14, 96)))
    mean, sd = climatology(steady)
    assert np.abs(mean - 4.6).max() < 0.04 and sd.mean() == pytest.approx(0.11, rel=0.1)
    drifting = np.repeat(np.linspace(90.0, 130.0, 14)[:, None], 96, axis=1)
    assert np.exp(climatology(drifting)[0]).min() > drifting.mean()


def test_regression_finds_the_law_of_a_day_of_meals_and_of_insulin():
    """Glucose that is an exact function of the hour and of kernels of meals and doses is forecast almost exactly."""
    rng = np.random.default_rng(4)
    t = np.arange(8 * 96)
    ln = 4.6 + 0.1 * np.sin(2 * np.pi * t / 96)
    meals = [
        [(float(m), float(g)) for m, g in zip(rng.uniform(100, 1200, 3), rng.uniform(20, 60, 3), strict=True)]
        for _ in range(8)
    ]
    for d, own in enumerate(meals):
        for minute, grams in own:
            age = np.maximum(15.0 * t - 1440.0 * d - minute, 0.0) / 60.0
            ln = ln + 0.005 * grams * age * np.exp(1.0 - age)
    doses = [
        [
            (float(m), float(u), "rapid")
            for m, u in zip(rng.uniform(100, 1200, 3), rng.uniform(2, 9, 3), strict=True)
        ]
        for _ in range(8)
    ]
    for d, given in enumerate(doses):
        for minute, units, _ in given:
            age = np.maximum(15.0 * t - 1440.0 * d - minute, 0.0) / regression.INSULIN_TAU_MIN["rapid"]
            ln = ln - 0.03 * units * age * np.exp(1.0 - age)
    days = np.exp(ln.reshape(8, 96))
    mean, sd = regression.forecast(days, meals, protocol.ORIGINS, 4, doses)
    truth = np.log(days[-1, protocol.ORIGINS + 4])
    for without in (([[]] * 8, doses), (meals, ())):
        blind, _ = regression.forecast(days, without[0], protocol.ORIGINS, 4, without[1])
        assert np.abs(blind - truth).max() > 0.02
    assert np.abs(mean - truth).max() < 0.02
    assert sd.max() < 0.02


def test_regression_never_sees_what_follows_an_origin(person):
    days, origin = person.values[:5].copy(), np.array([40])
    before = regression.forecast(days, person.meals[:5], origin, 8)
    days[-1, 41:] = 400.0
    np.testing.assert_array_equal(regression.forecast(days, person.meals[:5], origin, 8), before)


def test_ridge_of_a_plain_line():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((200, 3))
    y = X @ [1.0, -2.0, 0.0] + 3.0
    fit = regression.fit_ridge(X, y, np.ones(200), np.arange(200) // 50)
    assert fit.mean(X) == pytest.approx(y, abs=0.01)


def test_the_twin_is_scored_on_the_same_readings(person, monkeypatch):
    """A forecaster that knows the truth: its history ends at the origin, its samples stand where they should."""
    truth = person.values

    def ahead(posterior, meals, doses, week, weight_kg, history, start_index, draws):
        day = next(d for d in range(N_DAYS) if person.meals[d] is meals)
        known = np.isfinite(history[-1])
        assert not known[start_index:].any()
        np.testing.assert_array_equal(history[:-1], truth[:day])
        np.testing.assert_array_equal(history[-1, :start_index], truth[day, :start_index])
        spread = np.linspace(-1.0, 1.0, draws)[:, None]
        return truth[day, start_index:] + spread

    fitted = []

    def fit(record, as_of_day):
        fitted.append(record.glucose["gestational_day"].max() < as_of_day)
        return SimpleNamespace(calibration=Calibration("laplace", True))

    monkeypatch.setattr(twin_forecast, "fit", fit)
    monkeypatch.setattr(twin_forecast, "ahead", ahead)
    got = protocol.score_case(person, 4, baselines_only=False)
    assert fitted == [True]
    for part in summary.PARTS:
        twin, base = got["twin"][part], got["baseline"][part]
        assert twin["n"] == base["n"] > 0 and twin["inside"] == twin["n"]
        assert twin["crps"] < 0.4 * twin["n"] < base["crps"]


def invented_case(dataset: str, name: str, ratio: float, inside: int = 90) -> dict:
    base = {part: {"n": 100, "crps": 1000.0, "inside": 91} for part in summary.PARTS}
    twin = {part: {"n": 100, "crps": 1000.0 * ratio, "inside": inside} for part in summary.PARTS}
    return {"dataset": dataset, "person": name, "baseline": base, "twin": twin}


def test_the_prior_of_adults():
    """The packaged prior's latents, and a median fasting glucose of people who are not pregnant, 95 mg/dL
    [A-DM-N-Gb]."""
    adults, packaged = load_prior(str(twin_forecast.PRIOR)), load_prior()
    assert [(x.name, x.transform) for x in adults.latents] == [
        (x.name, x.transform) for x in packaged.latents
    ]
    own = {x.name: x.center for x in adults.latents}
    names = ("S_I", "B", "R0", "E_G0", "VG", "U_fp", "n", "G_s")
    p = MaternalParams.reference(**{name: own[name] for name in names})
    assert float(fasting_state(p, jnp.zeros(()), jnp.zeros(())).G) == pytest.approx(95.0, abs=3.0)


def test_bars():
    good = [invented_case(d, str(i), 0.9) for d in ("cgmacros", "shanghai", "bigideas") for i in range(3)]
    found = summary.summarise(good)
    assert found[summary.POOLED]["day"]["ratio"]["value"] == 0.9 and summary.shortfalls(found) == []
    assert found["bigideas"]["1h"]["baseline_crps"] == 10.0
    worse = summary.summarise([c | invented_case(c["dataset"], c["person"], 1.015) for c in good])
    assert summary.shortfalls(worse) == [
        "bigideas day: CRPS ratio 1.015 above 1.01",
        "cgmacros+shanghai day: CRPS ratio 1.015 above 0.95",
        "cgmacros+shanghai 4h: CRPS ratio 1.015 not below 1",
    ]
    narrow = summary.shortfalls(
        summary.summarise([invented_case(c["dataset"], c["person"], 0.9, 80) for c in good])
    )
    assert len(narrow) == 16 and all("covered 0.800" in s for s in narrow)


@pytest.mark.shared_data
def test_people_on_the_shelf(shared_data):
    people = load_people(shared_data, "bigideas")
    assert len(people) == 7 and sum(len(protocol.target_days(p.values)) for p in people) == 35
    for person in people:
        assert not person.record.issues
        assert person.record.glucose["gestational_day"].between(182.0, 198.0).all()
        assert sum(map(len, person.meals)) <= len(person.record.meals)
