"""Simulated records as FHIR R4 NDJSON, each Patient marked as simulated."""

from __future__ import annotations

import functools
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from twin.fhir import write_patient_bundle
from twin.record import COLUMNS, PatientRecord, PregnancyFacts, empty_table, to_table

#: HL7's code for test data, and this project's own
TAGS = (
    {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
        "code": "HTEST",
        "display": "test health data",
    },
    {
        "system": "urn:gdm-twin:tag",
        "code": "simulated",
        "display": "simulated by gdm-twin, not a real person",
    },
)
UNFINISHED = ".part"  # a name that no reader takes for a file of records
_TEXT = (
    '<div xmlns="http://www.w3.org/1999/xhtml">Simulated by gdm-twin. This is not a real person, and no '
    "reading was ever measured.</div>"
)


#: tables whose rows differ by a time, a number and few words: table -> the number's column
_PLAIN_TABLES = {
    "glucose": "value_mg_dl",
    "meals": "carbohydrate_g",
    "insulin": "dose_U",
    "biometry": "value",
    "weights": "weight_kg",
}
#: columns that no resource shows, or that differ by row
_NOT_WORDS = ("source", "gestational_day", "scan", "time_utc", "time_local")
#: stand for pseudonym, number and time in a row's text
_WHO, _NUMBER, _TIME = "who-is-she", 1234.5678, pd.Timestamp("2001-02-03 04:05:06")


def simulated_resources(record: PatientRecord) -> Iterator[dict[str, Any]]:
    """The resources of one record; every one carries the tags, the Patient says it in words too."""
    for entry in write_patient_bundle(record)["entry"]:
        yield marked(entry["resource"])


def marked(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource with the tags; a Patient says it in words too."""
    found = {"resourceType": resource["resourceType"], "meta": {"tag": list(TAGS)}} | resource
    if found["resourceType"] == "Patient":
        found["text"] = {"status": "generated", "div": _TEXT}
    return found


def ndjson_lines(record: PatientRecord) -> Iterator[str]:
    """`simulated_resources` as text, one a line.

    Rows of one kind have one text but for pseudonym, place, time and number: the writer of records is asked once for
    each kind, which makes a sensor's day a hundred times cheaper.
    """
    if len(record.medication) or len(record.activity):
        yield from map(line, simulated_resources(record))
        return
    facts = record.facts if not len(record.weights) else replace(record.facts, weight_now_kg=None)
    none = {name: empty_table(name) for name in _PLAIN_TABLES}
    head = list(simulated_resources(replace(record, facts=facts, **none)))  # type: ignore[arg-type]
    yield from map(line, head)
    place = len(head)
    for name, number in _PLAIN_TABLES.items():
        table: pd.DataFrame = getattr(record, name)
        if not len(table):
            continue
        assert (table["time_utc"].dt.tz_localize(None) == table["time_local"]).all(), "not on UTC"
        words = [[None if v != v else v for v in table[c].tolist()] for c in _words(name)]
        kinds = zip(*words, strict=True) if words else [()] * len(table)
        when = np.datetime_as_string(table["time_local"].to_numpy().astype("datetime64[s]")).tolist()
        for kind, time, value in zip(kinds, when, table[number].tolist(), strict=True):
            told = {"who": record.pseudonym, "place": place, "time": time, "number": float.__repr__(value)}
            yield _text_of(name, kind) % told
            place += 1


def _words(name: str) -> list[str]:
    """Columns that make a row's kind."""
    return [c for c in COLUMNS[name] if c not in (*_NOT_WORDS, _PLAIN_TABLES[name])]


@functools.lru_cache(maxsize=4096)
def _text_of(name: str, kind: tuple[str | float | None, ...]) -> str:
    """The line of a row of one kind, with names where pseudonym, place, time and number go."""
    columns: dict[str, np.ndarray] = {
        c: np.zeros(1) for c in ("gestational_day", "scan") if c in COLUMNS[name]
    }
    columns["source"] = np.array([""], dtype=object)
    columns |= {c: np.array([_TIME], dtype="datetime64[ns]") for c in ("time_utc", "time_local")}
    columns |= {
        c: np.array([v], dtype=object if isinstance(v, str) else float)
        for c, v in zip(_words(name), kind, strict=True)
    }
    columns[_PLAIN_TABLES[name]] = np.array([_NUMBER])
    blank = {table: empty_table(table) for table in COLUMNS}
    blank[name] = to_table(name, columns)
    one = PatientRecord(pseudonym=_WHO, **blank, facts=PregnancyFacts())
    _, resource = simulated_resources(one)
    text = line(resource).replace("%", "%%")
    for sign, stands_for in (
        (f"{_WHO}-1", "%(who)s-%(place)d"),
        (_WHO, "%(who)s"),
        (_TIME.isoformat(), "%(time)s"),
        (repr(_NUMBER), "%(number)s"),
    ):
        assert sign in text, (name, kind, sign)
        text = text.replace(sign, stands_for)
    return text


def line(resource: dict[str, Any]) -> str:
    return json.dumps(resource, separators=(",", ":")) + "\n"


def ndjson_bytes(records: Iterable[PatientRecord]) -> bytes:
    """One resource a line."""
    return "".join(text for r in records for text in ndjson_lines(r)).encode()


def write_simulated(records: Iterable[PatientRecord], path: str | Path) -> int:
    """Write NDJSON, gzip if the name ends in .gz (no time stamp: same records, same bytes); returns its size."""
    return write_whole(Path(path), ndjson_bytes(records))


def write_whole(path: Path, data: bytes, *, level: int = 9) -> int:
    """Write a file that is there as a whole or not at all, gzip if its name ends in .gz; returns its size."""
    if path.name.endswith(".gz"):
        data = gzip.compress(data, level, mtime=0)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    unfinished.write_bytes(data)
    unfinished.replace(path)
    return len(data)
