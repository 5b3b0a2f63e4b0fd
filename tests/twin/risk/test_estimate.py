"""risk.json of the one woman against her own forecast."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from tests.one_woman import AS_OF_DAY, FORECAST_DRAWS
from twin.growth_standards import BIRTHWEIGHT_STANDARDS, birthweight_centile
from twin.record import Scope, scope_gate
from twin.report.files import validate_risk
from twin.risk import estimate
from twin.risk.outcomes import exceeds
from twin.settings import SiteSettings

COUNTS = {"glucose_readings": 63, "scans": 3, "newest_glucose_age_days": 1.0, "newest_scan_age_days": 4.0}


def assess(one_record, one_posterior, one_forecast, one_plans, scope=None, **settings):
    settings = SiteSettings(**settings)
    return estimate(
        one_forecast,
        one_posterior,
        one_record,
        one_plans,
        scope or scope_gate(one_record, AS_OF_DAY, settings),
        as_of="2026-10-11",
        data=COUNTS,
        raw_alerts=[],
        settings=settings,
        seed=1,
    )


@pytest.fixture(scope="module")
def risk(one_record, one_posterior, one_forecast, one_plans):
    return assess(one_record, one_posterior, one_forecast, one_plans)


def outcome(scenario, name):
    return next(o for o in scenario["outcomes"] if o["outcome"] == name)


def test_risk_meets_the_contract(risk):
    validate_risk(risk)
    assert risk["schema"] == "gdm-twin/risk/1" and risk["calibration"]["method"] == "laplace"
    assert [s["name"] for s in risk["scenarios"]] == ["as_now", "doses_fixed", "untreated"]
    for s in risk["scenarios"]:
        names = [o["outcome"] for o in s["outcomes"]]
        assert names == ["macrosomia_4000", "macrosomia_4500", "lga_90", "sga_10", "ac_90_at_36w"]
        for o in s["outcomes"]:
            assert 0 <= o["low"] <= o["probability"] <= o["high"] <= 1
        assert s["treatment_strategy"] and s["delivery_assumption"]


@pytest.mark.parametrize("threshold", [4000, 4500])
def test_probability_is_the_share_of_simulated_births(risk, one_forecast, threshold):
    """Each draw's birth is one Bernoulli trial of its own probability: z-test at 4.9 SD per scenario and threshold,
    6 tests: false-alarm rate 6e-6; sees a probability wrong by 0.12 with power 0.97."""
    for s in risk["scenarios"]:
        born = one_forecast.dataset["birth_weight_g"].sel(scenario=s["name"]).values
        p = outcome(s, f"macrosomia_{threshold}")["probability"]
        assert abs((born > threshold).mean() - p) <= 4.9 * np.sqrt(max(p * (1 - p), 1e-3) / FORECAST_DRAWS)


def test_lga_is_the_chart_applied_to_births(risk, one_forecast):
    """Sex unknown: the expected share over both charts, by simulated births; 4.9 SD as above."""
    ds = one_forecast.dataset.sel(scenario="as_now")
    weight, day = (jnp.asarray(ds[n].values, dtype=float) for n in ("birth_weight_g", "delivery_day"))
    share = {}
    for code, part in ((1, 0.512), (0, 0.488)):
        centile = np.asarray(
            birthweight_centile(weight, day, jnp.full(day.shape, code), standard="intergrowth21_newborn")
        )
        for name, hit in (("lga_90", centile > 90), ("sga_10", centile < 10)):
            share[name] = share.get(name, 0.0) + part * hit.mean()
    for name, got in share.items():
        p = outcome(risk["scenarios"][0], name)["probability"]
        assert abs(got - p) <= 4.9 * np.sqrt(max(p * (1 - p), 1e-3) / FORECAST_DRAWS)
    assert risk["scenarios"][0]["lga_by_reference"]["intergrowth21_newborn"] == pytest.approx(
        outcome(risk["scenarios"][0], "lga_90")["probability"], abs=1e-4
    )


def test_abdomen_at_36_weeks_is_a_share_of_draws(risk, one_forecast):
    from twin.growth_standards import biometry_from_z

    limit = float(biometry_from_z("ac_mm", norm_90(), 252.0, standard="intergrowth21"))
    ac = one_forecast.dataset["ac_mm"].sel(scenario="as_now", gestational_day=252).values
    p = outcome(risk["scenarios"][0], "ac_90_at_36w")["probability"]
    assert p == pytest.approx((ac > limit).mean(), abs=1e-4)


def norm_90():
    from scipy.stats import norm

    return float(norm.ppf(0.9))


def test_later_birth_is_heavier(risk):
    for s in risk["scenarios"]:
        rows = s["if_born_on"]
        days = [r["gestational_day"] for r in rows]
        assert days == list(range(252, 294))
        for name in ("macrosomia_4000", "macrosomia_4500", "birth_weight_q05", "birth_weight_q95"):
            assert (np.diff([r[name] for r in rows]) >= 0).all(), name
        assert rows[-1]["macrosomia_4000"] > rows[0]["macrosomia_4000"]


def test_quantiles_are_those_of_the_births(risk, one_forecast):
    """The share of simulated births below each quantile: binomial of 200, 4.9 SD, 9 tests: false-alarm rate 9e-6; sees
    a share wrong by 0.12 at q05 with power 0.97. The rows of `if_born_on` hold their share of the draws' lognormals."""
    ds = one_forecast.dataset
    for s in risk["scenarios"]:
        born = ds["birth_weight_g"].sel(scenario=s["name"]).values
        for name, q in (("q05", 0.05), ("q50", 0.5), ("q95", 0.95)):
            below = (born < s["birth_weight_g"][name]).mean()
            assert abs(below - q) <= 4.9 * np.sqrt(q * (1 - q) / FORECAST_DRAWS)
        for row in s["if_born_on"][::10]:
            weight = ds["fetal_weight_g"].sel(scenario=s["name"], gestational_day=row["gestational_day"])
            for name, q in (("birth_weight_q05", 0.05), ("birth_weight_q95", 0.95)):
                assert np.mean(1.0 - exceeds(weight.values, row[name])) == pytest.approx(q, abs=5e-4)


