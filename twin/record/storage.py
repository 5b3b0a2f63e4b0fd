"""Store a record as parquet tables beside `facts.json`, and read it back without loss."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from twin.errors import UnusableInput
from twin.record.tables import COLUMNS, PatientRecord, PregnancyFacts, PreviousBirth, RecordIssue, Statement
from twin.timeline import DatingStatement

_SCHEMA = "gdm-twin/record/1"


def write_tables(record: PatientRecord, directory: str | Path) -> Path:
    """Write `<table>.parquet` for every table and `facts.json`; the folder is made if needed and returned."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    for name in COLUMNS:
        getattr(record, name).to_parquet(folder / f"{name}.parquet", index=False)
    content = {
        "schema": _SCHEMA,
        "pseudonym": record.pseudonym,
        "input_sha256": record.input_sha256,
        "facts": {f.name: _pack(getattr(record.facts, f.name)) for f in fields(PregnancyFacts)},
        "history": [{f.name: _pack(getattr(s, f.name)) for f in fields(Statement)} for s in record.history],
        "issues": [asdict(i) for i in record.issues],
    }
    (folder / "facts.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return folder


def read_tables(directory: str | Path) -> PatientRecord:
    """The record `write_tables` stored.

    Raises : UnusableInput if the folder is not a stored record of this schema.
    """
    folder = Path(directory)
    try:
        content = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        if content["schema"] != _SCHEMA:
            raise KeyError(content["schema"])
        tables = {n: pd.read_parquet(folder / f"{n}.parquet").astype(t) for n, t in COLUMNS.items()}
    except (OSError, KeyError, ValueError) as why:
        raise UnusableInput(
            "not-a-record",
            f"folder {folder.name!r} is not a stored record of schema {_SCHEMA} ({type(why).__name__}). "
            "Nothing was read. Point at a `record` folder written by gdm-twin.",
        ) from why
    return PatientRecord(
        pseudonym=content["pseudonym"],
        **tables,
        facts=PregnancyFacts(**{k: _unpack(v) for k, v in content["facts"].items()}),
        issues=tuple(RecordIssue(**i) for i in content["issues"]),
        input_sha256=content["input_sha256"],
        history=tuple(Statement(**{k: _unpack(v) for k, v in s.items()}) for s in content["history"]),
    )


def _pack(value: Any) -> Any:
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if isinstance(value, PreviousBirth):
        return {"$previous_birth": asdict(value)}
    if isinstance(value, DatingStatement):
        return {"$dating": {f.name: _pack(getattr(value, f.name)) for f in fields(DatingStatement)}}
    if isinstance(value, tuple):
        return {"$tuple": [_pack(v) for v in value]}
    if isinstance(value, Mapping):
        return {str(k): _pack(v) for k, v in value.items()}
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(v) for v in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$date": text}:
            return date.fromisoformat(text)
        case {"$previous_birth": birth}:
            return PreviousBirth(**birth)
        case {"$dating": statement}:
            return DatingStatement(**{k: _unpack(v) for k, v in statement.items()})
        case {"$tuple": items}:
            return tuple(_unpack(v) for v in items)
    return {k: _unpack(v) for k, v in value.items()}
