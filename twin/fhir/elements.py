"""Small, defensive readers of FHIR elements: codings, references, times, quantities."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from twin import timeline, units
from twin.errors import RowRejected
from twin.fhir.codes import OWN, UCUM, Code, understood
from twin.timeline import Instant

#: used when the environment gives no key: pseudonyms are then stable everywhere, and not secret
DEFAULT_KEY = "gdm-twin default pseudonym key: set GDM_TWIN_PSEUDONYM_KEY"
#: identifier system under which this project writes its own pseudonyms; they are read back as they are
OWN_PSEUDONYM = "urn:gdm-twin:pseudonym"
OWN_DEVICE = "urn:gdm-twin:device"
OWN_METHOD = "urn:gdm-twin:method"


def pseudonym(identity: str, prefix: str = "p") -> str:
    """Keyed hash of a raw identifier: stable for one key, not reversible without it.

    The key is the environment variable GDM_TWIN_PSEUDONYM_KEY, else a fixed one that protects nobody who can
    guess identifiers.
    """
    key = os.environ.get("GDM_TWIN_PSEUDONYM_KEY") or DEFAULT_KEY
    digest = hmac.new(key.encode(), identity.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return f"{prefix}-{digest[:16]}"


def items(value: Any) -> list[dict[str, Any]]:
    """The objects of a list that may be absent, null or malformed."""
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def codings(concept: Any) -> list[dict[str, Any]]:
    """The codings of a CodeableConcept (or of a bare Coding)."""
    concept = mapping(concept)
    found = items(concept.get("coding"))
    return found or ([concept] if "code" in concept else [])


def codes_of(concept: Any) -> list[Code]:
    """What is understood of a CodeableConcept."""
    return understood(
        c for c in codings(concept) if all(isinstance(c.get(k), str) for k in ("system", "code"))
    )


def code_label(concept: Any) -> str:
    """system|code of the first coding, for messages; never display text."""
    for c in codings(concept):
        system, code = c.get("system"), c.get("code")
        if isinstance(code, str):
            name = str(system).rsplit("/", 1)[-1] if isinstance(system, str) else "no system"
            return f"{name}|{code}"[:80].encode("utf-8", "replace").decode()
    return "no code"


def reference_key(reference: Any) -> str:
    """ "Type/id", "urn:uuid:...", "#contained" or "identifier:..." of a Reference; "" if it has none."""
    reference = mapping(reference)
    text = reference.get("reference")
    if isinstance(text, str) and text:
        if text.startswith(("#", "urn:")):
            return text
        parts = text.split("/_history/")[0].rstrip("/").split("/")
        return "/".join(parts[-2:])
    identifier = mapping(reference.get("identifier"))
    value = identifier.get("value")
    return f"identifier:{identifier.get('system', '')}|{value}" if isinstance(value, str) and value else ""


def effective(resource: Mapping[str, Any], zone: str) -> Instant:
    """When the observation was made, to the minute.

    Raises : RowRejected "date-without-time", "no-effective-time", "effective-period",
        and those of the timeline.
    """
    for key in ("effectiveDateTime", "effectiveInstant"):
        if resource.get(key) is not None:
            return timeline.parse_instant(resource[key], zone)
    events = mapping(resource.get("effectiveTiming")).get("event")
    if isinstance(events, list) and len(events) == 1:
        return timeline.parse_instant(events[0], zone)
    period = mapping(resource.get("effectivePeriod"))
    if period:
        start, end = period.get("start"), period.get("end")
        if start is not None and (end is None or end == start):
            return timeline.parse_instant(start, zone)
        raise RowRejected(
            "effective-period",
            "a single value over a period of time is not a reading at a moment. Row not used.",
        )
    hint = " (only `issued`, the time of reporting, is given)" if resource.get("issued") else ""
    raise RowRejected("no-effective-time", f"the time of the observation is missing{hint}. Row not used.")


def effective_day(resource: Mapping[str, Any], zone: str) -> Instant:
    """As `effective`, but a date alone is enough and stands for noon: for scans and weights, where hours do
    not matter."""
    text = resource.get("effectiveDateTime")
    if isinstance(text, str) and len(text) == 10:
        return noon(timeline.parse_date(text), zone)
    return effective(resource, zone)


def noon(day: date, zone: str) -> Instant:
    """12:00 of a local day."""
    local = datetime.combine(day, time(12))
    return Instant(local.replace(tzinfo=timeline.site_zone(zone)).astimezone(UTC), local)


def any_date(resource: Mapping[str, Any], *keys: str) -> date | None:
    """The first of `keys` (a date, a date-time, or a Period's start) that is a full date; None if none is."""
    for key in keys:
        value = resource.get(key)
        if isinstance(value, dict):
            value = value.get("start")
        if value is not None:
            try:
                return timeline.parse_date(value)
            except RowRejected:
                continue
    return None


def known_on(resource: Mapping[str, Any]) -> date | None:
    """The date from which the statement was known: when it was issued, else when it was made."""
    return any_date(
        resource, "issued", "recordedDate", "effectiveDateTime", "effectiveInstant", "effectivePeriod"
    ) or any_date(resource, "onsetDateTime", "performedDateTime", "performedPeriod", "period")


def number(value: Any) -> float:
    """A JSON number as float.

    Raises : RowRejected "no-value" if absent, "not-a-number" for a string, boolean or anything else.
    """
    if value is None:
        raise RowRejected("no-value", "the value is missing. Row not used.")
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15:
        raise RowRejected(
            "not-a-number", f"the value is a {type(value).__name__}, not a number. Row not used."
        )
    return float(value)


def unit_of(quantity: Mapping[str, Any]) -> str | None:
    """UCUM code of a Quantity; a unit given as text only counts if it is on the fixed list.

    Raises : RowRejected "unknown-unit" for a code of another system than UCUM or text off the list.
    """
    code, system, text = quantity.get("code"), quantity.get("system"), quantity.get("unit")
    if isinstance(code, str) and code:
        if system is None or system == UCUM:
            return code
        raise RowRejected("unknown-unit", "the unit code is not UCUM. Row not used. Send UCUM codes.")
    if isinstance(text, str) and text:
        found = units.unit_from_text(text)
        if found is None:
            raise RowRejected(
                "unknown-unit",
                f"unit text {text[:20]!r} has no UCUM code and is not on the fixed list. Row not used. "
                "Send the UCUM code, or add the text to twin/units.toml if the sender is trusted.",
            )
        return found
    return None


def convert_quantity(quantity: Mapping[str, Any], code: Code) -> tuple[float, str | None]:
    """Value in the canonical unit and the warning of its unit, if any.

    Raises : RowRejected of the value or unit, "unit-contradicts-code" when the code promises mass and
        the unit is molar (or the reverse): such a value is never converted.
    """
    value = number(quantity.get("value"))
    unit = unit_of(quantity)
    converted = units.convert(value, unit, code.quantity)
    promised, found = code.unit_class, units.unit_class(unit, code.quantity)
    if promised and found and promised != found:
        raise RowRejected(
            "unit-contradicts-code",
            f"code {code.code} promises a {promised} concentration but the unit is {unit!r}. Row not used, "
            "never converted. Correct code or unit at the source.",
        )
    return converted, units.unit_rule(unit, code.quantity).note


def own_extension(resource: Mapping[str, Any], name: str) -> dict[str, Any]:
    """This project's extension `name` of an element, or an empty object."""
    for extension in items(resource.get("extension")):
        if extension.get("url") == f"urn:gdm-twin:extension:{name}":
            return extension
    return {}


def own_code(concept: Any) -> str:
    """The code of this project's own system in a CodeableConcept, "" if there is none."""
    for c in codings(concept):
        if c.get("system") == OWN and isinstance(c.get("code"), str):
            return str(c["code"])
    return ""