def test_treatment_has_its_direction(risk):
    """Without her insulin the weight is higher: draws are shared, so the order is exact."""
    fixed, bare = risk["scenarios"][1:]
    for name in ("macrosomia_4000", "macrosomia_4500"):
        assert outcome(bare, name)["probability"] > outcome(fixed, name)["probability"]
    assert bare["birth_weight_g"]["mean"] > fixed["birth_weight_g"]["mean"]


def test_withheld_outcomes_are_absent(one_record, one_posterior, one_forecast, one_plans):
    withheld = Scope("partial", ["late-dating"], ["lga_90", "sga_10", "ac_90_at_36w", "centiles"], {})
    found = assess(one_record, one_posterior, one_forecast, one_plans, withheld)
    validate_risk(found)
    for s in found["scenarios"]:
        assert [o["outcome"] for o in s["outcomes"]] == ["macrosomia_4000", "macrosomia_4500"]
        assert s["lga_by_reference"] == {}
        assert not any({"lga_90", "sga_10"} & set(r) for r in s["if_born_on"])


@pytest.mark.parametrize("reference, last", [("hadlock1991", 280), ("who", 280), ("intergrowth21_efw", 280)])
def test_a_reference_that_ends_too_early_says_so(
    one_record, one_posterior, one_forecast, one_plans, reference, last
):
    """Births after the chart's last day have no centile: LGA and SGA go, and the reason stands in their place."""
    found = assess(
        one_record, one_posterior, late(one_forecast, last + 1), one_plans, lga_reference=reference
    )
    validate_risk(found)
    for s in found["scenarios"]:
        assert not {"lga_90", "sga_10"} & {o["outcome"] for o in s["outcomes"]}
        assert "ends at 40+0; 10 of 100 births are later" in s["lga_not_covered"][reference]
        assert reference not in s["lga_by_reference"]
        assert set(s["lga_by_reference"]) | set(s["lga_not_covered"]) == set(BIRTHWEIGHT_STANDARDS)
    codes = [i for i in found["issues"] if i["code"] == "reference-does-not-cover"]
    assert len(codes) == 3 and reference in codes[0]["message"] and "40+0" in codes[0]["message"]


def late(forecast, day):
    """The forecast with every tenth birth on `day`, the others on 39+0."""
    days = np.where(np.arange(forecast.dataset.sizes["draw"]) % 10 == 0, float(day), 273.0)
    shape = forecast.dataset["delivery_day"]
    return replace(
        forecast,
        dataset=forecast.dataset.assign(delivery_day=shape.copy(data=np.broadcast_to(days, shape.shape))),
    )


def test_a_reference_that_covers_says_nothing(risk):
    assert not [i for i in risk["issues"] if i["code"] == "reference-does-not-cover"]
    for s in risk["scenarios"]:
        assert "intergrowth21_newborn" not in s["lga_not_covered"]


def test_hours_of_low_glucose_have_an_interval(risk, one_forecast):
    for s in risk["scenarios"]:
        low = s["hypoglycaemia"]
        day = float(one_forecast.dataset["delivery_day"].sel(scenario=s["name"]).median())
        hours = one_forecast.hours_low.sel(scenario=s["name"], gestational_day=slice(AS_OF_DAY, day))
        assert low["hours_below_63_per_day"] == pytest.approx(float(hours.mean()), abs=1e-3)
        per_draw = hours.mean("gestational_day")
        for q, name in ((0.05, "hours_below_63_q05"), (0.95, "hours_below_63_q95")):
            assert low[name] == pytest.approx(float(per_draw.quantile(q)), abs=1e-3)


def test_birth_today_still_has_its_day(one_record, one_posterior, one_forecast, one_plans):
    """As of 31+6.5 with births on 31+6 the rest of the pregnancy is that day, not an empty mean."""
    today = one_forecast.dataset["delivery_day"] * 0.0 + float(int(AS_OF_DAY))
    born = replace(one_forecast, dataset=one_forecast.dataset.assign(delivery_day=today))
    found = assess(one_record, one_posterior, born, one_plans)
    validate_risk(found)
    assert np.isfinite(found["scenarios"][0]["hypoglycaemia"]["hours_below_63_per_day"])


def test_withheld_glucose_has_no_hours_of_low_glucose(one_record, one_posterior, one_forecast, one_plans):
    scope = Scope("partial", ["steroid-course"], ["glucose_forecast"], {})
    found = assess(one_record, one_posterior, one_forecast, one_plans, scope)
    validate_risk(found)
    for s in found["scenarios"]:
        assert set(s["hypoglycaemia"].values()) == {None}


def test_drivers_name_data_she_has(risk):
    told = [d for d in risk["drivers"] if d["effect_on_macrosomia_4000"] is not None]
    assert 0 < len(told) <= 8 and risk["drivers"][: len(told)] == told
    size = [abs(d["effect_on_macrosomia_4000"]) for d in told]
    assert size == sorted(size, reverse=True)
    dates = ("2026-07-22", "2026-09-14", "2026-10-07")
    for d in risk["drivers"]:
        assert d["name"].endswith(dates) or "glucose" in d["name"]
        assert d["pareto_k"] > 0.7 if d not in told else -1.0 < d["effect_on_macrosomia_4000"] < 1.0
