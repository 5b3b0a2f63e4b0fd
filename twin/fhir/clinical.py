"""Conditions, procedures, encounters and drugs to statements and rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from twin import timeline, units
from twin.errors import RowRejected
from twin.fhir.codes import Code
from twin.fhir.context import Context, Found
from twin.fhir.elements import (
    any_date,
    code_label,
    codes_of,
    codings,
    effective,
    items,
    known_on,
    mapping,
    number,
    own_extension,
    unit_of,
)
from twin.record import Statement
from twin.schema import INSULIN_FORMULATIONS
from twin.timeline import Instant

_COURSE_STEROIDS = ("betamethasone", "dexamethasone")
_ORAL_STEROIDS = ("prednisolone", "prednisone", "methylprednisolone")
_PER_DAY = {"d": 1.0, "h": 1.0 / 24.0, "wk": 7.0}
_LONGEST_BOLUS = timedelta(minutes=5)
_MOST_EXPANDED_DOSES = 4000
#: clinicalStatus of a condition that is over
_OVER = ("inactive", "remission", "resolved")
_MAY_REFUSE = (
    "It may concern the scope gate (more than one fetus, diabetes before pregnancy, bariatric surgery, fetal "
    "anomaly, hydrops, fetal death, labour): check it by hand, and send a code of the mapping if it does."
)


def read_condition(resource: Mapping[str, Any], source: str, context: Context) -> Found:
    """A diagnosis: a flag, more than one fetus, or a window of illness."""
    found = Found()
    code = _only_code(
        resource.get("code"), ("flag", "fact_window", "multiple_gestation"), "condition", source, found
    )
    if code is None:
        return found
    try:
        verified = _status_code(resource.get("verificationStatus"))
        if verified == "entered-in-error":
            raise RowRejected("entered-in-error", "the condition was entered in error. It was not used.")
        if verified in ("unconfirmed", "provisional", "differential"):
            raise RowRejected("unconfirmed", f"the condition is {verified}, not confirmed. It was not used.")
        if context.newborn:
            raise RowRejected("about-the-newborn", "the condition is the newborn's. It was not used.")
        _condition(resource, code, verified != "refuted", source, found)
    except RowRejected as why:
        found.reject(source, why)
    return found


def _condition(resource: Mapping[str, Any], code: Code, present: bool, source: str, found: Found) -> None:
    onset = any_date(resource, "onsetDateTime", "onsetPeriod", "performedDateTime", "performedPeriod")
    known = any_date(resource, "recordedDate") or onset
    ended = any_date(resource, "abatementDateTime") or _end(resource.get("abatementPeriod"))
    about = onset or ended  # without a beginning, its end still tells an earlier pregnancy
    if code.reader == "multiple_gestation":
        if present:
            found.statements.append(Statement("fetal_number", 2, known, source, about=about))
        return
    if code.reader == "flag":
        over = ended is not None or _status_code(resource.get("clinicalStatus")) in _OVER
        if code.concept == "labour" and present and over:
            _labour_over(onset, known, ended, source, found)
            return
        found.statements.append(Statement(code.concept, present, known, source, about=about))
        return
    if not present or own_extension(resource, "usual").get("valueBoolean") is True:
        found.warn(source, "usual-conditions", "refuted, or marked usual: its window is not set aside.")
        return
    if onset is None:
        raise RowRejected("no-effective-time", "the illness has no first day. It was not used.")
    found.statements.append(Statement("acute_illness", (onset, ended), known, source, about=onset))


def _labour_over(
    onset: date | None, known: date | None, ended: date | None, source: str, found: Found
) -> None:
    """Labour that is over: in labour until its last day where that is dated, else not in labour."""
    if ended is None:
        found.warn(
            source, "labour-over", "labour is recorded as over, without its last day: read as not in labour."
        )
    elif known is not None and known < ended:
        found.statements.append(Statement("labour", True, known, source, about=onset))
    last = max((d for d in (ended, known) if d is not None), default=None)
    found.statements.append(Statement("labour", False, last, source, about=onset or ended))


def read_procedure(resource: Mapping[str, Any], source: str, context: Context) -> Found:
    """A procedure whose code is a flag (bariatric surgery)."""
    found = Found()
    code = _only_code(resource.get("code"), ("flag",), "procedure", source, found)
    if code is None:
        return found
    try:
        status = resource.get("status")
        if status == "entered-in-error":
            raise RowRejected("entered-in-error", "the procedure was entered in error. It was not used.")
        if status != "completed":
            raise RowRejected("status", f"status {str(status)[:20]!r} is not completed. It was not used.")
        _condition(resource, code, True, source, found)
    except RowRejected as why:
        found.reject(source, why)
    return found


def read_encounter(resource: Mapping[str, Any], source: str, context: Context) -> Found:
    """An admission is a window of unusual glucose unless marked usual; other visits say nothing here."""
    found = Found()
    kind = mapping(resource.get("class")).get("code")
    if kind not in ("IMP", "ACUTE", "NONAC") or context.newborn:
        found.not_understood(source, f"encounter of class {str(kind)[:10]}")
        return found
    try:
        if resource.get("status") not in ("in-progress", "finished", "onleave"):
            raise RowRejected("status", "the admission did not take place. It was not used.")
        if own_extension(resource, "usual").get("valueBoolean") is True:
            found.warn(source, "usual-conditions", "an admission marked usual: its window is not set aside.")
            return found
        first = any_date(resource, "period")
        if first is None:
            raise RowRejected("no-effective-time", "the admission has no first day. It was not used.")
        found.statements.append(
            Statement("acute_illness", (first, _end(resource.get("period"))), first, source, about=first)
        )
    except RowRejected as why:
        found.reject(source, why)
    return found


def read_administration(resource: Mapping[str, Any], source: str, context: Context) -> Found:
    """One dose given: insulin, another known drug, or an antenatal steroid."""
    found = Found()
    try:
        status = resource.get("status")
        if status == "entered-in-error":
            raise RowRejected("entered-in-error", "the dose was entered in error. It was not used.")
        if status != "completed":
            raise RowRejected("status", f"status {str(status)[:20]!r} is not completed. It was not used.")
        drug = _drug(resource, source, context, found)
        if drug is None:
            return found
        if drug in _COURSE_STEROIDS + _ORAL_STEROIDS:
            _steroid(resource, drug, source, found, "effectiveDateTime", "effectivePeriod")
            return found
        at = _moment(resource, context)
        dosage = mapping(resource.get("dosage"))
        if drug in INSULIN_FORMULATIONS:
            if not mapping(dosage.get("dose")):
                raise RowRejected(
                    "no-value", "no dose (a rate is an infusion, which is not read). Row not used."
                )
            units_given = _amount(mapping(dosage.get("dose")), "insulin", source, found)
            found.row("insulin", at, source, dose_U=units_given, formulation=drug)
        else:
            mg = _amount(mapping(dosage.get("dose")), "drug_mg", source, found)
            found.row("medication", at, source, drug=drug, dose_mg=mg, per_day=float("nan"), end_local=None)
    except RowRejected as why:
        found.reject(source, why)
    return found


def read_statement(resource: Mapping[str, Any], source: str, context: Context) -> Found:
    """A regimen: drug, dose, times a day, from and to. Insulin is placed only at stated clock times."""
    found = Found()
    try:
        status = resource.get("status")
        if status == "entered-in-error":
            raise RowRejected("entered-in-error", "the medication was entered in error. It was not used.")
        if status not in ("active", "completed", "stopped", "on-hold"):
            raise RowRejected("status", f"status {str(status)[:20]!r}: not taken. It was not used.")
        drug = _drug(resource, source, context, found)
        if drug is None:
            return found
        if drug in _COURSE_STEROIDS + _ORAL_STEROIDS:
            _steroid(resource, drug, source, found, "effectiveDateTime", "effectivePeriod")
            return found
        dosages = items(resource.get("dosage")) or [{}]
        for i, dosage in enumerate(dosages):
            place = source if len(dosages) == 1 else f"{source}.dosage[{i}]"
            _regimen(resource, dosage, drug, place, context, found)
    except RowRejected as why:
        found.reject(source, why)
    return found


def _regimen(
    resource: Mapping[str, Any],
    dosage: Mapping[str, Any],
    drug: str,
    source: str,
    context: Context,
    found: Found,
) -> None:
    period = mapping(resource.get("effectivePeriod"))
    start = _start(period.get("start") if period else resource.get("effectiveDateTime"), context.zone)
    end = _last_moment(period.get("end"))
    repeat = mapping(mapping(dosage.get("timing")).get("repeat"))
    clock = [t for t in repeat.get("timeOfDay") or [] if isinstance(t, str)]
    per_day = float(len(clock)) if clock else _per_day(repeat)
    dose = next((mapping(d.get("doseQuantity")) for d in items(dosage.get("doseAndRate"))), {})
    if drug not in INSULIN_FORMULATIONS:
        mg = _amount(dose, "drug_mg", source, found) if dose else float("nan")
        if not dose:
            found.warn(
                source,
                "dose-unknown",
                f"{drug} without a dose: the treatment is kept, but its dose is unknown and its effect is not "
                "modelled. Send dosage.doseAndRate.doseQuantity.",
            )
        found.row("medication", start, source, drug=drug, dose_mg=mg, per_day=per_day, end_local=end)
        return
    found.row(
        "medication",
        start,
        source,
        drug=f"insulin_{drug}",
        dose_mg=float("nan"),
        per_day=per_day,
        end_local=end,
    )
    last = end.date() if end is not None else any_date(resource, "dateAsserted")
    if not clock or not dose or last is None:
        found.warn(
            source,
            "doses-not-placed",
            "an insulin regimen without clock times, dose or last day: its doses are not placed on "
            "guessed times; only the treatment is kept.",
        )
        return
    amount = _amount(dose, "insulin", source, found)
    _expand(start, last, clock, amount, drug, source, context, found)


def _expand(
    start: Instant,
    last: date,
    clock: list[str],
    amount: float,
    drug: str,
    source: str,
    context: Context,
    found: Found,
) -> None:
    days = (last - start.local.date()).days + 1
    if not 0 < days * len(clock) <= _MOST_EXPANDED_DOSES:
        raise RowRejected("implausible-value", "the regimen's period is empty or too long. Doses not placed.")
    found.warn(source, "regimen-expanded", f"{days * len(clock)} doses placed at the regimen's clock times.")
    for d in range(days):
        day = start.local.date() + timedelta(days=d)
        for t in clock:
            try:
                at = timeline.parse_instant(f"{day.isoformat()}T{t[:8]}", context.zone)
            except RowRejected as why:
                if why.code == "skipped-hour":
                    continue
                raise
            given = Instant(at.utc, at.local)  # the regimen's own clock: no offset is expected
            found.row(
                "insulin", given, f"{source}@{day.isoformat()}T{t[:5]}", dose_U=amount, formulation=drug
            )


def read_report(resource: Mapping[str, Any], source: str, context: Context) -> Found:
    """A DiagnosticReport groups results that are read by themselves; alone it says nothing usable."""
    found = Found()
    if resource.get("status") == "entered-in-error":
        found.reject(
            source, RowRejected("entered-in-error", "the report was entered in error. It was not used.")
        )
    elif items(resource.get("result")):
        found.warn(source, "panel", "a report; its results are read by themselves.")
    else:
        found.not_understood(source, f"report {code_label(resource.get('code'))} without results")
    return found


def _only_code(concept: Any, readers: tuple[str, ...], what: str, source: str, found: Found) -> Code | None:
    codes = [c for c in codes_of(concept) if c.reader in readers]
    if not codes:
        found.not_understood(source, f"{what} {code_label(concept)}", _MAY_REFUSE)
        return None
    if len(codes) > 1:
        found.warn(source, "several-codes", f"the {what} means several things; read as {codes[0].concept}.")
    return codes[0]


def _status_code(concept: Any) -> str:
    return next((str(c["code"]) for c in codings(concept) if isinstance(c.get("code"), str)), "")


def _end(period: Any) -> date | None:
    end = mapping(period).get("end")
    return timeline.parse_date(end) if end is not None else None


def _drug(resource: Mapping[str, Any], source: str, context: Context, found: Found) -> str | None:
    """Name of the drug from the code table; None (and an issue) if it is not one we model."""
    concept = resource.get("medicationCodeableConcept")
    if concept is None:
        medication = context.resolve(resource.get("medicationReference"), resource.get("contained"))
        concept = medication.get("code")
    names = {c.name for c in codes_of(concept) if c.reader == "drug"}
    if len(names) == 1:
        return names.pop()
    if names:
        raise RowRejected("several-codes", f"the drug's codes disagree ({sorted(names)}). Row not used.")
    for c in codings(concept):
        if c.get("system") == "urn:gdm-twin:drug" and isinstance(c.get("code"), str):
            return str(c["code"])
    found.not_understood(source, f"drug {code_label(concept)}")
    return None


def _moment(resource: Mapping[str, Any], context: Context) -> Instant:
    period = mapping(resource.get("effectivePeriod"))
    if not period:
        return effective(resource, context.zone)
    start = timeline.parse_instant(period.get("start"), context.zone)
    if period.get("end") is not None:
        end = timeline.parse_instant(period["end"], context.zone)
        if not timedelta(0) <= end.utc - start.utc <= _LONGEST_BOLUS:
            raise RowRejected(
                "effective-period", "a dose over a period is an infusion, not read. Row not used."
            )
    return start


def _amount(quantity: Mapping[str, Any], kind: str, source: str, found: Found) -> float:
    if quantity.get("comparator"):
        raise RowRejected("comparator", "the dose is only a bound. Row not used.")
    unit = unit_of(quantity)
    value = units.convert(number(quantity.get("value")), unit, kind)
    note = units.unit_rule(unit, kind).note
    if note:
        found.warn(source, "unit-flagged", note)
    return value


def _start(text: Any, zone: str) -> Instant:
    """First moment of a regimen: a date alone is the start of that local day, as FHIR periods mean it."""
    if text is None:
        raise RowRejected("no-effective-time", "the regimen has no first day. Row not used.")
    if isinstance(text, str) and len(text) == 10:
        local = datetime.combine(timeline.parse_date(text), time())
        return Instant(local.replace(tzinfo=timeline.site_zone(zone)).astimezone(UTC), local)
    return timeline.parse_instant(text, zone)


def _last_moment(text: Any) -> datetime | None:
    """End of a regimen on the wall clock: a date alone includes that whole day."""
    if text is None:
        return None
    if isinstance(text, str) and len(text) == 10:
        return datetime.combine(timeline.parse_date(text), time(23, 59, 59))
    return timeline.parse_instant(text, "UTC").local


def _per_day(repeat: Mapping[str, Any]) -> float:
    frequency, period, unit = repeat.get("frequency"), repeat.get("period"), repeat.get("periodUnit")
    if not isinstance(frequency, int | float) or not isinstance(period, int | float):
        return float("nan")
    length = _PER_DAY.get(str(unit))
    if length is None or period <= 0:
        return float("nan")
    return float(frequency) / (float(period) * length)


def _steroid(resource: Mapping[str, Any], drug: str, source: str, found: Found, *keys: str) -> None:
    """Antenatal course: first dose. Prednisolone and its like: the window while taken."""
    first = any_date(resource, *keys)
    if first is None:
        raise RowRejected("no-effective-time", f"{drug} without a date. It was not used.")
    known = known_on(resource)
    if drug in _COURSE_STEROIDS:
        found.statements.append(Statement("steroid_courses", first, known, source, about=first))
        return
    period = mapping(resource.get("effectivePeriod"))
    last = _end(period) if period else first
    found.statements.append(Statement("oral_steroids", (first, last), known, source, about=first))
