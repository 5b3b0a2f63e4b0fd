"""What comparators may use of a woman, and which groups she belongs to, from what was known on the day."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twin.encode import efw_of_scan
from twin.growth_standards import weight_z
from twin.physiology.fetus import MEASURES
from twin.record import PatientRecord


def inputs_of(known: PatientRecord, born_day: int, expected_day: float, standard: str) -> dict[str, float]:
    """Columns of `comparators.INPUTS` of her last scan and of herself; NaN where not known. expected_day : of birth."""
    f = known.facts
    found = {
        "parity": _number(f.parity),
        "maternal_age_y": _number(f.maternal_age_y),
        "height_cm": _number(f.height_cm),
        "bmi_pre": _number(f.bmi_pre),
        "smoking": _number(f.smoking),
        "hypertension": _number(f.hypertension),
        "previous_gdm": _number(f.previous_gdm),
    }
    if not len(known.biometry):
        return found
    last = known.biometry[known.biometry["scan"] == known.biometry["scan"].max()]
    at = float(last["gestational_day"].iloc[0])
    value = last.groupby("quantity")["value"].mean()
    efw = efw_of_scan(last)
    found |= {q: float(value.get(q, math.nan)) for q in MEASURES}
    return found | {
        "efw_g": _number(efw),
        "efw_z": float(weight_z(efw, at, standard=standard)) if efw is not None else math.nan,
        "gestational_day": at,
        "days_to_birth": born_day - math.floor(at),
        "days_to_expected_birth": expected_day - math.floor(at),
    }


def strata_of(known: PatientRecord, sex: str | None, day: float, born_day: int) -> dict[str, Any]:
    """Her groups. data : what glucose data there are; days_to_birth is a number, cut by the report."""
    f = known.facts
    kinds = set(known.glucose["kind"])
    drugs = set(known.medication["drug"].str.lower()) if len(known.medication) else set()
    treated = [
        name
        for name, has in (("insulin", len(known.insulin) > 0), ("metformin", "metformin" in drugs))
        if has
    ]
    data = (
        "sensor" if "cgm" in kinds else "finger pricks" if "smbg" in kinds else "tests" if kinds else "none"
    )
    devices = known.glucose["device"].astype(str) if len(known.glucose) else []
    worn = sorted({d for d in devices if d})
    scans = int(known.biometry["scan"].nunique()) if len(known.biometry) else 0
    return {
        "bmi": _number(f.bmi_pre),
        "parity": None if f.parity is None else ("nulliparous" if f.parity == 0 else "parous"),
        "age": _number(f.maternal_age_y),
        "sex": sex,
        "treatment": " and ".join(treated) or "no drug",
        "hypertension": None if f.hypertension is None else ("yes" if f.hypertension else "no"),
        "gdm": None if f.gdm is None else ("yes" if f.gdm else "no"),
        "device": worn[0] if worn else None,
        "data": f"glucose: {data}; scans: {min(scans, 3)}{'+' if scans > 3 else ''}",
        "days_to_birth": float(born_day - math.floor(day)),
    }


def _number(x: object) -> float:
    return math.nan if x is None else float(np.float64(x))  # type: ignore[arg-type]
