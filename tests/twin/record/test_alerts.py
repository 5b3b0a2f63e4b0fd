"""Raw alerts, slots, targets, sensor time in range and data age, each against values worked out by hand."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.record.alerts import (
    SLOTS,
    cgm_time_in_range,
    data_age,
    local_now,
    raw_alerts,
    readings_above_target,
    smbg_slots,
)
from twin.record.tables import COLUMNS, PatientRecord, PregnancyFacts, empty_table
from twin.settings import SiteSettings

NOW = pd.Timestamp("2026-11-12T12:00")
SITE = SiteSettings()


def table(name: str, rows: list[dict], offset_h: float = 1.0) -> pd.DataFrame:
    if not rows:
        return empty_table(name)
    frame = pd.DataFrame(rows)
    frame["time_local"] = pd.to_datetime(frame["time_local"])
    frame["time_utc"] = (frame["time_local"] - pd.Timedelta(hours=offset_h)).dt.tz_localize("UTC")
    for column, dtype in COLUMNS[name].items():
        if column not in frame:
            frame[column] = "" if dtype == "str" else float("nan") if dtype == "float64" else None
        frame[column] = frame[column].astype(dtype)
    return frame[list(COLUMNS[name])].sort_values("time_utc").reset_index(drop=True)


def woman(glucose: list[dict], meals: list[str] = (), scans: list[dict] = (), **facts) -> PatientRecord:
    tables = {name: empty_table(name) for name in COLUMNS}
    tables["glucose"] = table("glucose", glucose)
    tables["meals"] = table("meals", [{"time_local": m, "carbohydrate_g": 40.0} for m in meals])
    tables["biometry"] = table("biometry", list(scans))
    return PatientRecord(pseudonym="p-1", facts=PregnancyFacts(**facts), **tables)


def meter(when: str, value: float, relation: str = "", **more) -> dict:
    row = {
        "time_local": when,
        "value_mg_dl": value,
        "kind": "smbg",
        "relation": relation,
        "source": f"at {when}",
    }
    return row | more


def sensor(start: str, values: list[float], minutes: int = 5, device: str = "s1") -> list[dict]:
    at = pd.date_range(start, periods=len(values), freq=f"{minutes}min")
    return [
        {"time_local": t, "value_mg_dl": v, "kind": "cgm", "device": device, "source": f"cgm {t}"}
        for t, v in zip(at, values, strict=True)
    ]


# ---- alerts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "level"), [(53.9, "low"), (54.0, None), (199.9, None), (200.0, "high"), (412.0, "high")]
)
def test_limits_are_below_54_and_from_200(value, level):
    alerts = raw_alerts(woman([meter("2026-11-12T08:00", value)]), NOW, SITE)
    assert [a["level"] for a in alerts] == ([level] if level else [])


def test_window_is_72_hours_up_to_now():
    record = woman(
        [
            meter("2026-11-09T12:00", 40.0),  # exactly 72 h ago: outside
            meter("2026-11-09T12:01", 41.0),
            meter("2026-11-12T12:00", 42.0),  # now: inside
            meter("2026-11-12T12:01", 43.0),  # later than now: not known
        ]
    )
    assert [a["value_mg_dl"] for a in raw_alerts(record, NOW, SITE)] == [42.0, 41.0]


def test_an_alert_carries_time_value_kind_and_source():
    (alert,) = raw_alerts(woman([meter("2026-11-12T08:00", 45.0)]), NOW, SITE)
    assert alert == {
        "level": "low",
        "value_mg_dl": 45.0,
        "censor": "",
        "kind": "smbg",
        "time": "2026-11-12T08:00",
        "start": "2026-11-12T08:00",
        "end": "2026-11-12T08:00",
        "readings": 1,
        "source": "at 2026-11-12T08:00",
    }


@pytest.mark.parametrize(
    ("bound", "censor", "level"),
    [
        (40.0, "low", "low"),
        (54.0, "low", "low"),  # below 54 is below 54
        (60.0, "low", None),
        (180.0, "low", None),
        (300.0, "low", None),  # "< 300" is not a value of 300
        (400.0, "high", "high"),
        (200.0, "high", "high"),
        (180.0, "high", None),
        (45.0, "high", None),
    ],
)
def test_a_bound_counts_when_it_says_enough(bound, censor, level):
    alerts = raw_alerts(woman([meter("2026-11-12T08:00", bound, censor=censor)]), NOW, SITE)
    assert [a["level"] for a in alerts] == ([level] if level else [])


def test_one_sensor_excursion_is_one_alert_with_its_worst_value():
    values = [80.0, 53.0, 49.0, 52.0, 70.0, 51.0, 90.0]
    alerts = raw_alerts(woman(sensor("2026-11-12T03:00", values)), NOW, SITE)
    assert [(a["value_mg_dl"], a["readings"], a["time"][-5:]) for a in alerts] == [
        (51.0, 1, "03:25"),
        (49.0, 3, "03:10"),
    ]


def test_a_silence_parts_two_excursions_and_devices_stay_apart():
    rows = sensor("2026-11-12T03:00", [50.0, 50.0, 50.0]) + sensor("2026-11-12T05:00", [50.0, 50.0])
    rows += sensor("2026-11-12T03:02", [48.0, 48.0], device="s2")
    alerts = raw_alerts(woman(rows), NOW, SITE)
    assert sorted((a["value_mg_dl"], a["readings"]) for a in alerts) == [(48.0, 2), (50.0, 2), (50.0, 3)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(20.0, 400.0), min_size=1, max_size=40), st.booleans())
def test_no_dangerous_value_is_lost(values, as_sensor):
    """Readings counted in alerts = readings outside the limits, for any series, meter or sensor."""
    rows = sensor("2026-11-12T02:00", values)
    if not as_sensor:
        rows = [r | {"kind": "smbg"} for r in rows]
    alerts = raw_alerts(woman(rows), NOW, SITE)
    outside = [v for v in values if v < 54.0 or v >= 200.0]
    assert sum(a["readings"] for a in alerts) == len(outside)
    shown = [a["value_mg_dl"] for a in alerts]
    assert min(values) >= 54.0 or min(values) in shown
    assert max(values) < 200.0 or max(values) in shown


# ---- slots and targets --------------------------------------------------------------------------------

MEALS = ["2026-11-11T08:00", "2026-11-11T13:00", "2026-11-11T19:30"]


@pytest.mark.parametrize(
    ("when", "relation", "meals", "slot", "target", "inferred"),
    [
        ("11T06:50", "fasting", MEALS, "fasting", 95.0, False),
        ("11T09:00", "post_meal_1h", MEALS, "after breakfast", 140.0, False),
        ("11T15:00", "post_meal_2h", MEALS, "after lunch", 120.0, False),
        ("11T20:30", "post_meal_1h", [], "after dinner", 140.0, False),
        ("11T00:30", "post_meal_2h", [], "after dinner", 120.0, False),  # eaten at 22:30 the day before
        ("11T22:45", "bedtime", MEALS, "other", None, False),
        ("11T10:15", "random", MEALS, "other", None, False),
        ("11T07:40", "pre_meal", MEALS, "fasting", 95.0, True),
        ("11T12:40", "pre_meal", MEALS, "other", None, False),
        ("11T09:05", "", MEALS, "after breakfast", 140.0, True),
        ("11T14:55", "", MEALS, "after lunch", 120.0, True),
        ("11T08:10", "", MEALS, "other", None, True),  # 10 min after breakfast: neither
        ("11T06:30", "", MEALS, "fasting", 95.0, True),
        ("11T17:00", "", MEALS, "other", None, True),  # 4 h after lunch, meals are recorded that day
        ("11T06:30", "", [], "fasting", 95.0, True),  # clock alone
        ("11T20:30", "", [], "after dinner", 140.0, True),
        ("11T02:00", "", [], "other", None, True),
    ],
)
def test_slot_and_target_of_one_reading(when, relation, meals, slot, target, inferred):
    placed = smbg_slots(woman([meter(f"2026-11-{when}", 100.0, relation)], meals), NOW, SITE).iloc[0]
    assert (placed["slot"], placed["inferred"]) == (slot, inferred)
    assert placed["target_mg_dl"] == target or (target is None and np.isnan(placed["target_mg_dl"]))


def test_counts_by_slot_and_window():
    rows = [
        meter("2026-11-12T06:45", 96.0, "fasting"),
        meter("2026-11-11T06:45", 95.0, "fasting"),  # at the target: not above
        meter("2026-11-06T06:45", 90.0, "fasting"),
        meter("2026-11-01T06:45", 104.0, "fasting"),  # in 14 days only
        meter("2026-10-20T06:45", 180.0, "fasting"),  # in neither
        meter("2026-11-11T09:00", 141.0, "post_meal_1h"),
        meter("2026-11-11T10:00", 121.0, "post_meal_2h"),
        meter("2026-11-11T22:50", 150.0, "bedtime"),
    ]
    out = readings_above_target(woman(rows), NOW, SITE).set_index(["slot", "days"])
    assert list(out.index.get_level_values(0).unique()) == list(SLOTS)
    assert out.loc[("fasting", 7), ["n", "n_above", "worst_mg_dl"]].tolist() == [3, 1, 96.0]
    assert out.loc[("fasting", 14), ["n", "n_above", "worst_mg_dl"]].tolist() == [4, 2, 104.0]
    assert out.loc[("fasting", 14), "worst_time"] == pd.Timestamp("2026-11-01T06:45")
    assert out.loc[("after breakfast", 7), ["n", "n_above"]].tolist() == [2, 2]
    assert out.loc[("other", 7), ["n", "n_with_target", "n_above", "worst_mg_dl"]].tolist() == [
        1,
        0,
        0,
        150.0,
    ]
    assert out.loc[("after lunch", 7), "n"] == 0 and np.isnan(out.loc[("after lunch", 7), "worst_mg_dl"])


def test_site_targets_are_used():
    record = woman([meter("2026-11-12T06:45", 92.0, "fasting")])
    site = replace(SITE, fasting_target_mg_dl=90.0)
    assert readings_above_target(record, NOW, SITE)["n_above"].sum() == 0
    assert readings_above_target(record, NOW, site)["n_above"].sum() == 2  # both windows


def test_steroid_days_leave_the_counts_but_not_the_alerts():
    rows = [meter("2026-11-11T06:45", 210.0, "fasting"), meter("2026-11-01T06:45", 99.0, "fasting")]
    record = woman(rows, steroid_courses=(date(2026, 11, 10),))
    out = readings_above_target(record, NOW, SITE).set_index(["slot", "days"])
    assert out.loc[("fasting", 14), ["n", "n_above", "n_suspended"]].tolist() == [1, 1, 1]
    assert len(raw_alerts(record, NOW, SITE)) == 1


def test_ogtt_laboratory_and_sensor_values_are_not_meter_readings():
    rows = [meter("2026-11-11T09:00", 180.0) | {"kind": kind} for kind in ("ogtt", "lab", "cgm")]
    assert readings_above_target(woman(rows), NOW, SITE)["n"].sum() == 0


# ---- sensor -------------------------------------------------------------------------------------------


def test_time_in_range_counts_and_wear():
    values = [62.9] * 2 + [53.9] * 1 + [63.0, 140.0] * 3 + [140.1] * 1  # 10 readings
    start = NOW - pd.Timedelta(days=1)
    out = cgm_time_in_range(woman(sensor(str(start), values, minutes=15)), NOW, SITE).set_index("days")
    row = out.loc[7]
    assert row[["in_range", "above", "below", "below_54"]].tolist() == pytest.approx([0.6, 0.1, 0.3, 0.1])
    assert row["cadence_min"] == 15.0
    assert row["wear_fraction"] == pytest.approx(150.0 / (7 * 1440.0))
    assert out.loc[14, "wear_fraction"] == pytest.approx(150.0 / (14 * 1440.0))


@pytest.mark.parametrize("minutes", [1, 5, 15])
def test_full_wear_is_one_at_any_cadence_even_when_sent_twice(minutes):
    start = str(NOW - pd.Timedelta(days=7))
    rows = sensor(start, [100.0] * (7 * 1440 // minutes), minutes=minutes)
    for times in (1, 2):
        out = cgm_time_in_range(woman(rows * times), NOW, SITE).set_index("days")
        assert out.loc[7, "wear_fraction"] == pytest.approx(1.0, abs=2e-3)
        assert out.loc[14, "wear_fraction"] == pytest.approx(0.5, abs=2e-3)


def test_two_devices_weigh_by_time_not_by_number_of_readings():
    dense = sensor(str(NOW - pd.Timedelta(days=2)), [100.0] * 1440, minutes=1)
    sparse = sensor(str(NOW - pd.Timedelta(days=1)), [150.0] * 96, minutes=15, device="s2")
    row = cgm_time_in_range(woman(dense + sparse), NOW, SITE).iloc[0]
    assert row["in_range"] == pytest.approx(0.5, abs=1e-3)
    assert row["mean_mg_dl"] == pytest.approx(125.0, abs=0.1)


def test_no_sensor_no_rows():
    assert cgm_time_in_range(woman([meter("2026-11-12T06:45", 90.0)]), NOW, SITE).empty


# ---- age and clock ------------------------------------------------------------------------------------


def test_data_age_in_days_and_none():
    scan = {"time_local": "2026-11-02T12:00", "quantity": "ac_mm", "value": 250.0, "scan": 0}
    rows = [meter("2026-11-12T06:00", 90.0), meter("2026-11-13T06:00", 90.0)]  # the second is not known yet
    age = data_age(woman(rows, scans=[scan, scan | {"quantity": "hc_mm", "value": 270.0}]), NOW)
    assert age["newest_glucose_age_days"] == 0.25 and age["newest_scan_age_days"] == 10.0
    by = {k["what"]: k for k in age["by_kind"]}
    assert by["ultrasound scans"]["count"] == 1 and by["glucose: meter"]["count"] == 1
    assert by["insulin doses"] == {"what": "insulin doses", "count": 0, "newest": None, "age_days": None}
    empty = data_age(woman([]), NOW)
    assert empty["newest_glucose_age_days"] is None and empty["newest_scan_age_days"] is None


def test_her_clock_not_the_reports():
    record = woman([meter("2026-11-11T06:00", 90.0)])  # her wall clock is UTC+1
    assert local_now(record, "2026-11-12T12:00:00Z") == pd.Timestamp("2026-11-12T13:00")
    assert local_now(record, "2026-11-12T06:00:00-05:00") == pd.Timestamp("2026-11-12T12:00")
    assert local_now(record, "2026-11-12T12:00") == NOW
    assert local_now(record, "2026-11-12") == pd.Timestamp("2026-11-12T23:59:59")
    assert local_now(woman([]), "2026-11-12T06:00:00-05:00") == pd.Timestamp("2026-11-12T06:00")


def test_an_empty_record_is_quiet():
    record = woman([])
    assert raw_alerts(record, NOW, SITE) == []
    assert readings_above_target(record, NOW, SITE)["n"].sum() == 0
