"""The ensemble: posterior draws carried to birth under each scenario, (scenario, draw) on the trailing axes.

Weeks are stepped one at a time because a titrated dose depends on last week's glucose. Draws, growth noise,
birth noise and delivery noise are shared by all scenarios, so differences between them are sharp.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twin.encode import WomanData
from twin.forecast.plan import TITRATION_DOWN, TITRATION_LOW_MG_DL, TITRATION_UP
from twin.inference.model import Past, glucose_summary
from twin.inference.priors import Prior, deviations, n_deviations, unpack
from twin.physiology.coupled import Week, live_week, recorded_edges, to_mid_week
from twin.physiology.events import DayEvents
from twin.physiology.fetus import (
    FIRST_WEEK,
    GLUCOSE_FROM_WEEK,
    FetusState,
    Growth,
    latent_ln_biometry,
    masses_at,
    table_weight,
)
from twin.physiology.parameters import FetalParams, MaternalParams
from twin.physiology.pregnancy import (
    TEST_WEEK,
    PregnancyParams,
    at_weeks,
    beta_cell_ratio,
    sensitivity_ratio,
)
from twin.physiology.simulate import COARSE_STEP_MIN
from twin.programs import stored

FIRST_DAY, LAST_DAY = 140, 308  # days written to forecast.nc
END_WEEK = 45
BIRTH_RESIDUAL_SD = (
    0.06  # size to weight at birth: Sydney, 523 births (MODEL 2.3 has 2 % of weighing error only)
)
FASTING_MIN = 150.0  # 06:30, minutes since 04:00
AFTER_DOSE_MIN = 75.0  # about an hour after the meal a rapid dose belongs to


class Ensemble(NamedTuple):
    """Arrays of the forecast, float32. Days FIRST_DAY..LAST_DAY; (scenario, draw, day) unless said."""

    lean_g: Array
    fat_g: Array
    ln_measures: Array  # (scenario, draw, measure, day)
    mean_glucose: Array
    time_in_range: Array
    hours_low: Array
    insulin_sensitivity: Array  # (draw, day)
    beta_cell: Array  # (draw, day)
    daily_insulin_U: Array  # (scenario, draw, day)


def future_edges(as_of_week: float) -> np.ndarray:
    """Edges from now to END_WEEK in recorded weeks, padded by empty cells to a bucket of four."""
    weeks = np.arange(math.floor(as_of_week) + 1, END_WEEK + 1, dtype=float)
    edges = np.concatenate([[as_of_week], weeks])
    size = 4 * math.ceil((len(edges) - 1) / 4)
    return np.concatenate([edges, np.full(size + 1 - len(edges), float(END_WEEK))])


def _titrate(
    factor: Array, events: DayEvents, G: Array, titrated: Array, targets: tuple[float, float]
) -> Array:
    """Next week's dose factors: basal by the fasting value, rapid and regular by the value after their meal."""
    fasting = G[round(FASTING_MIN / COARSE_STEP_MIN)]
    at = jnp.clip((events.dose_min + AFTER_DOSE_MIN) / COARSE_STEP_MIN, 0, G.shape[0] - 1).astype(int)
    at = jnp.broadcast_to(at, factor.shape)
    after = jnp.take_along_axis(G, at, axis=0)
    prandial = events.dose_tau < 120.0
    value = jnp.where(prandial, after, fasting[None])
    target = jnp.where(prandial, targets[1], targets[0])
    change = jnp.where(
        value > target, TITRATION_UP, jnp.where(value < TITRATION_LOW_MG_DL, TITRATION_DOWN, 1.0)
    )
    return jnp.where(titrated[None], jnp.clip(factor * change, 0.2, 12.0), factor)


class Future(NamedTuple):
    """What the scenarios share and where they differ, ready for the ensemble."""

    events: DayEvents  # (event, scenario, 1)
    titrated: Array  # (scenario, 1), bool
    edges: Array  # (cell + 1,), recorded weeks from now on
    weight_kg: Array  # (cell,)
    reference: Array  # (cell,), exposure of the reference woman, mg/dL


