"""Build a validated `PatientRecord` from rows and statements, and look back at what was known on a day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from typing import Any

import numpy as np
import pandas as pd

from twin.record.facts import DATING_FIELDS, assemble_facts
from twin.record.tables import COLUMNS, PatientRecord, PregnancyFacts, RecordIssue, Statement
from twin.record.validate import validate_table

#: a row is of this pregnancy from its LMP-equivalent date to this day, or to the day after the birth
LAST_DAY = 315.0


def build_record(
    pseudonym: str,
    rows: Mapping[str, Sequence[Mapping[str, Any]] | pd.DataFrame],
    statements: Iterable[Statement] = (),
    issues: Iterable[RecordIssue] = (),
    *,
    facts: PregnancyFacts | None = None,
    input_sha256: str = "",
) -> PatientRecord:
    """One validated record.

    rows : table name -> rows (dicts) or a table; `gestational_day` and `scan` are filled in here.
    statements : what `facts` is assembled from; `facts` gives fields no statement speaks of.
    Every row that is not kept is in the record's `issues`, after the `issues` handed in.
    """
    history = tuple(statements)
    known, fact_issues = assemble_facts(history, facts)
    found = [*issues, *fact_issues]
    tables: dict[str, pd.DataFrame] = {}
    for name in COLUMNS:
        given = rows.get(name, ())
        raw = given.copy() if isinstance(given, pd.DataFrame) else pd.DataFrame(list(given))
        if len(raw):
            raw["gestational_day"] = gestational_days(raw["time_local"], known.lmp_equivalent)
            raw, outside = _of_this_pregnancy(name, raw, known)
            found.extend(outside)
        clean, rejected = validate_table(name, raw)
        found.extend(rejected)
        tables[name] = _numbered(clean) if name == "biometry" else clean
    known = _newest_weight(known, tables["weights"])
    return PatientRecord(
        pseudonym=pseudonym,
        **tables,
        facts=known,
        issues=tuple(dict.fromkeys(found)),
        input_sha256=input_sha256,
        history=history,
    )


def gestational_days(time_local: pd.Series, lmp_equivalent: date | None) -> pd.Series:
    """Gestational day with the fraction of the local day; NaN while the pregnancy is not dated."""
    if lmp_equivalent is None:
        return pd.Series(np.nan, index=time_local.index)
    local = pd.to_datetime(time_local, errors="coerce")
    return (local - pd.Timestamp(lmp_equivalent)) / pd.Timedelta(days=1)


def as_of(record: PatientRecord, when: date | datetime) -> PatientRecord:
    """The record as it was known at `when`: everything later is hidden.

    when : a date means the end of that local day; a naive time is the woman's wall clock; an aware time is an
        instant. Hidden: later rows; facts whose statement was issued later, with dating going back to the EDD
        accepted then; births, HbA1c and steroid courses after it; ends of regimens and illnesses still open.
    A pregnancy dated by biometry comes back undated: date it again from the scans known then
    (`twin.fhir.known_at` does both).
    """
    day = when.date() if isinstance(when, datetime) else when
    history = tuple(s for s in record.history if s.known_on is None or s.known_on <= day)
    facts, _ = assemble_facts(history, _facts_without_history(record, day))
    tables: dict[str, pd.DataFrame] = {}
    for name in COLUMNS:
        table: pd.DataFrame = getattr(record, name)
        kept = table[_not_after(table, when)].reset_index(drop=True)
        kept = kept.assign(gestational_day=gestational_days(kept["time_local"], facts.lmp_equivalent))
        if name == "medication":
            end = pd.Timestamp(day) + pd.Timedelta(days=1)
            kept = kept.assign(end_local=kept["end_local"].where(kept["end_local"] < end))
        tables[name] = kept.astype(COLUMNS[name])
    facts = _newest_weight(facts, tables["weights"])
    return replace(record, facts=facts, history=history, **tables)  # type: ignore[arg-type]


def _not_after(table: pd.DataFrame, when: date | datetime) -> pd.Series:
    if isinstance(when, datetime) and when.tzinfo is not None:
        return table["time_utc"] <= pd.Timestamp(when)
    if isinstance(when, datetime):
        return table["time_local"] <= pd.Timestamp(when)
    return table["time_local"] < pd.Timestamp(when) + pd.Timedelta(days=1)


def _facts_without_history(record: PatientRecord, day: date) -> PregnancyFacts:
    """Fields no statement speaks of, without what their own date shows to be later than `day`."""
    facts, blank = record.facts, PregnancyFacts()
    spoken = {s.name for s in record.history}
    if any(s.name == "gdm" and (s.about or s.known_on) is not None for s in record.history):
        spoken.add("previous_gdm")  # one dated before this pregnancy is read as history
    changes: dict[str, Any] = {name: getattr(blank, name) for name in spoken if name != "dating"}
    if "dating" in spoken or facts.dating_method == "biometry":
        changes |= {name: getattr(blank, name) for name in DATING_FIELDS}
    if len(record.weights):
        changes["weight_now_kg"] = None
    facts = replace(facts, **changes)
    if facts.delivery_day is not None and facts.delivery_day > day:
        facts = replace(facts, delivery_day=None)
    if record.facts.delivery_day is not None and record.facts.delivery_day > day:
        facts = replace(facts, birth_weight_g=None, newborn_sex=None)
    return replace(
        facts,
        hba1c_percent=tuple(v for v in facts.hba1c_percent if v[0] <= day),
        steroid_courses=tuple(d for d in facts.steroid_courses if d <= day),
        oral_steroids=_windows(facts.oral_steroids, day),
        acute_illness=_windows(facts.acute_illness, day),
    )


def _windows(
    windows: tuple[tuple[date, date | None], ...], day: date
) -> tuple[tuple[date, date | None], ...]:
    return tuple((a, b if b is not None and b <= day else None) for a, b in windows if a <= day)


def _of_this_pregnancy(
    name: str, df: pd.DataFrame, facts: PregnancyFacts
) -> tuple[pd.DataFrame, list[RecordIssue]]:
    if facts.lmp_equivalent is None:
        return df, []
    day = df["gestational_day"]
    last = LAST_DAY
    if facts.delivery_day is not None:
        last = float((facts.delivery_day - facts.lmp_equivalent).days + 1)
    # a regimen may have begun before the pregnancy and still run
    before = (day < 0) & (name != "medication")
    outside = before | (day > last)
    issues = [
        RecordIssue(
            str(row["source"]),
            "outside-pregnancy",
            f"{name} row at gestational day {row['gestational_day']:.0f}, outside this pregnancy "
            f"(0 to {last:.0f}). Row not used. Check the dating if this is unexpected.",
        )
        for _, row in df[outside].iterrows()
    ]
    return df[~outside].reset_index(drop=True), issues


def _numbered(biometry: pd.DataFrame) -> pd.DataFrame:
    """Readings of one calendar day are one examination; examinations are numbered from 0 in time order."""
    days = biometry["time_local"].dt.normalize()
    return biometry.assign(scan=pd.factorize(days, sort=True)[0].astype("int64"))


def _newest_weight(facts: PregnancyFacts, weights: pd.DataFrame) -> PregnancyFacts:
    if not len(weights):
        return facts
    return replace(facts, weight_now_kg=float(weights["weight_kg"].iloc[-1]))


def last_observation(record: PatientRecord) -> datetime | None:
    """Wall clock of the newest row of any table; without rows the newest day a statement was made (the birth
    is neither); None for an empty record."""
    newest = [getattr(record, name)["time_local"].max() for name in COLUMNS if len(getattr(record, name))]
    if newest:
        return max(newest).to_pydatetime()
    birth = ("delivery_day", "birth_weight_g", "newborn_sex")
    days = [s.known_on for s in record.history if s.known_on is not None and s.name not in birth]
    return datetime.combine(max(days), time(12)) if days else None
