"""Her glucose over the coming hours, as a sensor would show it, given what she eats and what was read so far.

The day is simulated at posterior draws. Beside the model's glucose a reading holds three things its error model
knows: how much a single meal does, the residual with its memory, and the sensor's own gain and offset. Meals enter
linearly, so readings of the same day inform all of them together in closed form, draw by draw; draws are weighted by
how well they told the readings so far.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from twin.encode import RECORDED_MEAL_CV, USUAL_MEAL_CV, DailyPattern, events_of
from twin.errors import UnusableInput
from twin.inference.calibrate import Posterior
from twin.inference.laplace import normalised, resample
from twin.inference.model import CGM_FLOOR_MG_DL
from twin.inference.priors import PROFILE_SD, Latents, day_pattern, meal_amounts
from twin.inference.psis import effective_sample_size
from twin.observation.residual import (
    CGM_STEP_MIN,
    at_memory,
    correlation,
    given_days_before,
    residuals,
)
from twin.physiology.coupled import DAY_START_MIN
from twin.physiology.events import DayEvents
from twin.physiology.fetus import GrowthTable, table_weight
from twin.physiology.pregnancy import TEST_WEEK, at_weeks
from twin.physiology.simulate import COARSE_STEP_MIN, simulate_day
from twin.programs import stored

TIMES = int(1440 / CGM_STEP_MIN)
ESS_KEPT = (
    60.0  # draws that must still count after the readings of the day; below it their weight is flattened
)
#: SD of what a new day brings (meals' effects and residual), over that of the days fitted: no two days are alike, and
#: the model takes them to be. Without it 90 % intervals held 84 to 91 % on BIG IDEAs and Shanghai, with it 87 to 92 %
NEW_DAY_SD = 1.12
DAYS_BACK = 7  # days whose residuals are carried on; earlier ones say next to nothing of the level of the day


@stored()
def _day(
    latents: Latents,
    profile: Array,
    events: DayEvents,
    meal_cv: Array,
    amount: Array,
    week: Array,
    weight_kg: Array,
    table: GrowthTable,
) -> tuple[Array, Array]:
    """ln of the sensor's level, (time, draw), and its slope in each meal's standard normal, (meal, time, draw).

    latents : fields (draw,). events : (event, 1, 1). amount : factor of each meal, (meal, draw).
    """
    n_meals = events.meal_mg.shape[0]
    # one lane for the day as planned, two for each meal: an SD less and an SD more
    z = jnp.concatenate([jnp.zeros((1, n_meals)), -jnp.eye(n_meals), jnp.eye(n_meals)]).astype(amount.dtype)
    factor = meal_amounts(z, meal_cv).T[:, :, None] * amount[:, None]
    events = dataclasses.replace(events, meal_mg=events.meal_mg * factor)
    # her fetus at its own size; how it grew of late moves her uptake by less than a percent
    mass = latents.fetus.theta * table_weight(table, week) / table_weight(table, jnp.asarray(TEST_WEEK))
    weekly = at_weeks(
        latents.maternal, latents.pregnancy, week[None, None], mass[None], weight_kg[None, None]
    )
    run = simulate_day(weekly, events, h=COARSE_STEP_MIN)
    level = run.IG[: -1 : int(CGM_STEP_MIN / COARSE_STEP_MIN)]  # (time, lane, draw)
    pattern = day_pattern(profile, jnp.arange(TIMES) * CGM_STEP_MIN)[:, None]
    level = latents.sensor_gain[None, None] * level * (1.0 + pattern) + latents.sensor_offset[None, None]
    ln = jnp.log(jnp.maximum(level, CGM_FLOOR_MG_DL))
    slope = 0.5 * (ln[:, 1 + n_meals :] - ln[:, 1 : 1 + n_meals])
    return ln[:, 0], jnp.moveaxis(slope, 1, 0)


@jax.jit
def _given(
    key: Array, ln_level: Array, slope: Array, cv: Array, R: Array, value: Array, known: Array
) -> tuple[Array, Array]:
    """Paths of ln sensor glucose given the known readings, (draw, time), and each draw's ln likelihood of those.

    ln_level : (draw, time); slope : (draw, meal, time); cv : (draw,); R : (time, time), covariance of the residual;
    value, known : (time,).
    """
    root = jnp.linalg.cholesky(R + 1e-9 * jnp.eye(R.shape[0]))
    k_meal, k_rest = jax.random.split(key)
    meals = jax.random.normal(k_meal, slope.shape[:2], ln_level.dtype)
    rest = jax.random.normal(k_rest, ln_level.shape, ln_level.dtype)

    def one(mean: Array, J: Array, c: Array, a: Array, e: Array) -> tuple[Array, Array]:
        path = mean + a @ J + c * (root @ e)
        C = c**2 * R + J.T @ J
        both = known[:, None] & known[None]
        S = jnp.where(both, C, 0.0) + jnp.diag(jnp.where(known, 1e-8, 1.0))
        chol = jax.scipy.linalg.cho_factor(S, lower=True)
        # a path of the prior moved onto the readings (Matheron's rule)
        path = path + C @ jnp.where(
            known, jax.scipy.linalg.cho_solve(chol, jnp.where(known, value - path, 0.0)), 0.0
        )
        off = jnp.where(known, value - mean, 0.0)
        told = -0.5 * off @ jax.scipy.linalg.cho_solve(chol, off)
        return path, told - jnp.sum(jnp.where(known, jnp.log(jnp.diag(chol[0])), 0.0))

    return jax.vmap(one)(ln_level, slope, cv, meals, rest)


def _carried(
    innovation: np.ndarray, every: np.ndarray, gain: np.ndarray, memory: np.ndarray, before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (time, draw) and correlation (time, time) of the day's residual, in units of its SD, given earlier days.

    innovation : (day, time, draw), of the same unit; every : (day, time), readings; gain : `residual.gains`; memory :
    (draw,), t_a, min; before : (day,), days before the one forecast. The draws' geometric mean of t_a serves all.
    """
    driven_min = float(np.exp(np.mean(np.log(memory))))
    mask = every & ((before >= 1) & (before <= DAYS_BACK))[:, None]  # the day itself is not its own past
    if not mask.any():
        same_day = CGM_STEP_MIN * np.subtract.outer(np.arange(TIMES), np.arange(TIMES))
        return np.zeros((TIMES, innovation.shape[2])), correlation(same_day, driven_min)
    t_a = jnp.asarray(memory)
    residual = np.asarray(residuals(innovation, every[..., None], at_memory(jnp.asarray(gain), t_a), t_a))
    return given_days_before(residual, mask, before, driven_min)


