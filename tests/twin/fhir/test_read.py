"""Reading: each rule of the boundary on a small Bundle; expected values are worked out by hand."""

import gzip
import importlib.util
import json
import re
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from twin.errors import UnusableInput
from twin.fhir import read_bundle, read_source
from twin.record import as_of
from twin.settings import SiteSettings

_spec = importlib.util.spec_from_file_location("fhir_rows", Path(__file__).with_name("conftest.py"))
_rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_rows)
LMP, observation, quantity, bundle = _rows.LMP, _rows.observation, _rows.quantity, _rows.bundle
patient, edd, MOTHER = _rows.patient, _rows.edd, _rows.MOTHER

SMBG = {"valueQuantity": quantity(98, "mg/dL")}


def one(*resources, settings=None):
    (record,) = read_bundle(bundle(patient(), edd(), *resources), settings)
    return record


def only_issue(record):
    (issue,) = [i for i in record.issues if i.severity != "warning"]
    return issue


def test_everything_of_a_good_bundle_is_used(good):
    (record,) = read_bundle(good)
    assert record.issues == ()
    assert record.glucose["value_mg_dl"].tolist() == pytest.approx([98.0, 7.1 * 18.0156, 131.0])
    assert record.glucose["kind"].tolist() == ["smbg", "smbg", "cgm"]
    assert record.glucose["source"].tolist() == [f"Bundle.entry[{i}]" for i in (2, 3, 4)]
    assert record.glucose["time_utc"].iloc[0] == pd.Timestamp("2026-09-14T05:30:00Z")
    assert record.glucose["gestational_day"].iloc[0] == pytest.approx(196 + 7.5 / 24)
    assert record.biometry["value"].tolist() == [259.0, 238.0]
    assert record.biometry["scan"].tolist() == [0, 0]
    assert record.insulin[["dose_U", "formulation"]].values.tolist() == [[6.0, "rapid"]]
    assert record.meals["carbohydrate_g"].tolist() == [52.0]
    facts = record.facts
    assert (facts.lmp_equivalent, facts.dating_method) == (LMP, "edd")
    assert (facts.gdm, facts.height_cm, facts.weight_pre_kg, facts.parity) == (True, 166.0, 71.5, 1)
    assert facts.maternal_age_y == pytest.approx(31.7)  # from the year 1994 alone: 1 July to 2 March 2026


def test_no_identifier_leaves_the_room(good):
    (record,) = read_bundle(good)
    text = repr(record.facts) + repr(record.history) + repr(record.issues) + record.pseudonym
    text += "".join(getattr(record, t).to_csv() for t in ("glucose", "meals", "insulin", "biometry"))
    for secret in ("Secretname", "Hidden", "MRN-998877", "1994-05-17", "m1"):
        assert secret not in text


def test_pseudonyms_are_stable_and_keyed(good, monkeypatch):
    name = read_bundle(good)[0].pseudonym
    assert read_bundle(good)[0].pseudonym == name and name.startswith("p-")
    monkeypatch.setenv("GDM_TWIN_PSEUDONYM_KEY", "a site's secret")
    assert read_bundle(good)[0].pseudonym != name


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"valueQuantity": quantity(98, "mmHg")}, "unknown-unit"),
        ({"valueQuantity": {"value": 98}}, "no-unit"),
        ({"valueQuantity": {"value": 98, "unit": "milligrams"}}, "unknown-unit"),
        ({"valueQuantity": quantity(5.4, "mmol/L")}, "unit-contradicts-code"),
        ({"valueQuantity": quantity(5.4, "mg/dL")}, "implausible-glucose"),
        ({"valueQuantity": quantity("98", "mg/dL")}, "not-a-number"),
        ({"valueQuantity": None}, "no-value"),
        ({"valueQuantity": None, "dataAbsentReason": {"coding": [{"code": "error"}]}}, "no-value"),
        ({"effectiveDateTime": "2026-09-14"}, "date-without-time"),
        ({"effectiveDateTime": "2026-09"}, "partial-date"),
        ({"effectiveDateTime": None}, "no-effective-time"),
        ({"effectiveDateTime": None, "issued": "2026-09-14T07:30:00Z"}, "no-effective-time"),
        ({"status": "entered-in-error"}, "entered-in-error"),
        ({"status": "cancelled"}, "status"),
        ({"status": "registered"}, "status"),
        ({"status": "unknown"}, "status"),
        ({"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}, "modifier-extension"),
        ({"subject": None}, "no-subject"),
        ({"focus": [{"reference": "Patient/m2"}]}, "focus"),
        ({"valueDate": "2026-09-14"}, "invalid-resource"),
        ({"code": {"coding": [{"system": "http://loinc.org", "code": "5792-7"}]}}, "not-a-sample"),
        ({"code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}}, "not-understood"),
        ({"code": {"text": "glucose"}}, "not-understood"),
        ({"resourceType": "Immunization"}, "not-understood"),
        ({"effectiveDateTime": "2029-09-14T07:30:00Z"}, "outside-pregnancy"),
    ],
)
def test_a_bad_reading_is_reported_with_its_place_and_costs_nothing_else(change, code):
    bad = observation("41653-7", **(SMBG | change))
    good_one = observation("41653-7", "2026-09-14T20:30:00+02:00", **SMBG)
    record = one(bad, good_one)
    assert record.glucose["source"].tolist() == ["Bundle.entry[3]"]
    issue = only_issue(record)
    assert (issue.source, issue.code) == ("Bundle.entry[2]", code)
    assert issue.message.rstrip().endswith((".",)) and len(issue.message) > 20


def test_a_time_without_offset_uses_the_site_zone_and_says_so():
    site = SiteSettings(time_zone="Europe/Berlin")
    record = one(observation("41653-7", "2026-09-14T07:30:00", **SMBG), settings=site)
    assert record.glucose["time_utc"].iloc[0] == pd.Timestamp("2026-09-14T05:30Z")
    assert [(i.code, i.severity) for i in record.issues] == [("zone-assumed", "warning")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"valueQuantity": quantity(40, "mg/dL", comparator="<")}, (40.0, "low")),
        ({"valueQuantity": quantity(400, "mg/dL", comparator=">")}, (400.0, "high")),
        ({"valueString": "HI"}, (400.0, "high")),
        ({"valueString": "Low"}, (40.0, "low")),
    ],
)
def test_bounds_are_censored_data(value, expected):
    record = one(observation("41653-7", **value))
    assert tuple(record.glucose.loc[0, ["value_mg_dl", "censor"]]) == expected


