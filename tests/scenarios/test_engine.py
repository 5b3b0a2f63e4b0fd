"""The engine on the one woman: reproducible, blind to the future, indifferent to units."""

import copy
import dataclasses
import json
from datetime import datetime, timedelta

import numpy as np
import pytest

from scenarios.engine import (
    DEFAULT_SCENARIOS,
    _given_birth_day,
    _known,
    as_of_time,
    open_twin,
    run_record,
    what_if,
    with_settings,
    write_result,
)
from tests.one_woman import AS_OF_DAY, FORECAST_DRAWS, LMP, SCAN_MM, at, make_record, tables
from twin.errors import UnknownStandard, UnusableInput
from twin.fhir import read_bundle, write_patient_bundle
from twin.inference.calibrate import load_posterior, save_posterior
from twin.report import InvalidRisk
from twin.report.files import validate_risk
from twin.settings import SiteSettings

AS_OF = "2026-10-11"  # 31+6


@pytest.fixture(scope="module")
def result(one_record):
    return run_record(one_record, as_of=AS_OF, draws=FORECAST_DRAWS, seed=3)


def test_everything_is_there(result):
    validate_risk(result.risk)
    assert result.scope.status == "full"
    assert result.risk["gestational_day"] == 223
    assert result.forecast.dataset.sizes["draw"] == FORECAST_DRAWS
    assert result.risk["provenance"]["seed"] == 3
    assert result.risk["provenance"]["posterior_id"] == result.posterior.id


def test_a_fit_that_cannot_be_trusted_is_sampled_instead(monkeypatch, one_record, result):
    """DESIGN 6: where the weights stay unreliable `run` samples, and the risk says so. The fits are stand-ins: the
    posterior of `result`, told to be bad by `laplace` and good by `nuts`."""
    asked = []

    def stand_in(key, record, *, method, **_):
        asked.append(method)
        told = dataclasses.replace(
            result.posterior.calibration,
            method=method,
            ok=method == "nuts",
            reasons=() if method == "nuts" else ("k",),
        )
        return dataclasses.replace(result.posterior, calibration=told)

    monkeypatch.setattr("scenarios.engine.calibrate", stand_in)
    steps = []
    got = run_record(one_record, as_of=AS_OF, draws=FORECAST_DRAWS, seed=3, progress=steps.append)
    assert asked == ["laplace", "nuts"] and any("sampling" in step for step in steps)
    assert {k: got.risk["calibration"][k] for k in ("method", "ok", "fallback")} == {
        "method": "nuts", "ok": True, "fallback": "nuts",
    }  # fmt: skip


def test_same_seed_same_bits_and_later_data_change_nothing(one_record, result):
    """Leakage: with `--as-of`, the same record with a later scan, later readings and the birth itself gives the same
    bits; only the lists of what was read may differ."""
    later = tables()
    later["glucose"] += [
        at(d, "06:45", value_mg_dl=140.0, kind="smbg", relation="fasting", source=f"x{d}")
        for d in (224, 226, 230)
    ]
    huge = (330.0, 380.0, 72.0, 95.0)
    later["biometry"] += [
        at(240, "10:00", quantity=q, value=v, method="outer-outer", source=f"y{q}")
        for q, v in zip(("hc_mm", "ac_mm", "fl_mm", "bpd_mm"), huge, strict=True)
    ]
    later["insulin"] += [at(228, "22:00", dose_U=40.0, formulation="glargine", source="z")]
    later["weights"] += [at(240, weight_kg=95.0, source="w9")]
    record = make_record(
        later, delivery_day=LMP + timedelta(days=266), birth_weight_g=4650.0, newborn_sex="male"
    )
    assert len(record.glucose) == len(one_record.glucose) + 3
    got = run_record(record, as_of=AS_OF, draws=FORECAST_DRAWS, seed=3)
    np.testing.assert_array_equal(got.posterior.z, result.posterior.z)
    for name in result.forecast.dataset.data_vars:
        a, b = (r.forecast.dataset[name].values for r in (got, result))
        np.testing.assert_allclose(a, b, rtol=1e-5)
    for key in ("scenarios", "drivers", "calibration", "data", "scope", "raw_alerts"):
        assert got.risk[key] == result.risk[key], key


