"""A made-up woman at 33 weeks with meter readings, three scans, a forecast and its risk dictionary."""

import copy
from datetime import date

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from twin.record.tables import COLUMNS, PatientRecord, PregnancyFacts, RecordIssue, empty_table
from twin.schema import FORECAST_DIMS, FORECAST_SCALARS, FORECAST_SERIES

LMP = pd.Timestamp("2026-03-26")
NOW = pd.Timestamp("2026-11-12T09:30")
OFFSET = pd.Timedelta(hours=-3)
SCENARIOS = ("as_now", "doses_fixed", "untreated", "birth_39_0")


def table(name: str, rows: list[dict]) -> pd.DataFrame:
    """Rows with `time_local` -> a table of the record, times and gestational day filled in."""
    if not rows:
        return empty_table(name)
    frame = pd.DataFrame(rows)
    frame["time_local"] = pd.to_datetime(frame["time_local"])
    frame["time_utc"] = (frame["time_local"] - OFFSET).dt.tz_localize("UTC")
    frame["gestational_day"] = (frame["time_local"] - LMP).dt.total_seconds() / 86400.0
    for column, dtype in COLUMNS[name].items():
        if column not in frame:
            frame[column] = "" if dtype == "str" else float("nan") if dtype == "float64" else None
        frame[column] = frame[column].astype(dtype)
    return frame[list(COLUMNS[name])].sort_values("time_utc").reset_index(drop=True)


def glucose_rows(rng: np.random.Generator, days: int = 16) -> list[dict]:
    rows = []
    for back in range(days, 0, -1):
        day = NOW.normalize() - pd.Timedelta(days=back)
        for hour, relation, mean in (
            (6.6, "fasting", 92.0),
            (8.9, "post_meal_1h", 131.0),
            (13.9, "post_meal_1h", 124.0),
            (20.4, "" if back % 3 else "post_meal_2h", 118.0),
        ):
            rows.append(
                {
                    "time_local": day + pd.Timedelta(hours=hour + rng.normal(0.0, 0.25)),
                    "value_mg_dl": float(np.round(mean * np.exp(rng.normal(0.0, 0.12)))),
                    "kind": "smbg",
                    "relation": relation,
                    "device": "meter",
                    "source": f"Bundle.entry[{len(rows)}]",
                }
            )
    rows[-3]["value_mg_dl"] = 203.0
    rows[-6]["value_mg_dl"] = 51.0
    return rows


def cgm_rows(rng: np.random.Generator, days: int = 10) -> list[dict]:
    at = pd.date_range(NOW - pd.Timedelta(days=days), NOW, freq="5min")
    hour = at.hour + at.minute / 60.0
    curve = 95.0 + sum(45.0 * np.exp(-0.5 * ((hour - h) / 0.8) ** 2) for h in (9.0, 14.0, 21.0))
    value = (
        curve * np.exp(rng.normal(0.0, 0.1, at.size))
        + 12.0 * rng.normal(size=days + 1)[(at - at[0]).days.to_numpy()]
    )
    return [
        {
            "time_local": t,
            "value_mg_dl": float(v),
            "kind": "cgm",
            "device": "sensor",
            "source": f"cgm.csv:{i}",
        }
        for i, (t, v) in enumerate(zip(at, value, strict=True))
    ]


def scan_rows() -> list[dict]:
    rows = []
    for number, (when, hc, ac, fl) in enumerate(
        (
            ("2026-08-13", 178.0, 158.0, 33.5),
            ("2026-10-08", 262.0, 245.0, 53.0),
            ("2026-11-03", 300.0, 297.0, 62.5),
        )
    ):
        for quantity, value in (("hc_mm", hc), ("ac_mm", ac), ("fl_mm", fl)):
            rows.append(
                {
                    "time_local": f"{when}T10:15",
                    "quantity": quantity,
                    "value": value,
                    "method": "outer-outer",
                    "scan": number,
                    "source": f"Bundle.entry[{100 + number}]",
                }
            )
    return rows


