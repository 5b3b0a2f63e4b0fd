"""report.html: one self-contained page; raw data come before anything a model says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import xarray as xr
from markupsafe import Markup

from twin.record.alerts import cgm_time_in_range, data_age, local_now, raw_alerts, readings_above_target
from twin.record.scope import GLUCOSE_FORECAST
from twin.record.tables import PatientRecord
from twin.report import figures, view, wording
from twin.report.files import validate_risk, withheld_outcomes, write_atomically
from twin.report.svg import Picture
from twin.settings import SiteSettings
from twin.timeline import weeks_and_days


def write_report(
    path: str | Path,
    *,
    record: PatientRecord,
    risk: Mapping[str, Any],
    forecast: xr.Dataset | None,
    day_profile: xr.Dataset | None = None,
    settings: SiteSettings,
) -> None:
    """Write the report of one pregnancy, whole or not at all.

    risk : the risk.json dictionary, checked first.
    forecast : dims scenario, draw, gestational_day (`schema.FORECAST_SERIES`, `FORECAST_SCALARS`); None, or
        scope refused: data only.
    day_profile : dim `minute_of_day`; `q05`, `q50`, `q95` of a reading on the latest reference day, mg/dL.
    Raises : InvalidRisk when the dictionary breaks its contract; no file is written then.
    """
    text = render(record=record, risk=risk, forecast=forecast, day_profile=day_profile, settings=settings)
    write_atomically(Path(path), text)


def render(
    *,
    record: PatientRecord,
    risk: Mapping[str, Any],
    forecast: xr.Dataset | None,
    day_profile: xr.Dataset | None = None,
    settings: SiteSettings,
) -> str:
    """The page as text: inline CSS and SVG, no script, no URL. See `write_report`."""
    validate_risk(risk)
    now = local_now(record, risk["as_of"])
    refused = risk["scope"]["status"] == "refused"
    withheld = set(risk["scope"].get("withheld", ()))
    if refused:
        forecast = None
    if refused or GLUCOSE_FORECAST in withheld:
        day_profile = None
    main = view.main_scenario(risk)
    small = view.small_first(risk, record)
    day = view.comparison_day(risk, forecast)
    groups, unlisted = view.issue_groups(record, risk)
    slots = _slot_rows(record, now, settings)
    cgm = cgm_time_in_range(record, now, settings).to_dict("records")
    return _template().render(
        risk=risk,
        settings=settings,
        refused=refused,
        now=now,
        reasons=view.reasons(risk),
        scope_words=[wording.withheld_words(w) for w in risk["scope"].get("withheld", ())],
        withheld=withheld_outcomes(risk),
        alerts=raw_alerts(record, now, settings),
        glucose_in_window=_in_window(record, now, settings),
        slots=slots,
        cgm=cgm,
        suspended=sum(row["suspended"] for row in slots) + sum(c["n_suspended"] for c in cgm[-1:]),
        age=data_age(record, now),
        scans=view.scan_rows(record, now),
        main=main,
        small=small,
        outcomes=view.ordered_outcomes(main, sga_first=small) if main else [],
        big=view.outcome(main, "macrosomia_4000") if main else None,
        sga=view.outcome(main, "sga_10") if main else None,
        not_covered=view.not_covered(risk, main) if main else None,
        no_glucose=GLUCOSE_FORECAST in withheld,
        prior_only=view.prior_only(risk),
        conflicts=view.conflicts(risk),
        learnt=view.learnt(risk),
        comparison=view.comparison(risk, forecast, day),
        comparison_day=day,
        groups=groups,
        unlisted=unlisted,
        pictures=_pictures(record, now, risk, forecast, day_profile, settings, main, withheld),
        posterior_id=(forecast.attrs.get("posterior_id") if forecast is not None else None),
        weight_axis=_weight_axis(main),
    )


def _pictures(
    record: PatientRecord,
    now: pd.Timestamp,
    risk: Mapping[str, Any],
    forecast: xr.Dataset | None,
    day_profile: xr.Dataset | None,
    settings: SiteSettings,
    main: Mapping[str, Any] | None,
    withheld: set[str],
) -> dict[str, Picture]:
    out = [figures.glucose_day_profile(record, now, settings, day_profile)]
    if main is not None:
        if forecast is not None and main["name"] in forecast["scenario"].to_numpy():
            standard = risk.get("growth_standard") or settings.growth_standard
            out.append(
                figures.growth_chart(
                    record,
                    now,
                    forecast,
                    scenario=main["name"],
                    growth_standard=standard,
                    show_centiles="centiles" not in withheld,
                    today=risk.get("gestational_day"),
                )
            )
        out += [figures.if_born_on(main.get("if_born_on", ())), figures.issued_history(risk["issued"])]
    return {p.key: p for p in out if p is not None}


def _slot_rows(record: PatientRecord, now: pd.Timestamp, settings: SiteSettings) -> list[dict[str, Any]]:
    """One row per slot: its target in words, then the two windows."""
    after = f"1 h {settings.one_hour_target_mg_dl:.0f}, 2 h {settings.two_hour_target_mg_dl:.0f}"
    frame = readings_above_target(record, now, settings)
    out = []
    for slot, part in frame.groupby("slot", sort=False):
        name = str(slot)
        target = "no target set" if name == "other" else after
        target = f"{settings.fasting_target_mg_dl:.0f}" if name == "fasting" else target
        windows = {int(row["days"]): row for row in part.to_dict("records")}
        used = windows[14]["n"] > 0
        left_out = windows[14]["n_suspended"]
        out.append({"slot": name, "target": target, "windows": windows, "any": used, "suspended": left_out})
    return out


def _in_window(record: PatientRecord, now: pd.Timestamp, settings: SiteSettings) -> int:
    start = now - pd.Timedelta(hours=settings.alert_window_hours)
    time = record.glucose["time_local"]
    return int(((time > start) & (time <= now)).sum())


def _weight_axis(main: Mapping[str, Any] | None) -> tuple[float, float]:
    """Ends of the birth-weight bar, g: 2000 to 5000, wider when the interval asks for it."""
    weight = (main or {}).get("birth_weight_g") or {"q05": 2000.0, "q95": 5000.0}
    return min(2000.0, 0.95 * weight["q05"]), max(5000.0, 1.05 * weight["q95"])


@cache
def _template() -> jinja2.Template:
    folder = resources.files("twin.report") / "templates"
    names = ("report.html", "style.css", "macros.html")
    loader = jinja2.DictLoader({n: (folder / n).read_text(encoding="utf-8") for n in names})
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: wording.clean(v) if type(v) is str else v,
    )
    environment.filters |= {
        "clean": wording.clean,
        "of_100": wording.of_100,
        "short_100": wording.short_100,
        "signed": wording.signed_per_100,
        "grams": wording.grams,
        "weeks": weeks_and_days,
        "age": wording.age,
        "outcome": wording.outcome_words,
        "outcome_short": wording.outcome_short,
        "standard": wording.standard_words,
        "scenario": wording.scenario_words,
        "sentence": lambda words: words[:1].upper() + words[1:],
        "svg": Markup,
    }
    environment.globals |= {
        "of_100_range": wording.of_100_range,
        "short_range": wording.short_100_range,
        "glucose": wording.glucose,
        "range100": range(100),
        "kind_words": wording.KIND_WORDS,
    }
    return environment.get_template("report.html")
