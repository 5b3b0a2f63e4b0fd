"""What the report shows, as plain values: picked from risk, forecast and record, never computed anew.

Probabilities are copied from the risk dictionary. The forecast gives only glucose means, with their spread over
draws, and birth days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr

from twin.record.scope import GLUCOSE_FORECAST, LOWER_GLUCOSE
from twin.record.tables import PatientRecord
from twin.report.wording import CONFLICT_KIND_WORDS, CONFLICT_WORDS, LATENT_WORDS, clean
from twin.schema import OUTCOMES

LISTED_ISSUES = 2000
_NEXT_DAYS = 28


def main_scenario(risk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The scenario the headline speaks of: `as_now` when present, else the first; None when refused."""
    scenarios: Sequence[Mapping[str, Any]] = risk["scenarios"]
    return next((s for s in scenarios if s["name"] == "as_now"), scenarios[0] if scenarios else None)


def small_first(risk: Mapping[str, Any], record: PatientRecord) -> bool:
    """A small fetus: SGA is shown first and no scenario is compared for lower glucose."""
    return bool(record.facts.fetal_growth_restriction) or LOWER_GLUCOSE in risk["scope"].get("withheld", ())


def reasons(risk: Mapping[str, Any]) -> list[str]:
    """The scope's reasons in words: its own message for each code, else the code."""
    messages = risk["scope"].get("messages") or {}
    return [clean(messages.get(code, code)) for code in risk["scope"].get("reasons", ())]


def ordered_outcomes(scenario: Mapping[str, Any], *, sga_first: bool = False) -> list[Mapping[str, Any]]:
    """Outcome rows in the order of `schema.OUTCOMES`, SGA first when the fetus is small."""
    order = list(OUTCOMES)
    if sga_first:
        order.sort(key=lambda o: o != "sga_10")
    rows = {row["outcome"]: row for row in scenario.get("outcomes", ())}
    return [rows[o] for o in order if o in rows]


