"""One woman end to end: record to scope, posterior, forecast, risk and the files of `run`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from scenarios.strategies import plan_of
from twin import __version__
from twin.encode import efw_of_scan
from twin.errors import UnknownStandard, UnusableInput
from twin.fhir import known_at, risk_assessment_bundle
from twin.forecast import Forecast, ScenarioPlan, day_profile, week_day
from twin.forecast import run as run_forecast
from twin.forecast.ensemble import LAST_DAY
from twin.inference.calibrate import Posterior, calibrate, save_posterior
from twin.inference.priors import Prior, load_prior
from twin.record import PatientRecord, Scope, scope_gate, write_tables
from twin.record.alerts import data_age, local_now, raw_alerts
from twin.record.build import last_observation
from twin.report import render, summary, write_risk_json
from twin.report.files import write_atomically
from twin.risk import estimate, header, provenance
from twin.settings import SiteSettings
from twin.timeline import gestational_day, parse_birth_day

DEFAULT_SCENARIOS = ("as_now", "doses_fixed", "untreated")
ERROR_FILE = "error.txt"  # what stopped a woman unexpectedly; beside her results, gone with the next run
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """Everything one run made. `posterior` and `forecast` are None when the pregnancy is out of scope."""

    record: PatientRecord
    scope: Scope
    risk: dict[str, Any]
    posterior: Posterior | None
    forecast: Forecast | None
    profile: xr.Dataset | None
    plans: tuple[ScenarioPlan, ...]


def moment_of(as_of: str) -> datetime:
    """The end of a given date, or the given time.

    Raises : UnusableInput for anything else.
    """
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError as why:
        raise UnusableInput(
            "bad-as-of",
            f"--as-of is {as_of!r}; expected a date or time as in 2026-11-02. Nothing was forecast.",
        ) from why
    return moment + timedelta(hours=23, minutes=59) if len(as_of) == 10 else moment


def as_of_time(record: PatientRecord, as_of: str | None) -> datetime:
    """The moment of the forecast: the given date (its end) or time, else the newest observation.

    Raises : UnusableInput when nothing says when.
    """
    if as_of is not None:
        return moment_of(as_of)
    newest = last_observation(record)
    if newest is None:
        raise UnusableInput(
            "no-as-of", "the record holds no dated observation; give the day of the forecast with --as-of."
        )
    return newest


def _data_counts(record: PatientRecord, now_local: Any) -> dict[str, Any]:
    age = data_age(record, now_local)
    return {
        "glucose_readings": len(record.glucose),
        "scans": int(record.biometry["scan"].nunique()) if len(record.biometry) else 0,
        "newest_glucose_age_days": age["newest_glucose_age_days"],
        "newest_scan_age_days": age["newest_scan_age_days"],
    }


def _given_birth_day(text: str | None, record: PatientRecord, as_of_day: float) -> int | None:
    if text is None:
        return None
    day = parse_birth_day(text, record.facts.lmp_equivalent)
    if day < int(as_of_day) or day > LAST_DAY:
        raise UnusableInput(
            "bad-birth-day",
            f"--birth-day {text!r} is gestational day {day}; expected a day from the forecast (day "
            f"{int(as_of_day)}) to {week_day(LAST_DAY)}. Nothing was forecast.",
        )
    return day


def run_record(
    record: PatientRecord,
    *,
    settings: SiteSettings | None = None,
    prior: Prior | None = None,
    as_of: str | None = None,
    birth_day: str | None = None,
    method: str = "laplace",
    scenarios: tuple[str, ...] = DEFAULT_SCENARIOS,
    draws: int = 500,
    seed: int = 0,
    progress: Progress = lambda _: None,
    sampling: Callable[[int, int], None] | None = None,
) -> Result:
    """Forecast one woman. The same record, settings and seed give the same bits on one machine.

    progress : told each step by name. sampling : told by `nuts` the transitions done, of how many.
    """
    settings = settings or SiteSettings()
    moment = as_of_time(record, as_of)
    known = known_at(record, moment if as_of is None or len(as_of) > 10 else date.fromisoformat(as_of))
    lmp = known.facts.lmp_equivalent
    day = None if lmp is None else gestational_day(moment.replace(tzinfo=None), lmp)
    scope = scope_gate(known, day, settings, efw=efw_of_scan)
    stamp = moment.isoformat(timespec="minutes") if as_of is None or len(as_of) > 10 else as_of
    now_local = local_now(known, stamp)
    counts, alerts = _data_counts(known, now_local), raw_alerts(known, now_local, settings)
    if scope.status == "refused" or day is None or lmp is None:
        risk = header(known, scope, stamp, day, counts, alerts) | {
            "growth_standard": settings.growth_standard,
            "lga_reference": settings.lga_reference,
            "provenance": provenance(known, None, seed),
        }
        return Result(known, scope, risk, None, None, None, ())
    given = _given_birth_day(birth_day, known, day)
    plans = [plan_of(name, known, day, given) for name in scenarios]
    k_fit, k_forecast, k_profile = jax.random.split(jax.random.key(seed), 3)
    progress("calibrating")
    posterior = calibrate(
        k_fit,
        known,
        as_of_day=day,
        standard=settings.growth_standard,
        method=method,
        prior=prior or load_prior(),
        birth_day=None if given is None else float(given),
        progress=sampling,
    )
    progress("forecasting")
    forecast = run_forecast(k_forecast, posterior, known, plans, draws=draws, settings=settings, seed=seed)
    progress("estimating risk")
    risk = estimate(
        forecast,
        posterior,
        known,
        plans,
        scope,
        as_of=stamp,
        data=counts,
        raw_alerts=alerts,
        settings=settings,
        seed=seed,
    )
    hidden = "glucose_forecast" in scope.withheld
    profile = None if hidden else day_profile(k_profile, posterior)
    return Result(known, scope, risk, posterior, forecast, profile, tuple(plans))


def write_result(result: Result, out: Path, settings: SiteSettings) -> Path:
    """Write the files of `run` into `out`, those of an earlier run removed first; returns the report's path.

    Raises : InvalidRisk when the risk breaks its contract; no file is written or removed then.
    """
    page = render(  # checks the risk before any file is touched
        record=result.record,
        risk=result.risk,
        forecast=None if result.forecast is None else result.forecast.dataset,
        day_profile=result.profile,
        settings=settings,
    )
    assessment = json.dumps(risk_assessment_bundle(result.risk), indent=1) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    write_risk_json(out / "risk.json", result.risk)
    for name in ("posterior.nc", "forecast.nc", "risk_assessment.json", "report.html", ERROR_FILE):
        (out / name).unlink(missing_ok=True)
    write_tables(result.record, out / "record")
    if result.posterior is not None and result.forecast is not None:
        save_posterior(result.posterior, out / "posterior.nc")
        encoding = {name: {"zlib": True, "complevel": 1} for name in result.forecast.dataset.data_vars}
        result.forecast.dataset.to_netcdf(out / "forecast.nc", engine="h5netcdf", encoding=encoding)
    write_atomically(out / "risk_assessment.json", assessment)
    report = out / "report.html"
    write_atomically(report, page)
    return report


def screen(result: Result, settings: SiteSettings) -> str:
    """The one-screen terminal summary."""
    return summary(result.risk, result.record, settings)


def with_settings(
    settings: SiteSettings, growth_standard: str | None, lga_reference: str | None
) -> SiteSettings:
    """Settings with the command line's choices.

    Raises : UnknownStandard, listing the names available; a growth standard must be one of fetal weight.
    """
    from twin.growth_standards import WEIGHT_STANDARDS, range_days

    changes = {k: v for k, v in (("growth_standard", growth_standard), ("lga_reference", lga_reference)) if v}
    settings = replace(settings, **changes)  # type: ignore[arg-type]
    if settings.growth_standard not in WEIGHT_STANDARDS:
        raise UnknownStandard(
            "unknown-standard",
            f"growth standard {settings.growth_standard!r} is no standard of fetal weight; expected one of "
            f"{', '.join(WEIGHT_STANDARDS)}. Nothing was forecast.",
        )
    range_days(settings.lga_reference)
    return settings


__all__ = [
    "DEFAULT_SCENARIOS",
    "ERROR_FILE",
    "Result",
    "__version__",
    "as_of_time",
    "run_record",
    "screen",
    "with_settings",
    "write_result",
]
