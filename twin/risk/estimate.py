"""The risk of one pregnancy: forecast in, `risk.json` (DESIGN 4) out."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import xarray as xr

from twin import __version__
from twin.forecast import Forecast, ScenarioPlan, birth_days
from twin.growth_standards import BIRTHWEIGHT_STANDARDS, biometry_from_z, range_days
from twin.inference.calibrate import Posterior
from twin.inference.diagnostics import as_told
from twin.record import PatientRecord, Scope
from twin.record.scope import GLUCOSE_FORECAST
from twin.risk.drivers import drivers
from twin.risk.model_range import N_DRAWS, probability_range
from twin.risk.outcomes import (
    Z_90,
    birth_weight_mean,
    birth_weight_quantiles,
    exceeds,
    large,
    small,
)
from twin.schema import RISK_SCHEMA
from twin.settings import SiteSettings
from twin.timeline import weeks_and_days

FIRST_BIRTH_DAY = 252  # 36+0: candidate days begin here, or the day after the forecast
LAST_BIRTH_DAY = 293
POLICY_STEP_DAYS = 7  # another site would end the wait a week earlier or later
AC_DAY = 252  # 36 weeks
COVERED = 0.95  # share of births a reference must cover to be quoted


def _weight_on(weight: np.ndarray, first_day: int, day: np.ndarray) -> np.ndarray:
    """(draw,) fetal weight of each draw on its own day. weight : (draw, gestational_day)."""
    column = np.clip(day.astype(int) - first_day, 0, weight.shape[1] - 1)
    return weight[np.arange(weight.shape[0]), column]


def _conditional(born: np.ndarray, day: np.ndarray, reference: str, sex: str | None) -> dict[str, np.ndarray]:
    """P(outcome | draw) for births of fetal weight `born` on `day`, (*batch)."""
    return {
        "macrosomia_4000": exceeds(born, 4000.0),
        "macrosomia_4500": exceeds(born, 4500.0),
        "lga_90": large(born, day, reference, sex),
        "sga_10": small(born, day, reference, sex),
    }


def _withheld(scope: Scope) -> set[str]:
    gone = {o for o in ("lga_90", "sga_10", "ac_90_at_36w") if o in scope.withheld}
    return gone | ({"lga_90", "sga_10", "ac_90_at_36w"} if "centiles" in scope.withheld else set())


def _finite_mean(p: np.ndarray) -> float | None:
    covered = np.isfinite(p)
    return float(p[covered].mean()) if covered.mean() >= COVERED else None


def _why_not_covered(reference: str, day: np.ndarray) -> str:
    """Why a reference says nothing of births on these days, (draw,): "ends at 40+0; 31 of 100 births are later"."""
    first, last = range_days(reference)
    early, late = 100.0 * float((day < first).mean()), 100.0 * float((day > last).mean())
    if early > late:
        return f"begins at {weeks_and_days(first)}; {early:.0f} of 100 births are earlier"
    return f"ends at {weeks_and_days(last)}; {late:.0f} of 100 births are later"


class _Estimator:
    """One forecast's probabilities; what all scenarios share is computed once."""

    def __init__(
        self,
        forecast: Forecast,
        posterior: Posterior,
        record: PatientRecord,
        scope: Scope,
        settings: SiteSettings,
        seed: int,
    ):
        self.forecast, self.posterior, self.settings = forecast, posterior, settings
        self.dataset: xr.Dataset = forecast.dataset
        self.first_day = int(self.dataset["gestational_day"].values[0])
        self.sex = record.facts.fetal_sex
        self.withheld = _withheld(scope)
        self.no_glucose = GLUCOSE_FORECAST in scope.withheld
        self.z = posterior.z[:, forecast.chosen]
        self.ess = float(min(posterior.calibration.ess_min or self.z.shape[1], self.z.shape[1]))
        key = jax.random.key(seed)
        self.shifts = posterior.prior.center_shifts(key, N_DRAWS, self.z.shape[0])
        self.rng = np.random.default_rng(seed)

    def conditional(self, weight: np.ndarray, day: np.ndarray) -> dict[str, np.ndarray]:
        born = _weight_on(weight, self.first_day, day)
        return _conditional(born, day, self.settings.lga_reference, self.sex)

    def outcomes(
        self, weight: np.ndarray, name: str, plan: ScenarioPlan
    ) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Rows of `outcomes`, and P(> 4000 g) of each draw."""
        day = self.dataset["delivery_day"].sel(scenario=name).values
        here = self.conditional(weight, day)
        others: list[dict[str, np.ndarray]] = []
        if plan.delivery.given_day is None:
            for step in (-POLICY_STEP_DAYS, POLICY_STEP_DAYS):
                policy = dataclasses.replace(plan.delivery, last_day=plan.delivery.last_day + step)
                at = list(self.dataset["scenario"].values).index(name)
                moved = birth_days(self.forecast.onset_day[at], policy, self.posterior.as_of_day)
                others.append(self.conditional(weight, moved))
        rows = []
        for outcome, p in here.items():
            covered = np.isfinite(p)
            if outcome in self.withheld or covered.mean() < COVERED:
                continue
            elsewhere = [m for m in (_finite_mean(o[outcome]) for o in others) if m is not None]
            rows.append(self.row(outcome, p[covered], self.z[:, covered], elsewhere))
        if "ac_90_at_36w" not in self.withheld and self.posterior.as_of_day < AC_DAY:
            ac = self.dataset["ac_mm"].sel(scenario=name, gestational_day=AC_DAY).values.astype(float)
            limit = float(biometry_from_z("ac_mm", Z_90, float(AC_DAY), standard="intergrowth21"))
            rows.append(self.row("ac_90_at_36w", (ac > limit).astype(float), self.z, []))
        return rows, here["macrosomia_4000"]

    def row(self, outcome: str, p: np.ndarray, z: np.ndarray, elsewhere: list[float]) -> dict[str, Any]:
        mean, low, high = probability_range(p, z, self.shifts, self.ess, elsewhere, self.rng)
        return {
            "outcome": outcome,
            "probability": round(mean, 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }

    def if_born_on(self, weight: np.ndarray) -> list[dict[str, Any]]:
        first = max(FIRST_BIRTH_DAY, int(self.posterior.as_of_day) + 1)
        days = np.arange(first, LAST_BIRTH_DAY + 1)
        born = weight[:, days - self.first_day].T  # (day, draw)
        every = _conditional(born, days[:, None], self.settings.lga_reference, self.sex)
        quantiles = birth_weight_quantiles(born, [0.05, 0.95])
        rows = []
        for i, day in enumerate(days.tolist()):
            row: dict[str, Any] = {"gestational_day": day}
            for outcome, p in every.items():
                mean = _finite_mean(p[i])
                if outcome not in self.withheld and mean is not None:
                    row[outcome] = round(mean, 4)
            low, high = quantiles[i]
            rows.append(row | {"birth_weight_q05": round(float(low)), "birth_weight_q95": round(float(high))})
        return rows

    def by_reference(self, weight: np.ndarray, day: np.ndarray) -> tuple[dict[str, float], dict[str, str]]:
        """P(LGA) under each reference that covers these births; of the others, why not."""
        if "lga_90" in self.withheld:
            return {}, {}
        born = _weight_on(weight, self.first_day, day)
        means = {r: _finite_mean(large(born, day, r, self.sex)) for r in BIRTHWEIGHT_STANDARDS}
        return (
            {r: round(m, 4) for r, m in means.items() if m is not None},
            {r: _why_not_covered(r, day) for r, m in means.items() if m is None},
        )

    def hours_low(self, name: str, day: np.ndarray) -> dict[str, float | None]:
        """Hours a day below 63 mg/dL from now to the median birth: mean over draws, and the draws' q05 and q95.

        None where the glucose forecast is withheld. No depth of a low: the model has no counter-regulation.
        """
        names = ("hours_below_63_per_day", "hours_below_63_q05", "hours_below_63_q95")
        if self.no_glucose:
            return {**dict.fromkeys(names), "hours_below_54_per_day": None}
        last = float(np.median(day))
        first = min(self.posterior.as_of_day, int(last))  # a birth today still has its own day
        ahead = self.forecast.hours_low.sel(scenario=name).sel(gestational_day=slice(first, last))
        draws = ahead.mean("gestational_day").values.astype(float)
        values = (draws.mean(), *np.quantile(draws, [0.05, 0.95]))
        return {n: round(float(v), 3) for n, v in zip(names, values, strict=True)} | {
            "hours_below_54_per_day": None
        }

    def not_covered(self, scenarios: list[dict[str, Any]]) -> list[dict[str, str]]:
        """An issue for each scenario whose births the chosen reference does not cover."""
        chosen = self.settings.lga_reference
        return [
            {
                "source": f"lga_reference {chosen}, scenario {s['name']}",
                "code": "reference-does-not-cover",
                "message": f"the LGA reference {chosen} {s['lga_not_covered'][chosen]}; expected at least "
                f"{100 * COVERED:.0f} of 100 births in its range. LGA and SGA are withheld in this scenario. "
                "Choose one that covers them with --lga-reference.",
                "severity": "rejected",
            }
            for s in scenarios
            if chosen in s["lga_not_covered"]
        ]

    def scenario(self, plan: ScenarioPlan) -> tuple[dict[str, Any], np.ndarray]:
        """The scenario's object in risk.json, and P(> 4000 g) of each draw."""
        weight = self.dataset["fetal_weight_g"].sel(scenario=plan.name).values.astype(float)
        day = self.dataset["delivery_day"].sel(scenario=plan.name).values
        outcomes, p4000 = self.outcomes(weight, plan.name, plan)
        born = _weight_on(weight, self.first_day, day)
        low, middle, high = birth_weight_quantiles(born, [0.05, 0.5, 0.95])
        by_reference, not_covered = self.by_reference(weight, day)
        return {
            "name": plan.name,
            "reliable": self.posterior.calibration.ok,
            "treatment_strategy": plan.treatment_strategy,
            "delivery_assumption": plan.delivery.describe(),
            **({"same_as_now": plan.same_as_now} if plan.same_as_now else {}),
            "birth_weight_g": {
                "mean": round(float(birth_weight_mean(born))),
                "q05": round(float(low)),
                "q50": round(float(middle)),
                "q95": round(float(high)),
            },
            "outcomes": outcomes,
            "lga_by_reference": by_reference,
            "lga_not_covered": not_covered,
            "if_born_on": self.if_born_on(weight),
            "hypoglycaemia": self.hours_low(plan.name, day),
        }, p4000


