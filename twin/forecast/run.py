"""From a posterior to forecast.nc: scenarios side by side with common random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from twin import __version__
from twin.encode import COVARIATES, WomanData, events_of, weight_by_week
from twin.forecast.delivery import birth_days
from twin.forecast.ensemble import (
    BIRTH_RESIDUAL_SD,
    FIRST_DAY,
    LAST_DAY,
    Ensemble,
    Future,
    future_edges,
    run_ensemble,
)
from twin.forecast.onset import Who, ln_waiting, load_hazards, onset_days
from twin.forecast.plan import ScenarioPlan
from twin.growth_standards import reference_weight_g
from twin.inference.calibrate import Posterior
from twin.inference.priors import XI_CELLS
from twin.physiology.coupled import reference_exposure
from twin.physiology.fetus import FIRST_WEEK, GLUCOSE_FROM_WEEK, LAST_WEEK, MEASURES
from twin.programs import placed
from twin.record import PatientRecord
from twin.schema import FORECAST_SCALARS, FORECAST_SERIES
from twin.settings import SiteSettings

#: SD (mg/dL) of what the equations miss of a woman's mean glucose though a sensor has shown its level, the same on all
#: her days. Set so that 90 % intervals hold women of another generator: docs/model/faithfulness.md
LEVEL_SD = 2.5


@dataclass(frozen=True)
class Forecast:
    """The dataset, and what the risk needs beside it: the draws behind it and the days of onset."""

    dataset: xr.Dataset
    chosen: np.ndarray  # (draw,) index into the posterior's draws
    onset_day: np.ndarray  # (scenario, draw), of birth where no last day ends the wait
    hours_low: xr.DataArray  # (scenario, draw, gestational_day), hours a day below 63 mg/dL
    daily_insulin_U: xr.DataArray


def _future(record: PatientRecord, as_of_day: float, plans: list[ScenarioPlan], standard: str) -> Future:
    edges = future_edges(as_of_day / 7.0)
    mid = 0.5 * (edges[1:] + edges[:-1])
    reference = reference_exposure(standard)
    weeks = np.arange(GLUCOSE_FROM_WEEK, GLUCOSE_FROM_WEEK + len(reference)) + 0.5
    events = jax.tree.map(lambda x: np.asarray(x)[..., None], events_of([p.pattern for p in plans]))
    return Future(
        events=events,
        titrated=placed(np.array([p.titrated for p in plans])[:, None]),
        edges=placed(edges),
        weight_kg=placed(weight_by_week(record, mid)),
        reference=placed(np.interp(mid, weeks, reference)),
    )


def single(tree: Any) -> Any:
    """Forecasts run in float32 (difference to float64 below 3e-4 mg/dL over 14 days, DESIGN 5)."""

    def narrow(leaf: Any) -> np.ndarray:
        x = np.asarray(leaf)
        return x.astype(np.float32) if np.issubdtype(x.dtype, np.floating) else x

    return jax.tree.map(narrow, tree)


def level_error(key: jax.Array, data: WomanData, draws: int) -> np.ndarray:
    """What the equations miss of her mean glucose, mg/dL, (draw,): 0 where no sensor shows more than they know."""
    if not np.any(np.asarray(data.cgm.mask)):
        return np.zeros(draws, np.float32)
    return LEVEL_SD * np.asarray(jax.random.normal(key, (draws,), jnp.float32))


def run(
    key: jax.Array,
    posterior: Posterior,
    record: PatientRecord,
    plans: list[ScenarioPlan],
    *,
    draws: int = 500,
    settings: SiteSettings | None = None,
    seed: int = 0,
    discrepancy: bool = True,
) -> Forecast:
    """Forecast every scenario from the posterior's day to birth.

    Draws are resampled from the posterior's weights; the same draws, growth noise, birth residual and delivery
    noise serve every scenario. The mean glucose of women with sensor days bears the equations' own error (LEVEL_SD);
    time in range, hours below it and the fetus do not; without `discrepancy`, for checks of inference alone, nothing
    does. Returns the dataset of DESIGN section 4.
    """
    settings = settings or SiteSettings()
    k_pick, k_xi, k_birth, k_delivery = jax.random.split(key, 4)
    chosen = posterior.pick(k_pick, draws)
    z = posterior.z[:, chosen]
    data, past = single(posterior.data), single(jax.tree.map(lambda x: x[..., chosen], posterior.past))
    n_beyond = -(-(LAST_WEEK - FIRST_WEEK) // XI_CELLS) - -(-posterior.data.n_cells // XI_CELLS)
    fresh = jax.random.normal(k_xi, (n_beyond, draws), dtype=jnp.float32)
    future = single(_future(record, posterior.as_of_day, plans, posterior.standard))
    targets = (settings.fasting_target_mg_dl, settings.one_hour_target_mg_dl)
    out = run_ensemble(posterior.prior, data, placed(z.astype(np.float32)), past, fresh, future, targets)
    uniform = jax.random.uniform(k_delivery, (draws,), minval=1e-5, maxval=1.0 - 1e-5)
    onset = _onset(out, np.asarray(uniform), plans, posterior, record, chosen)
    day = np.stack(
        [birth_days(o, p.delivery, posterior.as_of_day) for o, p in zip(onset, plans, strict=True)]
    )
    residual = np.asarray(jax.random.normal(k_birth, (draws,)))
    if discrepancy:
        missed = level_error(jax.random.fold_in(k_birth, 1), posterior.data, draws)
        out = out._replace(mean_glucose=np.asarray(out.mean_glucose) + missed[:, None])
    return _as_forecast(out, day, residual, onset, chosen, plans, posterior, seed)


def _onset(
    out: Ensemble,
    uniform: np.ndarray,
    plans: list[ScenarioPlan],
    posterior: Posterior,
    record: PatientRecord,
    chosen: np.ndarray,
) -> np.ndarray:
    """(scenario, draw) day on which each wait ends; the same noise serves every scenario."""
    weight = np.asarray(out.lean_g) + np.asarray(out.fat_g)
    days = np.arange(FIRST_DAY, LAST_DAY + 1)
    ln_ratio = np.log(weight) - np.log(np.asarray(reference_weight_g(days, standard=posterior.standard)))
    ln_ratio = np.moveaxis(ln_ratio, -1, 0).astype(np.float32)
    shift = np.asarray(posterior.latents.dating_shift_weeks, dtype=np.float32)[chosen]
    who = single(_who(posterior, record))
    found = np.empty(weight.shape[:2])
    for initiated in {p.delivery.initiated for p in plans}:
        waiting = ln_waiting(single(load_hazards()), ln_ratio, FIRST_DAY, shift, who, initiated)
        here = np.array([p.delivery.initiated == initiated for p in plans])
        found[here] = np.asarray(onset_days(uniform[None], waiting, FIRST_DAY, posterior.as_of_day))[here]
    return found


def _who(posterior: Posterior, record: PatientRecord) -> Who:
    """Her conditions; the population's share where not known, no gestational diabetes where none is recorded."""
    share = {c.name: c.mean for c in posterior.prior.covariates}

    def of(name: str) -> float:
        i = COVARIATES.index(name)
        known = bool(np.asarray(posterior.data.known)[i])
        return float(np.asarray(posterior.data.covariates)[i]) if known else share[name]

    return Who(np.float64(bool(record.facts.gdm)), np.float64(of("hypertension")), np.float64(of("parous")))


