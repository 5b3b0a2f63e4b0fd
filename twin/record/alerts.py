"""What the raw readings say before any model runs: dangerous values, readings above target, age of the data.

Every function sees only rows at or before `now_local`, the wall clock of the woman without zone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from twin.record.scope import in_suspended_window
from twin.record.tables import PatientRecord
from twin.settings import SiteSettings

SLOTS = ("fasting", "after breakfast", "after lunch", "after dinner", "other")
WINDOWS_DAYS = (7, 14)

#: clock hours that stand for a slot when neither a relation nor a meal is recorded (design choice)
_CLOCK_SLOTS = (
    (4.0, 8.5, "fasting"),
    (8.5, 12.0, "after breakfast"),
    (12.0, 17.0, "after lunch"),
    (18.0, 23.0, "after dinner"),
)
_MEAL_REACH_MIN = (30.0, 150.0)  # a reading this long after a meal belongs to the meal
_ONE_HOUR_UNTIL_MIN = 90.0  # nearer to 1 h than to 2 h
_GAP_CADENCES = 3.0  # a longer silence ends a CGM episode


def local_now(record: PatientRecord, as_of: str) -> pd.Timestamp:
    """The woman's wall clock at `as_of` (ISO date or time), without zone.

    A date alone means the end of that day. A time with zone is moved by the offset of her newest row, so a
    report written in another zone still counts her hours; without any row the written wall clock is kept.
    """
    if len(as_of.strip()) == 10:
        return pd.Timestamp(as_of) + pd.Timedelta(days=1) - pd.Timedelta(seconds=1)
    now = pd.Timestamp(as_of)
    if now.tzinfo is None:
        return now
    utc = now.tz_convert("UTC").tz_localize(None)
    known = [
        table[["time_utc", "time_local"]].dropna()
        for table in (record.glucose, record.meals, record.insulin, record.biometry, record.weights)
    ]
    rows = pd.concat([t for t in known if len(t)], ignore_index=True) if any(map(len, known)) else None
    if rows is None:
        return now.tz_localize(None)
    newest = rows.sort_values("time_utc").iloc[-1]
    return utc + (newest["time_local"] - newest["time_utc"].tz_localize(None))


def raw_alerts(
    record: PatientRecord, now_local: pd.Timestamp, settings: SiteSettings
) -> list[dict[str, Any]]:
    """Readings below `alert_low_mg_dl` or at or above `alert_high_mg_dl` in the last `alert_window_hours`.

    Returns : newest first, JSON-ready: `level` ("low" | "high"), `value_mg_dl`, `censor`, `kind`, `time`
        (local ISO, of the worst value), `start`, `end`, `readings`, `source`. A value known only to lie below
        or above a bound counts when the bound itself says enough: "< 40" is low, "< 180" says nothing, "> 400"
        is high, "> 180" says nothing. CGM values of one excursion are one entry with
        its worst value and the number of readings; every other reading is an entry of its own.
    """
    rows = _before(record.glucose, now_local)
    rows = rows[rows["time_local"] > now_local - pd.Timedelta(hours=settings.alert_window_hours)]
    entries: list[dict[str, Any]] = []
    for level in ("low", "high"):
        value, censor = rows["value_mg_dl"], rows["censor"]
        if level == "low":
            below = (value < settings.alert_low_mg_dl) | (
                (censor == "low") & (value == settings.alert_low_mg_dl)
            )
            hit = below & (censor != "high")
        else:
            hit = (value >= settings.alert_high_mg_dl) & (censor != "low")
        cgm = rows["kind"] == "cgm"
        entries += [_alert(rows.iloc[i : i + 1], level) for i in np.flatnonzero(hit & ~cgm)]
        for _, device in rows[cgm].groupby("device"):
            inside = hit.loc[device.index]
            gap_min = device["time_utc"].diff().dt.total_seconds() / 60.0
            silence = gap_min > _GAP_CADENCES * _cadence_min(device["time_utc"])
            episode = ((inside != inside.shift()) | silence).cumsum()[inside]
            entries += [_alert(device.loc[part.index], level) for _, part in episode.groupby(episode)]
    return sorted(entries, key=lambda e: (e["end"], e["level"]), reverse=True)


def _alert(rows: pd.DataFrame, level: str) -> dict[str, Any]:
    values = rows["value_mg_dl"]
    at = values.to_numpy().argmin() if level == "low" else values.to_numpy().argmax()
    worst = rows.iloc[at]
    return {
        "level": level,
        "value_mg_dl": float(worst["value_mg_dl"]),
        "censor": str(worst["censor"]),
        "kind": str(worst["kind"]),
        "time": worst["time_local"].isoformat(timespec="minutes"),
        "start": rows["time_local"].min().isoformat(timespec="minutes"),
        "end": rows["time_local"].max().isoformat(timespec="minutes"),
        "readings": len(rows),
        "source": str(worst["source"]),
    }


def smbg_slots(record: PatientRecord, now_local: pd.Timestamp, settings: SiteSettings) -> pd.DataFrame:
    """Each meter reading with its slot and target.

    Returns : rows of `record.glucose` of kind "smbg" plus `slot` (of `SLOTS`), `target_mg_dl` (NaN: none is
        set, as for bedtime), `inferred` (no usable relation was recorded: the slot comes from the nearest
        earlier meal, else from the clock) and `suspended` (taken during steroids or acute illness). The name
        of a meal always comes from its clock time. A reading after a meal whose delay is unknown is held
        against the one-hour target.
    """
    rows = _before(record.glucose, now_local)
    rows = rows[rows["kind"] == "smbg"].copy()
    meals = _before(record.meals, now_local)["time_local"].sort_values().to_numpy()
    placed = [
        _place(pd.Timestamp(when), str(relation), meals)
        for when, relation in zip(rows["time_local"], rows["relation"], strict=True)
    ]
    target = {
        "fasting": settings.fasting_target_mg_dl,
        "1h": settings.one_hour_target_mg_dl,
        "2h": settings.two_hour_target_mg_dl,
        "": float("nan"),
    }
    rows["slot"] = pd.Series([p[0] for p in placed], index=rows.index, dtype="str")
    rows["target_mg_dl"] = pd.Series([target[p[1]] for p in placed], index=rows.index, dtype="float64")
    rows["inferred"] = pd.Series([p[2] for p in placed], index=rows.index, dtype="bool")
    rows["suspended"] = in_suspended_window(rows["time_local"], record.facts)
    return rows


def _place(when: pd.Timestamp, relation: str, meals: np.ndarray) -> tuple[str, str, bool]:
    """(slot, which target, inferred) of one meter reading."""
    hour = when.hour + when.minute / 60.0
    if relation == "fasting":
        return "fasting", "fasting", False
    if relation in ("bedtime", "random"):
        return "other", "", False
    earlier = meals[meals <= np.datetime64(when)]
    since = float((when - pd.Timestamp(earlier[-1])).total_seconds() / 60.0) if len(earlier) else float("inf")
    after_meal = _MEAL_REACH_MIN[0] <= since <= _MEAL_REACH_MIN[1]
    if relation in ("post_meal_1h", "post_meal_2h"):
        nominal = 1.0 if relation == "post_meal_1h" else 2.0
        eaten = hour - (since / 60.0 if after_meal else nominal)
        return _meal_slot(eaten), "1h" if nominal == 1.0 else "2h", False
    if relation == "pre_meal":
        before_breakfast = 4.0 <= hour < 10.0 and since > (hour - 4.0) * 60.0
        return ("fasting", "fasting", True) if before_breakfast else ("other", "", False)
    if after_meal:
        return _meal_slot(hour - since / 60.0), "1h" if since < _ONE_HOUR_UNTIL_MIN else "2h", True
    if any(m.date() == when.date() for m in pd.DatetimeIndex(meals)):
        fasting = 4.0 <= hour < 11.0 and since > (hour - 4.0) * 60.0
        return ("fasting", "fasting", True) if fasting else ("other", "", True)
    for start, end, slot in _CLOCK_SLOTS:
        if start <= hour < end:
            return slot, "fasting" if slot == "fasting" else "1h", True
    return "other", "", True


def _meal_slot(eaten_hour: float) -> str:
    hour = eaten_hour % 24.0
    if 3.0 <= hour < 11.0:
        return "after breakfast"
    return "after lunch" if 11.0 <= hour < 16.0 else "after dinner"


def readings_above_target(
    record: PatientRecord, now_local: pd.Timestamp, settings: SiteSettings
) -> pd.DataFrame:
    """Meter readings above the site's target, by slot, over the last 7 and 14 days. CGM is not counted here.

    Returns : one row per slot and window: `slot`, `days`, `n`, `n_with_target`, `n_above`, `n_inferred`,
        `n_suspended`, `worst_mg_dl` (NaN without readings), `worst_time` (local, NaT without readings). A
        reading at its target is not above it. "other" has no target, so its `n_above` stays 0 of
        `n_with_target` 0. Readings taken during steroids or acute illness count only in `n_suspended`.
    """
    placed = smbg_slots(record, now_local, settings)
    out = []
    for slot in SLOTS:
        for days in WINDOWS_DAYS:
            recent = placed["time_local"] > now_local - pd.Timedelta(days=days)
            inside = placed[(placed["slot"] == slot) & recent]
            part = inside[~inside["suspended"]]
            at = part["value_mg_dl"].to_numpy().argmax() if len(part) else None
            out.append(
                {
                    "slot": slot,
                    "days": days,
                    "n": len(part),
                    "n_with_target": int(part["target_mg_dl"].notna().sum()),
                    "n_above": int((part["value_mg_dl"] > part["target_mg_dl"]).sum()),
                    "n_inferred": int(part["inferred"].sum()),
                    "n_suspended": len(inside) - len(part),
                    "worst_mg_dl": float("nan") if at is None else float(part["value_mg_dl"].iloc[at]),
                    "worst_time": pd.NaT if at is None else part["time_local"].iloc[at],
                }
            )
    return pd.DataFrame(out)


def cgm_time_in_range(record: PatientRecord, now_local: pd.Timestamp, settings: SiteSettings) -> pd.DataFrame:
    """Sensor time in, above and below range over the last 7 and 14 days; empty without CGM in 14 days.

    Returns : one row per window: `days`, `n`, `cadence_min` (the device's own, the median gap),
        `wear_fraction` (share of the window the sensor reported), `in_range`, `above`, `below`, `below_54`
        (shares of the readings; limits from the settings, both ends of the range included), `mean_mg_dl`.
        Two readings of one device in the same cadence slot count once; readings taken during steroids or
        acute illness are left out and counted in `n_suspended`.
    Source : pregnancy range 63-140 mg/dL [B-TX-04]; no percentages are agreed for gestational diabetes.
    """
    rows = _before(record.glucose, now_local)
    rows = rows[rows["kind"] == "cgm"]
    out = []
    for days in WINDOWS_DAYS:
        inside = rows[rows["time_local"] > now_local - pd.Timedelta(days=days)]
        part = inside[~in_suspended_window(inside["time_local"], record.facts)]
        if part.empty:
            continue
        n_suspended = len(inside) - len(part)
        by_device = {d: _cadence_min(rows["time_utc"]) for d, rows in part.groupby("device")}
        cadence = part["device"].map(by_device).astype("float64")
        minute = part["time_utc"].to_numpy("datetime64[s]").astype("int64") / 60.0
        slot = (pd.Series(minute, index=part.index) / cadence).round()
        kept = ~pd.DataFrame({"device": part["device"], "slot": slot}).duplicated()
        part, weight = part[kept], cadence[kept]
        value = part["value_mg_dl"]
        share = {
            "in_range": value.between(settings.range_low_mg_dl, settings.range_high_mg_dl),
            "above": value > settings.range_high_mg_dl,
            "below": value < settings.range_low_mg_dl,
            "below_54": value < settings.alert_low_mg_dl,
        }
        out.append(
            {
                "days": days,
                "n": len(part),
                "n_suspended": n_suspended,
                "cadence_min": float(weight.median()),
                "wear_fraction": min(1.0, float(weight.sum() / (days * 1440.0))),
                **{k: float((v * weight).sum() / weight.sum()) for k, v in share.items()},
                "mean_mg_dl": float((value * weight).sum() / weight.sum()),
            }
        )
    return pd.DataFrame(out)


def data_age(record: PatientRecord, now_local: pd.Timestamp) -> dict[str, Any]:
    """How old the newest piece of each kind of data is, in days; None where there is none.

    Returns : `newest_glucose_age_days`, `newest_scan_age_days`, and `by_kind`: a list of {"what", "count",
        "newest" (local ISO), "age_days"} for each kind of glucose reading, scans (examinations, not
        measurements), meals, insulin doses, other medication, activity and weights.
    """
    glucose = _before(record.glucose, now_local)
    groups: list[tuple[str, pd.DataFrame]] = [
        ("glucose: meter", glucose[glucose["kind"] == "smbg"]),
        ("glucose: sensor", glucose[glucose["kind"] == "cgm"]),
        ("glucose: OGTT", glucose[glucose["kind"] == "ogtt"]),
        ("glucose: laboratory", glucose[glucose["kind"] == "lab"]),
        ("ultrasound scans", _before(record.biometry, now_local)),
        ("meals", _before(record.meals, now_local)),
        ("insulin doses", _before(record.insulin, now_local)),
        ("other medication", _before(record.medication, now_local)),
        ("activity", _before(record.activity, now_local)),
        ("weights", _before(record.weights, now_local)),
    ]
    by_kind = []
    for what, rows in groups:
        newest = rows["time_local"].max() if len(rows) else None
        by_kind.append(
            {
                "what": what,
                "count": int(rows["scan"].nunique()) if what == "ultrasound scans" else len(rows),
                "newest": None if newest is None else newest.isoformat(timespec="minutes"),
                "age_days": None if newest is None else _days(now_local, newest),
            }
        )
    return {
        "newest_glucose_age_days": _days(now_local, glucose["time_local"].max()) if len(glucose) else None,
        "newest_scan_age_days": by_kind[4]["age_days"],
        "by_kind": by_kind,
    }


def _days(now: pd.Timestamp, then: pd.Timestamp) -> float:
    return float((now - then).total_seconds() / 86400.0)


def _before(table: pd.DataFrame, now_local: pd.Timestamp) -> pd.DataFrame:
    return table[table["time_local"] <= now_local].sort_values("time_utc").reset_index(drop=True)


def _cadence_min(times: pd.Series) -> float:
    """The device's own interval: its median gap, between 1 and 15 minutes; 5 when one reading is all."""
    gaps = times.drop_duplicates().sort_values().diff().dropna()
    if gaps.empty:
        return 5.0
    return min(max(float(gaps.dt.total_seconds().median()) / 60.0, 1.0), 15.0)