@pytest.fixture(scope="module")
def read_back(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "posterior.nc"
    save_posterior(result.posterior, path)
    return load_posterior(path)


def test_what_if_of_a_stored_posterior_is_the_run(one_record, result, read_back):
    """The run's own scenarios again: the same risk, and the forecast to single precision."""
    opened = open_twin(read_back, one_record, as_of=AS_OF)
    got = what_if(opened, DEFAULT_SCENARIOS, draws=FORECAST_DRAWS, seed=3)
    validate_risk(got.risk)
    for key in ("scenarios", "calibration", "data", "scope", "provenance", "as_of"):
        assert got.risk[key] == result.risk[key], key
    for a, b in zip(got.risk["drivers"], result.risk["drivers"], strict=True):
        assert a["name"] == b["name"]
    for name in result.forecast.dataset.data_vars:
        a, b = (r.forecast.dataset[name].values for r in (got, result))
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_what_if_in_another_order_and_of_another_plan(one_record, result):
    """A scenario keeps its numbers whatever stands beside it; a third more at every meal raises each draw's weight."""
    now = result.plans[0]
    eats = dataclasses.replace(now.pattern, meals=tuple((t, 4.0 / 3.0 * g) for t, g in now.pattern.meals))
    more = dataclasses.replace(now, name="more", pattern=eats)
    asked = (more, "untreated", "as_now")
    opened = open_twin(result.posterior, one_record, as_of=AS_OF)
    got = what_if(opened, asked, draws=FORECAST_DRAWS, seed=3)
    assert [s["name"] for s in got.risk["scenarios"]] == ["more", "untreated", "as_now"]
    before = {s["name"]: s for s in result.risk["scenarios"]}
    for s in got.risk["scenarios"][1:]:
        assert s["birth_weight_g"] == before[s["name"]]["birth_weight_g"]
        assert s["if_born_on"] == before[s["name"]]["if_born_on"]
    weight = got.forecast.dataset["fetal_weight_g"].sel(gestational_day=270)
    assert (weight.sel(scenario="more") > weight.sel(scenario="as_now")).all()


@pytest.mark.parametrize(
    "change, code",
    [
        ({"as_of": "2026-10-12"}, "other-day"),
        ({"settings": SiteSettings(growth_standard="who")}, "other-standard"),
        ({"record": make_record(), "patient": "p-other"}, "other-patient"),
    ],
)
def test_what_if_refuses_a_posterior_of_something_else(one_record, result, change, code):
    stored = dataclasses.replace(result.posterior, patient=change.pop("patient", result.posterior.patient))
    asked = {"record": one_record, "as_of": AS_OF} | change
    with pytest.raises(UnusableInput, match="Nothing was forecast") as why:
        open_twin(stored, **asked)
    assert why.value.code == code


def test_a_birth_day_that_dates_the_pregnancy_needs_a_fit(result):
    undated = make_record(dating_method="biometry")
    stored = dataclasses.replace(result.posterior, as_of_day=_known(undated, AS_OF, SiteSettings()).day)
    opened = open_twin(stored, undated, as_of=AS_OF)
    with pytest.raises(UnusableInput, match="birth day") as why:
        what_if(opened, ("as_now",), birth_day="39+0")
    assert why.value.code == "birth-day-needs-a-fit"


def test_another_seed_is_another_sample_of_the_same_answer(one_record, result):
    """Two independent fits of 200 draws; P differs by less than 5 SD of its own Monte-Carlo error. The draws' spread of
    P is at most 0.5, the effective size of the posterior at least 50: false-alarm rate below 1e-6."""
    other = run_record(one_record, as_of=AS_OF, draws=FORECAST_DRAWS, seed=4)
    a, b = (r.risk["scenarios"][0]["outcomes"][0]["probability"] for r in (result, other))
    assert a != b
    assert abs(a - b) < 5 * 0.5 * np.sqrt(2 / 50)


#: LOINC codes that promise mg/dL, and the code of the same quantity in mmol/L
MOLAR = {"41653-7": "14743-9", "1518-0": "14995-5"}


def glucose_resources(bundle):
    """Resources with a value in mg/dL; the 1-h sample is left out: its code has no molar partner in the code table."""
    bundle["entry"] = [e for e in bundle["entry"] if "1507-3" not in str(e["resource"].get("code"))]
    return [
        e["resource"]
        for e in bundle["entry"]
        if e["resource"].get("valueQuantity", {}).get("code") == "mg/dL"
    ]


def test_units_of_the_record_do_not_matter(one_record):
    """The same readings as mg/dL and, at full precision, as mmol/L under molar codes: equal to rounding."""
    bundle = write_patient_bundle(one_record)
    assert len(glucose_resources(bundle)) == len(one_record.glucose) - 1
    other = copy.deepcopy(bundle)
    for resource in glucose_resources(other):
        resource["valueQuantity"] |= {
            "value": resource["valueQuantity"]["value"] / 18.0156,
            "code": "mmol/L",
            "unit": "mmol/L",
        }
        for coding in resource["code"]["coding"]:
            coding["code"] = MOLAR.get(coding["code"], coding["code"])
    records = [read_bundle(b)[0] for b in (bundle, other)]
    assert [len(r.glucose) for r in records] == [len(one_record.glucose) - 1] * 2
    results = [run_record(r, as_of=AS_OF, draws=FORECAST_DRAWS, seed=3) for r in records]
    for a, b in zip(*(r.risk["scenarios"] for r in results), strict=True):
        for x, y in zip(a["outcomes"], b["outcomes"], strict=True):
            assert x["outcome"] == y["outcome"]
            assert x["probability"] == pytest.approx(y["probability"], abs=0.001)


def test_birth_day_replaces_the_delivery_model(one_record):
    got = run_record(one_record, as_of=AS_OF, birth_day="39+0", draws=FORECAST_DRAWS, seed=3)
    assert (got.forecast.dataset["delivery_day"] == 273).all()
    for s in got.risk["scenarios"]:
        assert "39+0" in s["delivery_assumption"]
        on = next(r for r in s["if_born_on"] if r["gestational_day"] == 273)
        p = next(o for o in s["outcomes"] if o["outcome"] == "macrosomia_4000")["probability"]
        assert on["macrosomia_4000"] == pytest.approx(p, abs=1e-4)


@pytest.mark.parametrize("birth_day", ["20+0", "45+0"])
def test_impossible_birth_day_is_refused(one_record, birth_day):
    with pytest.raises(UnusableInput, match="birth-day"):
        run_record(one_record, as_of=AS_OF, birth_day=birth_day)


def test_birth_today_is_possible_and_yesterday_is_not(one_record):
    """31+6 has begun: a birth on 31+6 is still possible at any hour of it, one on 31+5 at none."""
    for hour in (0.0, 0.5, 0.9993):
        assert _given_birth_day("31+6", one_record, 223.0 + hour) == 223
        with pytest.raises(UnusableInput, match="birth-day"):
            _given_birth_day("31+5", one_record, 223.0 + hour)
    assert int(AS_OF_DAY) == 223


@pytest.mark.slow
def test_birth_today_is_forecast(one_record):
    got = run_record(one_record, as_of=AS_OF, birth_day="31+6", draws=FORECAST_DRAWS, seed=3)
    validate_risk(got.risk)
    assert (got.forecast.dataset["delivery_day"] == 223).all()


def test_a_broken_risk_writes_and_removes_nothing(result, tmp_path):
    (tmp_path / "forecast.nc").write_text("earlier")
    bad = copy.deepcopy(result.risk)
    bad["scenarios"][0]["hypoglycaemia"]["hours_below_63_per_day"] = float("nan")
    with pytest.raises(InvalidRisk):
        write_result(dataclasses.replace(result, risk=bad), tmp_path, SiteSettings())
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("forecast.nc", "earlier")]


