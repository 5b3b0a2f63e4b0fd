"""One woman's rows and statements to her record: fetuses told apart, birth checked, age, dating."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

from twin.errors import TwinError
from twin.fhir.context import Found
from twin.fhir.dating import with_dating
from twin.record import COLUMNS, PatientRecord, RecordIssue, Statement, build_record
from twin.timeline import DatingStatement, choose_dating

#: gestational days between which a birth may belong to the pregnancy
_BIRTH_DAYS = (120, 330)
_MOST_FETUSES = 8  # as in record/plausibility.toml; a larger number is quarantined there


def assemble_record(
    pseudonym: str,
    mother: Found,
    newborn: Found,
    *,
    birth_year: int | None,
    patient_source: str,
    input_sha256: str,
) -> PatientRecord | tuple[RecordIssue, ...]:
    """The record, or the issues of a woman of whom nothing was usable."""
    issues = [*mother.issues, *newborn.issues]
    statements = [*mother.statements, *newborn.statements]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    for table, row in [*mother.rows, *newborn.rows]:
        rows[table].append(row)
    statements, plural = _plurality(statements, rows["biometry"], issues)
    rows["biometry"] = _one_fetus(rows["biometry"], plural, issues)
    statements = _births(statements, issues)
    if not statements and not any(rows.values()):
        return tuple(issues)
    if _is_a_child(statements, rows, birth_year):
        source = patient_source or pseudonym
        text = "a newborn that no Patient link or RelatedPerson ties to a mother. Nothing of it was used."
        return (*issues, RecordIssue(source, "unlinked-newborn", text))
    statements += _age(statements, rows, birth_year, patient_source)
    try:
        record = build_record(pseudonym, rows, statements, issues, input_sha256=input_sha256)
        return with_dating(record)
    except (TwinError, ValueError, TypeError, OverflowError) as why:
        issue = RecordIssue(
            patient_source or pseudonym,
            "unexpected",
            f"the record could not be built ({type(why).__name__}). Nothing of this woman was used.",
        )
        return (*issues, issue)


def _plurality(
    statements: list[Statement], biometry: list[dict[str, Any]], issues: list[RecordIssue]
) -> tuple[list[Statement], bool]:
    """More than one fetus: the larger of the number stated and the number seen.

    Seen: fetus labels, newborns of this pregnancy, and a statement of several fetuses without a date, which no
    dated one makes old.
    """
    dating = choose_dating(s.value for s in statements if isinstance(s.value, DatingStatement))
    lmp = dating.lmp_equivalent if dating is not None else None
    labels = sorted({r["_fetus"] for r in biometry if r["_fetus"]})
    newborns = [s for s in statements if s.name == "_newborns" and not _outside(s.known_on, lmp)]
    statements = [s for s in statements if s.name != "_newborns"]
    stated = [s for s in statements if s.name == "fetal_number" and not _earlier(s, lmp)]
    undated = [s.value for s in stated if s.known_on is None and s.about is None]
    seen = max(len(labels), len(newborns))
    seen = max([seen, *(n for n in undated if isinstance(n, int) and n <= _MOST_FETUSES)])
    if seen > 1 and not stated:
        source = newborns[-1].source if len(newborns) > 1 else biometry[-1]["source"]
        known = newborns[-1].known_on if len(newborns) > 1 else None
        statements.append(Statement("fetal_number", seen, known, source))
        issues.append(
            RecordIssue(
                source,
                "plurality-inferred",
                f"{seen} fetuses or newborns are told apart, but their number is not recorded; "
                f"taken as {seen}.",
                "warning",
            )
        )
    low = [s for s in stated if seen > 1 and isinstance(s.value, int) and s.value < seen]
    for s in low:
        text = (
            f"the number of fetuses is given as {s.value}, but {seen} are told apart or recorded elsewhere; "
        )
        text += f"taken as {seen}. Check that all of them are of this pregnancy."
        issues.append(RecordIssue(s.source, "plurality-contradicted", text, "warning"))
    statements = [replace(s, value=seen) if s in low else s for s in statements]
    many = any(isinstance(s.value, int) and s.value > 1 for s in stated)
    return statements, many or seen > 1


def _outside(day: date | None, lmp: date | None) -> bool:
    """A birth on `day` is not of the pregnancy."""
    return day is not None and lmp is not None and not _BIRTH_DAYS[0] <= (day - lmp).days <= _BIRTH_DAYS[1]


def _earlier(s: Statement, lmp: date | None) -> bool:
    first = s.about or s.known_on
    return lmp is not None and first is not None and first < lmp


def _may_be_two(biometry: list[dict[str, Any]], issues: list[RecordIssue]) -> None:
    """Two values of one measurement on one day, not all labelled: a repeat, or a second fetus."""
    groups: dict[tuple[date, str, str], list[dict[str, Any]]] = {}
    for r in biometry:
        groups.setdefault((r["time_local"].date(), r["quantity"], r["method"]), []).append(r)
    for (day, quantity, _), rows in groups.items():
        values = sorted({round(r["value"], 1) for r in rows})
        if len(values) < 2 or all(r["_fetus"] for r in rows):
            continue
        shown = " and ".join(f"{v:g}" for v in values[:4])
        issues.append(
            RecordIssue(
                rows[-1]["source"],
                "may-be-second-fetus",
                f"{quantity} {shown} on one day ({day.isoformat()}) without fetus numbers: repeated "
                "measurements, or a second fetus. Used as of one fetus. If there are more, send their number "
                "(LOINC 11878-6) and the fetus number of each measurement (LOINC 11951-1).",
                "warning",
            )
        )


def _one_fetus(
    biometry: list[dict[str, Any]], plural: bool, issues: list[RecordIssue]
) -> list[dict[str, Any]]:
    """In twins an unlabelled measurement is unusable, and one table holds one fetus: the first label."""
    if not plural:
        _may_be_two(biometry, issues)
    first = min((r["_fetus"] for r in biometry if r["_fetus"]), default="")
    kept = []
    for r in biometry:
        label = r.pop("_fetus")
        if plural and not label:
            issues.append(
                RecordIssue(
                    r["source"],
                    "unlabelled-fetus",
                    "more than one fetus, and the measurement does not say which. Row not used. "
                    "Send the fetus number (LOINC 11951-1).",
                )
            )
        elif plural and label != first:
            issues.append(
                RecordIssue(r["source"], "other-fetus", "a measurement of another fetus. Row not used.")
            )
        else:
            kept.append(r)
    return kept


def _births(statements: list[Statement], issues: list[RecordIssue]) -> list[Statement]:
    """Birth statements of this pregnancy; a dated birth weight stands for an unrecorded day of birth."""
    dating = choose_dating(s.value for s in statements if isinstance(s.value, DatingStatement))
    kept: list[Statement] = []
    for s in statements:
        day = s.value if s.name == "delivery_day" else s.known_on
        if (
            dating is not None
            and s.name in ("birth_weight_g", "delivery_day", "newborn_sex")
            and isinstance(day, date)
            and _outside(day, dating.lmp_equivalent)
        ):
            issues.append(
                RecordIssue(
                    s.source,
                    "birth-outside-pregnancy",
                    f"{s.name} lies at gestational day {(day - dating.lmp_equivalent).days}: not of this "
                    "pregnancy. It was not used.",
                )
            )
        else:
            kept.append(s)
    if not any(s.name == "delivery_day" for s in kept):
        kept += [
            Statement("delivery_day", s.known_on, s.known_on, s.source)
            for s in kept
            if s.name == "birth_weight_g" and s.known_on is not None
        ]
    return kept


def _is_a_child(
    statements: list[Statement], rows: dict[str, list[dict[str, Any]]], birth_year: int | None
) -> bool:
    """Everything recorded lies within ten years of the patient's own birth."""
    days = [r["time_local"].year for group in rows.values() for r in group]
    days += [s.known_on.year for s in statements if s.known_on is not None]
    return birth_year is not None and bool(days) and max(days) - birth_year < 10


def _age(
    statements: Iterable[Statement],
    rows: dict[str, list[dict[str, Any]]],
    birth_year: int | None,
    source: str,
) -> list[Statement]:
    """Age from the year of birth alone (half a year of doubt); a recorded age goes first."""
    if birth_year is None or any(s.name == "maternal_age_y" for s in statements):
        return []
    dating = choose_dating(s.value for s in statements if isinstance(s.value, DatingStatement))
    days = [r["time_local"].date() for group in rows.values() for r in group]
    days += [s.known_on for s in statements if s.known_on is not None]
    at = dating.lmp_equivalent if dating is not None else max(days, default=None)
    if at is None:
        return []
    age = (at - date(birth_year, 7, 1)).days / 365.25
    return [Statement("maternal_age_y", round(age, 1), None, source)]
