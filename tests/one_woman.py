"""One invented woman whose data have the shapes most tests share, so that the model is compiled once for all.

31+6 weeks, finger pricks of 20 days, a tolerance test at 26 weeks, three scans, insulin in the last 10 days. All
values are invented: her fetus follows Hadlock 1991 at about +0.6 SD.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from twin.record import PatientRecord, PregnancyFacts, build_record

LMP = date(2026, 3, 2)
AS_OF_DAY = 223.5
STANDARD = "hadlock1991"
#: draws of every posterior and of every forecast, so that programs are shared
POSTERIOR_DRAWS, FORECAST_DRAWS = 1000, 200
SCAN_MM = {  # gestational day -> HC, AC, FL, BPD
    142: (182.0, 158.0, 33.5, 49.0),
    196: (264.0, 246.0, 53.5, 72.5),
    219: (294.0, 288.0, 61.0, 81.5),
}


def at(day: float, clock: str = "12:00", **row: Any) -> dict[str, Any]:
    """A row at local `clock` of gestational day `day`; she lives at UTC."""
    hour, minute = clock.split(":")
    local = datetime.combine(LMP, datetime.min.time()) + timedelta(
        days=int(day), hours=int(hour), minutes=int(minute)
    )
    return {"time_utc": local.isoformat() + "Z", "time_local": local} | row


def glucose_rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(11)
    rows = []
    for day in range(203, 223):
        for clock, relation, level, sd in (
            ("06:45", "fasting", 94.0, 5.0),
            ("08:35", "post_meal_1h", 142.0, 15.0),
            ("19:35", "post_meal_1h", 134.0, 15.0),
        ):
            value = round(level + sd * float(rng.standard_normal()))
            rows.append(
                at(day, clock, value_mg_dl=value, kind="smbg", relation=relation, source=f"g{day}{clock}")
            )
    for minutes, clock, value in ((0, "08:00", 93.0), (60, "09:00", 182.0), (120, "10:00", 158.0)):
        rows.append(
            at(
                182,
                clock,
                value_mg_dl=value,
                kind="ogtt",
                minutes_post_load=minutes,
                load_g=75.0,
                source=f"o{minutes}",
            )
        )
    return rows


def scan_rows(days: tuple[int, ...] = tuple(SCAN_MM)) -> list[dict[str, Any]]:
    names = ("hc_mm", "ac_mm", "fl_mm", "bpd_mm")
    return [
        at(day, "10:00", quantity=q, value=v, method="outer-outer", source=f"s{day}{q}")
        for day in days
        for q, v in zip(names, SCAN_MM[day], strict=True)
    ]


def insulin_rows() -> list[dict[str, Any]]:
    rows = []
    for day in range(213, 223):
        rows.append(at(day, "22:00", dose_U=8.0, formulation="glargine", source=f"i{day}b"))
        rows.append(at(day, "07:25", dose_U=4.0, formulation="rapid", source=f"i{day}r"))
    return rows


def tables() -> dict[str, list[dict[str, Any]]]:
    return {
        "glucose": glucose_rows(),
        "insulin": insulin_rows(),
        "biometry": scan_rows(),
        "weights": [at(100, weight_kg=72.0, source="w1"), at(217, weight_kg=79.5, source="w2")],
    }


def make_record(rows: dict[str, list[dict[str, Any]]] | None = None, **facts: Any) -> PatientRecord:
    known: dict[str, Any] = {
        "lmp_equivalent": LMP,
        "dating_method": "ultrasound",
        "dating_sd_days": 3.0,
        "maternal_age_y": 33.0,
        "height_cm": 165.0,
        "weight_pre_kg": 69.0,
        "parity": 1,
        "smoking": False,
        "hypertension": False,
        "fetal_number": 1,
    } | facts
    return build_record("p-one", tables() if rows is None else rows, facts=PregnancyFacts(**known))