def test_a_refused_run_leaves_no_earlier_forecast(result, tmp_path):
    """The same folder twice: her forecast, then the day twins are recorded."""
    write_result(result, tmp_path, SiteSettings())
    forecast = {"posterior.nc", "forecast.nc"}
    assert forecast < {p.name for p in tmp_path.iterdir()}
    (tmp_path / "error.txt").write_text("earlier")
    refused = run_record(make_record(fetal_number=2), as_of=AS_OF)
    write_result(refused, tmp_path, SiteSettings())
    names = {"record", "risk.json", "report.html", "risk_assessment.json"}
    assert {p.name for p in tmp_path.iterdir()} == names
    assessment = json.loads((tmp_path / "risk_assessment.json").read_text())["entry"][1]["resource"]
    assert "prediction" not in assessment or assessment["prediction"] == []
    risk = json.loads((tmp_path / "risk.json").read_text())
    assert risk["growth_standard"] == "hadlock1991" and risk["lga_reference"] == "intergrowth21_newborn"


@pytest.mark.parametrize(
    "facts, word",
    [
        ({"fetal_number": 2}, "fetus"),
        ({"bariatric_surgery": True}, "bariatric"),
        ({"labour": True}, "labour"),
    ],
)
def test_out_of_scope_has_no_number(facts, word):
    got = run_record(make_record(**facts), as_of=AS_OF)
    validate_risk(got.risk)
    assert got.scope.status == "refused" and word in " ".join(got.scope.messages.values())
    assert got.posterior is None and got.forecast is None
    assert got.risk["scenarios"] == [] and got.risk["data"]["glucose_readings"] == 63
    assert len(got.record.glucose) == 63, "the data are still listed"


def test_too_early_is_out_of_scope():
    rows = {"glucose": [at(100, "07:00", value_mg_dl=85.0, kind="lab", relation="fasting", source="g")]}
    got = run_record(make_record(rows))
    assert got.scope.status == "refused"


def test_moment_of_the_forecast(one_record):
    assert as_of_time(one_record, "2026-10-11") == datetime(2026, 10, 11, 23, 59)
    assert as_of_time(one_record, "2026-10-11T09:30") == datetime(2026, 10, 11, 9, 30)
    assert as_of_time(one_record, None) == datetime(2026, 10, 10, 22, 0)  # the newest row, a dose of insulin
    with pytest.raises(UnusableInput, match="next week"):
        as_of_time(one_record, "next week")
    with pytest.raises(UnusableInput, match="--as-of"):
        as_of_time(make_record({}), None)


def test_settings_of_the_command_line():
    got = with_settings(SiteSettings(), "who", None)
    assert got.growth_standard == "who" and got.lga_reference == SiteSettings().lga_reference
    for wrong in ("hadlock", "intergrowth21_newborn"):  # the second is a chart of newborns
        with pytest.raises(UnknownStandard, match="hadlock1991"):
            with_settings(SiteSettings(), wrong, None)
    assert with_settings(SiteSettings(), None, "hadlock1991").lga_reference == "hadlock1991"


def test_scan_days_are_in_range():
    assert max(SCAN_MM) < 224