def _innovations(posterior: Posterior, chosen: np.ndarray) -> np.ndarray:
    """What the readings of her sensor days were, given those before them: (day, time, draw), in SDs of the residual."""
    cgm = posterior.data.cgm
    if not cgm.value.shape[0]:
        return np.zeros((0, TIMES, len(chosen)))
    loc = np.asarray(posterior.evaluation.loc["cgm"], dtype=float)[:, chosen].reshape(*cgm.value.shape, -1)
    cv = np.asarray(posterior.latents.cgm_cv, dtype=float)[chosen]
    return np.asarray((np.log(np.asarray(cgm.value))[:, :, None] - loc) / cv)


def _flattened(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights of the draws, raised to the largest power at which ESS_KEPT of them still count, and that power."""
    power, least = 1.0, min(ESS_KEPT, 0.5 * len(log_weights))
    while effective_sample_size(weights := normalised(power * log_weights)) < least:
        power *= 0.7
    return weights, power


def sensor_day(
    key: jax.Array,
    posterior: Posterior,
    pattern: DailyPattern,
    *,
    week: float,
    weight_kg: float,
    readings: np.ndarray | None = None,
    draws: int = 500,
) -> xr.Dataset:
    """Sensor glucose of one day from 04:00 to 04:00, given what is eaten and injected, and readings so far.

    pattern : the day's meals, doses, tablets and bouts. week : gestational week of the day, at its middle: the
    days before are told by it. readings : (96,) mg/dL
    every 15 min from 04:00, NaN where unknown.
    Returns : `sensor_glucose_mg_dl` (draw, minute_of_day), a reading at each time, readings so far as they were;
    `level_mg_dl`, what the sensor would show without residual and meal-to-meal variation. Draws have equal weight. The
    attribute `likelihood_power` is below 1 where the readings were given less than their weight (`_flattened`).
    Raises : UnusableInput for readings that are not 96 positive values or NaN.
    """
    value = np.full(TIMES, np.nan) if readings is None else np.asarray(readings, dtype=float)
    known = ~np.isnan(value)
    if value.shape != (TIMES,) or not ((value[known] > 0) & (value[known] < np.inf)).all():
        raise UnusableInput(
            "bad-readings",
            f"readings of shape {value.shape}; expected {TIMES} values every {CGM_STEP_MIN:g} min from 04:00, mg/dL, "
            "NaN where there is none. Nothing was forecast.",
        )
    k_pick, k_profile, k_path, k_again = jax.random.split(key, 4)
    chosen = posterior.pick(k_pick, draws)
    latents = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[..., chosen], jnp.float32), posterior.latents)
    profile = latents.profile
    if not profile.shape[0]:  # fitted without meter and sensor: the day's own pattern is the prior's
        sd = jnp.asarray(np.tile(PROFILE_SD, 2), jnp.float32)[:, None]
        profile = sd * jax.random.normal(k_profile, (sd.shape[0], draws), jnp.float32)
    events = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32)[..., None], events_of([pattern]))
    slot = np.minimum(np.arange(events.meal_mg.shape[0]), latents.meal_factor.shape[0] - 1)
    recorded = pattern.meals_recorded
    amount = jnp.broadcast_to(latents.portion, (len(slot), draws)) if recorded else latents.meal_factor[slot]
    ln_level, slope = _day(
        latents,
        profile,
        events,
        jnp.asarray(RECORDED_MEAL_CV if recorded else USUAL_MEAL_CV, jnp.float32),
        amount,
        jnp.asarray(week, jnp.float32),
        jnp.asarray(weight_kg, jnp.float32),
        jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), posterior.data.table),
    )
    level = np.asarray(ln_level, dtype=float).T
    cv = np.asarray(latents.cgm_cv, dtype=float)
    cgm = posterior.data.cgm
    carried, R = _carried(
        _innovations(posterior, chosen),
        np.asarray(cgm.mask),
        np.asarray(cgm.gain),
        np.asarray(latents.sensor_memory, dtype=float),
        np.round(7.0 * (week - np.asarray(cgm.week))),
    )
    path, told = _given(
        k_path,
        jnp.asarray(level + (carried * cv).T),
        jnp.asarray(NEW_DAY_SD * np.moveaxis(np.asarray(slope, dtype=float), 2, 0)),
        jnp.asarray(NEW_DAY_SD * cv),
        jnp.asarray(R),
        jnp.asarray(np.log(np.where(known, value, 100.0))),
        jnp.asarray(known),
    )
    kept, power = np.arange(draws), 1.0
    if known.any():
        weights, power = _flattened(np.asarray(told))
        kept = resample(k_again, weights, draws)
    glucose = np.where(known[None], value[None], np.exp(np.asarray(path)))[kept]
    clock = (np.arange(TIMES) * CGM_STEP_MIN + DAY_START_MIN) % 1440.0
    dims = ("draw", "minute_of_day")
    return xr.Dataset(
        {
            "sensor_glucose_mg_dl": (
                dims,
                glucose,
                {"units": "mg/dL", "long_name": "sensor glucose, a reading"},
            ),
            "level_mg_dl": (
                dims,
                np.exp(level)[kept],
                {"units": "mg/dL", "long_name": "sensor glucose, expected"},
            ),
        },
        coords={"draw": np.arange(draws), "minute_of_day": clock},
        attrs={"posterior_id": posterior.id, "week": week, "likelihood_power": power},
    )
