"""The one-screen summary for a terminal, in the order of the page: at most 24 lines of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from twin.record.alerts import cgm_time_in_range, data_age, local_now, raw_alerts, readings_above_target
from twin.record.tables import PatientRecord
from twin.report import view
from twin.report.files import validate_risk
from twin.report.wording import (
    KIND_WORDS,
    age,
    clean,
    grams,
    of_100,
    of_100_range,
    scenario_words,
    short_100,
    short_100_range,
    standard_words,
    withheld_words,
)
from twin.settings import SiteSettings
from twin.timeline import weeks_and_days

WIDTH, LINES = 80, 24
_NEVER = "Research software. Never for urgent triage; proposes no dose, date or drug."


def summary(risk: Mapping[str, Any], record: PatientRecord, settings: SiteSettings) -> str:
    """Alerts, readings above target, data age; then forecast, its range, its assumptions; then doubts.

    Returns : plain text of at most 24 lines of 80 characters.
    Raises : InvalidRisk when the risk dictionary breaks its contract.
    """
    validate_risk(risk)
    now = local_now(record, risk["as_of"])
    day = risk.get("gestational_day")
    when = "not dated" if day is None else f"{weeks_and_days(day)} weeks"
    lines = [f"{clean(risk['patient'])}  {when}  at {now:%Y-%m-%d %H:%M}"]
    lines += _alerts(record, now, settings) + _targets(record, now, settings)
    ages = data_age(record, now)
    lines.append(
        f"Data age: glucose {age(ages['newest_glucose_age_days'])}, scan {age(ages['newest_scan_age_days'])}"
    )
    lines += _refused(risk) if risk["scope"]["status"] == "refused" else _forecast(risk, record)
    groups, _ = view.issue_groups(record, risk)
    total = sum(g["count"] for g in groups)
    if total:
        what = ", ".join(f"{g['code']} {g['count']}" for g in groups)
        lines.append(_one(f"Issues: {total} ({what})"))
    body = [_one(line) for line in lines]
    if len(body) > LINES - 1:
        body = [*body[: LINES - 2], "(more in report.html)"]
    return "\n".join([*body, _NEVER])


def _alerts(record: PatientRecord, now: Any, settings: SiteSettings) -> list[str]:
    alerts = raw_alerts(record, now, settings)
    hours = f"{settings.alert_window_hours:.0f} h"
    if not alerts:
        recent = (record.glucose["time_local"] <= now) & (
            (now - record.glucose["time_local"]).dt.total_seconds() < 3600.0 * settings.alert_window_hours
        )
        if not recent.any():
            return [f"ALERTS: no glucose reading in the last {hours}"]
        limits = f"< {settings.alert_low_mg_dl:.0f} or >= {settings.alert_high_mg_dl:.0f}"
        return [f"Alerts: none of {int(recent.sum())} readings {limits} mg/dL in the last {hours}"]
    shown = [
        f"  {a['level'].upper():4} {a['value_mg_dl']:.0f} mg/dL  {a['time'].replace('T', ' ')}  "
        + KIND_WORDS.get(a["kind"], a["kind"])
        + (f", {a['readings']} readings" if a["readings"] > 1 else "")
        for a in alerts[:3]
    ]
    more = [f"  and {len(alerts) - 3} more"] if len(alerts) > 3 else []
    return [f"ALERTS in the last {hours}: {len(alerts)}", *shown, *more]


def _targets(record: PatientRecord, now: Any, settings: SiteSettings) -> list[str]:
    frame = readings_above_target(record, now, settings)
    lines = []
    for days in (7, 14):
        rows = frame[(frame["days"] == days) & (frame["n_with_target"] > 0)]
        if len(rows):
            parts = [
                f"{str(slot).removeprefix('after ')} {above}/{n}"
                for slot, above, n in zip(rows["slot"], rows["n_above"], rows["n_with_target"], strict=True)
            ]
            lines.append(f"Above target, {days} d: " + ", ".join(parts))
    for c in cgm_time_in_range(record, now, settings).to_dict("records"):
        lines.append(
            f"Sensor, {c['days']} d: {100 * c['in_range']:.0f} % in "
            f"{settings.range_low_mg_dl:.0f}-{settings.range_high_mg_dl:.0f}, "
            f"{100 * c['above']:.0f} % above, {100 * c['below']:.1f} % below, "
            f"worn {100 * c['wear_fraction']:.0f} %"
        )
    return lines or ["Above target: no meter or sensor reading in the last 14 days"]


def _refused(risk: Mapping[str, Any]) -> list[str]:
    return ["OUT OF SCOPE: no forecast was made", *(f"  {reason}" for reason in view.reasons(risk))]


def _forecast(risk: Mapping[str, Any], record: PatientRecord) -> list[str]:
    main = view.main_scenario(risk)
    assert main is not None  # validate_risk: a forecast that is not refused has a scenario
    lines = []
    if not risk["calibration"].get("ok", False):
        lines.append("NOT RELIABLE: the fit to her data did not pass its own checks")
    if view.prior_only(risk):
        lines.append("PRIOR ONLY: no reading and no scan used; these are not her numbers")
    doubted = list(dict.fromkeys(of for of, _ in view.conflicts(risk)))
    if doubted:
        text = f"CHECK HER DATA, in conflict with the model: {'; '.join(doubted)}"
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ")[:2]
    if risk["scope"].get("withheld"):
        lines.append("Withheld: " + "; ".join(withheld_words(w) for w in risk["scope"]["withheld"]))
    lines.append(f"Of 100 women with these data ({scenario_words(main['name'])}; model range in brackets):")
    names = {
        "macrosomia_4000": "over 4000 g",
        "macrosomia_4500": "over 4500 g",
        "lga_90": f"LGA by {standard_words(risk.get('lga_reference'))}",
        "sga_10": f"SGA by {standard_words(risk.get('lga_reference'))}",
        "ac_90_at_36w": "AC above 90th at 36+0",
    }
    for row in view.ordered_outcomes(main, sga_first=view.small_first(risk, record)):
        between = of_100_range(row["low"], row["high"])
        lines.append(f"  {of_100(row['probability']):>12}  {names[row['outcome']]}  ({between})")
    gap = view.not_covered(risk, main)
    if gap is not None:
        lines.append(f"LGA, SGA withheld: {standard_words(risk['lga_reference'])} {gap}")
    weight = main.get("birth_weight_g")
    if weight:
        lines.append(f"Birth weight: 90 of 100 between {grams(weight['q05'])} and {grams(weight['q95'])}")
    assumed = f"Assumes: {clean(main['treatment_strategy'])}; {clean(main['delivery_assumption'])}"
    lines += textwrap.wrap(assumed, WIDTH, subsequent_indent="  ")[:2]
    if len(risk["scenarios"]) > 1 and not view.small_first(risk, record):
        others = [s for s in risk["scenarios"] if s is not main]
        different = [s for s in others if not s.get("same_as_now")]
        if different:
            lines.append(f"{'Compared with':41}{'over 4000 g':>13}{'LGA':>13}{'SGA':>13}")
        lines += [_other(scenario) for scenario in different]
        for s in (s for s in others if s.get("same_as_now")):
            text = f"{scenario_words(s['name'])}: the same as {scenario_words('as_now')}; {clean(s['same_as_now'])}"
            lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ")
    return lines


def _other(scenario: Mapping[str, Any]) -> str:
    """One scenario in one line, never without its SGA: benefit and harm stay on the same line."""
    label = f"  {scenario_words(scenario['name'])}, {clean(scenario['delivery_assumption'])}"
    line = label if len(label) <= 41 else label[:40] + "\u2026"
    cells = []
    for name in ("macrosomia_4000", "lga_90", "sga_10"):
        row = view.outcome(scenario, name)
        between = f" ({short_100_range(row['low'], row['high'])})" if row else ""
        cells.append((short_100(row["probability"]) if row else "-") + between)
    return f"{line:41}" + "".join(f"{cell:>13}" for cell in cells)


def _one(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "\u2026"
