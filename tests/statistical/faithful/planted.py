"""Power of the conflict flags: women of the own generator one kind of whose readings was shifted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from tests.statistical.faithful.calibration import calibrated
from tests.statistical.faithful.women import Subject, encoded, root_key, subjects
from twin.inference.diagnostics import conflicts
from twin.record import PatientRecord

GLUCOSE_SHIFT_MG_DL = 40.0
SCAN_FACTOR = 1.10
#: pattern -> (name of the plant, kind of glucose shifted; None: all measures of the newest scan)
PLANTS = {
    "nothing": ("newest scan 10 % larger", None),
    "ogtt": ("tolerance test 40 mg/dL higher", "ogtt"),
    "smbg": ("finger pricks 40 mg/dL higher", "smbg"),
    "cgm": ("sensor 40 mg/dL higher", "cgm"),
}


def shifted(record: PatientRecord, kind: str | None) -> PatientRecord:
    """The record with one kind of reading shifted."""
    if kind is None:
        table = record.biometry.copy()
        newest = table["gestational_day"] == table["gestational_day"].max()
        table.loc[newest, "value"] *= SCAN_FACTOR
        return dataclasses.replace(record, biometry=table)
    table = record.glucose.copy()
    table.loc[table["kind"] == kind, "value_mg_dl"] += GLUCOSE_SHIFT_MG_DL
    return dataclasses.replace(record, glucose=table)


def batch(pattern: str, numbers: Sequence[int]) -> dict[str, Any]:
    """The stored result of one case: flags of women with the plant."""
    kind = PLANTS[pattern][1]
    women: list[Subject] = []
    for w in subjects("own", pattern, numbers, purpose=2):
        record = shifted(w.record, kind)
        women.append(w._replace(record=record, data=encoded(record)))
    key = jax.random.fold_in(root_key("own", pattern, 2), 2**30)
    rows = []
    for woman, posterior in zip(women, calibrated(women, key), strict=True):
        found = conflicts(posterior)
        rows.append(
            {
                "number": woman.number,
                "scans": woman.scans,
                "conflicts": [[f.of, f.kind, round(f.z, 3), float(f"{f.p:.3g}"), f.flagged] for f in found],
                "ok": posterior.calibration.ok,
            }
        )
    return {"pattern": pattern, "women": rows}
