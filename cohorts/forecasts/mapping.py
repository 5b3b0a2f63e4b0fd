"""Records from a table of women, one row each, by a mapping file that says what its columns are.

A mapping is TOML: `woman` names the column of ids. A column is given by its name, or as { column, unit, form, is }:
unit in UCUM; form "weeks+days" for ages as 39+5 or 39,5; is for the text that means yes. A list of columns means the
first that is there; of yes/no, yes if any says so. Sections:

  dated      true where ages are given in weeks; else the scan is the day from which birth is counted
  [[scan]]   week, and hc_mm, ac_mm, fl_mm, bpd_mm, efw_g
  [[glucose]] week, kind ("lab", "ogtt"), load_g, and columns by minute: at_0, at_60, at_120
  [[weight]] week, weight_kg
  [facts]    fields of `PregnancyFacts`; bmi_pre stands in where weight before pregnancy is missing; known_week of all,
             or of one as { ..., known_week }
  [birth]    weight_g, sex, and week or days_after_scan

Days are invented from a fixed one; only gaps are the table's. The packaged mappings are under `mappings`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from cohorts.calibrate.read import LeftOut
from twin.errors import TwinError, UnusableInput
from twin.fhir.dating import with_dating
from twin.record import PatientRecord, Statement
from twin.record.build import build_record
from twin.timeline import DatingStatement
from twin.units import convert

FIRST = date(2025, 1, 6)  # the invented LMP, or the scan of an undated pregnancy
KNOWN_WEEK = 12.0
#: kind of unit of a column, by the name it maps to
UNITS = {
    **dict.fromkeys(("hc_mm", "ac_mm", "fl_mm", "bpd_mm"), "length_mm"),
    **dict.fromkeys(("efw_g", "weight_g"), "mass_g"),
    **dict.fromkeys(("weight_kg", "weight_pre_kg"), "mass_kg"),
    "height_cm": "height",
    **dict.fromkeys(("at_0", "at_60", "at_120"), "glucose"),
}
YES_NO = ("smoking", "hypertension", "gdm", "previous_gdm", "diabetes_before_pregnancy", "bariatric_surgery")
SECTIONS = ("woman", "dated", "scan", "glucose", "weight", "facts", "birth", "strata")


def load_mapping(path: Path) -> dict[str, Any]:
    """Raises : UnusableInput "bad-mapping" for what is no TOML, has no `woman`, or names an unknown section."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as why:
        raise UnusableInput(
            "bad-mapping", f"{path.name} cannot be read as TOML ({why}). Nothing was read."
        ) from why
    unknown = sorted(set(found) - set(SECTIONS))
    if unknown or "woman" not in found or "birth" not in found:
        raise UnusableInput(
            "bad-mapping",
            f"{path.name} has {', '.join(unknown) or 'no `woman` or no [birth]'}; expected {', '.join(SECTIONS)}, of "
            "which woman and birth are needed. Nothing was read.",
        )
    return found


def read_table(path: Path) -> pd.DataFrame:
    """A CSV table (plain or .gz), every column as text.

    Raises : UnusableInput "unreadable".
    """
    try:
        return pd.read_csv(path, dtype=str)
    except (OSError, ValueError, pd.errors.ParserError) as why:
        raise UnusableInput(
            "unreadable", f"{path.name} cannot be read as CSV ({why}). Nothing was read."
        ) from why


def records_of(table: pd.DataFrame, mapping: Mapping[str, Any]) -> tuple[list[PatientRecord], list[LeftOut]]:
    """One record for each row, and the rows that give none, with the reason.

    table : text, as `pandas.read_csv(dtype=str)` gives it. Raises : UnusableInput "no-such-column".
    """
    missing = sorted(_columns(mapping) - set(table.columns))
    if missing:
        raise UnusableInput(
            "no-such-column",
            f"the table has no column {', '.join(missing)}; it has {', '.join(table.columns)}. Nothing was read. "
            "Mend the mapping.",
        )
    ids = table[mapping["woman"]]
    found, left_out = [], []
    for i, row in enumerate(table.to_dict("records")):
        name = str(row[mapping["woman"]])
        try:
            if ids.isna().iloc[i] or (ids == row[mapping["woman"]]).sum() > 1:
                raise UnusableInput("bad-id", f"row {i + 2} has no id of its own. It was left out.")
            found.append(_record(name, row, mapping))
        except (TwinError, ValueError) as why:
            code = why.code if isinstance(why, TwinError) else "bad-row"
            left_out.append(LeftOut(name, code, f"{why} The row was left out."))
    return found, left_out


def _columns(spec: Any) -> set[str]:
    """Every column a mapping names."""
    named: set[str] = set()
    for key, value in spec.items():
        if key in ("dated", "strata"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str) and key not in ("kind", "form", "unit", "is"):
                named.add(part)
            elif isinstance(part, Mapping):
                named |= {part["column"]} if "column" in part else _columns(part)
    return named


