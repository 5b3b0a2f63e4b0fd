"""The facts of a record as FHIR: dating, covariates, flags, histories, birth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

from twin.fhir.codes import OWN, UCUM, first_code
from twin.record import PatientRecord
from twin.timeline import DatingStatement, edd_from_lmp

#: fields with a number: (field, UCUM unit)
_NUMBERS = (("maternal_age_y", "a"), ("height_cm", "cm"), ("weight_pre_kg", "kg"))
#: flags; true becomes a Condition, false an Observation of this project's own
_FLAGS = (
    "gdm",
    "previous_gdm",
    "diabetes_before_pregnancy",
    "hypertension",
    "bariatric_surgery",
    "fetal_anomaly",
    "hydrops",
    "fetal_death",
    "fetal_growth_restriction",
    "labour",
)


def fact_resources(record: PatientRecord, newborn: str | None) -> Iterator[dict[str, Any]]:
    """Resources of `record.facts`, without ids and subject; the newborn's name their own subject.

    Statements of `record.history` give the day from which a fact was known; without one it is always known.
    """
    facts = record.facts
    yield from _dating(record)
    for name, unit in _NUMBERS:
        value = getattr(facts, name)
        if value is not None:
            yield _fact(record, name) | _quantity(value, unit)
    if facts.weight_now_kg is not None and not len(record.weights):
        yield _own_fact(record, "weight_now_kg") | _quantity(facts.weight_now_kg, "kg")
    for name in ("parity", "fetal_number"):
        value = getattr(facts, name)
        if value is not None:
            yield _fact(record, name) | {"valueInteger": int(value)}
    if facts.smoking is not None:
        yield _own_fact(record, "smoking") | {"valueBoolean": facts.smoking}
    for name in _FLAGS:
        value = getattr(facts, name)
        if value is not None:
            yield _flag(record, name, value)
    if facts.fetal_sex is not None:
        yield _own_fact(record, "fetal_sex") | {"valueCodeableConcept": _word(facts.fetal_sex)}
    if facts.site_policy:
        policy = json.dumps(dict(facts.site_policy), sort_keys=True)
        yield _own_fact(record, "site_policy") | {"valueString": policy}
    yield from _lists(record)
    if facts.birth_weight_g is not None:
        born = {"effectiveDateTime": facts.delivery_day.isoformat()} if facts.delivery_day else {}
        subject = {"subject": {"reference": newborn}} if newborn else {}
        weight = _observation(first_code("birth_weight_g").system, first_code("birth_weight_g").code)
        yield weight | subject | born | _quantity(facts.birth_weight_g, "g")


def _dating(record: PatientRecord) -> Iterator[dict[str, Any]]:
    facts = record.facts
    said = [s.value for s in record.history if isinstance(s.value, DatingStatement)]
    if not said and facts.lmp_equivalent is not None and facts.dating_method != "biometry":
        said = [DatingStatement(facts.lmp_equivalent, facts.dating_method, True, None, facts.dating_sd_days)]
    for s in said:
        stated = {"effectiveDateTime": s.stated_on.isoformat()} if s.stated_on is not None else {}
        if s.is_edd and s.sd_days is None and s.method in ("edd", "lmp", "ultrasound"):
            concept = {"edd": "edd", "lmp": "edd_lmp", "ultrasound": "edd_ultrasound"}[s.method]
            code = first_code(concept)
            day = {"valueDateTime": edd_from_lmp(s.lmp_equivalent).isoformat()}
            yield _observation(code.system, code.code) | stated | day
            continue
        parts: list[dict[str, Any]] = [
            {"url": "method", "valueCode": s.method},
            {"url": "is-edd", "valueBoolean": s.is_edd},
        ]
        if s.sd_days is not None:
            parts.append({"url": "sd-days", "valueDecimal": s.sd_days})
        yield (
            _observation(OWN, "dating")
            | stated
            | {"valueDateTime": s.lmp_equivalent.isoformat()}
            | {"extension": [{"url": "urn:gdm-twin:extension:dating", "extension": parts}]}
        )


def _lists(record: PatientRecord) -> Iterator[dict[str, Any]]:
    facts = record.facts
    hba1c = first_code("hba1c")
    for day, percent in facts.hba1c_percent:
        out = _observation(hba1c.system, hba1c.code) | {"effectiveDateTime": day.isoformat()}
        yield out | _quantity(percent, "%")
    for day in facts.steroid_courses:
        yield _observation(OWN, "steroid_courses") | {
            "effectiveDateTime": day.isoformat(),
            "valueDateTime": day.isoformat(),
        }
    for name in ("oral_steroids", "acute_illness"):
        for first, last in getattr(facts, name):
            yield _observation(OWN, name) | {"valuePeriod": _period(first, last)}
    for birth in facts.previous_births:
        parts: list[dict[str, Any]] = []
        if birth.weight_g is not None:
            parts.append({"code": _own("weight_g")} | _quantity(birth.weight_g, "g"))
        if birth.weeks is not None:
            parts.append({"code": _own("weeks")} | _quantity(birth.weeks, "wk"))
        if birth.macrosomia is not None:
            parts.append({"code": _own("macrosomia"), "valueBoolean": birth.macrosomia})
        yield _own_fact(record, "previous_births") | ({"component": parts} if parts else {})


def _flag(record: PatientRecord, name: str, value: bool) -> dict[str, Any]:
    code = first_code(name)
    if not value or code.prefix or code.system == OWN:
        return _own_fact(record, name) | {"valueBoolean": value}
    known, onset = _known(record, name), _onset(record, name)
    out: dict[str, Any] = {
        "resourceType": "Condition",
        "verificationStatus": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/condition-ver-status",
                    "code": "confirmed",
                }
            ]
        },
        "code": {"coding": [{"system": code.system, "code": code.code}]},
    }
    if onset is not None:
        out["onsetDateTime"] = onset.isoformat()
    if known is not None:
        out["recordedDate"] = known.isoformat()
    return out


def _known(record: PatientRecord, name: str) -> date | None:
    ruling = [s.known_on for s in record.history if s.name == name]
    return ruling[-1] if ruling else None


def _onset(record: PatientRecord, name: str) -> date | None:
    found = [s.about for s in record.history if s.name == name and s.about is not None]
    return found[-1] if found else None


def _fact(record: PatientRecord, concept: str) -> dict[str, Any]:
    code = first_code(concept)
    return _observation(code.system, code.code) | _since(record, concept)


def _own_fact(record: PatientRecord, name: str) -> dict[str, Any]:
    return _observation(OWN, name) | _since(record, name)


def _since(record: PatientRecord, name: str) -> dict[str, Any]:
    known = _known(record, name)
    return {"effectiveDateTime": known.isoformat()} if known is not None else {}


def _observation(system: str, code: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
    }


def _own(code: str) -> dict[str, Any]:
    return {"coding": [{"system": OWN, "code": code}]}


def _word(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://hl7.org/fhir/administrative-gender", "code": code}]}


def _period(first: date, last: date | None) -> dict[str, str]:
    return {"start": first.isoformat()} | ({"end": last.isoformat()} if last is not None else {})


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"valueQuantity": {"value": float(value), "unit": unit, "system": UCUM, "code": unit}}
