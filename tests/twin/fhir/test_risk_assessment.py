"""`risk.json` as FHIR: valid R4B, the numbers unchanged, nothing written twice, nothing withheld written."""

import copy
import json

import pytest
from fhir.resources.R4B import get_fhir_model_class

from twin.fhir import risk_assessment_bundle

RISK = {
    "schema": "gdm-twin/risk/1",
    "patient": "p-0123456789abcdef",
    "as_of": "2026-11-02",
    "gestational_day": 231,
    "scope": {"status": "partial", "reasons": ["dated-by-late-biometry"], "withheld": ["lga_90", "sga_10"]},
    "growth_standard": "hadlock1991",
    "lga_reference": "intergrowth21_newborn",
    "data": {
        "glucose_readings": 388,
        "scans": 3,
        "newest_glucose_age_days": 0.4,
        "newest_scan_age_days": None,
    },
    "calibration": {"method": "laplace"},
    "scenarios": [
        {
            "name": name,
            "treatment_strategy": "diet, titrated by site protocol",
            "delivery_assumption": "site policy, median 39+1",
            "outcomes": [
                {"outcome": "macrosomia_4000", "probability": p, "low": 0.17, "high": 0.30},
                {"outcome": "macrosomia_4500", "probability": 0.04, "low": 0.02, "high": 0.07},
                {"outcome": "lga_90", "probability": 0.31, "low": 0.2, "high": 0.4},
                {"outcome": "ac_90_at_36w", "probability": 0.2},
            ],
        }
        for name, p in (("as_now", 0.23), ("untreated", 0.28))
    ],
    "provenance": {"code_version": "0.1.0", "prior_id": "prior-1", "input_sha256": "ab" * 32, "seed": 7},
}


def test_every_resource_is_valid_and_the_bundle_too():
    bundle = risk_assessment_bundle(RISK)
    json.dumps(bundle)
    get_fhir_model_class("Bundle").model_validate(bundle)
    kinds = [e["resource"]["resourceType"] for e in bundle["entry"]]
    assert kinds == ["Device", "RiskAssessment", "RiskAssessment", "Provenance"]
    for entry in bundle["entry"]:
        get_fhir_model_class(entry["resource"]["resourceType"]).model_validate(entry["resource"])


def test_probabilities_and_ranges_are_those_of_the_document():
    assessment = risk_assessment_bundle(RISK)["entry"][1]["resource"]
    assert assessment["status"] == "preliminary"
    outcomes = {p["outcome"]["coding"][0]["code"]: p for p in assessment["prediction"]}
    assert set(outcomes) == {"macrosomia_4000", "macrosomia_4500", "ac_90_at_36w"}, "withheld is not written"
    first = outcomes["macrosomia_4000"]
    assert first["probabilityDecimal"] == 0.23
    assert [x["valueDecimal"] for x in first["extension"][0]["extension"]] == [0.17, 0.30]
    assert "extension" not in outcomes["ac_90_at_36w"]
    text = json.dumps(assessment)
    assert "diet, titrated by site protocol" in text and "not validated for clinical use" in text
    assert "None" not in text


def test_a_repeated_run_writes_nothing_twice():
    first, again = risk_assessment_bundle(RISK), risk_assessment_bundle(copy.deepcopy(RISK))
    assert first == again
    assert all("ifNoneExist" in e["request"] for e in first["entry"][:3])
    other = risk_assessment_bundle(RISK | {"as_of": "2026-11-03"})
    assert other["entry"][1]["fullUrl"] != first["entry"][1]["fullUrl"]
    assert other["entry"][0]["fullUrl"] == first["entry"][0]["fullUrl"], (
        "the same software is the same device"
    )


def identifiers(risk):
    return [e["request"].get("ifNoneExist") for e in risk_assessment_bundle(risk)["entry"][1:3]]


