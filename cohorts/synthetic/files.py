"""Simulated records as FHIR R4 NDJSON, each Patient marked as simulated."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from twin.fhir import write_patient_bundle
from twin.record import PatientRecord

#: HL7's code for test data, and this project's own
TAGS = (
    {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
        "code": "HTEST",
        "display": "test health data",
    },
    {
        "system": "urn:gdm-twin:tag",
        "code": "simulated",
        "display": "simulated by gdm-twin, not a real person",
    },
)
_TEXT = (
    '<div xmlns="http://www.w3.org/1999/xhtml">Simulated by gdm-twin. This is not a real person, and no '
    "reading was ever measured.</div>"
)


def simulated_resources(record: PatientRecord) -> Iterator[dict[str, Any]]:
    """The resources of one record; every one carries the tags, the Patient says it in words too."""
    for entry in write_patient_bundle(record)["entry"]:
        resource = {"resourceType": entry["resource"]["resourceType"], "meta": {"tag": list(TAGS)}} | entry[
            "resource"
        ]
        if resource["resourceType"] == "Patient":
            resource["text"] = {"status": "generated", "div": _TEXT}
        yield resource


def ndjson_bytes(records: Iterable[PatientRecord]) -> bytes:
    """One resource a line."""
    lines = (
        json.dumps(resource, separators=(",", ":")) for r in records for resource in simulated_resources(r)
    )
    return "".join(line + "\n" for line in lines).encode()


def write_simulated(records: Iterable[PatientRecord], path: str | Path) -> int:
    """Write NDJSON, gzip if the name ends in .gz (no time stamp: same records, same bytes); returns its size."""
    target = Path(path)
    data = ndjson_bytes(records)
    if target.name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    target.write_bytes(data)
    return len(data)
