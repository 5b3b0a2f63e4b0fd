"""A record of placeholders, straight from a schedule: what `encode` needs, without the checks of real input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from twin.record import COLUMNS, PatientRecord, Statement, assemble_facts, empty_table, to_table


def skeleton_record(
    pseudonym: str, rows: Mapping[str, Sequence[Mapping[str, Any]]], statements: Sequence[Statement]
) -> PatientRecord:
    """The tables of `rows` in the record's columns and order. Nothing is validated: the rows are our own."""
    facts, issues = assemble_facts(statements)
    assert not issues and facts.lmp_equivalent is not None, issues
    start = np.datetime64(facts.lmp_equivalent)
    tables = {name: _table(name, rows.get(name, ()), start) for name in COLUMNS}
    return PatientRecord(pseudonym=pseudonym, **tables, facts=facts, history=tuple(statements))


def _table(name: str, rows: Sequence[Mapping[str, Any]], start: np.datetime64) -> pd.DataFrame:
    if not rows:
        return empty_table(name)
    rows = sorted(rows, key=lambda r: (r["time_local"], r.get("source", "")))
    local = np.array([r["time_local"] for r in rows], dtype="datetime64[ns]")
    columns: dict[str, np.ndarray] = {}
    for column, dtype in COLUMNS[name].items():
        if column in ("time_utc", "time_local"):
            columns[column] = local
        elif column == "gestational_day":
            columns[column] = (local - start) / np.timedelta64(1, "D")
        elif column == "scan":
            columns[column] = np.unique(local.astype("datetime64[D]"), return_inverse=True)[1]
        elif dtype == "str":
            columns[column] = np.array([r.get(column, "") for r in rows], dtype=object)
        elif dtype.startswith("datetime64"):
            columns[column] = np.array([r.get(column, "NaT") for r in rows], dtype=dtype)
        else:
            columns[column] = np.array([r.get(column, np.nan) for r in rows], dtype=dtype)
    return to_table(name, columns)