def context(system, code):
    meal = {"coding": [{"system": "http://snomed.info/sct", "code": "309602000"}]}
    return [{"code": meal, "valueCodeableConcept": {"coding": [{"system": system, "code": code}]}}]


@pytest.mark.parametrize(
    ("more", "relation"),
    [
        ({"component": context("http://snomed.info/sct", "307165006")}, "pre_meal"),
        ({"component": context("http://terminology.hl7.org/CodeSystem/v3-TimingEvent", "HS")}, "bedtime"),
        ({"component": context("urn:gdm-twin:code", "post_meal_1h")}, "post_meal_1h"),
        ({"component": context("http://snomed.info/sct", "24863003")}, ""),  # after a meal, hours not said
        ({}, ""),
    ],
)
def test_relation_to_a_meal_comes_from_codes(more, relation):
    assert one(observation("41653-7", **SMBG, **more)).glucose["relation"].tolist() == [relation]


def test_fasting_from_the_specimen():
    specimen = {
        "resourceType": "Specimen",
        "id": "s1",
        "collection": {
            "fastingStatusCodeableConcept": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0916", "code": "F"}]
            }
        },
    }
    reading = observation("2345-7", **SMBG, specimen={"reference": "Specimen/s1"})
    record = one(specimen, reading)
    assert record.glucose[["kind", "relation"]].values.tolist() == [["lab", "fasting"]]


OGTT = [(0.0, 92.0), (60.0, 181.0), (120.0, 154.0)]


def check_ogtt(record):
    table = record.glucose
    assert table["kind"].tolist() == ["ogtt"] * 3
    assert list(zip(table["minutes_post_load"], table["value_mg_dl"], strict=True)) == OGTT
    assert table["load_g"].tolist() == [75.0] * 3
    assert table["relation"].iloc[0] == "fasting"


def test_ogtt_as_one_observation_per_time_point():
    codes = ("1552-9", "1507-3", "1518-0")
    times = ("2026-09-02T08:00:00Z", "2026-09-02T09:00:00Z", "2026-09-02T10:00:00Z")
    check_ogtt(
        one(
            *(
                observation(c, t, valueQuantity=quantity(v, "mg/dL"))
                for c, t, (_, v) in zip(codes, times, OGTT, strict=True)
            )
        )
    )


def test_ogtt_as_components_of_one_observation():
    components = [
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": c}]},
            "valueQuantity": quantity(v, "mg/dL"),
        }
        for c, (_, v) in zip(("1552-9", "1507-3", "1518-0"), OGTT, strict=True)
    ]
    panel = {"coding": [{"system": "http://snomed.info/sct", "code": "113076002"}]}
    record = one(observation("x", "2026-09-02T08:00:00Z", code=panel, component=components))
    check_ogtt(record)
    hours = (record.glucose["time_utc"] - record.glucose["time_utc"].iloc[0]) / pd.Timedelta(hours=1)
    assert hours.tolist() == [0.0, 1.0, 2.0]
    assert record.glucose["source"].iloc[2] == "Bundle.entry[2].component[2]"


def test_ogtt_as_a_panel_with_members_and_a_report():
    members = [
        observation(c, t, valueQuantity=quantity(v, "mg/dL"), id=f"o{i}")
        for i, (c, t, (_, v)) in enumerate(
            zip(
                ("1552-9", "1507-3", "1518-0"),
                ("2026-09-02T08:00:00Z", "2026-09-02T09:00:00Z", "2026-09-02T10:00:00Z"),
                OGTT,
                strict=True,
            )
        )
    ]
    refs = [{"reference": f"Observation/o{i}"} for i in range(3)]
    panel = observation("113076002", "2026-09-02T08:00:00Z", hasMember=refs)
    panel["code"] = {"coding": [{"system": "http://snomed.info/sct", "code": "113076002"}]}
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "subject": MOTHER,
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "113076002"}]},
        "result": refs,
    }
    record = one(*members, panel, report)
    check_ogtt(record)
    assert [i.code for i in record.issues] == ["panel", "panel"]


