"""One batch of women: simulated, calibrated, forecast to their true birth day, their truths ranked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from tests.statistical.faithful.oracle import as_seen
from tests.statistical.faithful.ranks import rank
from tests.statistical.faithful.women import AS_OF_DAY, STANDARD, Subject, root_key, subjects
from twin.forecast import BIRTH_RESIDUAL_SD
from twin.forecast.run import level_error
from twin.inference.calibrate import Posterior, calibrate_many, named_parameters
from twin.inference.diagnostics import conflicts
from twin.inference.priors import START_PRIOR, load_prior, meal_shape
from twin.physiology.fetus import GLUCOSE_FROM_WEEK

DRAWS, FORECAST_DRAWS = 1000, 500
LAST_WEEK = int(AS_OF_DAY // 7) - 1  # the last whole week of the record
#: parameters that are not one latent's own transform
COMPOSITE = ("B", "s_L", "s_F")
HEADLINES = ("birth_weight", "mean_glucose_last_week", "mean_glucose")


def calibrated(women: Sequence[Subject], key: jax.Array, draws: int = DRAWS) -> list[Posterior]:
    return calibrate_many(
        [jax.random.fold_in(key, w.number) for w in women],
        [w.data for w in women],
        load_prior(START_PRIOR),
        [AS_OF_DAY] * len(women),
        STANDARD,
        [w.record.pseudonym for w in women],
        draws=draws,
    )


def forecast_to_birth(
    woman: Subject, posterior: Posterior, key: jax.Array, draws: int = FORECAST_DRAWS
) -> Any:
    """The forecast with birth on her true day, without the error of the equations themselves (`level_error`)."""
    from scenarios.strategies import plan_of
    from twin.forecast import run

    plan = plan_of("as_now", woman.record, AS_OF_DAY, woman.truth.delivery_day)
    return run(key, posterior, woman.record, [plan], draws=draws, discrepancy=False).dataset.isel(scenario=0)


def weight_quantile(level: float, fetal_g: np.ndarray) -> float:
    """Quantile of birth weight, the residual at birth integrated: a mixture of lognormals of equal parts."""
    ln = np.log(fetal_g.astype(float))
    wide = 6.0 * BIRTH_RESIDUAL_SD
    return float(
        np.exp(
            brentq(
                lambda x: ndtr((x - ln) / BIRTH_RESIDUAL_SD).mean() - level, ln.min() - wide, ln.max() + wide
            )
        )
    )


def weight_below(grams: float, fetal_g: np.ndarray) -> float:
    """P(birth weight < grams), the residual at birth integrated."""
    return float(ndtr((np.log(grams) - np.log(fetal_g.astype(float))) / BIRTH_RESIDUAL_SD).mean())


def ranked(woman: Subject, posterior: Posterior, dataset: Any, missed: np.ndarray) -> dict[str, Any]:
    """Ranks of her truths, and what else the summary needs. Ranks of latents only where the generator has them.

    missed : mg/dL, (draw,), the error of the equations that forecasts of mean glucose bear when issued.
    """
    truth = woman.truth
    fetal = dataset["fetal_weight_g"].sel(gestational_day=truth.delivery_day).values
    glucose = dataset["mean_glucose_mg_dl"].values
    first_day = int(dataset["gestational_day"].values[0])
    weeks = np.arange(GLUCOSE_FROM_WEEK, LAST_WEEK + 1)
    weekly = glucose[:, 7 * weeks + 3 - first_day]
    true_weekly = truth.mean_glucose_mg_dl[weeks - GLUCOSE_FROM_WEEK]
    ranks = {
        "birth_weight": weight_below(truth.birth_weight_g, fetal),
        "mean_glucose_last_week": rank(true_weekly[-1], weekly[:, -1]),
        "mean_glucose": rank(true_weekly.mean(), weekly.mean(axis=1)),
    }
    issued = {
        "mean_glucose_last_week": rank(true_weekly[-1], weekly[:, -1] + missed),
        "mean_glucose": rank(true_weekly.mean(), weekly.mean(axis=1) + missed),
    }
    names = posterior.prior.names(posterior.data)
    shared = posterior.prior.n_shared(posterior.data)
    mean = posterior.z @ posterior.weights
    variance = (posterior.z - mean[:, None]) ** 2 @ posterior.weights
    meals: list[float] = []
    if truth.z:
        for name, draws in zip(names[:shared], posterior.z, strict=False):
            ranks[f"z {name}"] = rank(truth.z[name], draws, posterior.weights)
        named = named_parameters(posterior)
        for name in COMPOSITE:
            ranks[name] = rank(truth.parameters[name], named[name], posterior.weights)
        eaten = (
            np.asarray(posterior.data.cgm.events.meal_mg).ravel() > 0 if meal_shape(posterior.data)[0] else []
        )
        for name, draws, real in zip(names[shared:], posterior.z[shared:], eaten, strict=True):
            if real:
                meals.append(rank(truth.z[name], draws, posterior.weights))
    c = posterior.calibration
    quantiles = [weight_quantile(q, fetal) for q in (0.05, 0.25, 0.5, 0.75, 0.95)]
    flags = conflicts(posterior)
    return {
        "number": woman.number,
        "scans": woman.scans,
        "seen": as_seen(woman.record, truth, woman.scans),
        "truth_g": round(truth.birth_weight_g, 1),
        "true_glucose": [round(float(true_weekly[-1]), 2), round(float(true_weekly.mean()), 2)],
        "weight_quantiles_g": [round(q, 1) for q in quantiles],
        "glucose_sd": [round(float(weekly[:, -1].std()), 2), round(float(weekly.mean(axis=1).std()), 2)],
        "ranks": {k: round(v, 5) for k, v in ranks.items()},
        "issued": {k: round(v, 5) for k, v in issued.items()},
        "meals": [round(v, 3) for v in meals],
        "mean": dict(zip(names[:shared], mean[:shared].round(3).tolist(), strict=True)),
        "variance": dict(zip(names[:shared], variance[:shared].round(4).tolist(), strict=True)),
        "conflicts": [[f.of, f.kind, round(f.z, 3), float(f"{f.p:.3g}"), f.flagged] for f in flags],
        "ok": c.ok,
        "pareto_k": None if c.pareto_k is None else round(c.pareto_k, 3),
        "ess": round(c.ess_min or 0.0, 1),
        "fallback": c.fallback,
    }


def batch(generator: str, pattern: str, numbers: Sequence[int]) -> dict[str, Any]:
    """The stored result of one case: its women."""
    start = time.process_time()
    women = subjects(generator, pattern, numbers)
    simulated = time.process_time()
    key = jax.random.fold_in(root_key(generator, pattern), 2**30)
    posteriors = calibrated(women, key)
    fitted = time.process_time()
    rows = []
    for woman, posterior in zip(women, posteriors, strict=True):
        k_forecast = jax.random.fold_in(key, 10**6 + woman.number)
        dataset = forecast_to_birth(woman, posterior, k_forecast)
        missed = level_error(jax.random.fold_in(k_forecast, 1), posterior.data, FORECAST_DRAWS)
        rows.append(ranked(woman, posterior, dataset, missed))
    seconds = (simulated - start, fitted - simulated, time.process_time() - fitted)
    return {
        "generator": generator,
        "pattern": pattern,
        "women": rows,
        "core_s": [round(s, 2) for s in seconds],
    }
