"""One woman end to end: record to scope, posterior, forecast, risk and the files of `run`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from scenarios.strategies import plan_of
from twin import __version__
from twin.encode import UNDATED, efw_of_scan
from twin.errors import UnknownStandard, UnusableInput
from twin.fhir import known_at, risk_assessment_bundle
from twin.forecast import Forecast, ScenarioPlan, day_profile, week_day
from twin.forecast import run as run_forecast
from twin.forecast.ensemble import LAST_DAY
from twin.inference.calibrate import Posterior, calibrate, save_posterior, with_draws_of
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


@dataclass(frozen=True)
class _Known:
    """What stands before any posterior: the record as known at one moment, and what it says by itself."""

    record: PatientRecord
    scope: Scope
    stamp: str
    day: float | None
    counts: dict[str, Any]
    alerts: list[dict[str, Any]]


def _known(record: PatientRecord, as_of: str | None, settings: SiteSettings) -> _Known:
    moment = as_of_time(record, as_of)
    known = known_at(record, moment if as_of is None or len(as_of) > 10 else date.fromisoformat(as_of))
    lmp = known.facts.lmp_equivalent
    day = None if lmp is None else gestational_day(moment.replace(tzinfo=None), lmp)
    scope = scope_gate(known, day, settings, efw=efw_of_scan)
    stamp = moment.isoformat(timespec="minutes") if as_of is None or len(as_of) > 10 else as_of
    now_local = local_now(known, stamp)
    counts, alerts = _data_counts(known, now_local), raw_alerts(known, now_local, settings)
    return _Known(known, scope, stamp, day, counts, alerts)


def _refused(known: _Known, settings: SiteSettings, seed: int) -> Result:
    risk = header(known.record, known.scope, known.stamp, known.day, known.counts, known.alerts) | {
        "growth_standard": settings.growth_standard,
        "lga_reference": settings.lga_reference,
        "provenance": provenance(known.record, None, seed),
    }
    return Result(known.record, known.scope, risk, None, None, None, ())


def _keys(seed: int) -> jax.Array:
    """Keys of the fit, the forecast and the day's profile."""
    return jax.random.split(jax.random.key(seed), 3)


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

    Where `laplace` cannot be trusted (its verdict is not ok), NUTS is run in its place [DESIGN 6].
    progress : told each step by name. sampling : told by `nuts` the transitions done, of how many.
    """
    settings = settings or SiteSettings()
    known = _known(record, as_of, settings)
    day = known.day
    if known.scope.status == "refused" or day is None:
        return _refused(known, settings, seed)
    given = _given_birth_day(birth_day, known.record, day)
    plans = [plan_of(name, known.record, day, given) for name in scenarios]
    progress("calibrating")

    def fit(method: str) -> Posterior:
        return calibrate(
            _keys(seed)[0],
            known.record,
            as_of_day=day,
            standard=settings.growth_standard,
            method=method,
            prior=prior or load_prior(),
            birth_day=None if given is None else float(given),
            progress=sampling,
        )

    posterior = fit(method)
    if method == "laplace" and not posterior.calibration.ok:
        progress("sampling, as the fast fit is not to be trusted: minutes")
        gold = fit("nuts")
        posterior = with_draws_of(gold, calibration=replace(gold.calibration, fallback="nuts"))
    result = _outlook(known, posterior, plans, settings, draws, seed, progress)
    hidden = "glucose_forecast" in known.scope.withheld
    return replace(result, profile=None if hidden else day_profile(_keys(seed)[2], posterior))


@dataclass(frozen=True)
class OpenTwin:
    """A stored posterior beside the record it is of, ready for `what_if`."""

    posterior: Posterior
    known: _Known
    settings: SiteSettings


def open_twin(
    stored: Posterior,
    record: PatientRecord,
    *,
    as_of: str | None = None,
    settings: SiteSettings | None = None,
) -> OpenTwin:
    """The posterior and its record, checked against each other. record, as_of, settings : those of its run.

    Raises : UnusableInput "other-patient", "other-day" or "other-standard" where the posterior is not of this record,
    moment and growth standard.
    """
    settings = settings or SiteSettings()
    known = _known(record, as_of, settings)
    for code, have, want in (
        ("other-patient", stored.patient, record.pseudonym),
        ("other-day", stored.as_of_day, known.day),
        ("other-standard", stored.standard, settings.growth_standard),
    ):
        if have != want:
            raise UnusableInput(
                code,
                f"the stored posterior has {code.removeprefix('other-')} {have}, the question {want}; expected the "
                "same. Nothing was forecast. Update the posterior or calibrate her again.",
            )
    return OpenTwin(stored, known, settings)


def what_if(
    twin: OpenTwin,
    scenarios: Sequence[str | ScenarioPlan],
    *,
    birth_day: str | None = None,
    draws: int = 500,
    seed: int = 0,
) -> Result:
    """Other scenarios of a stored posterior: forecast and risk without a fit (`profile` is None).

    scenarios : names, or plans of the caller's own. With the seed of the run that made the posterior, draws and noise
    are those of its forecast, and a scenario of that run has the same numbers again, to single precision.
    Raises : UnusableInput "birth-day-needs-a-fit" where the birth day would date the pregnancy.
    """
    known, day = twin.known, twin.known.day
    if known.scope.status == "refused" or day is None:
        return _refused(known, twin.settings, seed)
    given = _given_birth_day(birth_day, known.record, day)
    dates = [] if given is None or known.record.facts.dating_method not in UNDATED else [given / 7.0]
    stored = np.asarray(twin.posterior.data.birth_week)
    if stored.shape != (len(dates),) or not np.allclose(stored, dates):
        raise UnusableInput(
            "birth-day-needs-a-fit",
            "nothing but biometry dates this pregnancy, so a given birth day informs its age, and the stored posterior "
            "does not have this one. Nothing was forecast. Calibrate her with the birth day.",
        )
    plans = [plan_of(s, known.record, day, given) if isinstance(s, str) else s for s in scenarios]
    return _outlook(known, twin.posterior, plans, twin.settings, draws, seed, lambda _: None)


def _outlook(
    known: _Known,
    posterior: Posterior,
    plans: list[ScenarioPlan],
    settings: SiteSettings,
    draws: int,
    seed: int,
    progress: Progress,
) -> Result:
    """From a posterior to the risk of its scenarios."""
    progress("forecasting")
    forecast = run_forecast(
        _keys(seed)[1], posterior, known.record, plans, draws=draws, settings=settings, seed=seed
    )
    progress("estimating risk")
    risk = estimate(
        forecast,
        posterior,
        known.record,
        plans,
        known.scope,
        as_of=known.stamp,
        data=known.counts,
        raw_alerts=known.alerts,
        settings=settings,
        seed=seed,
    )
    return Result(known.record, known.scope, risk, posterior, forecast, None, tuple(plans))


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
    "OpenTwin",
    "Result",
    "__version__",
    "as_of_time",
    "open_twin",
    "run_record",
    "screen",
    "what_if",
    "with_settings",
    "write_result",
]
