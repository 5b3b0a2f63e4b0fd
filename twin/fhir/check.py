"""Structural validation of one resource with fhir.resources R4B, and the rules it does not check."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import Any

from twin.errors import RowRejected

#: resource types that are read; any other is reported as not understood
READ_TYPES = (
    "Condition",
    "Device",
    "DiagnosticReport",
    "Encounter",
    "Medication",
    "MedicationAdministration",
    "MedicationStatement",
    "Observation",
    "Patient",
    "Procedure",
    "RelatedPerson",
    "Specimen",
)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?\Z")
_ID = re.compile(r"[A-Za-z0-9\-.:/#]{1,200}\Z")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ID_KEYS = frozenset({"id", "reference", "fullUrl", "versionId"})
_MAX_SHAPES = 4096
_known_shapes: set[object] = set()


def check_resource(resource: dict[str, Any]) -> None:
    """Pass if the resource is a structurally valid FHIR R4 resource without modifiers we do not understand.

    A time without offset or seconds passes here (the timeline reads it in the site's zone and says so).
    Resources alike but for numbers, times and ids are validated once.
    Raises : RowRejected "invalid-resource" with the place of the first fault, "modifier-extension".
    """
    try:
        if _has_modifier(resource):
            raise RowRejected(
                "modifier-extension",
                "the resource carries a modifierExtension or implicitRules, which can change its meaning "
                "and is not understood. Entry not used.",
            )
        shape = _shape(resource, "")
        if shape in _known_shapes:
            return
        _validate(resource)
    except RecursionError:
        raise RowRejected("invalid-resource", "the resource is nested too deeply. Entry not used.") from None
    if len(_known_shapes) < _MAX_SHAPES:
        _known_shapes.add(shape)


@cache
def _model(resource_type: str) -> Any:
    from fhir.resources.R4B import get_fhir_model_class

    return get_fhir_model_class(resource_type)


def _validate(resource: dict[str, Any]) -> None:
    from pydantic import ValidationError

    try:
        _model(resource["resourceType"]).model_validate(_with_offsets(resource))
    except ValidationError as why:
        first = why.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(p) for p in first["loc"]) or resource["resourceType"]
        raise RowRejected(
            "invalid-resource", f"not valid FHIR R4 at {place} ({first['type']}). Entry not used."
        ) from None
    except (ValueError, TypeError, ArithmeticError, AttributeError, KeyError) as why:
        raise RowRejected(
            "invalid-resource", f"not valid FHIR R4 ({type(why).__name__}). Entry not used."
        ) from None


def _has_modifier(value: Any) -> bool:
    if isinstance(value, dict):
        if value.get("modifierExtension") or value.get("implicitRules"):
            return True
        return any(_has_modifier(v) for v in value.values())
    return isinstance(value, list) and any(_has_modifier(v) for v in value)


def _shape(value: Any, key: str) -> object:
    if isinstance(value, dict):
        return tuple((k, _shape(v, k)) for k, v in value.items())
    if isinstance(value, list):
        return ("[]", *(_shape(v, key) for v in value))
    if isinstance(value, str):
        if _LONE_SURROGATE.search(value):
            raise RowRejected(
                "invalid-resource", "a text is not valid Unicode (half a character). Entry not used."
            )
        if _INSTANT.match(value) and _is_moment(value):
            return "<instant>"
        return "<id>" if key in _ID_KEYS and _ID.match(value) else value
    if isinstance(value, float) and value != value:
        raise RowRejected("invalid-resource", "a number is not a number. Entry not used.")
    return type(value)


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


def _with_offsets(value: Any) -> Any:
    """A copy in which times without seconds or offset have them, for validation only."""
    if isinstance(value, dict):
        return {k: _with_offsets(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_offsets(v) for v in value]
    if isinstance(value, str):
        found = _INSTANT.match(value)
        if found and not (found[1] and found[3]):
            return value[:16] + (found[1] or ":00") + (found[3] or "Z")
    return value
