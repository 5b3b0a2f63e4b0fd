"""Observations to rows and statements. One Observation may hold several: its value, components, samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twin.errors import RowRejected
from twin.fhir import facts
from twin.fhir.codes import SNOMED, Code
from twin.fhir.context import Context, Found
from twin.fhir.elements import (
    OWN_METHOD,
    code_label,
    codes_of,
    codings,
    convert_quantity,
    effective,
    effective_day,
    items,
    mapping,
    number,
    reference_key,
)
from twin.fhir.glucose import read_glucose, read_sampled_data
from twin.record import Statement

USABLE_STATUS = ("final", "amended", "corrected", "preliminary")
#: readers whose codes only qualify another value
_QUALIFIERS = ("component", "relation", "method", "smoking_answer")


def read_observation(resource: Mapping[str, Any], source: str, context: Context) -> Found:
    """Everything one Observation says; whatever is not used is in the issues."""
    found = Found()
    try:
        _check_status(resource, source, found)
        parts = _parts(resource, source, found)
    except RowRejected as why:
        found.reject(source, why)
        return found
    for part, code, place in parts:
        try:
            if context.newborn and code.reader not in ("birth_weight", "gestational_age"):
                raise RowRejected(
                    "about-the-newborn", "the value is the newborn's, not the mother's. Row not used."
                )
            _READERS[code.reader](part, code, place, context, found)
        except RowRejected as why:
            found.reject(place, why)
    return found


def _check_status(resource: Mapping[str, Any], source: str, found: Found) -> None:
    status = resource.get("status")
    if status == "entered-in-error":
        raise RowRejected("entered-in-error", "the observation was entered in error. It was not used.")
    if status not in USABLE_STATUS:
        raise RowRejected(
            "status",
            f"status {str(status)[:20]!r} is not one of {list(USABLE_STATUS)}. The observation was not used.",
        )
    if status == "preliminary":
        found.warn(source, "preliminary", "the observation is preliminary and may be replaced.")


def _parts(
    resource: Mapping[str, Any], source: str, found: Found
) -> list[tuple[Mapping[str, Any], Code, str]]:
    """The values to read: the Observation's own, and each component that has a code of its own."""
    own = [c for c in codes_of(resource.get("code")) if c.reader not in _QUALIFIERS]
    parts: list[tuple[Mapping[str, Any], Code, str]] = []
    components = items(resource.get("component"))
    main = own[0] if own else None
    has_value = any(k.startswith("value") for k in resource) or "dataAbsentReason" in resource
    if len({c.reader for c in own}) > 1:
        found.warn(
            source, "several-codes", f"the code element means several things; read as {own[0].concept}."
        )
    if main is not None and main.reader != "panel" and (has_value or not components or _own_parts(main)):
        parts.append((resource, main, source))
    for i, component in enumerate(components):
        place = f"{source}.component[{i}]"
        codes = codes_of(component.get("code"))
        readable = [c for c in codes if c.reader not in _QUALIFIERS]
        if readable:
            parts.append((_component(resource, component), readable[0], place))
        elif not codes:
            found.not_understood(place, f"component code {code_label(component.get('code'))}")
    if main is None and not parts:
        label = code_label(resource.get("code"))
        if items(resource.get("hasMember")) and not has_value:
            found.warn(
                source, "panel", f"panel {label} has no value of its own; its members are read by themselves."
            )
        else:
            found.not_understood(source, f"observation code {label}")
    elif main is not None and main.reader == "panel" and not parts:
        found.warn(source, "panel", "a panel without a value of its own; its members are read by themselves.")
    elif main is None and has_value:
        found.not_understood(source, f"observation code {code_label(resource.get('code'))}")
    return parts


def _own_parts(code: Code) -> bool:
    """Concepts whose value is spread over components of this project's own."""
    return code.reader in ("previous_birth", "fact_window")


def _component(resource: Mapping[str, Any], component: Mapping[str, Any]) -> dict[str, Any]:
    """The component as an Observation of its own: its value, the parent's time, subject and method."""
    shared = {k: v for k, v in resource.items() if not k.startswith("value") and k != "dataAbsentReason"}
    return shared | dict(component) | {"component": resource.get("component"), "_from_component": True}


