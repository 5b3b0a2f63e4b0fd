"""A record of placeholders, straight from a schedule: what `encode` needs, without the checks of real input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from twin.record import COLUMNS, PatientRecord, Statement, assemble_facts, empty_table


def skeleton_record(
    pseudonym: str, rows: Mapping[str, Sequence[Mapping[str, Any]]], statements: Sequence[Statement]
) -> PatientRecord:
    """The tables of `rows` in the record's columns and order. Nothing is validated: the rows are our own."""
    facts, issues = assemble_facts(statements)
    assert not issues and facts.lmp_equivalent is not None, issues
    start = pd.Timestamp(facts.lmp_equivalent)
    tables = {name: _table(name, rows.get(name, ()), start) for name in COLUMNS}
    return PatientRecord(pseudonym=pseudonym, **tables, facts=facts, history=tuple(statements))


def _table(name: str, rows: Sequence[Mapping[str, Any]], start: pd.Timestamp) -> pd.DataFrame:
    if not rows:
        return empty_table(name)
    raw = pd.DataFrame(list(rows))
    local = pd.to_datetime(raw["time_local"])
    columns: dict[str, Any] = {}
    for column, dtype in COLUMNS[name].items():
        if column == "time_utc":
            columns[column] = local.dt.tz_localize("UTC")
        elif column == "gestational_day":
            columns[column] = (local - start) / pd.Timedelta(days=1)
        elif column == "scan":
            columns[column] = pd.factorize(local.dt.normalize(), sort=True)[0]
        elif column in raw:
            columns[column] = raw[column].fillna("") if dtype == "str" else raw[column]
        else:
            columns[column] = "" if dtype == "str" else np.nan
    table = pd.DataFrame(columns, index=raw.index)
    table = table.sort_values(["time_utc", "source"], kind="stable", ignore_index=True)
    return table.astype(COLUMNS[name])
