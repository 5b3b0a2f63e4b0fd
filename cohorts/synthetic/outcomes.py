"""The birth as FHIR, in files of its own: the newborn, who its mother is, and its weight.

The woman's record ends before birth. What a forecast is judged by stays out of it, so that no reader of the records
can see it; read together with them, the same women have delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from cohorts.synthetic.files import marked
from cohorts.synthetic.skeleton import skeleton_record
from cohorts.synthetic.truth import Truth
from twin.fhir import write_patient_bundle
from twin.record import PatientRecord, PregnancyFacts

SCALE_G = 10.0  # to which a newborn is weighed (assumed)
_CHILD = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "CHILD"}


def outcome_resources(record: PatientRecord, truth: Truth) -> Iterator[dict[str, Any]]:
    """Newborn (day of birth, sex), the link to the mother's Patient in her record, birth weight.

    The newborn points at the mother, so that her own resources need not say that there is one.
    """
    name, facts = record.pseudonym, record.facts
    assert facts.lmp_equivalent is not None
    born = PregnancyFacts(
        delivery_day=facts.lmp_equivalent + timedelta(days=truth.delivery_day),
        birth_weight_g=SCALE_G * round(truth.birth_weight_g / SCALE_G),
        newborn_sex=truth.fetal_sex,
    )
    only_birth = replace(skeleton_record(name, {}, record.history), facts=born, history=())
    mother = f"Patient/{name}"
    child = f"{name}-newborn"
    for entry in write_patient_bundle(only_birth)["entry"]:
        resource = entry["resource"]
        kind = resource["resourceType"]
        if kind == "Patient" and resource["id"] == name:
            continue
        if kind == "Patient":
            resource["link"] = [{"other": {"reference": f"RelatedPerson/{child}"}, "type": "seealso"}]
        elif kind == "RelatedPerson":
            resource |= {
                "id": child,
                "patient": {"reference": mother},
                "relationship": [{"coding": [_CHILD]}],
            }
        else:
            resource["id"] = f"{child}-weight"
        yield marked(resource)