def test_ogtt_contained_in_a_report():
    inner = [
        observation(c, t, valueQuantity=quantity(v, "mg/dL"), id=f"o{i}")
        for i, (c, t, (_, v)) in enumerate(
            zip(
                ("1552-9", "1507-3", "1518-0"),
                ("2026-09-02T08:00:00Z", "2026-09-02T09:00:00Z", "2026-09-02T10:00:00Z"),
                OGTT,
                strict=True,
            )
        )
    ]
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "subject": MOTHER,
        "code": {"text": "OGTT"},
        "contained": inner,
        "result": [{"reference": f"#o{i}"} for i in range(3)],
    }
    check_ogtt(one(report))


def test_the_time_after_the_load_is_not_guessed_from_text():
    reading = observation("2345-7", **SMBG)
    reading["code"]["text"] = "Glucose 2h OGTT 75 g"
    assert only_issue(one(reading)).code == "text-says-load"
    noted = observation("2345-7", **SMBG, note=[{"text": "after 75 g glucose"}])
    assert only_issue(one(noted)).code == "text-says-load"
    bread = observation("41653-7", **SMBG, note=[{"text": "75 g bread for breakfast"}])
    assert len(one(bread).glucose) == 1


def test_a_load_that_is_not_stated_is_kept_and_said():
    record = one(observation("20438-8", **SMBG))
    assert record.glucose["minutes_post_load"].tolist() == [60.0]
    assert record.glucose["load_g"].isna().all()
    assert [i.code for i in record.issues] == ["ogtt-load-unknown"]


def test_sampled_data():
    train = {
        "origin": quantity(0, "mg/dL"),
        "period": 300000,
        "dimensions": 1,
        "factor": 1,
        "lowerLimit": 40,
        "upperLimit": 400,
        "data": "123 E 126 L U",
    }
    period = {"start": "2026-09-14T08:00:00+02:00", "end": "2026-09-14T09:00:00+02:00"}
    record = one(observation("99504-3", None, effectivePeriod=period, valueSampledData=train))
    table = record.glucose
    assert table["value_mg_dl"].tolist() == [123.0, 126.0, 40.0, 400.0]
    assert table["censor"].tolist() == ["", "", "low", "high"]
    minutes = (table["time_utc"] - table["time_utc"].iloc[0]) / pd.Timedelta(minutes=1)
    assert minutes.tolist() == [0.0, 10.0, 15.0, 20.0]
    assert table["source"].iloc[1] == "Bundle.entry[2].data[2]"
    assert [i.code for i in record.issues] == ["missing-samples"]


def train(**change):
    data = {"origin": quantity(0, "mg/dL"), "period": 300000, "dimensions": 1, "data": "100 110 120"}
    period = {"start": "2026-09-14T08:00:00+02:00"}
    return observation("99504-3", None, effectivePeriod=period, valueSampledData=data | change)


@pytest.mark.parametrize(
    "change",
    [
        {"data": "100 110 nan 120 130"},
        {"data": "100 110 inf"},
        {"data": "100 x 110"},
        {"period": 0},
        {"period": -300000},
        {"period": 10**12},
    ],
)
def test_sampled_data_is_used_whole_or_not_at_all(change):
    record = one(train(**change), observation("41653-7", **SMBG))
    assert record.glucose["kind"].tolist() == ["smbg"]
    assert only_issue(record).code == "sampled-data"
    assert len(one(train()).glucose) == 3


def scan(code, value, label=None, **more):
    out = observation(code, "2026-09-10", valueQuantity=quantity(value, "mm"), **more)
    if label is not None:
        fetus = {"coding": [{"system": "http://loinc.org", "code": "11951-1"}]}
        out["component"] = [{"code": fetus, "valueString": label}]
    return out


def test_an_unlabelled_scan_of_twins_is_unusable():
    twins = observation("11878-6", "2026-05-20", valueInteger=2)
    record = one(twins, scan("11984-2", 259), scan("11984-2", 255, "1"), scan("11984-2", 250, "2"))
    assert record.biometry["source"].tolist() == ["Bundle.entry[4]"]
    assert [(i.source, i.code) for i in record.issues] == [
        ("Bundle.entry[3]", "unlabelled-fetus"),
        ("Bundle.entry[5]", "other-fetus"),
    ]
    assert record.facts.fetal_number == 2


def test_two_labels_are_two_fetuses_even_if_nobody_says_so():
    record = one(scan("11984-2", 255, "A"), scan("11984-2", 250, "B"), scan("11979-2", 240))
    assert record.facts.fetal_number == 2
    assert {i.code for i in record.issues} == {"plurality-inferred", "other-fetus", "unlabelled-fetus"}


def test_the_larger_of_stated_and_seen_is_the_number_of_fetuses():
    singleton = observation("11878-6", "2026-05-20", valueInteger=1)
    record = one(singleton, scan("11984-2", 255, "1"), scan("11984-2", 250, "2"))
    assert record.facts.fetal_number == 2
    assert {i.code for i in record.issues} == {"plurality-contradicted", "other-fetus"}


def test_an_undated_twin_pregnancy_is_not_older_than_a_dated_number():
    singleton = observation("11878-6", "2026-05-20", valueInteger=1)
    twins = condition("http://snomed.info/sct", "65147003")
    assert one(singleton, twins).facts.fetal_number == 2
    earlier = twins | {"recordedDate": "2021-03-01"}
    assert one(singleton, earlier).facts.fetal_number == 1
    assert one(earlier).facts.fetal_number is None


