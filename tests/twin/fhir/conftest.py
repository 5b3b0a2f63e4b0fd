"""A small, complete FHIR Bundle with invented values, and the record it stands for."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from twin.record import PatientRecord, PregnancyFacts, PreviousBirth, build_record

UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
MOTHER = {"reference": "Patient/m1"}
LMP = date(2026, 3, 2)


def quantity(value: Any, unit: str, **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit} | more


def observation(loinc: str, when: str | None = "2026-09-14T07:30:00+02:00", /, **more: Any) -> dict[str, Any]:
    """An Observation of the mother with a LOINC code; `more` adds or replaces elements, None removes one."""
    out: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": loinc}]},
        "subject": MOTHER,
    }
    if when is not None:
        out["effectiveDateTime"] = when
    return {k: v for k, v in (out | more).items() if v is not None}


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}


def patient(identity: str = "m1", birth: str = "1994-05-17") -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": identity,
        "birthDate": birth,
        "name": [{"family": "Secretname", "given": ["Hidden"]}],
        "identifier": [{"system": "urn:hospital", "value": "MRN-998877"}],
    }


def edd(day: str = "2026-12-07", stated: str = "2026-05-20", code: str = "11778-8") -> dict[str, Any]:
    return observation(code, stated, valueDateTime=day)


@pytest.fixture
def good() -> dict[str, Any]:
    """A Bundle in which everything is used."""
    return bundle(
        patient(),
        edd(),
        observation("41653-7", valueQuantity=quantity(98, "mg/dL")),
        observation("14743-9", "2026-09-14T13:10:00+02:00", valueQuantity=quantity(7.1, "mmol/L")),
        observation("99504-3", "2026-09-14T13:15:00+02:00", valueQuantity=quantity(131.0, "mg/dL")),
        observation("9059-7", "2026-09-14T12:05:00+02:00", valueQuantity=quantity(52, "g")),
        observation("11984-2", "2026-09-10", valueQuantity=quantity(25.9, "cm")),
        observation("11979-2", "2026-09-10", valueQuantity=quantity(238, "mm")),
        {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "subject": MOTHER,
            "medicationCodeableConcept": {
                "coding": [{"system": "http://www.whocc.no/atc", "code": "A10AB05"}]
            },
            "effectiveDateTime": "2026-09-14T12:00:00+02:00",
            "dosage": {"dose": quantity(6, "[iU]")},
        },
        {
            "resourceType": "Condition",
            "subject": MOTHER,
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "11687002"}]},
            "recordedDate": "2026-08-20",
        },
        observation("8302-2", "2026-05-20", valueQuantity=quantity(1.66, "m")),
        observation("56077-1", "2026-05-20", valueQuantity=quantity(71.5, "kg")),
        observation("11977-6", "2026-05-20", valueInteger=1),
    )


@pytest.fixture
def whole_record() -> PatientRecord:
    """A record that uses every table and every kind of fact."""
    return everything()


def everything(pseudonym: str = "sim-1") -> PatientRecord:
    def at(day: float, **row: Any) -> dict[str, Any]:
        local = datetime.combine(LMP, datetime.min.time()) + timedelta(days=day)
        return {"time_utc": (local - timedelta(hours=2)).isoformat() + "Z", "time_local": local} | row

    def reading(day: float, value: float, **more: Any) -> dict[str, Any]:
        return at(day, value_mg_dl=value, source=f"s{day}") | more

    end = datetime.combine(LMP + timedelta(days=230), datetime.min.time())
    rows = {
        "glucose": [
            reading(180.3, 91.25, kind="ogtt", minutes_post_load=0.0, load_g=75.0, relation="fasting"),
            reading(180.35, 183.0, kind="ogtt", minutes_post_load=60.0, load_g=75.0),
            reading(180.4, 154.0, kind="ogtt", minutes_post_load=120.0, load_g=75.0),
            reading(181.4, 150.0, kind="ogtt", minutes_post_load=30.0, load_g=75.0),
            reading(182.4, 141.0, kind="ogtt", minutes_post_load=60.0),
            reading(170.3, 88.0, kind="lab", relation="fasting"),
            reading(200.31, 97.3, kind="smbg", relation="fasting", device="meter-a"),
            reading(200.55, 128.0, kind="smbg", relation="post_meal_1h"),
            reading(200.9, 400.0, kind="smbg", censor="high"),
            reading(201.001, 103.7, kind="cgm", device="sensor-b"),
            reading(201.0045, 40.0, kind="cgm", censor="low"),
        ],
        "meals": [at(200.5, carbohydrate_g=48.5, source="m")],
        "insulin": [
            at(205.5, dose_U=6.5, formulation="rapid", source="i"),
            at(205.9, dose_U=12.0, formulation="nph", source="j"),
        ],
        "medication": [
            at(203, drug="metformin", dose_mg=850.0, per_day=2.0, end_local=end, source="x"),
            at(204, drug="insulin_nph", per_day=1.0, source="y"),
            at(204.4, drug="paracetamol", dose_mg=500.0, source="z"),
        ],
        "activity": [at(200.6, duration_min=20.0, intensity=1.2, source="w")],
        "biometry": [
            at(205.4, quantity="bpd_mm", value=75.1, method="outer-inner", source="b1"),
            at(205.4, quantity="hc_mm", value=272.0, sd_mm=4.0, source="b2"),
            at(205.4, quantity="ac_mm", value=251.0, source="b3"),
            at(205.4, quantity="fl_mm", value=54.5, source="b4"),
            at(205.4, quantity="efw_g", value=1420.0, method="hadlock-hc-ac-fl", source="b5"),
            at(120.4, quantity="efw_g", value=170.0, source="b6"),
        ],
        "weights": [at(200.5, weight_kg=80.25, source="k")],
    }
    facts = PregnancyFacts(
        lmp_equivalent=LMP,
        dating_method="ultrasound",
        dating_sd_days=3.0,
        maternal_age_y=32.5,
        height_cm=166.0,
        weight_pre_kg=71.5,
        parity=1,
        smoking=False,
        hypertension=True,
        previous_births=(PreviousBirth(4120.0, 39.5, True), PreviousBirth(3300.0)),
        previous_gdm=True,
        gdm=True,
        diabetes_before_pregnancy=False,
        hba1c_percent=((LMP + timedelta(days=80), 5.4),),
        steroid_courses=(LMP + timedelta(days=222),),
        oral_steroids=((LMP + timedelta(days=100), LMP + timedelta(days=107)),),
        acute_illness=((LMP + timedelta(days=150), None),),
        bariatric_surgery=False,
        fetal_number=1,
        fetal_sex="female",
        fetal_anomaly=False,
        hydrops=False,
        fetal_death=False,
        fetal_growth_restriction=True,
        labour=False,
        site_policy={"diet": "39+0 to 40+6", "median_day": 274},
        delivery_day=LMP + timedelta(days=275),
        birth_weight_g=3710.0,
        newborn_sex="female",
    )
    return build_record(pseudonym, rows, facts=facts)
