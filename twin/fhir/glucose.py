"""Glucose: single readings, OGTT samples, censored HI and LO, and the sample trains of SampledData."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from twin import timeline, units
from twin.errors import RowRejected
from twin.fhir.codes import Code
from twin.fhir.context import Context, Found
from twin.fhir.elements import (
    OWN_DEVICE,
    codes_of,
    convert_quantity,
    effective,
    items,
    mapping,
    number,
    pseudonym,
    reference_key,
    unit_of,
)
from twin.timeline import Instant

#: what "HI" and "LO" say whatever the device: every meter and sensor reads at least from 40 to 400 mg/dL
HIGH_MG_DL, LOW_MG_DL = 400.0, 40.0
_LONGEST_PERIOD_MS = 86_400_000.0  # one day: no meter or sensor samples more slowly
_WORDS = {"HI": "high", "HIGH": "high", "LO": "low", "LOW": "low"}
_COMPARATORS = {"<": "low", "<=": "low", ">": "high", ">=": "high"}
#: text that says a plain glucose code was a loaded sample: reason to set it aside, never to use it as one
_LOADED = re.compile(r"\b(ogtt|gtt|gct|challenge|post[- ]?(load|dose)|(50|75|100) ?g)\b", re.IGNORECASE)


def read_glucose(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
    """One reading.

    Raises : RowRejected for whatever makes it unusable (unit, value, time, about someone else, load unknown).
    """
    if items(part.get("focus")):
        raise RowRejected("focus", "the reading is about someone else than its subject. Row not used.")
    value, censor = _value(part, code, source, found)
    fields = dict(code.set)
    minutes, load = _load(part)
    if fields["kind"] == "ogtt":
        minutes = fields.pop("minutes_post_load", minutes)
        load = fields.pop("load_g", load)
        if minutes is None:
            raise RowRejected(
                "ogtt-time-unknown", "the sample's time after the load is not coded. Row not used."
            )
        if load is None:
            found.warn(
                source,
                "ogtt-load-unknown",
                "the glucose load of the sample is not coded (50, 75 or 100 g); kept.",
            )
    elif part.get("_from_component") and _is_ogtt(part):
        raise RowRejected(
            "ogtt-time-unknown",
            "a plain glucose code inside a tolerance test does not say its time after the load. "
            "Row not used.",
        )
    elif _says_load(part, notes=fields["kind"] == "lab"):
        raise RowRejected(
            "text-says-load",
            "the code is a plain glucose but its text speaks of a glucose load; the time after the load is "
            "not guessed. Row not used. Send the code of the time point.",
        )
    at = effective(part, context.zone)
    if part.get("_from_component") and minutes:
        at = _later(at, timedelta(minutes=float(minutes)))
    found.row(
        "glucose",
        at,
        source,
        value_mg_dl=value,
        kind=fields["kind"],
        relation=fields.get("relation") or _relation(part, source, context, found),
        minutes_post_load=float("nan") if minutes is None else float(minutes),
        load_g=float("nan") if load is None else float(load),
        censor=censor,
        device=device_name(part),
    )


def _value(part: Mapping[str, Any], code: Code, source: str, found: Found) -> tuple[float, str]:
    quantity = mapping(part.get("valueQuantity"))
    if quantity:
        value, note = convert_quantity(quantity, code)
        if note:
            found.warn(source, "unit-flagged", note)
        comparator = quantity.get("comparator")
        if comparator and comparator not in _COMPARATORS:
            raise RowRejected(
                "comparator", f"comparator {str(comparator)[:5]!r} is not understood. Row not used."
            )
        return value, _COMPARATORS.get(str(comparator), "")
    text = part.get("valueString")
    word = _WORDS.get(text.strip().upper()) if isinstance(text, str) else None
    if word == "high":
        return HIGH_MG_DL, "high"
    if word == "low":
        return LOW_MG_DL, "low"
    if "dataAbsentReason" in part:
        raise RowRejected("no-value", "the value is absent and the sender says so. Row not used.")
    raise RowRejected("no-value", "no glucose quantity is given. Row not used.")


def _load(part: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Minutes after the load and grams of the load from this project's own components."""
    minutes = load = None
    for component in items(part.get("component")):
        concepts = {c.concept for c in codes_of(component.get("code"))}
        if "ogtt_minutes" in concepts:
            minutes = number(mapping(component.get("valueQuantity")).get("value"))
        elif "ogtt_load" in concepts:
            load = number(mapping(component.get("valueQuantity")).get("value"))
    return minutes, load