def test_a_linked_child_of_an_earlier_pregnancy_is_not_a_second_fetus():
    link = [{"other": {"reference": "Patient/m1"}, "type": "seealso"}]
    sister = child(link=link) | {"id": "c0", "birthDate": "2022-01-05"}
    singleton = observation("11878-6", "2026-05-20", valueInteger=1)
    (record,) = read_bundle(bundle(patient(), child(link=link), sister, edd(), singleton))
    assert record.facts.fetal_number == 1


def test_two_values_of_one_measurement_on_one_day_may_be_two_fetuses():
    record = one(scan("11820-8", 75), scan("11820-8", 68))
    assert len(record.biometry) == 2
    (issue,) = record.issues
    assert (issue.source, issue.code) == ("Bundle.entry[3]", "may-be-second-fetus")
    assert "68 and 75" in issue.message
    assert one(scan("11820-8", 75, "1"), scan("11820-8", 68, "1")).issues == ()
    assert one(scan("11820-8", 75), scan("11984-2", 268)).issues == ()


def test_methods_of_measurement():
    hadlock = {"coding": [{"system": "http://loinc.org", "code": "11746-5"}]}
    odd = {"coding": [{"system": "http://loinc.org", "code": "11766-3"}]}
    record = one(
        observation("11727-5", "2026-09-10", valueQuantity=quantity(1.25, "kg"), method=hadlock),
        scan("11820-8", 72, method=odd),
    )
    assert record.biometry.set_index("quantity")["method"].to_dict() == {
        "efw_g": "hadlock-hc-ac-fl",
        "bpd_mm": "",
    }
    assert [i.code for i in record.issues] == ["method-not-understood"]


def test_the_newest_edd_rules_and_both_are_kept():
    (record,) = read_bundle(
        bundle(
            patient(),
            edd("2026-12-07", "2026-05-20", "11779-6"),
            edd("2026-12-12", "2026-06-10", "11781-2"),
            observation("8665-2", "2026-07-01", valueDateTime="2026-03-02"),
        )
    )
    assert record.facts.lmp_equivalent == LMP + timedelta(days=5)
    assert record.facts.dating_method == "ultrasound"
    assert sum(s.name == "dating" for s in record.history) == 3


def test_gestational_age_dates_a_pregnancy():
    said = observation("18185-9", "2026-09-14", valueQuantity=quantity(198, "d"))
    (record,) = read_bundle(bundle(patient(), said))
    assert record.facts.lmp_equivalent == date(2026, 9, 14) - timedelta(days=198)
    weeks = observation("18185-9", "2026-09-14", valueQuantity=quantity(28, "wk"))
    (record,) = read_bundle(bundle(patient(), weeks))
    assert record.facts.dating_sd_days == 2.0 and record.issues[0].code == "whole-weeks"


def test_an_edd_of_another_pregnancy_is_refused():
    (record,) = read_bundle(
        bundle(patient(), edd("2024-12-07", "2026-05-20"), observation("41653-7", **SMBG))
    )
    assert record.facts.lmp_equivalent is None
    assert record.issues[0].code == "implausible-dating"


def statement(drug, **more):
    return {
        "resourceType": "MedicationStatement",
        "status": "active",
        "subject": MOTHER,
        "medicationCodeableConcept": {"coding": [{"system": "http://www.whocc.no/atc", "code": drug}]},
    } | more


def test_metformin_regimen():
    record = one(
        statement(
            "A10BA02",
            effectivePeriod={"start": "2026-09-01", "end": "2026-09-20"},
            dosage=[
                {
                    "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
                    "doseAndRate": [{"doseQuantity": quantity(0.85, "g")}],
                }
            ],
        )
    )
    row = record.medication.iloc[0]
    assert (row["drug"], row["dose_mg"], row["per_day"]) == ("metformin", 850.0, 2.0)
    assert row["time_local"] == pd.Timestamp("2026-09-01")
    assert row["end_local"] == pd.Timestamp("2026-09-20T23:59:59")


def test_a_regimen_without_a_dose_is_kept_and_said():
    record = one(statement("A10BA02", effectivePeriod={"start": "2026-09-01"}))
    assert record.medication["drug"].tolist() == ["metformin"]
    assert record.medication["dose_mg"].isna().all()
    (issue,) = record.issues
    assert (issue.code, issue.severity) == ("dose-unknown", "warning") and "not modelled" in issue.message


def test_insulin_regimen_is_placed_only_at_clock_times():
    timed = statement(
        "A10AC01",
        effectivePeriod={"start": "2026-09-01", "end": "2026-09-03"},
        dosage=[
            {
                "timing": {
                    "repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "timeOfDay": ["22:00:00"]}
                },
                "doseAndRate": [{"doseQuantity": quantity(12, "[iU]")}],
            }
        ],
    )
    record = one(timed)
    assert record.insulin["dose_U"].tolist() == [12.0] * 3
    assert record.insulin["time_local"].dt.strftime("%d %H:%M").tolist() == [
        "01 22:00",
        "02 22:00",
        "03 22:00",
    ]
    assert record.medication["drug"].tolist() == ["insulin_nph"]
    untimed = statement("A10AC01", effectivePeriod={"start": "2026-09-01"})
    record = one(untimed)
    assert record.insulin.empty and [i.code for i in record.issues] == ["doses-not-placed"]