def outcome(scenario: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    return next((r for r in scenario.get("outcomes", ()) if r["outcome"] == name), None)


def not_covered(risk: Mapping[str, Any], scenario: Mapping[str, Any]) -> str | None:
    """Why the LGA reference says nothing of this scenario's births ("ends at 40+0; ..."); None where it does."""
    why = (scenario.get("lga_not_covered") or {}).get(risk["lga_reference"])
    return None if why is None else clean(why)


def conflicts(risk: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Flagged conflicts of her data in words: (of what, how)."""
    rows = (risk.get("calibration") or {}).get("conflicts", ())
    return [
        (
            CONFLICT_WORDS.get(r["of"], clean(r["of"])),
            CONFLICT_KIND_WORDS.get(r["kind"], clean(r["kind"])),
        )
        for r in rows
        if r["flagged"]
    ]


def learnt(risk: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(parameter, contraction) of what her data tell more than half of, most first; only those with plain words."""
    rows = (risk.get("calibration") or {}).get("identifiability", {})
    found = [(LATENT_WORDS[n], r["contraction"]) for n, r in rows.items() if n in LATENT_WORDS]
    return sorted((f for f in found if f[1] > 0.5), key=lambda f: -f[1])


def prior_only(risk: Mapping[str, Any]) -> bool:
    """No glucose reading and no scan was used: the forecast is that of women with the same basic facts.

    The fit says so itself; the raw counts, which hold readings no fit can use, speak only where it does not.
    """
    said = risk["calibration"].get("prior_only") if "calibration" in risk else None
    if said is not None:
        return bool(said)
    data = risk["data"]
    return not data.get("glucose_readings") and not data.get("scans")


def comparison_day(risk: Mapping[str, Any], forecast: xr.Dataset | None) -> int | None:
    """One birth day present in every scenario's `if_born_on`, nearest to the main scenario's median birth.

    Treatments are judged at one fixed birth day, because an earlier birth alone makes a lighter baby. None
    when no day is common to all scenarios that have any.
    """
    days = [{int(r["gestational_day"]) for r in s.get("if_born_on", ())} for s in risk["scenarios"]]
    days = [d for d in days if d]
    main = main_scenario(risk)
    if len(days) < 2 or main is None or not set.intersection(*days):
        return None
    wanted = birth_day(forecast, main["name"])
    common = sorted(set.intersection(*days))
    return min(common, key=lambda d: abs(d - wanted)) if wanted is not None else common[len(common) // 2]


def birth_day(forecast: xr.Dataset | None, scenario: str) -> float | None:
    """Median gestational day of birth of a scenario; None when the forecast does not hold it."""
    if not _has(forecast, scenario, "delivery_day"):
        return None
    assert forecast is not None
    return float(forecast["delivery_day"].sel(scenario=scenario).median("draw"))


def comparison(risk: Mapping[str, Any], forecast: xr.Dataset | None, day: int | None) -> list[dict[str, Any]]:
    """One entry per scenario: outcomes as issued, the same at one fixed birth day, and the harm side.

    `low` is the scenario's optional `hypoglycaemia` {"hours_below_63_per_day", "hours_below_63_q05",
    "hours_below_63_q95", "hours_below_54_per_day"}, empty where the run did not compute it.
    """
    main = main_scenario(risk)
    usual = birth_day(forecast, main["name"]) if main else None
    out = []
    for scenario in risk["scenarios"]:
        fixed = [r for r in scenario.get("if_born_on", ()) if r["gestational_day"] == day]
        own = birth_day(forecast, scenario["name"])
        out.append(
            {
                "scenario": scenario,
                "by_outcome": {r["outcome"]: r for r in scenario.get("outcomes", ())},
                "same": clean(scenario["same_as_now"]) if scenario.get("same_as_now") else None,
                "fixed": fixed[0] if fixed else {},
                "birth_day": own,
                "days_earlier": None if own is None or usual is None else int(usual) - int(own),
                "low": scenario.get("hypoglycaemia") or {},
                **_next_weeks(risk, forecast, scenario["name"]),
            }
        )
    return out


def _next_weeks(
    risk: Mapping[str, Any], forecast: xr.Dataset | None, scenario: str
) -> dict[str, dict[str, float]]:
    """Mean glucose and time in range over the coming four weeks: mean over draws, and the draws' q05 and q95."""
    today = risk.get("gestational_day")
    if today is None or GLUCOSE_FORECAST in risk["scope"].get("withheld", ()):
        return {}
    out = {}
    for name in ("mean_glucose_mg_dl", "time_in_range"):
        if _has(forecast, scenario, name):
            assert forecast is not None
            window = forecast[name].sel(scenario=scenario)
            window = window.sel(gestational_day=slice(today, today + _NEXT_DAYS))
            if window.size and bool(window.notnull().any()):
                draws = window.mean("gestational_day")
                low, high = draws.quantile([0.05, 0.95], dim="draw").values
                out[name] = {"mean": float(window.mean()), "q05": float(low), "q95": float(high)}
    return out


def _has(forecast: xr.Dataset | None, scenario: str, name: str) -> bool:
    return forecast is not None and name in forecast and scenario in forecast["scenario"].to_numpy()


def issue_groups(record: PatientRecord, risk: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Issues of the record and of the risk dictionary, grouped by severity and code, most frequent first.

    Returns : groups {"code", "severity", "count", "rows": [(place, message)]} and how many rows were left out
        of the listing (beyond `LISTED_ISSUES`, so that the page stays readable; counts are always complete).
    """
    rows = [(i.source, i.code, i.message, i.severity) for i in record.issues]
    seen = {r[:3] for r in rows}
    rows += [
        (i["source"], i["code"], i["message"], i.get("severity", "rejected"))
        for i in risk["issues"]
        if (i["source"], i["code"], i["message"]) not in seen
    ]
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for number, (source, code, message, severity) in enumerate(rows):
        group = groups.setdefault(
            (severity, code), {"code": clean(code), "severity": clean(severity), "count": 0, "rows": []}
        )
        group["count"] += 1
        if number < LISTED_ISSUES:
            group["rows"].append((clean(source), clean(message)))
    ordered = sorted(groups.values(), key=lambda g: (g["severity"] != "rejected", -g["count"], g["code"]))
    return ordered, max(0, len(rows) - LISTED_ISSUES)


def scan_rows(record: PatientRecord, now_local: pd.Timestamp) -> list[dict[str, Any]]:
    """Scans as measured, newest first: date, gestational day, {quantity: value}. No centile, no model."""
    rows = record.biometry[record.biometry["time_local"] <= now_local]
    out: list[dict[str, Any]] = []
    for _, scan in rows.groupby("scan"):
        values = dict(zip(scan["quantity"], scan["value"].astype(float), strict=True))
        day = float(scan["gestational_day"].iloc[0])
        out.append(
            {"date": str(scan["time_local"].iloc[0])[:10], "day": None if day != day else day, **values}
        )
    return sorted(out, key=lambda r: r["date"], reverse=True)