def _as_forecast(
    out: Ensemble,
    delivery: np.ndarray,
    residual: np.ndarray,
    onset: np.ndarray,
    chosen: np.ndarray,
    plans: list[ScenarioPlan],
    posterior: Posterior,
    seed: int,
) -> Forecast:
    n_scenarios, n_draws = delivery.shape
    shape = (n_scenarios, n_draws, LAST_DAY - FIRST_DAY + 1)
    lean, fat = np.asarray(out.lean_g), np.asarray(out.fat_g)
    weight = lean + fat
    own = np.asarray(posterior.latents.shape, dtype=np.float32)[: len(MEASURES), chosen]  # (measure, draw)
    measures = np.exp(np.asarray(out.ln_measures) + np.moveaxis(own, 0, 1)[None, :, :, None])
    column = np.clip(delivery.astype(int) - FIRST_DAY, 0, shape[2] - 1)
    at_birth = np.take_along_axis(weight, column[..., None], axis=2)[..., 0]
    series = {
        "fetal_weight_g": weight,
        "fetal_lean_g": lean,
        "fetal_fat_g": fat,
        **{q: measures[:, :, i] for i, q in enumerate(MEASURES)},
        "mean_glucose_mg_dl": np.asarray(out.mean_glucose),
        "time_in_range": np.asarray(out.time_in_range),
        "insulin_sensitivity": np.asarray(out.insulin_sensitivity)[None],
        "beta_cell_function": np.asarray(out.beta_cell)[None],
    }
    dims = ("scenario", "draw", "gestational_day")
    variables: dict[str, Any] = {
        name: (
            dims,
            np.broadcast_to(series[name], shape).astype(np.float32, copy=False),
            {"units": unit, "long_name": text},
        )
        for name, (unit, text) in FORECAST_SERIES.items()
    }
    scalars = {
        "birth_weight_g": at_birth * np.exp(BIRTH_RESIDUAL_SD * residual)[None],
        "delivery_day": delivery,
    }
    for name, (unit, text) in FORECAST_SCALARS.items():
        variables[name] = (
            ("scenario", "draw"),
            scalars[name].astype(np.float32),
            {"units": unit, "long_name": text},
        )
    coords = {
        "scenario": [p.name for p in plans],
        "draw": np.arange(n_draws),
        "gestational_day": ("gestational_day", np.arange(FIRST_DAY, LAST_DAY + 1), {"units": "d"}),
    }
    attrs = {
        "posterior_id": posterior.id,
        "code_version": __version__,
        "prior_id": posterior.prior.id,
        "growth_standard": posterior.standard,
        "seed": seed,
        "as_of_day": float(posterior.as_of_day),
    }
    dataset = xr.Dataset(variables, coords=coords, attrs=attrs)

    def aside(values: np.ndarray) -> xr.DataArray:
        full = np.broadcast_to(values, shape).astype(np.float32, copy=False)
        return xr.DataArray(
            full,
            dims=dims,
            coords={
                "scenario": coords["scenario"],
                "draw": coords["draw"],
                "gestational_day": dataset["gestational_day"],
            },
        )

    return Forecast(
        dataset, chosen, onset, aside(np.asarray(out.hours_low)), aside(np.asarray(out.daily_insulin_U))
    )