def dose(amount, **more):
    return {
        "resourceType": "MedicationAdministration",
        "status": "completed",
        "subject": MOTHER,
        "medicationCodeableConcept": {"coding": [{"system": "http://www.whocc.no/atc", "code": "A10AB05"}]},
        "effectiveDateTime": "2026-09-14T12:00:00+02:00",
        "dosage": {"dose": amount},
    } | more


def test_insulin_doses():
    flagged = one(dose(quantity(6, "U")))
    assert flagged.insulin["dose_U"].tolist() == [6.0]
    assert [i.code for i in flagged.issues] == ["unit-flagged"]
    assert only_issue(one(dose(quantity(0.06, "mL")))).code == "unknown-unit"
    assert only_issue(one(dose(quantity(6, "[iU]"), status="not-done"))).code == "status"
    unknown = {"coding": [{"system": "http://www.whocc.no/atc", "code": "A10AB99"}]}
    assert (
        only_issue(one(dose(quantity(6, "[iU]"), medicationCodeableConcept=unknown))).code == "not-understood"
    )


def test_a_drug_by_reference():
    contained = {
        "resourceType": "Medication",
        "id": "med",
        "code": {"coding": [{"system": "http://www.whocc.no/atc", "code": "A10AE05"}]},
    }
    given = dose(quantity(9, "[iU]"), contained=[contained], medicationReference={"reference": "#med"})
    del given["medicationCodeableConcept"]
    assert one(given).insulin["formulation"].tolist() == ["detemir"]


def test_an_invalid_medication_serves_nobody():
    drug = {"coding": [{"system": "urn:gdm-twin:drug", "code": "\ud800x"}]}
    medication = {"resourceType": "Medication", "id": "x", "code": drug}
    regimen = statement("", effectivePeriod={"start": "2026-09-01"})
    del regimen["medicationCodeableConcept"]
    regimen["medicationReference"] = {"reference": "Medication/x"}
    record = one(medication, regimen, observation("41653-7", **SMBG))
    assert len(record.glucose) == 1 and record.medication.empty
    assert {i.code for i in record.issues} == {"invalid-resource", "not-understood"}


def test_steroids():
    steroid = {"coding": [{"system": "http://www.whocc.no/atc", "code": "H02AB01"}]}
    first = dose(quantity(12, "mg"), medicationCodeableConcept=steroid)
    second = first | {"effectiveDateTime": "2026-09-15T12:00:00+02:00"}
    assert one(first, second).facts.steroid_courses == (date(2026, 9, 14),)
    oral = statement("H02AB06", effectivePeriod={"start": "2026-09-01", "end": "2026-09-05"})
    assert one(oral).facts.oral_steroids == ((date(2026, 9, 1), date(2026, 9, 5)),)


def condition(system, code, **more):
    return {
        "resourceType": "Condition",
        "subject": MOTHER,
        "code": {"coding": [{"system": system, "code": code}]},
    } | more


ICD, SCT = "http://hl7.org/fhir/sid/icd-10-cm", "http://snomed.info/sct"


@pytest.mark.parametrize(
    ("system", "code", "fact", "value"),
    [
        (SCT, "44054006", "diabetes_before_pregnancy", True),
        (ICD, "O24.111", "diabetes_before_pregnancy", True),
        (ICD, "O13.3", "hypertension", True),
        (ICD, "Z98.84", "bariatric_surgery", True),
        (ICD, "O35.8XX0", "fetal_anomaly", True),
        (ICD, "O36.23X0", "hydrops", True),
        (ICD, "O36.4XX0", "fetal_death", True),
        (ICD, "O36.5930", "fetal_growth_restriction", True),
        (ICD, "O60.03", "labour", True),
        (ICD, "O30.043", "fetal_number", 2),
        (ICD, "Z86.32", "previous_gdm", True),
        (SCT, "65147003", "fetal_number", 2),
        (SCT, "16356006", "fetal_number", 2),
        (ICD, "O31.10X0", "fetal_number", 2),
        (SCT, "702709008", "fetal_anomaly", True),
        (SCT, "276507005", "fetal_death", True),
        (SCT, "6383007", "labour", True),
        (ICD, "O80", "labour", True),
        (ICD, "O62.0", "labour", True),
        (ICD, "Z37.0", "labour", True),
        ("http://hl7.org/fhir/sid/icd-10", "O80.0", "labour", True),
        ("http://hl7.org/fhir/sid/icd-10", "O60.1", "labour", True),
    ],
)
def test_conditions_behind_the_scope_gate(system, code, fact, value):
    assert getattr(one(condition(system, code)).facts, fact) == value


def procedure(code, **more):
    return {
        "resourceType": "Procedure",
        "status": "completed",
        "subject": MOTHER,
        "code": {"coding": [{"system": SCT, "code": code}]},
    } | more


def test_procedures_behind_the_scope_gate():
    surgery = procedure("430715008", performedDateTime="2021-02-01")
    assert one(surgery).facts.bariatric_surgery is True
    assert one(procedure("11466000", performedDateTime="2026-12-01")).facts.labour is True
    earlier = one(procedure("11466000", performedDateTime="2022-01-05"))
    assert earlier.facts.labour is None and only_warning(earlier) == "earlier-pregnancy"


def only_warning(record):
    (issue,) = record.issues
    return issue.code


@pytest.mark.parametrize("resource", [condition(SCT, "195967001"), procedure("80146002")])
def test_a_condition_or_procedure_not_understood_may_concern_the_scope_gate(resource):
    issue = only_issue(one(resource))
    assert issue.code == "not-understood" and "scope gate" in issue.message