def make_record(*, cgm: bool = False, issues: tuple[RecordIssue, ...] | None = None) -> PatientRecord:
    rng = np.random.default_rng(5)
    meals = [
        {"time_local": NOW.normalize() - pd.Timedelta(days=b) + pd.Timedelta(hours=h), "carbohydrate_g": g}
        for b in range(16, 0, -1)
        for h, g in ((7.9, 40.0), (12.9, 60.0), (19.5, 55.0))
    ]
    if issues is None:
        issues = (
            RecordIssue("Bundle.entry[12]", "unknown-unit", "glucose unit 'mmol' is not a known UCUM code."),
            RecordIssue("Bundle.entry[31]", "date-only", "a glucose reading has a date but no time of day."),
            RecordIssue("Bundle.entry[33]", "date-only", "a glucose reading has a date but no time of day."),
            RecordIssue("Bundle.entry[90]", "not-understood", "Observation code 8310-5.", "not-understood"),
        )
    return PatientRecord(
        pseudonym="p-7f3a91c2",
        glucose=table("glucose", (cgm_rows if cgm else glucose_rows)(rng)),
        meals=table("meals", meals),
        insulin=empty_table("insulin"),
        medication=empty_table("medication"),
        activity=empty_table("activity"),
        biometry=table("biometry", scan_rows()),
        weights=table("weights", [{"time_local": "2026-11-03T10:00", "weight_kg": 84.0}]),
        facts=PregnancyFacts(
            lmp_equivalent=date(2026, 3, 26), dating_method="ultrasound", maternal_age_y=33.0
        ),
        issues=issues,
        input_sha256="ab" * 32,
    )


def make_forecast(draws: int = 200) -> xr.Dataset:
    rng = np.random.default_rng(8)
    days = np.arange(140, 295)
    shift = np.array([0.0, 0.012, 0.035, 0.0])
    theta = rng.normal(0.07, 0.07, draws)[None, :, None] + shift[:, None, None]
    base = np.exp(0.578 + 0.332 * days / 7.0 - 0.00354 * (days / 7.0) ** 2)  # shape of [C-STD-01]
    weight = base * np.exp(theta)
    delivery = np.clip(rng.normal(275.0, 6.0, (4, draws)), 252, 290)
    delivery[3] = 273.0
    at = np.clip(np.round(delivery).astype(int) - 140, 0, days.size - 1)
    birth = np.take_along_axis(weight, at[:, :, None], axis=2)[:, :, 0] * np.exp(rng.normal(0, 0.02, draws))
    values = {
        "fetal_weight_g": weight,
        "mean_glucose_mg_dl": 104.0 + 0 * weight,
        "time_in_range": 0.9 + 0 * weight,
    }
    series = {k: (FORECAST_DIMS, v.astype("f4"), {"units": FORECAST_SERIES[k][0]}) for k, v in values.items()}
    scalars = {"birth_weight_g": birth, "delivery_day": delivery}
    flat = {k: (FORECAST_DIMS[:2], v, {"units": FORECAST_SCALARS[k][0]}) for k, v in scalars.items()}
    return xr.Dataset(
        {**series, **flat},
        coords={"scenario": list(SCENARIOS), "draw": np.arange(draws), "gestational_day": days},
        attrs={"growth_standard": "hadlock1991", "posterior_id": "post-1", "seed": 7},
    )


