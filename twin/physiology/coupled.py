"""Minutes and weeks together: one reference day a week gives the exposure, the fetus feeds back its uptake.

The reference day stands for its week at mid-week; slow states advance by the week (MODEL 3.1). The fetus acts
on the mother only through uteroplacental uptake, taken at the mass it reaches by mid-week (docs/model/numerics.md).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twin.physiology.events import DayEvents
from twin.physiology.fetus import (
    FIRST_WEEK,
    GLUCOSE_FROM_WEEK,
    LAST_WEEK,
    FetusState,
    Growth,
    GrowthTable,
    grow,
    growth_table,
    starting_state,
    table_weight,
)
from twin.physiology.parameters import EXPOSURE_POWER, FetalParams, MaternalParams
from twin.physiology.pregnancy import PLACENTA_EXPONENT, TEST_WEEK, PregnancyParams, at_weeks
from twin.physiology.simulate import STEP_MIN, Trajectory, simulate_day
from twin.programs import stored

DAY_START_MIN = 240.0  # the simulated day runs from 04:00 to 04:00, when the gut is empty
REFERENCE_WEIGHT_KG = 70.0
#: the reference woman's day: six meals, 220 g [MODEL 1.2]; clock minutes and grams
REFERENCE_MEALS = ((450.0, 45.0), (600.0, 20.0), (750.0, 55.0), (930.0, 20.0), (1110.0, 60.0), (1260.0, 20.0))


class WeekPlan(NamedTuple):
    """What the mother takes in each glucose week: events (event, week, *ones), weight (week, *ones) kg."""

    events: DayEvents
    weight_kg: Array


class Course(NamedTuple):
    """A pregnancy: the reference days, the exposure of each cell, the growth of the fetus."""

    G: Array  # plasma glucose of the reference days, mg/dL, (week, edge, *batch)
    exposure: Array  # x, (cell, *batch)
    growth: Growth
    ok: Array


def since_day_start(clock_min: float | np.ndarray) -> float | np.ndarray:
    """Clock minutes to minutes since the simulated day began."""
    return np.mod(np.asarray(clock_min) - DAY_START_MIN, 1440.0)


def power_mean(G: Array) -> Array:
    """M_m over the first axis, mg/dL: mean glucose with peaks weighted by the exponent m (last edge left out,
    it is the next day's first)."""
    g2 = G[:-1] ** 2
    powered = g2 * g2 if EXPOSURE_POWER == 4 else G[:-1] ** EXPOSURE_POWER
    return jnp.mean(powered, axis=0) ** (1.0 / EXPOSURE_POWER)


def glucose_weeks() -> np.ndarray:
    """Mid-weeks of the cells in which glucose is followed."""
    return np.arange(GLUCOSE_FROM_WEEK, LAST_WEEK) + 0.5


def reference_days(
    p: MaternalParams,
    g: PregnancyParams,
    plan: WeekPlan,
    weeks: Array,
    fetal_mass: Array,
    table: GrowthTable,
    h: float = STEP_MIN,
) -> tuple[Trajectory, MaternalParams]:
    """Simulate the reference day of each week. fetal_mass : (week, *batch or ones), g."""
    mass_28 = table_weight(table, jnp.asarray(TEST_WEEK)).astype(fetal_mass.dtype)
    weekly = at_weeks(p, g, weeks, fetal_mass / mass_28, plan.weight_kg)
    return simulate_day(weekly, plan.events, h=h), weekly


@stored()
def _reference_exposure(table: GrowthTable) -> Array:
    weeks = jnp.asarray(glucose_weeks(), dtype=float).reshape(-1, 1)
    events = DayEvents.of(meals=tuple((float(since_day_start(t)), g) for t, g in REFERENCE_MEALS), rank=2)
    one = jax.tree.map(lambda x: jnp.asarray(x, dtype=float)[None], MaternalParams.reference())
    preg = jax.tree.map(lambda x: jnp.asarray(x, dtype=float)[None], PregnancyParams.reference())
    plan = WeekPlan(events, jnp.full_like(weeks, REFERENCE_WEIGHT_KG))
    days, _ = reference_days(one, preg, plan, weeks, table_weight(table, weeks), table)
    return power_mean(days.G)[:, 0]


@functools.lru_cache(maxsize=8)
def reference_exposure(standard: str) -> np.ndarray:
    """M_m of the reference woman on her reference day, per glucose week, mg/dL: computed, never typed.

    Call it outside traced functions and hand the result in.
    """
    return np.asarray(_reference_exposure(growth_table(standard)))


def recorded_edges(n_cells: int, dtype: Any, rank: int) -> Array:
    """Cell edges in recorded weeks, (cell + 1, *ones)."""
    return jnp.arange(FIRST_WEEK, FIRST_WEEK + n_cells + 1, dtype=dtype).reshape((-1,) + (1,) * rank)


class Week(NamedTuple):
    """What one week brings, fields (*batch or ones)."""

    params: MaternalParams  # of the week, uteroplacental uptake that of the reference mass at 28 weeks
    events: DayEvents  # (event, *batch or ones)
    edges: Array  # (2, *batch or ones), true weeks
    to_mid: Array  # reference weight at mid-week over that at the first edge
    reference: Array  # exposure of the reference woman, mg/dL
    deviation: Array


def live_week(
    fetus: FetalParams,
    state: FetusState,
    week: Week,
    mass_28: Array,
    table: GrowthTable,
    h: float = STEP_MIN,
) -> tuple[Trajectory, Array, Growth]:
    """One week: the reference day with the fetus's uptake at mid-week, its exposure x, the fetus over the week."""
    mass = (state.L + state.F) * week.to_mid / mass_28
    uptake = week.params.U_fp * mass**PLACENTA_EXPONENT
    days = simulate_day(dataclasses.replace(week.params, U_fp=uptake), week.events, h=h)
    x = jnp.log(power_mean(days.G) / week.reference)
    return days, x, grow(fetus, state, week.edges, x[None], week.deviation[None], table)


def to_mid_week(edges: Array, table: GrowthTable) -> Array:
    """Reference weight in the middle of each cell over that at its first edge. edges : (cell + 1, ...)."""
    return table_weight(table, 0.5 * (edges[1:] + edges[:-1])) / table_weight(table, edges[:-1])


def course(
    p: MaternalParams,
    g: PregnancyParams,
    fetus: FetalParams,
    plan: WeekPlan,
    deviation: Array,
    dating_shift_weeks: Array,
    reference: Array,
    table: GrowthTable,
    h: float = STEP_MIN,
) -> Course:
    """A pregnancy from FIRST_WEEK over as many weekly cells as `deviation` and the plan hold.

    p, g, fetus : (*batch). deviation : xi per cell, (cell, *batch). dating_shift_weeks : (*batch), true minus
    recorded weeks. reference : `reference_exposure` of the glucose weeks. plan : those weeks, the last of the
    cells. Mother's functions run on recorded weeks, the fetus on true ones. h : solver step, minutes.
    """
    rank = deviation.ndim - 1
    dtype = deviation.dtype
    first = GLUCOSE_FROM_WEEK - FIRST_WEEK
    n = deviation.shape[0] - first
    weeks = jnp.asarray(glucose_weeks()[:n], dtype=dtype).reshape((-1,) + (1,) * rank)
    edges = recorded_edges(deviation.shape[0], dtype, rank) + dating_shift_weeks[None]
    start = starting_state(fetus, edges[0], table)
    early = grow(
        fetus, start, edges[: first + 1], jnp.zeros_like(deviation[:first]), deviation[:first], table
    )
    weekly = at_weeks(p, g, weeks, jnp.ones_like(weeks), plan.weight_kg)
    later = edges[first:]
    ahead = Week(
        params=jax.tree.map(lambda v: jnp.broadcast_to(v, (n, *v.shape[1:])), weekly),
        events=jax.tree.map(
            lambda e: jnp.moveaxis(jnp.broadcast_to(e, (e.shape[0], n, *e.shape[2:])), 1, 0), plan.events
        ),
        edges=jnp.stack([later[:-1], later[1:]], axis=1),
        to_mid=to_mid_week(later, table),
        reference=reference[:n].astype(dtype).reshape((-1,) + (1,) * rank),
        deviation=deviation[first:],
    )
    mass_28 = table_weight(table, jnp.asarray(TEST_WEEK)).astype(dtype)

    def advance(state: FetusState, week: Week) -> tuple[FetusState, tuple]:
        days, x, grew = live_week(fetus, state, week, mass_28, table, h)
        end = FetusState(*(s[1] for s in grew.edges))
        return end, (days.G, days.ok, x, end, grew.lean_factor[0], grew.fat_factor[0])

    _, (G, ok, x, ends, lean, fat) = jax.lax.scan(advance, FetusState(*(s[-1] for s in early.edges)), ahead)
    growth = Growth(
        FetusState(*(jnp.concatenate(pair) for pair in zip(early.edges, ends, strict=True))),
        jnp.concatenate([early.lean_factor, lean]),
        jnp.concatenate([early.fat_factor, fat]),
    )
    return Course(G, jnp.concatenate([jnp.zeros_like(deviation[:first]), x]), growth, ok.all(axis=0))
