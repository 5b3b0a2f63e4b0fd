"""The day a reading is expected to come from: posterior predictive of one reading over the clock."""

from __future__ import annotations

import math

import jax
import numpy as np
import xarray as xr

from twin.inference.calibrate import Posterior
from twin.inference.priors import PROFILE_SD, day_pattern
from twin.observation.blocks import STUDENT_DF, spot_cv
from twin.observation.residual import CGM_STEP_MIN
from twin.physiology.coupled import DAY_START_MIN
from twin.physiology.fetus import GLUCOSE_FROM_WEEK
from twin.programs import placed

DAY_CV = 0.14  # day-to-day variation of a reading after a meal [A-OGTT-12, RECALLED]
_pattern, _reading_cv = jax.jit(day_pattern), jax.jit(spot_cv)


def day_profile(key: jax.Array, posterior: Posterior) -> xr.Dataset:
    """Quantiles of a finger-prick reading through the week's reference day, by `minute_of_day`.

    Returns q05, q50, q95 (with meter and day-to-day noise) and the mean without noise, mg/dL.
    """
    week = min(
        math.floor(posterior.as_of_day / 7.0) - GLUCOSE_FROM_WEEK,
        posterior.evaluation.reference_days.shape[0] - 1,
    )
    G = np.asarray(posterior.evaluation.reference_days)[max(week, 0), :-1]  # (time, draw)
    k_pick, k_pattern, k_noise = jax.random.split(key, 3)
    chosen = posterior.pick(k_pick, G.shape[1])
    G = G[:, chosen]
    noise = np.random.default_rng(np.asarray(jax.random.key_data(k_noise))).standard_t(STUDENT_DF, G.shape)
    pattern = np.asarray(posterior.latents.profile)[:, chosen]
    if not len(pattern):  # nothing was read through the day: the pattern is the prior's
        sd = np.tile(PROFILE_SD, 2)[:, None]
        pattern = sd * np.asarray(jax.random.normal(k_pattern, (len(sd), G.shape[1])))
    minute = np.arange(G.shape[0]) * CGM_STEP_MIN
    G = G * (1.0 + np.asarray(_pattern(placed(pattern), placed(minute))))
    reading = G * np.exp(noise * np.asarray(_reading_cv(placed(G), DAY_CV)))
    low, middle, high = np.quantile(reading, [0.05, 0.5, 0.95], axis=1)
    clock = (np.arange(G.shape[0]) * CGM_STEP_MIN + DAY_START_MIN) % 1440.0
    order = np.argsort(clock)
    values = {"q05": low, "q50": middle, "q95": high, "mean": G.mean(axis=1)}
    return xr.Dataset(
        {name: ("minute_of_day", v[order], {"units": "mg/dL"}) for name, v in values.items()},
        coords={"minute_of_day": clock[order]},
    )