def resolved(**more):
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    return {"clinicalStatus": {"coding": [{"system": system, "code": "resolved"}]}} | more


def test_labour_ends():
    dated = {"onsetDateTime": "2026-09-10", "abatementDateTime": "2026-09-12"}
    record = one(condition(ICD, "O60.03", **resolved(**dated)))
    assert record.facts.labour is False and record.issues == ()
    assert [as_of(record, date(2026, 9, d)).facts.labour for d in (9, 11, 12)] == [None, True, False]
    assert one(condition(ICD, "O60.03", **dated)).facts.labour is False
    undated = one(condition(ICD, "O60.03", **resolved()))
    assert undated.facts.labour is False and only_warning(undated) == "labour-over"
    again = condition(ICD, "O60.03", onsetDateTime="2026-10-01")
    assert one(condition(ICD, "O60.03", **dated), again).facts.labour is True


def test_a_fetal_death_that_ended_before_this_pregnancy_is_of_an_earlier_one():
    old = one(condition(ICD, "O36.4XX0", **resolved(abatementDateTime="2024-02-01")))
    assert old.facts.fetal_death is None and only_warning(old) == "earlier-pregnancy"
    assert one(condition(ICD, "O36.4XX0", **resolved())).facts.fetal_death is True


@pytest.mark.parametrize("written", ["yes", None, 20260901])
def test_a_review_date_that_is_no_date_is_said(written):
    policy = {"coding": [{"system": "urn:gdm-twin:code", "code": "site_policy"}]}
    said = json.dumps({"overt_values_reviewed_on": written})
    assert only_warning(one(observation("x", code=policy, valueString=said))) == "bad-review-date"
    good = json.dumps({"overt_values_reviewed_on": "2026-09-01"})
    assert one(observation("x", code=policy, valueString=good)).issues == ()


def verified(code):
    system = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
    return {"verificationStatus": {"coding": [{"system": system, "code": code}]}}


def test_conditions_that_are_not_sure():
    assert one(condition(SCT, "11687002", **verified("refuted"))).facts.gdm is False
    assert only_issue(one(condition(SCT, "11687002", **verified("provisional")))).code == "unconfirmed"
    wrong = one(condition(SCT, "11687002", **verified("entered-in-error")))
    assert wrong.facts.gdm is None and only_issue(wrong).code == "entered-in-error"
    earlier = one(condition(SCT, "11687002", onsetDateTime="2023-02-01"))
    assert earlier.facts.gdm is None and earlier.facts.previous_gdm is True


def test_illness_and_admission_windows():
    sick = condition(ICD, "O21.1", onsetDateTime="2026-09-01", abatementDateTime="2026-09-04")
    assert one(sick).facts.acute_illness == ((date(2026, 9, 1), date(2026, 9, 4)),)
    stay = {
        "resourceType": "Encounter",
        "status": "finished",
        "subject": MOTHER,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "period": {"start": "2026-09-05", "end": "2026-09-06"},
    }
    assert one(stay).facts.acute_illness == ((date(2026, 9, 5), date(2026, 9, 6)),)
    usual = stay | {"extension": [{"url": "urn:gdm-twin:extension:usual", "valueBoolean": True}]}
    assert one(usual).facts.acute_illness == ()


@pytest.mark.parametrize(
    ("answer", "smoking"),
    [
        ({"valueCodeableConcept": {"coding": [{"system": "http://loinc.org", "code": "LA15920-4"}]}}, False),
        ({"valueCodeableConcept": {"coding": [{"system": SCT, "code": "77176002"}]}}, True),
        ({"valueCodeableConcept": {"coding": [{"system": SCT, "code": "266927001"}]}}, None),
    ],
)
def test_smoking_status(answer, smoking):
    assert one(observation("72166-2", "2026-06-01", **answer)).facts.smoking is smoking


def child(**more):
    return {"resourceType": "Patient", "id": "c1", "birthDate": "2026-12-02", "gender": "male"} | more


def related(patient_id, code):
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": code}]}
    return {
        "resourceType": "RelatedPerson",
        "id": "r1",
        "patient": {"reference": f"Patient/{patient_id}"},
        "relationship": [role],
    }


BIRTH = {"effectiveDateTime": "2026-12-02", "valueQuantity": quantity(3.42, "kg")}


@pytest.mark.parametrize("how", ["mother", "child", "direct"])
def test_the_newborn_is_found(how):
    link = [{"other": {"reference": "RelatedPerson/r1"}, "type": "seealso"}]
    mother, baby = patient(), child()
    people = [mother, baby]
    if how == "mother":
        mother["link"] = link
        people.append(related("c1", "MTH"))
    elif how == "child":
        baby["link"] = link
        people.append(related("m1", "NCHILD"))
    else:
        baby["link"] = [{"other": {"reference": "Patient/m1"}, "type": "seealso"}]
    weight = observation("8339-4", **BIRTH, subject={"reference": "Patient/c1"})
    (record,) = read_bundle(bundle(*people, edd(), weight))
    facts = record.facts
    assert (facts.birth_weight_g, facts.delivery_day, facts.newborn_sex) == (
        3420.0,
        date(2026, 12, 2),
        "male",
    )