def _record(name: str, row: Mapping[str, Any], mapping: Mapping[str, Any]) -> PatientRecord:
    dated = bool(mapping.get("dated", False))
    rows: dict[str, list[dict[str, Any]]] = {"biometry": [], "glucose": [], "weights": []}
    scan_day = None
    for scan in mapping.get("scan", ()):
        week = _number(row, scan.get("week"), "week") if dated else 0.0
        if week is None:
            continue
        scan_day = round(7.0 * week)
        for quantity in ("hc_mm", "ac_mm", "fl_mm", "bpd_mm", "efw_g"):
            value = _number(row, scan.get(quantity), quantity)
            if value is not None:
                rows["biometry"].append(
                    _at(scan_day, 10.0, quantity=quantity, value=value, source=f"{name}/{quantity}")
                )
    for test in mapping.get("glucose", ()):
        rows["glucose"] += _glucose(name, row, test)
    for w in mapping.get("weight", ()):
        kg = _number(row, w["weight_kg"], "weight_kg")
        if kg is not None:
            rows["weights"].append(_at(round(7.0 * w["week"]), 9.0, weight_kg=kg, source=f"{name}/weight"))
    statements = _facts(row, mapping.get("facts", {}))
    if dated:
        statements.append(
            Statement("dating", DatingStatement(FIRST, "ultrasound", True, _day(7 * 12)), _day(7 * 12))
        )
    statements += _birth(row, mapping["birth"], scan_day)
    return with_dating(build_record(name, rows, statements))


def _glucose(name: str, row: Mapping[str, Any], test: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of a tolerance test with its fasting value alone, a laboratory value."""
    values = {m: _number(row, test.get(f"at_{m}"), f"at_{m}") for m in (0, 60, 120)}
    loaded = test.get("kind") == "ogtt" and any(values[m] is not None for m in (60, 120))
    return [
        _at(
            round(7.0 * test["week"]),
            8.0 + minute / 60.0,
            value_mg_dl=value,
            kind="ogtt" if loaded else "lab",
            relation="" if loaded else "fasting",
            minutes_post_load=float(minute) if loaded else math.nan,
            load_g=float(test["load_g"]) if loaded else math.nan,
            censor="",
            device="",
            source=f"{name}/{test['week']}/{minute}",
        )
        for minute, value in values.items()
        if value is not None
    ]


def _facts(row: Mapping[str, Any], facts: Mapping[str, Any]) -> list[Statement]:
    known = float(facts.get("known_week", KNOWN_WEEK))
    found: dict[str, tuple[Any, float]] = {}
    for field, spec in facts.items():
        if field == "known_week":
            continue
        when = float(spec.get("known_week", known)) if isinstance(spec, Mapping) else known
        value = _yes_no(row, spec) if field in YES_NO else _number(row, spec, field)
        if value is not None:
            found[field] = (int(value) if field in ("parity", "fetal_number") else value, when)
    if "bmi_pre" in found:
        bmi, when = found.pop("bmi_pre")
        height = found.get("height_cm")
        if height and "weight_pre_kg" not in found:
            found["weight_pre_kg"] = (round(bmi * (height[0] / 100.0) ** 2, 1), when)
    return [Statement(k, v, _day(round(7.0 * when))) for k, (v, when) in found.items()]


def _birth(row: Mapping[str, Any], birth: Mapping[str, Any], scan_day: int | None) -> list[Statement]:
    weight = _number(row, birth["weight_g"], "weight_g")
    if "week" in birth:
        age = _number(row, birth["week"], "week")
        day = None if age is None else round(7.0 * age)
    else:
        after = _number(row, birth["days_after_scan"], "days")
        day = None if after is None or scan_day is None else scan_day + round(after)
    if weight is None or day is None:
        return []
    sex = birth.get("sex")
    told = None if sex is None else {True: "male", False: "female"}.get(_yes_no(row, sex))  # type: ignore[arg-type]
    found = [Statement("delivery_day", _day(day), _day(day)), Statement("birth_weight_g", weight, _day(day))]
    return found + ([Statement("newborn_sex", told, _day(day))] if told else [])


def _specs(spec: Any) -> Sequence[Mapping[str, Any]]:
    parts = spec if isinstance(spec, list) else [spec]
    return [p if isinstance(p, Mapping) else {"column": p} for p in parts]


def _number(row: Mapping[str, Any], spec: Any, name: str) -> float | None:
    """The first that is there, in the unit of the record. A number in the mapping stands for itself."""
    if spec is None or isinstance(spec, (int, float)):
        return None if spec is None else float(spec)
    for part in _specs(spec):
        text = row[part["column"]]
        if text is None or (isinstance(text, float) and math.isnan(text)) or str(text).strip() == "":
            continue
        text = str(text).strip()
        if part.get("form") == "weeks+days":
            weeks, _, days = text.replace(",", "+").partition("+")
            return (7 * int(weeks) + int(days or 0)) / 7.0
        value = float(text.rstrip("+"))
        return convert(value, part["unit"], UNITS[name]) if "unit" in part else value
    return None


def _yes_no(row: Mapping[str, Any], spec: Any) -> bool | None:
    told = []
    for part in _specs(spec):
        text = row[part["column"]]
        if text is None or (isinstance(text, float) and math.isnan(text)) or str(text).strip() == "":
            continue
        yes = str(part.get("is", "1"))
        told.append(str(text).strip() == yes or str(text).strip() == f"{yes}.0")
    return any(told) if told else None


def _day(day: int) -> date:
    return FIRST + timedelta(days=day)


def _at(day: int, hour: float, **values: Any) -> dict[str, Any]:
    moment = datetime.combine(_day(day), time(0)) + timedelta(hours=hour)
    return {"time_utc": pd.Timestamp(moment, tz="UTC"), "time_local": pd.Timestamp(moment), **values}
