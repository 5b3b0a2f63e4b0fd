"""`laplace` against NUTS on the same women: what is reported of birth weight must not depend on the method.

Both carry their draws to the true birth day; the residual at birth is integrated, so P(> 4000 g) and the quantiles are
of a mixture of lognormals. Each comes with its Monte-Carlo error.
"""

from __future__ import annotations

import time
from typing import Any

import jax
import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

from tests.statistical.faithful.calibration import (
    calibrated,
    forecast_to_birth,
    weight_below,
    weight_quantile,
)
from tests.statistical.faithful.women import AS_OF_DAY, PATTERNS, STANDARD, Subject, root_key, subjects
from twin.forecast import BIRTH_RESIDUAL_SD
from twin.inference.arviz_gate import rhat_and_ess
from twin.inference.calibrate import Posterior, calibrate_nuts
from twin.inference.priors import START_PRIOR, load_prior

#: the bars are of the methods, not of the draws a user asks for: with 200 effective draws two fits of one woman by
#: `laplace` differ by up to 0.04 and 60 g
LAPLACE_DRAWS = 16_000
NUTS_DRAWS = 4000
CHAINS = 4
QUANTILES = (0.05, 0.5, 0.95)
LARGE_G = 4000.0
P_BAR, WEIGHT_BAR_G = 0.02, 40.0


def pattern_of(number: int) -> str:
    """Women 0, 1, 2, ... run through the patterns; with the scans, number modulo 5, every 20 women hold each pair."""
    return list(PATTERNS)[number % len(PATTERNS)]


def reported(fetal_g: np.ndarray) -> dict[str, float]:
    out = {"p_large": 1.0 - weight_below(LARGE_G, fetal_g)}
    return out | {f"q{round(100 * q):02d}": weight_quantile(q, fetal_g) for q in QUANTILES}


def p_large(fetal_g: np.ndarray) -> np.ndarray:
    return ndtr((np.log(fetal_g.astype(float)) - np.log(LARGE_G)) / BIRTH_RESIDUAL_SD)


def errors(fetal_g: np.ndarray, effective: float) -> dict[str, float]:
    """Monte-Carlo standard errors of `reported`, quantiles by the delta method. effective : size of the sample."""
    root = np.sqrt(max(effective, 1.0))
    out = {"p_large": float(p_large(fetal_g).std()) / root}
    for q in QUANTILES:
        at = weight_quantile(q, fetal_g)
        x = (np.log(at) - np.log(fetal_g.astype(float))) / BIRTH_RESIDUAL_SD
        density = float(norm.pdf(x).mean()) / (BIRTH_RESIDUAL_SD * at)
        out[f"q{round(100 * q):02d}"] = float(ndtr(x).std()) / root / density
    return out


def latents(posterior: Posterior) -> dict[str, list[float]]:
    """Mean and SD of every latent but single meals, in prior SDs."""
    names = posterior.prior.names(posterior.data)[: posterior.prior.n_shared(posterior.data)]
    z = posterior.z[: len(names)]
    mean = z @ posterior.weights
    sd = np.sqrt((z - mean[:, None]) ** 2 @ posterior.weights)
    return {k: [round(float(m), 4), round(float(s), 4)] for k, m, s in zip(names, mean, sd, strict=True)}


def _woman(number: int) -> tuple[Subject, jax.Array, jax.Array, jax.Array]:
    """Woman `number` and the keys of her fit by `laplace`, by NUTS, and of her forecast."""
    pattern = pattern_of(number)
    (woman,) = subjects("own", pattern, [number], purpose=2)
    key = jax.random.fold_in(root_key("own", pattern, 2), 2**30 + number)
    return (woman, *jax.random.split(key, 3))


def _weights_at_birth(
    woman: Subject, posterior: Posterior, key: jax.Array, draws: int, day: int
) -> np.ndarray:
    dataset = forecast_to_birth(woman, posterior, key, draws)
    return np.asarray(dataset["fetal_weight_g"].sel(gestational_day=day).values)


def by_nuts(number: int, draws: int = NUTS_DRAWS) -> dict[str, Any]:
    """The stored result of one woman by NUTS."""
    woman, _, key, k_forecast = _woman(number)
    start = time.process_time()
    gold = calibrate_nuts(
        key,
        woman.data,
        load_prior(START_PRIOR),
        AS_OF_DAY,
        STANDARD,
        woman.record.pseudonym,
        chains=CHAINS,
        draws=draws // CHAINS,
    )
    seconds = time.process_time() - start
    day = woman.truth.delivery_day
    fetal = _weights_at_birth(woman, gold, k_forecast, draws, day)
    effective = float(draws)
    if not gold.calibration.prior_only:  # nearly equal weights: resampling keeps their order
        _, ess, _ = rhat_and_ess({"p": p_large(fetal).reshape(CHAINS, -1)})
        effective = ess["p"]
    return {
        "pattern": pattern_of(number),
        "scans": woman.scans,
        "day": day,
        "nuts": _rounded(reported(fetal), 4),
        "error": {"nuts": _rounded(errors(fetal, effective), 5)},
        "nuts_ok": gold.calibration.ok,
        "nuts_reasons": list(gold.calibration.reasons),
        "nuts_rhat": gold.calibration.rhat_max,
        "nuts_ess": gold.calibration.ess_min,
        "nuts_core_s": round(seconds, 1),
        "nuts_latents": latents(gold),
    }


def by_laplace(number: int, draws: int = LAPLACE_DRAWS, *, day: int | None = None) -> dict[str, Any]:
    """The stored result of one woman by `laplace`. day : of birth, where NUTS had another than the truth has now."""
    woman, key, _, k_forecast = _woman(number)
    (fast,) = calibrated([woman], key, draws)
    fetal = _weights_at_birth(
        woman, fast, k_forecast, draws, woman.truth.delivery_day if day is None else day
    )
    effective = min(float(fast.calibration.ess_min or draws), draws)
    return {
        "pattern": pattern_of(number),
        "scans": woman.scans,
        "laplace": _rounded(reported(fetal), 4),
        "error": {"laplace": _rounded(errors(fetal, effective), 5)},
        "laplace_ok": fast.calibration.ok,
        "pareto_k": fast.calibration.pareto_k,
        "fallback": fast.calibration.fallback,
        "laplace_ess": effective,
        "laplace_latents": latents(fast),
    }


def _rounded(found: dict[str, float], digits: int) -> dict[str, float]:
    return {name: round(float(value), digits) for name, value in found.items()}


def pairs(gold: list[dict[str, Any]], fast: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Women fitted by both methods, their stored results in one."""
    quick = {row["case"]: row for row in fast}
    return [
        {**g, **quick[g["case"]], "error": g["error"] | quick[g["case"]]["error"]}
        for g in gold
        if g["case"] in quick
    ]
