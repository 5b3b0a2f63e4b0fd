"""From recorded statements to facts: the newest rules, lists accumulate, earlier pregnancies stand apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import date
from typing import Any

from twin.record.plausibility import limits
from twin.record.tables import PregnancyFacts, RecordIssue, Statement
from twin.timeline import DatingStatement, choose_dating

#: fields that are tuples: every distinct statement adds one element
LIST_FIELDS = ("previous_births", "hba1c_percent", "steroid_courses", "oral_steroids", "acute_illness")
#: fields set by a "dating" statement
DATING_FIELDS = ("lmp_equivalent", "dating_method", "dating_sd_days")
#: a condition of these that began, ended or was known before this pregnancy belongs to an earlier one
_THIS_PREGNANCY = (
    "gdm",
    "fetal_number",
    "fetal_anomaly",
    "hydrops",
    "fetal_death",
    "fetal_growth_restriction",
    "labour",
    "steroid_courses",
    "acute_illness",
)
_NAMES = frozenset(f.name for f in fields(PregnancyFacts)) - set(DATING_FIELDS)
#: first doses closer than this belong to one course
STEROID_COURSE_DAYS = 7
_DATING_DISAGREES_DAYS = 14


def assemble_facts(
    statements: Iterable[Statement], base: PregnancyFacts | None = None
) -> tuple[PregnancyFacts, tuple[RecordIssue, ...]]:
    """Facts of one pregnancy from `statements`, on top of `base` (fields no statement speaks of).

    The newest statement rules (a statement without a date is the oldest); dating follows
    `timeline.choose_dating`. A condition that began before the LMP-equivalent date is moved to the history
    (`gdm` becomes `previous_gdm`) or set aside with an issue; implausible values are set aside with an issue.
    Raises : KeyError for a statement whose name is not a field of `PregnancyFacts` (a programming error).
    """
    issues: list[RecordIssue] = []
    plain: list[Statement] = []
    dating: list[DatingStatement] = []
    for s in statements:
        if isinstance(s.value, DatingStatement):
            dating.append(s.value)
        elif s.name not in _NAMES:
            raise KeyError(s.name)
        else:
            plain.append(s)
    facts = _dated(base or PregnancyFacts(), dating, issues)
    found: dict[str, list[Statement]] = {}
    for s in plain:
        kept = _of_this_pregnancy(s, facts.lmp_equivalent, issues)
        if kept is not None and _plausible(kept, issues):
            found.setdefault(kept.name, []).append(kept)
    values: dict[str, Any] = {}
    for name, group in found.items():
        group.sort(key=lambda s: s.known_on or date.min)
        if name in LIST_FIELDS:
            values[name] = _collected(name, group)
        else:
            values[name] = group[-1].value
            _report_conflict(name, group, issues)
    return replace(facts, **values), tuple(issues)


def _dated(facts: PregnancyFacts, dating: list[DatingStatement], issues: list[RecordIssue]) -> PregnancyFacts:
    chosen = choose_dating(dating)
    if chosen is None:
        return facts
    for other in dating:
        apart = abs((other.lmp_equivalent - chosen.lmp_equivalent).days)
        if apart > _DATING_DISAGREES_DAYS:
            issues.append(
                RecordIssue(
                    other.source,
                    "dating-disagrees",
                    f"this dating differs by {apart} days from the one that rules ({chosen.source}: the "
                    "newest accepted EDD). It was not used. Check that both belong to this pregnancy.",
                    "warning",
                )
            )
    return replace(
        facts,
        lmp_equivalent=chosen.lmp_equivalent,
        dating_method=chosen.method,
        dating_sd_days=chosen.sd_days,
    )


def _of_this_pregnancy(s: Statement, lmp: date | None, issues: list[RecordIssue]) -> Statement | None:
    first = s.about or s.known_on
    if s.name not in _THIS_PREGNANCY or lmp is None or first is None or first >= lmp or s.value is False:
        return s
    if s.name == "gdm":
        return replace(s, name="previous_gdm")
    issues.append(
        RecordIssue(
            s.source,
            "earlier-pregnancy",
            f"{s.name.replace('_', ' ')} is dated before this pregnancy (gestational day {(first - lmp).days}). "
            "It was not used.",
            "warning",
        )
    )
    return None


def _plausible(s: Statement, issues: list[RecordIssue]) -> bool:
    bounds = limits("facts").get(s.name)
    if bounds is None or s.value is None:
        return True
    number = s.value[1] if isinstance(s.value, tuple) else s.value
    if isinstance(number, (int, float)) and bounds[0] <= number <= bounds[1]:
        return True
    issues.append(
        RecordIssue(
            s.source,
            "implausible-value",
            f"{s.name} {number!r} is outside {bounds[0]:g} to {bounds[1]:g}. It was quarantined, not "
            "converted. Check the unit and the patient at the source.",
        )
    )
    return False


def _collected(name: str, group: list[Statement]) -> tuple:
    values = list(dict.fromkeys(s.value for s in group))
    if name == "previous_births":
        return tuple(values)
    values.sort(key=lambda v: v if isinstance(v, date) else v[0])  # type: ignore[index,return-value]
    if name != "steroid_courses":
        return tuple(values)
    courses: list[date] = []
    for day in values:
        assert isinstance(day, date)
        if not courses or (day - courses[-1]).days > STEROID_COURSE_DAYS:
            courses.append(day)
    return tuple(courses)


def _report_conflict(name: str, group: list[Statement], issues: list[RecordIssue]) -> None:
    if name in ("weight_now_kg", "smoking"):  # these change with time; the newest is simply now
        return
    ruling = group[-1]
    for other in group[:-1]:
        if other.value != ruling.value and other.source != ruling.source:
            issues.append(
                RecordIssue(
                    other.source,
                    "conflicting-facts",
                    f"{name} differs from the newer statement at {ruling.source}, which rules.",
                    "warning",
                )
            )