def _continue(
    latents_now: FetusState,
    p: MaternalParams,
    g: PregnancyParams,
    fetus: FetalParams,
    xi: Array,
    shift: Array,
    future: Future,
    data: WomanData,
    targets: tuple[float, float],
) -> tuple[Growth, dict[str, Array]]:
    """Step the weeks from now on. Parameters (1, draw); returns cell-first arrays (cell, scenario, draw)."""
    n = future.weight_kg.shape[0]
    edges = future.edges[:, None, None] + shift[None]  # true weeks
    recorded_mid = 0.5 * (future.edges[1:] + future.edges[:-1])[:, None, None]
    ones = jnp.ones_like(recorded_mid)
    weekly = at_weeks(p, g, recorded_mid, ones, future.weight_kg[:, None, None])
    weekly = jax.tree.map(lambda v: jnp.broadcast_to(v, (n, *v.shape[1:])), weekly)
    mass_28 = table_weight(data.table, jnp.asarray(TEST_WEEK)).astype(ones.dtype)
    batch = (future.titrated.shape[0], shift.shape[1])

    def week(
        carry: tuple[FetusState, Array], cell: tuple
    ) -> tuple[tuple[FetusState, Array], dict[str, Array]]:
        state, factor = carry
        events = dataclasses.replace(future.events, dose_mU=future.events.dose_mU * factor)
        params, pair, to_mid, reference, deviation = cell
        days, _, grew = live_week(
            fetus,
            state,
            Week(params, events, pair, to_mid, reference, deviation),
            mass_28,
            data.table,
            COARSE_STEP_MIN,
        )
        out = {
            "lean": grew.lean_factor[0],
            "fat": grew.fat_factor[0],
            "L": grew.edges.L[1],
            "F": grew.edges.F[1],
            "J": grew.edges.J[1],
            "glucose": glucose_summary(days.G),
            "insulin": jnp.sum(events.dose_mU, axis=0) / 1000.0 * jnp.ones(batch, dtype=days.G.dtype),
        }
        end = FetusState(*(s[1] for s in grew.edges))
        return (end, _titrate(factor, events, days.G, future.titrated, targets)), out

    start = FetusState(*(jnp.broadcast_to(s, batch) for s in latents_now))
    factor = jnp.ones((future.events.dose_mU.shape[0], *batch), dtype=shift.dtype)
    pairs = jnp.stack([edges[:-1], edges[1:]], axis=1)
    cells = (weekly, pairs, to_mid_week(edges, data.table), future.reference, xi)
    _, out = jax.lax.scan(week, (start, factor), cells, length=n)

    def with_start(first: Array, rest: Array) -> Array:
        return jnp.concatenate([first[None], rest])

    states = FetusState(*(with_start(getattr(start, k), out[k]) for k in ("L", "F", "J")))
    return Growth(states, out["lean"], out["fat"]), out