def test_an_unlinked_newborn_and_her_own_birth_weight():
    weight = observation("8339-4", **BIRTH, subject={"reference": "Patient/c1"})
    result = read_source(bundle(patient(), child(), edd(), weight))
    assert [r.facts.birth_weight_g for r in result.records] == [None]
    ((issue, *_),) = result.quarantined.values()
    assert issue.code in ("her-own-birth", "unlinked-newborn")
    own = observation("8339-4", effectiveDateTime="1994-05-17", valueQuantity=quantity(3420, "g"))
    assert only_issue(one(own)).code == "her-own-birth"


def test_a_birth_weight_on_the_mother():
    facts = one(observation("8339-4", **BIRTH)).facts
    assert (facts.birth_weight_g, facts.delivery_day) == (3420.0, date(2026, 12, 2))
    other = one(observation("8339-4", effectiveDateTime="2023-12-02", valueQuantity=quantity(3420, "g")))
    assert other.facts.birth_weight_g is None and only_issue(other).code == "birth-outside-pregnancy"


def test_versions_replace_and_duplicates_are_named():
    old = observation("41653-7", **SMBG, id="o1", meta={"versionId": "1"})
    new = observation(
        "41653-7", valueQuantity=quantity(89, "mg/dL"), id="o1", meta={"versionId": "2"}, status="amended"
    )
    copy = observation("41653-7", valueQuantity=quantity(89, "mg/dL"))
    record = one(new, old, copy)
    assert record.glucose["value_mg_dl"].tolist() == [89.0]
    assert {(i.source, i.code) for i in record.issues} == {
        ("Bundle.entry[3]", "superseded"),
        ("Bundle.entry[4]", "duplicate"),
    }


def test_several_women_and_replaced_patients():
    second = observation("41653-7", **SMBG, subject={"reference": "http://server/fhir/Patient/m2/_history/3"})
    alias = observation("41653-7", "2026-09-15T07:30:00Z", **SMBG, subject={"reference": "urn:uuid:1"})
    document = bundle(patient(), edd(), observation("41653-7", **SMBG), second, alias)
    document["entry"][0]["fullUrl"] = "urn:uuid:1"
    records = read_bundle(document)
    assert sorted(len(r.glucose) for r in records) == [1, 2]
    gone = patient("old")
    gone["link"] = [{"other": {"reference": "Patient/m1"}, "type": "replaced-by"}]
    moved = observation("41653-7", **SMBG, subject={"reference": "Patient/old"})
    (record,) = read_bundle(bundle(patient(), gone, edd(), moved))
    assert len(record.glucose) == 1


def woman_file(folder, name, who, *resources):
    (folder / name).write_text(json.dumps(bundle(who, *resources)))


def mrn(value):
    return {"identifier": [{"system": "urn:hospital", "value": value}]}


@pytest.mark.parametrize(
    "other", [patient(birth="1988-01-02"), patient() | mrn("MRN-112233"), patient(birth="1995") | mrn("X")]
)
def test_two_women_under_one_id_are_quarantined(tmp_path, other):
    reading = observation("41653-7", **SMBG)
    woman_file(tmp_path, "a.json", patient(), edd(), reading)
    woman_file(tmp_path, "b.json", other, edd("2026-11-30"), reading)
    third = patient("m3") | mrn("MRN-3")
    third_reading = reading | {"subject": {"reference": "Patient/m3"}}
    woman_file(tmp_path, "c.json", third, third_reading)
    result = read_source(tmp_path)
    assert [len(r.glucose) for r in result.records] == [1]
    ((name, issues),) = result.quarantined.items()
    assert {i.code for i in issues} == {"two-women-one-id"} and len(issues) == 6
    assert {i.source.partition("#")[0] for i in issues} == {"a.json", "b.json"}
    assert "1988" not in repr(issues) and "MRN" not in repr(issues) and name.startswith("p-")


@pytest.mark.parametrize(
    "same",
    [
        patient(),
        patient() | {"birthDate": "1994"},
        {"resourceType": "Patient", "id": "m1"},
        patient() | {"identifier": [{"system": "urn:insurance", "value": "7"}]},
    ],
)
def test_one_woman_in_several_files_is_one_record(tmp_path, same):
    woman_file(tmp_path, "a.json", patient(), edd(), observation("41653-7", **SMBG))
    woman_file(tmp_path, "b.json", same, observation("41653-7", "2026-09-15T07:30:00Z", **SMBG))
    (record,) = read_bundle(tmp_path)
    assert len(record.glucose) == 2


def test_a_later_version_in_the_same_file_may_correct_the_birth_date():
    first = patient(birth="1949-05-17") | {"meta": {"versionId": "1"}}
    second = patient() | {"meta": {"versionId": "2"}}
    (record,) = read_bundle(bundle(first, second, edd(), observation("41653-7", **SMBG)))
    assert record.facts.maternal_age_y == pytest.approx(31.7)
    with pytest.raises(UnusableInput, match="two women"):
        read_bundle(bundle(patient(birth="1949-05-17"), patient(), edd(), observation("41653-7", **SMBG)))


def named(pseudonym):
    return patient() | {"identifier": [{"system": "urn:gdm-twin:pseudonym", "value": pseudonym}]}


@pytest.mark.parametrize(
    "name",
    ["../escaped", "/tmp/x", "..", ".hidden", "a/b", "a\\b", "", "a\n", "x" * 65, "[/oops]", "\ud800x"],
)
def test_a_pseudonym_that_could_not_name_a_folder_is_hashed(name):
    (record,) = read_bundle(bundle(named(name), edd(), observation("41653-7", **SMBG)))
    assert re.fullmatch(r"p-[0-9a-f]{16}", record.pseudonym)


