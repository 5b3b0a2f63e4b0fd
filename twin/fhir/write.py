"""FHIR R4 out: a whole `PatientRecord` as a Bundle that `read_bundle` reads back without loss.

Standard codes where there are any (the first code of each concept in `codes.toml`); this project's own code
system `urn:gdm-twin:code` where there is none. Times keep their local offset.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from twin.fhir.codes import OWN, UCUM, code_table, first_code
from twin.fhir.elements import OWN_DEVICE, OWN_METHOD, OWN_PSEUDONYM
from twin.fhir.write_facts import fact_resources
from twin.record import PatientRecord

_KIND_CONCEPT = {"smbg": "glucose_smbg", "cgm": "glucose_cgm", "lab": "glucose_lab", "ogtt": "ogtt_sample"}
_OGTT_CONCEPT = {(0.0, 75.0): "ogtt75_fasting", (60.0, 75.0): "ogtt75_1h", (120.0, 75.0): "ogtt75_2h"}
_BIOMETRY_CONCEPT = {"bpd_mm": "bpd", "hc_mm": "hc", "ac_mm": "ac", "fl_mm": "fl", "efw_g": "efw"}
_CENSOR = {"low": "<", "high": ">"}


def write_patient_bundle(
    record: PatientRecord, extra: Iterable[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """A FHIR R4 Bundle (`collection`) with everything in `record`; sources, issues and derived values are not
    written.

    extra : further resources to append as they are.
    Returns : a plain dict, JSON-ready; `read_bundle` of it gives the same tables and facts.
    """
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": r} for r in [*patient_resources(record), *(extra or ())]],
    }


def write_ndjson(records: Iterable[PatientRecord], path: str | Path) -> int:
    """Write the resources of `records` one a line (gzip if the name ends in .gz); returns the lines written.

    The gzip file carries no time stamp, so the same records give the same bytes.
    """
    lines = 0
    chunks: list[bytes] = []
    for record in records:
        for resource in patient_resources(record):
            chunks.append(json.dumps(dict(resource), separators=(",", ":")).encode() + b"\n")
            lines += 1
    data = b"".join(chunks)
    target = Path(path)
    target.write_bytes(gzip.compress(data, mtime=0) if target.name.endswith(".gz") else data)
    return lines


def patient_resources(record: PatientRecord) -> Iterator[dict[str, Any]]:
    """Every resource of one record; ids are numbered within the pseudonym, so they are stable."""
    subject = {"reference": f"Patient/{record.pseudonym}"}
    for i, resource in enumerate(_resources(record)):
        if resource["resourceType"] not in ("Patient", "RelatedPerson"):
            resource = {
                "resourceType": resource["resourceType"],
                "id": f"{record.pseudonym}-{i}",
                "subject": resource.get("subject", subject),
            } | {k: v for k, v in resource.items() if k not in ("resourceType", "subject")}
        yield resource


def _resources(record: PatientRecord) -> Iterator[dict[str, Any]]:
    mother: dict[str, Any] = {
        "resourceType": "Patient",
        "id": record.pseudonym,
        "identifier": [{"system": OWN_PSEUDONYM, "value": record.pseudonym}],
    }
    facts = record.facts
    born = facts.delivery_day is not None or facts.newborn_sex is not None
    child, relation = f"{record.pseudonym}-newborn", f"{record.pseudonym}-mother"
    if born:
        mother["link"] = [{"other": {"reference": f"RelatedPerson/{relation}"}, "type": "seealso"}]
    yield mother
    if born:
        newborn: dict[str, Any] = {"resourceType": "Patient", "id": child}
        if facts.delivery_day is not None:
            newborn["birthDate"] = facts.delivery_day.isoformat()
        if facts.newborn_sex is not None:
            newborn["gender"] = facts.newborn_sex
        yield newborn
        mother_role = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "MTH"}
        yield {
            "resourceType": "RelatedPerson",
            "id": relation,
            "patient": {"reference": f"Patient/{child}"},
            "relationship": [{"coding": [mother_role]}],
        }
    yield from fact_resources(record, f"Patient/{child}" if born else None)
    for row in record.glucose.itertuples(index=False):
        yield _glucose(row)
    for row in record.meals.itertuples(index=False):
        yield _observation("carbohydrate", row) | _quantity(row.carbohydrate_g, "g")
    for row in record.insulin.itertuples(index=False):
        yield {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "medicationCodeableConcept": _drug(str(row.formulation)),
            "effectiveDateTime": _when(row),
            "dosage": {"dose": _quantity(row.dose_U, "[iU]")["valueQuantity"]},
        }
    for row in record.medication.itertuples(index=False):
        yield from _medication(row)
    for row in record.activity.itertuples(index=False):
        intensity = {"code": _own("activity-intensity")} | _quantity(row.intensity, "1")
        yield _observation("activity", row) | _quantity(row.duration_min, "min") | {"component": [intensity]}
    for row in record.biometry.itertuples(index=False):
        yield _biometry(row)
    for row in record.weights.itertuples(index=False):
        yield _observation("weight", row) | _quantity(row.weight_kg, "kg")


def _glucose(row: Any) -> dict[str, Any]:
    concept = _KIND_CONCEPT[row.kind]
    components: list[dict[str, Any]] = []
    relation = row.relation
    if row.kind == "ogtt":
        concept = _OGTT_CONCEPT.get((row.minutes_post_load, row.load_g), concept)
        implied = {"ogtt75_fasting": "fasting"}.get(concept, "")
        if relation != implied and implied:
            concept = "ogtt_sample"
        if concept == "ogtt_sample":
            if pd.notna(row.minutes_post_load):
                components.append(
                    {"code": _own("minutes-post-load")} | _quantity(row.minutes_post_load, "min")
                )
            if pd.notna(row.load_g):
                components.append({"code": _own("glucose-load")} | _quantity(row.load_g, "g"))
        elif relation == implied:
            relation = ""
    if relation:
        components.append({"code": _own("meal-relation"), "valueCodeableConcept": _own(str(relation))})
    out = _observation(concept, row) | _quantity(row.value_mg_dl, "mg/dL")
    if row.censor:
        out["valueQuantity"]["comparator"] = _CENSOR[row.censor]
    if row.device:
        out["device"] = {"identifier": {"system": OWN_DEVICE, "value": row.device}}
    return out | ({"component": components} if components else {})


def _biometry(row: Any) -> dict[str, Any]:
    unit = "g" if row.quantity == "efw_g" else "mm"
    out = _observation(_BIOMETRY_CONCEPT[row.quantity], row) | _quantity(row.value, unit)
    if row.method:
        out["method"] = {"coding": [{"system": OWN_METHOD, "code": row.method}]}
    if pd.notna(row.sd_mm):
        out["component"] = [{"code": _own("measurement-sd")} | _quantity(row.sd_mm, unit)]
    return out


def _medication(row: Any) -> Iterator[dict[str, Any]]:
    """A regimen as MedicationStatement, a single dose as MedicationAdministration."""
    drug = str(row.drug)
    name = drug.removeprefix("insulin_")
    if drug == name and pd.isna(row.per_day) and pd.isna(row.end_local) and pd.notna(row.dose_mg):
        yield {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "medicationCodeableConcept": _drug(name),
            "effectiveDateTime": _when(row),
            "dosage": {"dose": _quantity(row.dose_mg, "mg")["valueQuantity"]},
        }
        return
    period = {"start": _when(row)}
    if pd.notna(row.end_local):
        period["end"] = _local(row.end_local, row.time_local - row.time_utc.tz_localize(None))
    dosage: dict[str, Any] = {}
    if pd.notna(row.per_day):
        repeat = {"frequency": 1, "period": 1.0 / row.per_day if row.per_day else 0, "periodUnit": "d"}
        if row.per_day == int(row.per_day) and row.per_day > 0:
            repeat = {"frequency": int(row.per_day), "period": 1, "periodUnit": "d"}
        dosage["timing"] = {"repeat": repeat}
    if pd.notna(row.dose_mg):
        dosage["doseAndRate"] = [{"doseQuantity": _quantity(row.dose_mg, "mg")["valueQuantity"]}]
    yield {
        "resourceType": "MedicationStatement",
        "status": "active",
        "medicationCodeableConcept": _drug(name),
        "effectivePeriod": period,
    } | ({"dosage": [dosage]} if dosage else {})


def _drug(name: str) -> dict[str, Any]:
    for c in code_table():
        if c.reader == "drug" and c.name == name and name:
            return {"coding": [{"system": c.system, "code": c.code}]}
    return {"coding": [{"system": "urn:gdm-twin:drug", "code": name}]}


def _observation(concept: str, row: Any) -> dict[str, Any]:
    code = first_code(concept)
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": code.system, "code": code.code}]},
        "effectiveDateTime": _when(row),
    }


def _own(code: str) -> dict[str, Any]:
    return {"coding": [{"system": OWN, "code": code}]}


def _quantity(value: Any, unit: str) -> dict[str, Any]:
    return {"valueQuantity": {"value": float(value), "unit": unit, "system": UCUM, "code": unit}}


def _when(row: Any) -> str:
    return _local(row.time_local, row.time_local - row.time_utc.tz_localize(None))


def _local(local: pd.Timestamp, offset: timedelta) -> str:
    """Wall clock with its offset; FHIR offsets are whole minutes."""
    minutes = round(offset.total_seconds() / 60)
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    text = local.to_pydatetime(warn=False).isoformat(timespec="auto")
    return f"{text}{sign}{minutes // 60:02d}:{minutes % 60:02d}"