@stored("prior", "targets")
def run_ensemble(
    prior: Prior,
    data: WomanData,
    z: Array,
    past: Past,
    fresh: Array,
    future: Future,
    targets: tuple[float, float],
) -> Ensemble:
    """Carry draws to END_WEEK under each scenario.

    z : posterior draws, (latent, draw). past : of the same draws. fresh : noise of growth still to come, (xi beyond the
    data, draw). targets : fasting and 1-h target, mg/dL, of the titration.
    """
    as_of_week = future.edges[0]
    here = jnp.floor(as_of_week).astype(int) - FIRST_WEEK  # cell that holds now
    z = z[:, None, :]  # (latent, 1, draw): the scenario axis comes before the draw
    latents = unpack(prior, data, z)
    start, n_xi = len(prior.latents), n_deviations(data)
    all_xi = jnp.concatenate([z[start : start + n_xi], fresh[:, None, :]])
    xi = deviations(prior, all_xi, 2 * all_xi.shape[0])
    shift = latents.dating_shift_weeks
    past = jax.tree.map(lambda x: x[..., None, :], past)
    past_edges = recorded_edges(data.n_cells, shift.dtype, 2) + shift[None]
    now = as_of_week + shift[None]
    L, F = masses_at(latents.fetus, past.growth, past_edges, here[None], now, data.table)
    lived = as_of_week - (FIRST_WEEK + here)
    x_here = past.exposure[here]
    J = x_here + (past.growth.edges.J[here] - x_here) * jnp.exp(-lived / latents.fetus.tau_I)
    cells = jnp.clip(jnp.floor(future.edges[:-1]).astype(int) - FIRST_WEEK, 0, xi.shape[0] - 1)
    slots = jnp.arange(future.events.meal_mg.shape[0])
    meal_factor = latents.meal_factor[jnp.minimum(slots, latents.meal_factor.shape[0] - 1)]
    events = dataclasses.replace(future.events, meal_mg=future.events.meal_mg * meal_factor)
    growth, out = _continue(
        FetusState(L[0], F[0], J),
        latents.maternal,
        latents.pregnancy,
        latents.fetus,
        xi[cells],
        shift,
        future._replace(events=events),
        data,
        targets,
    )

    days = jnp.arange(FIRST_DAY, LAST_DAY + 1)
    week = (days / 7.0).astype(shift.dtype)
    past_cell = jnp.clip(jnp.floor(week).astype(int) - FIRST_WEEK, 0, data.n_cells - 1)
    next_cell = jnp.clip(
        jnp.searchsorted(future.edges, week, side="right") - 1, 0, future.weight_kg.shape[0] - 1
    )
    is_past = (week < as_of_week)[:, None, None]
    true_week = week[:, None, None] + shift[None]
    future_edges_true = future.edges[:, None, None] + shift[None]
    before = masses_at(latents.fetus, past.growth, past_edges, past_cell, true_week, data.table)
    after = masses_at(latents.fetus, growth, future_edges_true, next_cell, true_week, data.table)
    lean, fat = (jnp.where(is_past, b, a) for b, a in zip(before, after, strict=True))
    measures = latent_ln_biometry(lean, fat, true_week, latents.fetus.q_scale[None], data.table)

    glucose_cell = jnp.clip(jnp.floor(week).astype(int) - GLUCOSE_FROM_WEEK, 0, past.glucose.shape[1] - 1)
    new = jnp.moveaxis(out["glucose"], 1, 0)
    series = [
        jnp.where(is_past, a[glucose_cell], b[next_cell]) for a, b in zip(past.glucose, new, strict=True)
    ]
    now_insulin = jnp.sum(future.events.dose_mU, axis=0)[None] / 1000.0
    insulin = jnp.where(is_past, now_insulin, out["insulin"][next_cell])
    g = jax.tree.map(lambda v: v[None], latents.pregnancy)
    test = jnp.full((1, 1, 1), TEST_WEEK, dtype=shift.dtype)
    w = week[:, None, None]
    S_I = latents.maternal.S_I[None] * sensitivity_ratio(g, w) / sensitivity_ratio(g, test)
    b = beta_cell_ratio(g, jnp.concatenate([w, test]))
    B = latents.maternal.B[None] * b[:-1] / b[-1:]

    def days_last(x: Array) -> Array:
        return jnp.moveaxis(x, 0, -1)

    mean, inside, low = (days_last(v) for v in series)
    return Ensemble(
        lean_g=days_last(lean),
        fat_g=days_last(fat),
        ln_measures=jnp.moveaxis(measures, (0, 1), (2, 3)),
        mean_glucose=mean,
        time_in_range=inside,
        hours_low=low,
        insulin_sensitivity=days_last(S_I)[0],
        beta_cell=days_last(B)[0],
        daily_insulin_U=days_last(insulin),
    )