def test_a_harmless_pseudonym_is_read_back():
    for name in ("sim-1", "A.b_c-9", "x" * 64):
        assert read_bundle(bundle(named(name), edd(), observation("41653-7", **SMBG)))[0].pseudonym == name


@pytest.mark.parametrize(
    "birth", ["0000-01-01", "\u00b9\u2079\u2079\u2074-05-17", "0994-05-17", "9999-01-01"]
)
def test_an_impossible_birth_date_costs_only_the_age(birth):
    record = one(observation("41653-7", **SMBG))
    odd = read_source(bundle(patient(birth=birth), edd(), observation("41653-7", **SMBG))).records[0]
    assert record.facts.maternal_age_y is not None and odd.facts.maternal_age_y is None
    assert len(odd.glucose) == 1


def test_a_version_of_thousands_of_digits_is_no_version():
    reading = observation("41653-7", **SMBG, id="o1", meta={"versionId": "9" * 5000})
    later = observation("41653-7", valueQuantity=quantity(89, "mg/dL"), id="o1", meta={"versionId": "2"})
    assert one(reading, later).glucose["value_mg_dl"].tolist() == [89.0]


def test_half_a_character_is_refused_with_its_place():
    device = {"identifier": {"system": "urn:gdm-twin:device", "value": "\ud800x"}}
    record = one(observation("41653-7", **SMBG, device=device), observation("99504-3", **SMBG))
    assert record.glucose["kind"].tolist() == ["cgm"] and only_issue(record).code == "invalid-resource"


def test_files_lines_and_folders(tmp_path, good):
    resources = [e["resource"] for e in good["entry"]]
    lines = [json.dumps(r) for r in resources]
    lines.insert(3, '{"resourceType": "Observation", "status": ')
    (tmp_path / "a.ndjson").write_text("\n".join(lines) + "\n")
    (record,) = read_bundle(tmp_path / "a.ndjson")
    assert len(record.glucose) == 3
    assert [(i.source, i.code) for i in record.issues] == [("a.ndjson:4", "bad-line")]
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(json.dumps(good).encode()))
    assert len(read_bundle(tmp_path / "b.json.gz")[0].glucose) == 3
    (tmp_path / "garbage.json").write_bytes(b"\x00\xff\x13garbage")
    (tmp_path / "note.xml").write_text("<Bundle/>")
    (record,) = read_bundle(tmp_path)
    assert len(record.glucose) == 3
    codes = [i.code for i in record.issues if i.source in ("garbage.json", "note.xml")]
    assert sorted(codes) == ["unreadable", "xml"]
    assert any(i.code == "duplicate" and i.source.startswith("b.json.gz#Bundle.entry") for i in record.issues)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("x.json", b"not json at all", "not-json"),
        ("x.json", b"\x00\xff\x13\x80", "unreadable"),
        ("x.json", b"", "not-json"),
        ("x.json", b'{"a": 1}', "not-fhir"),
        ("x.json", b'{"resourceType": "Bundle"', "not-json"),
        ("x.json", b"[]", "empty-list"),
        ("x.json", b'{"resourceType": "Bundle", "type": "collection"}', "empty-bundle"),
        ("x.json", b'{"resourceType": "Bundle", "type": "collection", "entry": []}', "nothing-usable"),
        ("x.xml", b"<Bundle xmlns='http://hl7.org/fhir'/>", "xml"),
        ("x.ndjson.gz", b"\x1f\x8b broken gzip", "unreadable"),
        ("x.ndjson", b"a\nb\nc\n", "not-json"),
        ("x.json", b'{"resourceType":"Patient","id":"p"}', "nothing-usable"),
        ("x.json", b"[" * 100_000, "not-json"),
    ],
)
def test_unusable_files_say_why(tmp_path, name, content, code):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableInput) as why:
        read_bundle(tmp_path / name)
    assert why.value.code == code


def test_no_such_file_and_no_file_in_a_folder(tmp_path):
    for path, code in ((tmp_path / "none.json", "no-such-file"), (tmp_path, "empty-folder")):
        with pytest.raises(UnusableInput) as why:
            read_bundle(path)
        assert why.value.code == code


def test_incomplete_pages_and_odd_bundles_are_said(good):
    good["type"] = "history"
    good["link"] = [{"relation": "next", "url": "http://server/next"}]
    good["entry"].append({"fullUrl": "urn:uuid:2"})
    good["entry"].append({"request": {"method": "DELETE", "url": "Observation/1"}, "resource": edd()})
    (record,) = read_bundle(good)
    assert [i.code for i in record.issues] == ["bundle-type", "incomplete-page", "not-a-resource", "deleted"]


@pytest.mark.shared_data
def test_every_published_example_runs_through(shared_data):
    """US Core, WHO, IHE, BFDR, HL7 CGM and gematik examples: read, refused or reported, never a crash."""
    for path in sorted((shared_data / "fhir" / "examples").rglob("*")):
        try:
            result = read_source(path)
        except UnusableInput as why:
            assert why.code in {"xml", "not-json", "not-fhir"}, path.name
            continue
        issues = [
            *result.issues,
            *(i for r in result.records for i in r.issues),
            *(i for group in result.quarantined.values() for i in group),
        ]
        assert "unexpected" not in {i.code for i in issues}, path.name