def _glucose(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
    if "valueSampledData" in part:
        read_sampled_data(part, code, source, context, found)
    else:
        read_glucose(part, code, source, context, found)


def _exact_value(part: Mapping[str, Any], code: Code, source: str, found: Found) -> float:
    """A quantity that must be exact: censored values are refused."""
    quantity = mapping(part.get("valueQuantity"))
    if not quantity:
        raise RowRejected("no-value", f"no quantity is given for {code.concept}. Row not used.")
    if quantity.get("comparator"):
        raise RowRejected("comparator", "the value is only a bound (comparator). Row not used.")
    value, note = convert_quantity(quantity, code)
    if note:
        found.warn(source, "unit-flagged", note)
    return value


def _carbohydrate(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
    grams = _exact_value(part, code, source, found)
    period = mapping(part.get("effectivePeriod"))
    timed = {"effectiveDateTime": period.get("start")} if period else part
    found.row("meals", effective(timed, context.zone), source, carbohydrate_g=grams)


def _activity(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
    minutes = _exact_value(part, code, source, found)
    period = mapping(part.get("effectivePeriod"))
    timed = {"effectiveDateTime": period.get("start")} if period else part
    intensity = 1.0
    for component in items(part.get("component")):
        if any(c.concept == "activity_intensity" for c in codes_of(component.get("code"))):
            intensity = number(mapping(component.get("valueQuantity")).get("value"))
    found.row("activity", effective(timed, context.zone), source, duration_min=minutes, intensity=intensity)


def _weight(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
    kg = _exact_value(part, code, source, found)
    _not_the_fetus(part)
    if not any(k.startswith("effective") for k in part):
        raise RowRejected("no-effective-time", "the weight has no date. Row not used.")
    found.row("weights", effective_day(part, context.zone), source, weight_kg=kg)


def _not_the_fetus(part: Mapping[str, Any]) -> None:
    """Refuse a maternal quantity whose focus is someone or something else."""
    if items(part.get("focus")) or _focus_code(part):
        raise RowRejected("focus", "the observation is about someone else than its subject. Row not used.")


def _focus_code(part: Mapping[str, Any]) -> str:
    for extension in items(part.get("extension")):
        if str(extension.get("url", "")).endswith("/observation-focusCode"):
            for c in codings(extension.get("valueCodeableConcept")):
                return f"{c.get('system')}|{c.get('code')}"
    return ""


def _biometry(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
    focus = _focus_code(part)
    if focus and focus != f"{SNOMED}|83418008":
        raise RowRejected("focus", "the measurement is not about the fetus. Row not used.")
    value = _exact_value(part, code, source, found)
    sd = float("nan")
    fetus = ""
    for component in items(part.get("component")):
        concepts = {c.concept for c in codes_of(component.get("code"))}
        if "fetus_id" in concepts:
            fetus = _label(component)
        elif "measurement_sd" in concepts:
            sd = number(mapping(component.get("valueQuantity")).get("value"))
            if sd <= 0.0:
                found.warn(
                    source, "measurement-sd", f"an SD of {sd:g}; expected above 0. The usual one is used."
                )
                sd = float("nan")
    fetus = fetus or _focus_fetus(part)
    found.row(
        "biometry",
        effective_day(part, context.zone),
        source,
        quantity=code.set["quantity"],
        value=value,
        sd_mm=sd,
        method=_method(part, source, found),
        _fetus=fetus,
    )


def _label(component: Mapping[str, Any]) -> str:
    for key in ("valueString", "valueInteger"):
        if isinstance(component.get(key), str | int):
            return str(component[key]).strip().upper()
    value = mapping(component.get("valueQuantity")).get("value")
    if isinstance(value, int | float):
        return f"{value:g}"
    for c in codings(component.get("valueCodeableConcept")):
        if isinstance(c.get("code"), str):
            return str(c["code"]).strip().upper()
    text = mapping(component.get("valueCodeableConcept")).get("text")
    return str(text).strip().upper() if isinstance(text, str) else ""


def _focus_fetus(part: Mapping[str, Any]) -> str:
    """A fetus named by reference tells twins apart as a label does."""
    keys = [reference_key(f) for f in items(part.get("focus"))]
    return keys[0].upper() if len(keys) == 1 else ""


def _method(part: Mapping[str, Any], source: str, found: Found) -> str:
    concept = part.get("method")
    if concept is None:
        return ""
    for c in codings(concept):
        if c.get("system") == OWN_METHOD and isinstance(c.get("code"), str):
            return str(c["code"])
    for code in codes_of(concept):
        if code.reader == "method":
            return code.name
    found.warn(source, "method-not-understood", f"method {code_label(concept)} is not understood; left open.")
    return ""


def _panel(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
    raise RowRejected("panel", "a panel code with a value is not a reading. Row not used.")


def _summary(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
    raise RowRejected(
        "not-a-sample",
        f"code {code.code} is a summary, ratio or another matrix, never a reading. Row not used.",
    )


def _numeric(reader: Callable[..., Statement]) -> Callable[..., None]:
    def read(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
        found.statements.append(reader(part, code, source, context, found, _exact_value))

    return read


def _plain(reader: Callable[..., Statement]) -> Callable[..., None]:
    def read(part: Mapping[str, Any], code: Code, source: str, context: Context, found: Found) -> None:
        found.statements.append(reader(part, code, source, context, found))

    return read


_READERS: dict[str, Callable[[Mapping[str, Any], Code, str, Context, Found], None]] = {
    "glucose": _glucose,
    "carbohydrate": _carbohydrate,
    "activity": _activity,
    "weight": _weight,
    "biometry": _biometry,
    "panel": _panel,
    "summary": _summary,
    "edd": _plain(facts.edd),
    "lmp": _plain(facts.lmp),
    "own_dating": _plain(facts.own_dating),
    "gestational_age": _numeric(facts.gestational_age),
    "hba1c": _numeric(facts.hba1c),
    "fact_number": _numeric(facts.fact_number),
    "fact_integer": _numeric(facts.fact_integer),
    "birth_weight": _numeric(facts.birth_weight),
    "multiple_pregnancy": _plain(facts.multiple_pregnancy),
    "fact_date": _plain(facts.fact_date),
    "fact_word": _plain(facts.fact_word),
    "fact_window": _plain(facts.fact_window),
    "previous_birth": _plain(facts.previous_birth),
    "site_policy": _plain(facts.site_policy),
    "flag": _plain(facts.flag),
    "smoking": _plain(facts.smoking),
    "multiple_gestation": _plain(facts.not_an_observation),
    "drug": _plain(facts.not_an_observation),
}