def make_risk(record: PatientRecord) -> dict:
    strategies = {
        "as_now": ("diet, titrated by site protocol", "site policy, median 39+1"),
        "doses_fixed": ("diet, no further change", "site policy, median 39+1"),
        "untreated": ("no diet or drug treatment", "site policy, median 39+1"),
        "birth_39_0": ("diet, titrated by site protocol", "born on 39+0"),
    }
    p4000 = {"as_now": 0.23, "doses_fixed": 0.26, "untreated": 0.34, "birth_39_0": 0.21}
    scenarios = []
    for name, (strategy, delivery) in strategies.items():
        p = p4000[name]
        table = {
            "macrosomia_4000": (p, p - 0.06, p + 0.07),
            "macrosomia_4500": (p / 5, p / 8, p / 3),
            "lga_90": (p + 0.08, p, p + 0.17),
            "sga_10": (0.05 - p / 10, 0.004, 0.06),
            "ac_90_at_36w": (p + 0.05, p - 0.02, p + 0.14),
        }
        days = [273] if name == "birth_39_0" else list(range(252, 288))
        scenarios.append(
            {
                "name": name,
                "treatment_strategy": strategy,
                "delivery_assumption": delivery,
                "birth_weight_g": {"mean": 3712, "q05": 3120, "q50": 3702, "q95": 4330},
                "outcomes": [
                    {"outcome": o, "probability": x, "low": lo, "high": hi}
                    for o, (x, lo, hi) in table.items()
                ],
                "lga_by_reference": {"intergrowth21_newborn": table["lga_90"][0], "hadlock1991": 0.14},
                "if_born_on": [
                    {
                        "gestational_day": d,
                        "macrosomia_4000": float(1 / (1 + np.exp(-(d - 288 + 20 * p) / 7))),
                        "macrosomia_4500": float(0.3 / (1 + np.exp(-(d - 288) / 8))),
                        "lga_90": 0.33 - 0.001 * (d - 252) + p - 0.23,
                        "sga_10": 0.02 + 0.0006 * (d - 252),
                        "birth_weight_q05": 2600 + 22 * (d - 252),
                        "birth_weight_q50": 3050 + 26 * (d - 252),
                        "birth_weight_q95": 3600 + 30 * (d - 252),
                    }
                    for d in days
                ],
            }
        )
    return {
        "schema": "gdm-twin/risk/1",
        "patient": record.pseudonym,
        "as_of": "2026-11-12T09:30:00-03:00",
        "gestational_day": 231,
        "scope": {"status": "full", "reasons": [], "withheld": []},
        "growth_standard": "hadlock1991",
        "lga_reference": "intergrowth21_newborn",
        "raw_alerts": [],
        "data": {
            "glucose_readings": len(record.glucose),
            "scans": 3,
            "newest_glucose_age_days": 0.5,
            "newest_scan_age_days": 9,
        },
        "calibration": {
            "method": "laplace", "ok": True, "pareto_k": 0.31, "rhat_max": None, "ess_min": 812,
            "fallback": None,
        },
        "scenarios": scenarios,
        "issued": [
            {"as_of": day, "macrosomia_4000": a, "macrosomia_4500": b, "lga_90": c, "sga_10": d}
            for day, a, b, c, d in (
                ("2026-09-30", 0.14, 0.02, 0.21, 0.06),
                ("2026-10-09", 0.17, 0.03, 0.24, 0.05),
                ("2026-10-30", 0.18, 0.03, 0.26, 0.04),
                ("2026-11-12", 0.23, 0.05, 0.31, 0.03),
            )
        ],
        "drivers": [
            {"name": "abdominal circumference, 2026-11-03", "effect_on_macrosomia_4000": 0.08},
            {"name": "weight before pregnancy", "effect_on_macrosomia_4000": 0.03},
            {"name": "glucose after meals, last 14 days", "effect_on_macrosomia_4000": 0.02},
            {"name": "femur length, 2026-11-03", "effect_on_macrosomia_4000": -0.02},
            {"name": "no smoking", "effect_on_macrosomia_4000": 0.004},
        ],
        "issues": [{"source": i.source, "code": i.code, "message": i.message} for i in record.issues],
        "provenance": {"code_version": "0.1.0", "prior_id": "prior-2026a", "input_sha256": "ab" * 32,
                       "seed": 7},
    }  # fmt: skip


@pytest.fixture(scope="session")
def record() -> PatientRecord:
    return make_record()


@pytest.fixture(scope="session")
def cgm_record() -> PatientRecord:
    return make_record(cgm=True)


@pytest.fixture(scope="session")
def forecast() -> xr.Dataset:
    return make_forecast()


@pytest.fixture(scope="session")
def intact_risk(record) -> dict:
    """Never changed; `risk` is a copy a test may spoil."""
    return make_risk(record)


@pytest.fixture
def risk(intact_risk) -> dict:
    return copy.deepcopy(intact_risk)


@pytest.fixture(scope="session")
def day_profile() -> xr.Dataset:
    minute = np.arange(0, 1440, 15)
    hour = minute / 60.0
    mean = 92.0 + sum(38.0 * np.exp(-0.5 * ((hour - h) / 0.9) ** 2) for h in (8.9, 13.9, 20.5))
    return xr.Dataset(
        {
            name: ("minute_of_day", mean * np.exp(z * 0.13))
            for name, z in (("q05", -1.645), ("q50", 0.0), ("q95", 1.645), ("mean", 0.01))
        },
        coords={"minute_of_day": minute},
    )