def _is_ogtt(part: Mapping[str, Any]) -> bool:
    siblings = [c for item in items(part.get("component")) for c in codes_of(item.get("code"))]
    return any(c.concept.startswith(("ogtt", "gct")) for c in siblings)


def _says_load(part: Mapping[str, Any], *, notes: bool) -> bool:
    """Text of the code; `notes` only where a load is likely: at home "75 g" is more often bread."""
    code = mapping(part.get("code"))
    texts = [code.get("text"), *(c.get("display") for c in items(code.get("coding")))]
    if notes:
        texts += [n.get("text") for n in items(part.get("note"))]
    return any(isinstance(t, str) and _LOADED.search(t) for t in texts)


def _relation(part: Mapping[str, Any], source: str, context: Context, found: Found) -> str:
    """Relation to a meal from coded components, extensions or the specimen's fasting status; "" if none."""
    concepts = [
        component.get("valueCodeableConcept")
        for component in items(part.get("component"))
        if any(c.concept == "meal_context" for c in codes_of(component.get("code")))
    ]
    concepts += [e.get("valueCodeableConcept") for e in items(part.get("extension"))]
    specimen = context.resolve(part.get("specimen"), part.get("contained"))
    concepts.append(mapping(specimen.get("collection")).get("fastingStatusCodeableConcept"))
    names = [c.name for concept in concepts for c in codes_of(concept) if c.reader == "relation"]
    if not names:
        return ""
    if names[0] == "post_meal":
        found.warn(source, "relation-without-hours", "after a meal, but not how long after: left open.")
        return ""
    return names[0]


def device_name(part: Mapping[str, Any]) -> str:
    """A pseudonym of the device; this project's own device names are read back as they are."""
    device = mapping(part.get("device"))
    identifier = mapping(device.get("identifier"))
    if identifier.get("system") == OWN_DEVICE and isinstance(identifier.get("value"), str):
        return str(identifier["value"])
    key = reference_key(device)
    return pseudonym(key, "d") if key else ""


def _later(at: Instant, by: timedelta) -> Instant:
    return Instant(at.utc + by, at.local + by, at.zone_assumed)


def read_sampled_data(
    part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found
) -> None:
    """A train of samples: origin + sample * factor at start + i * period; E is missing, L and U censored.

    All samples or none: a train with one that cannot be read is not trusted.
    Raises : RowRejected "sampled-data" when a needed element is missing or wrong, a sample is not a number, or
        several dimensions interleave.
    """
    data = mapping(part.get("valueSampledData"))
    start = mapping(part.get("effectivePeriod")).get("start")
    at = timeline.parse_instant(start, context.zone)
    period, text = data.get("period"), data.get("data")
    if data.get("dimensions") != 1 or not isinstance(text, str):
        raise RowRejected("sampled-data", "the sample train lacks data or has dimensions. Row not used.")
    if (
        isinstance(period, bool)
        or not isinstance(period, int | float)
        or not 0 < period <= _LONGEST_PERIOD_MS
    ):
        raise RowRejected(
            "sampled-data",
            "the time between samples (period) is missing or not between 0 and one day, so the samples have no "
            "time. Row not used. Send the period in milliseconds.",
        )
    origin = mapping(data.get("origin"))
    unit = unit_of(origin)
    offset = number(origin.get("value"))
    factor = number(data.get("factor", 1))
    convert_quantity({"value": 0} | {k: origin[k] for k in ("code", "system", "unit") if k in origin}, code)
    missing = 0
    samples: list[tuple[int, float, str]] = []
    for i, token in enumerate(text.split()):
        censor, raw = "", 0.0
        if token == "E":
            missing += 1
            continue
        if token in ("L", "U"):
            censor = "low" if token == "L" else "high"
            limit = data.get("lowerLimit" if token == "L" else "upperLimit")
            if limit is None:
                missing += 1
                continue
            raw = number(limit)
        else:
            try:
                raw = float(token)
            except ValueError:
                raw = float("nan")
            if not math.isfinite(raw):
                raise RowRejected(
                    "sampled-data",
                    f"sample {i} of the train is neither a number nor E, L or U. None of its samples was used.",
                )
        samples.append((i, units.convert(offset + raw * factor, unit, code.quantity), censor))
    for i, value, censor in samples:
        found.row(
            "glucose",
            _later(at, timedelta(milliseconds=float(period) * i)),
            f"{source}.data[{i}]",
            value_mg_dl=value,
            kind=code.set["kind"],
            relation="",
            censor=censor,
            device=device_name(part),
        )
    if missing:
        found.warn(source, "missing-samples", f"{missing} samples are marked missing or have no limit.")
