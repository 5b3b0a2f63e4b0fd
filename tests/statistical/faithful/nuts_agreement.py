"""`laplace` against NUTS on the same women: what is reported of birth weight must not depend on the method.

Both carry their draws to the true birth day with the same noise of growth still to come; the residual at birth is
integrated, so P(> 4000 g) and the quantiles are of a mixture of lognormals. Each comes with its Monte-Carlo error.
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
from tests.statistical.faithful.women import AS_OF_DAY, PATTERNS, STANDARD, root_key, subjects
from twin.forecast import BIRTH_RESIDUAL_SD
from twin.inference.arviz_gate import rhat_and_ess
from twin.inference.calibrate import calibrate_nuts
from twin.inference.priors import load_prior

DRAWS = 4000  # with 2000 two fits of one woman by the same method differed by 0.01 and 31 g
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


def one(number: int, draws: int = DRAWS) -> dict[str, Any]:
    """The stored result of one woman."""
    pattern = pattern_of(number)
    (woman,) = subjects("own", pattern, [number], purpose=2)
    key = jax.random.fold_in(root_key("own", pattern, 2), 2**30 + number)
    k_fit, k_nuts, k_forecast = jax.random.split(key, 3)
    (fast,) = calibrated([woman], k_fit, draws)
    start = time.process_time()
    gold = calibrate_nuts(
        k_nuts,
        woman.data,
        load_prior(),
        AS_OF_DAY,
        STANDARD,
        woman.record.pseudonym,
        chains=CHAINS,
        draws=draws // CHAINS,
    )
    seconds = time.process_time() - start
    found: dict[str, dict[str, float]] = {}
    error: dict[str, dict[str, float]] = {}
    for name, posterior in (("laplace", fast), ("nuts", gold)):
        dataset = forecast_to_birth(woman, posterior, k_forecast, draws)
        fetal = dataset["fetal_weight_g"].sel(gestational_day=woman.truth.delivery_day).values
        found[name] = {k: round(v, 4) for k, v in reported(fetal).items()}
        p = p_large(fetal)
        if (
            name == "nuts" and not gold.calibration.prior_only
        ):  # nearly equal weights: resampling keeps their order
            _, ess, _ = rhat_and_ess({"p": p.reshape(CHAINS, -1)})
            effective = ess["p"]
        else:
            effective = min(float(fast.calibration.ess_min or draws), draws)
        error[name] = {k: round(v, 5) for k, v in errors(fetal, effective).items()}
    return {
        "pattern": pattern,
        "scans": woman.scans,
        **found,
        "error": error,
        "laplace_ok": fast.calibration.ok,
        "pareto_k": fast.calibration.pareto_k,
        "fallback": fast.calibration.fallback,
        "nuts_ok": gold.calibration.ok,
        "nuts_reasons": list(gold.calibration.reasons),
        "nuts_rhat": gold.calibration.rhat_max,
        "nuts_ess": gold.calibration.ess_min,
        "nuts_core_s": round(seconds, 1),
    }


def agrees(row: dict[str, Any]) -> bool:
    """Whether one woman's figures meet the bars."""
    off = {k: abs(row["laplace"][k] - row["nuts"][k]) for k in row["nuts"]}
    return off.pop("p_large") <= P_BAR and max(off.values()) <= WEIGHT_BAR_G