def estimate(
    forecast: Forecast,
    posterior: Posterior,
    record: PatientRecord,
    plans: list[ScenarioPlan],
    scope: Scope,
    *,
    as_of: str,
    data: dict[str, Any],
    raw_alerts: list[dict[str, Any]],
    settings: SiteSettings,
    seed: int,
) -> dict[str, Any]:
    """The risk dictionary of `gdm-twin/risk/1`.

    data : counts and ages of the data. raw_alerts : from `record.alerts`. Probabilities integrate over everything
    unknown of this woman and this birth; low and high are the model's own range (`model_range`).
    """
    estimator = _Estimator(forecast, posterior, record, scope, settings, seed)
    scenarios, first_p = [], None
    for plan in plans:
        row, p = estimator.scenario(plan)
        scenarios.append(row)
        first_p = p if first_p is None else first_p
    assert first_p is not None
    c = posterior.calibration
    head = header(record, scope, as_of, posterior.as_of_day, data, raw_alerts)
    return head | {
        "growth_standard": posterior.standard,
        "lga_reference": settings.lga_reference,
        "calibration": {
            "method": c.method,
            "ok": c.ok,
            "reasons": list(c.reasons),
            "pareto_k": None if c.pareto_k is None else round(c.pareto_k, 3),
            "rhat_max": None if c.rhat_max is None else round(c.rhat_max, 4),
            "ess_min": None if c.ess_min is None else round(c.ess_min),
            "fallback": c.fallback,
            "prior_only": c.prior_only,
            "ess_bulk_min": None if c.ess_bulk_min is None else round(c.ess_bulk_min),
            "ess_tail_min": None if c.ess_tail_min is None else round(c.ess_tail_min),
            "bfmi_min": None if c.bfmi_min is None else round(c.bfmi_min, 3),
            "divergences": c.divergences,
            **as_told(posterior),
        },
        "scenarios": scenarios,
        "drivers": drivers(posterior, record, forecast.chosen, first_p),
        "issues": [*head["issues"], *estimator.not_covered(scenarios)],
        "provenance": provenance(record, posterior.prior.id, seed)
        | {"posterior_id": posterior.id, "draws": int(forecast.dataset.sizes["draw"])},
    }


def provenance(record: PatientRecord, prior_id: str | None, seed: int) -> dict[str, Any]:
    return {
        "code_version": __version__,
        "prior_id": prior_id,
        "input_sha256": record.input_sha256,
        "seed": seed,
    }


def header(
    record: PatientRecord,
    scope: Scope,
    as_of: str,
    gestational_day: float | None,
    data: dict[str, Any],
    raw_alerts: list[dict[str, Any]],
) -> dict[str, Any]:
    """The part of risk.json that needs no forecast; all there is when the pregnancy is out of scope."""
    return {
        "schema": RISK_SCHEMA,
        "patient": record.pseudonym,
        "as_of": as_of,
        "gestational_day": None if gestational_day is None else int(gestational_day),
        "scope": scope.as_dict(),
        "raw_alerts": raw_alerts,
        "data": data,
        "scenarios": [],
        "issued": [],
        "drivers": [],
        "issues": [
            {"source": i.source, "code": i.code, "message": i.message, "severity": i.severity}
            for i in record.issues
        ],
    }