@pytest.mark.parametrize(
    "change",
    [
        {"lga_reference": "hadlock1991"},
        {"growth_standard": "who"},
        {"calibration": {"method": "nuts"}},
        {"provenance": RISK["provenance"] | {"prior_id": "prior-2"}},
        {"provenance": RISK["provenance"] | {"seed": 8}},
        {"provenance": RISK["provenance"] | {"draws": 1000}},
        {"provenance": RISK["provenance"] | {"posterior_id": "0123abcd"}},
        {
            "scenarios": [
                s | {"delivery_assumption": "birth taken as given on 38+0"} for s in RISK["scenarios"]
            ]
        },
    ],
    ids=str,
)
def test_another_answer_is_another_resource(change):
    """What changes the numbers changes the identifier: else the server keeps the first answer for ever."""
    assert not set(identifiers(RISK)) & set(identifiers(RISK | change))


@pytest.mark.parametrize(
    "calibration, method, note",
    [
        ({"method": "laplace", "ok": False, "reasons": ["only 12 effective draws"]}, "fit checks not passed",
         "did not pass its own checks (only 12 effective draws)"),
        ({"method": "laplace", "ok": True, "prior_only": True}, "prior only", "Prior only: no glucose reading"),
    ],
)  # fmt: skip
def test_a_fit_not_to_rely_on_says_so(calibration, method, note):
    assessment = risk_assessment_bundle(RISK | {"calibration": calibration})["entry"][1]["resource"]
    assert method in assessment["method"]["text"] and note in assessment["note"][0]["text"]
    good = risk_assessment_bundle(
        RISK | {"calibration": {"method": "laplace", "ok": True, "prior_only": False}}
    )
    text = json.dumps(good)
    assert method not in text and note not in text


def test_a_reference_that_does_not_cover_the_births_is_said():
    scenarios = [
        s | {"lga_not_covered": {"intergrowth21_newborn": "ends at 42+6"}} for s in RISK["scenarios"]
    ]
    text = json.dumps(risk_assessment_bundle(RISK | {"scenarios": scenarios})["entry"][1]["resource"]["note"])
    assert "LGA and SGA withheld: intergrowth21_newborn ends at 42+6" in text


def test_provenance_points_at_everything_written():
    bundle = risk_assessment_bundle(RISK)
    provenance = bundle["entry"][-1]["resource"]
    written = {e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == "RiskAssessment"}
    assert {t["reference"] for t in provenance["target"]} == written
    assert provenance["entity"][0]["what"]["identifier"]["value"] == "ab" * 32


@pytest.mark.parametrize("value", [1.31, -0.1, float("nan")])
def test_a_probability_outside_zero_to_one_is_refused(value):
    bad = copy.deepcopy(RISK)
    bad["scenarios"][0]["outcomes"][0]["probability"] = value
    with pytest.raises(ValueError, match="outside 0 to 1"):
        risk_assessment_bundle(bad)


def test_a_refused_pregnancy_carries_its_reasons_and_no_prediction():
    refused = RISK | {"scope": {"status": "refused", "reasons": ["multiple-fetuses"]}, "scenarios": []}
    bundle = risk_assessment_bundle(refused)
    get_fhir_model_class("Bundle").model_validate(bundle)
    assessment = bundle["entry"][1]["resource"]
    assert not assessment.get("prediction") and "multiple-fetuses" in json.dumps(assessment)
    no_prior = refused | {"provenance": RISK["provenance"] | {"prior_id": None}}
    assert "prior not stated" in json.dumps(risk_assessment_bundle(no_prior)["entry"][1])


def test_an_as_of_time_without_offset_is_written_as_a_date():
    for as_of, written in (
        ("2026-11-02T08:00:00", "2026-11-02"),
        ("2026-11-02T08:00:00+01:00", "2026-11-02T08:00:00+01:00"),
    ):
        bundle = risk_assessment_bundle(RISK | {"as_of": as_of})
        assert bundle["entry"][1]["resource"]["occurrenceDateTime"] == written
        get_fhir_model_class("Bundle").model_validate(bundle)
