"""Meals, insulin, tablets and activity of one day, and the drives they exert on each solver step.

Minutes count from the start of the simulated day. Events are padded: mass 0 means no event. The event axis is
first, the batch follows (ones broadcast). A repeated day carries what earlier, equal days have left behind.
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.physiology import chains
from twin.physiology.parameters import (
    INSULIN_F,
    INSULIN_TAU_MIN,
    METFORMIN_C50,
    METFORMIN_F,
    METFORMIN_K_ABS,
    TAU_EX_MIN,
    TAU_SLOW_MIN,
    MaternalParams,
)

DAY_MIN = 1440.0
GLUCOSE_LAG_MIN = (
    25.0  # of fasting glucose behind insulin action, with the beta cell's answer: docs/model/numerics.md
)


class DayEvents(eqx.Module):
    """One day's inputs. `dose_F` and `dose_tau` come from the formulation (`insulin_kinetics`)."""

    meal_min: Float[Array, "meal *#batch"]
    meal_mg: Float[Array, "meal *#batch"]
    dose_min: Float[Array, "dose *#batch"]
    dose_mU: Float[Array, "dose *#batch"]
    dose_tau: Float[Array, "dose *#batch"]  # median absorption time constant, min
    dose_F: Float[Array, "dose *#batch"]
    tablet_min: Float[Array, "tablet *#batch"]
    tablet_mg: Float[Array, "tablet *#batch"]
    bout_start: Float[Array, "bout *#batch"]
    bout_end: Float[Array, "bout *#batch"]
    bout_intensity: Float[Array, "bout *#batch"]

    @classmethod
    def of(
        cls,
        meals: tuple[tuple[float, float], ...] = (),
        doses: tuple[tuple[float, float, str], ...] = (),
        tablets: tuple[tuple[float, float], ...] = (),
        bouts: tuple[tuple[float, float, float], ...] = (),
        *,
        rank: int = 0,
    ) -> DayEvents:
        """From plain tuples: meals (min, g), doses (min, U, formulation), tablets (min, mg), bouts
        (start, end, intensity; 1 is brisk walking). `rank` ones are appended for the batch."""

        def column(values: list[float]) -> Array:
            return jnp.asarray(values, dtype=float).reshape((len(values),) + (1,) * rank)

        return cls(
            meal_min=column([m[0] for m in meals]),
            meal_mg=column([1000.0 * m[1] for m in meals]),
            dose_min=column([d[0] for d in doses]),
            dose_mU=column([1000.0 * d[1] for d in doses]),
            dose_tau=column([INSULIN_TAU_MIN[d[2]] for d in doses]),
            dose_F=column([INSULIN_F[d[2]] for d in doses]),
            tablet_min=column([t[0] for t in tablets]),
            tablet_mg=column([t[1] for t in tablets]),
            bout_start=column([b[0] for b in bouts]),
            bout_end=column([b[1] for b in bouts]),
            bout_intensity=column([b[2] for b in bouts]),
        )


def side_by_side(parts: list[DayEvents]) -> DayEvents:
    """Days of several kinds along their first batch axis; where one kind has fewer events, empty ones fill up."""

    def fill(x: Array, n: int, value: float) -> Array:
        return jnp.pad(x, ((0, n - x.shape[0]),) + ((0, 0),) * (x.ndim - 1), constant_values=value)

    def join(name: str) -> Array:
        each = [getattr(p, name) for p in parts]
        n = max(x.shape[0] for x in each)
        # a time constant must not be zero; of the rest zero is nothing
        return jnp.concatenate([fill(x, n, 1.0 if name == "dose_tau" else 0.0) for x in each], axis=1)

    return DayEvents(**{name: join(name) for name in DayEvents.__dataclass_fields__})


class Meals(eqx.Module):
    """Meals as rows of a table, one per step in which any is eaten; the last row is empty.

    lead : batch axes over which the times differ, together (A); the rest (R) share them and read whole rows.
    """

    row: Array  # (step, A), row of each step
    table: tuple[Array, ...]  # S1, S2, Q, absorbed at the end of the step, mg, each (row, A, R)
    batch: tuple[int, ...] = eqx.field(static=True)

    def of_step(self, row: Array) -> tuple[Array, ...]:
        """What the meals of one step add, (*batch) each. row : (A,)."""
        lead = jnp.arange(row.shape[0])
        return tuple(x[row, lead].reshape(self.batch) for x in self.table)

    def by_step(self) -> tuple[Array, ...]:
        """The same for every step, (step, *batch) each: a product, whose transpose is one too and no scatter."""
        which = self.row[:, None] == jnp.arange(self.table[0].shape[0])[None, :, None]
        every = (jnp.einsum("nra,raq->naq", which.astype(x.dtype), x) for x in self.table)
        return tuple(x.reshape(-1, *self.batch) for x in every)


class Drives(eqx.Module):
    """What the events do on each step; step axis first. None: no such event in the whole batch."""

    meals: Meals | None
    gut_start: tuple[Array, ...] | None  # S1, S2, Q left by the day before, mg
    u_sc: Array | None  # subcutaneous insulin entering plasma over [n+1/2, n+3/2], mU/min
    E_met: Array | None  # at n+1/2
    E_ex: tuple[Array, Array] | None  # mean over [n, n+1], and at n+1, 1/min
    e_SI: Array | None  # at n+1
    u_sc_start: Array  # these three at the first edge, for the fasting state
    E_met_start: Array
    e_SI_start: Array


def _tau(events: DayEvents, p: MaternalParams) -> Array:
    """Rapid insulin follows the woman's own time constant; the others their medians."""
    rapid = events.dose_tau == INSULIN_TAU_MIN["rapid"]
    return jnp.where(rapid, p.tau_rapid[None], events.dose_tau)


def insulin_absorbed(events: DayEvents, p: MaternalParams, t: Array, repeated: bool) -> Array:
    """Insulin absorbed by minute `t`, mU, up to a constant; only differences mean anything when `repeated`.

    t : (time, *ones). Returns (time, *batch). A repeated day: absorbed = given - remaining over all periods.
    """

    def one(total: Array, dose: tuple[Array, ...]) -> tuple[Array, None]:
        at, mU, tau, fraction = (d[None] for d in dose)
        age = t - at
        if not repeated:
            return total + fraction * mU * chains.two_stage_absorbed(age, tau), None
        periods = jnp.floor(age / DAY_MIN)
        remaining = chains.two_stage_remaining_periodic(age - periods * DAY_MIN, tau, DAY_MIN)
        return total + fraction * mU * (periods - remaining), None

    batch = jnp.broadcast_shapes(events.dose_mU.shape[1:], p.tau_rapid.shape, t.shape[1:])
    start = jnp.zeros((t.shape[0], *batch), dtype=p.tau_rapid.dtype)
    total, _ = jax.lax.scan(one, start, (events.dose_min, events.dose_mU, _tau(events, p), events.dose_F))
    return total


def _per_event(t: Array, events: tuple[Array, ...], level) -> Any:
    """Sum of `level(t, *event)`, one array or several, over events; by scan, so that memory does not grow."""

    def one(event: tuple[Array, ...]) -> Any:
        return level(t, *(x[None] for x in event))

    kinds = jax.eval_shape(one, tuple(e[0] for e in events))
    start = jax.tree.map(lambda kind: jnp.zeros(kind.shape, kind.dtype), kinds)
    total, _ = jax.lax.scan(lambda s, e: (jax.tree.map(jnp.add, s, one(e)), None), start, events)
    return total


def _meals(events: DayEvents, p: MaternalParams, n_steps: int, h: float, *, repeated: bool) -> Meals:
    """Each meal enters at its own minute: what it has become by the end of its step is added there.

    A meal outside the day is the same meal on another day when `repeated`, and is not part of it otherwise.
    """
    batch = jnp.broadcast_shapes(events.meal_mg.shape[1:], p.k_e.shape, p.k_a.shape)
    n_meals, times = events.meal_mg.shape[0], events.meal_min.shape[1:]
    k = jnp.floor(events.meal_min / h)
    s1, s2, q = chains.gut_states(events.meal_mg, (k + 1) * h - events.meal_min, p.k_e[None], p.k_a[None])
    parts = (s1, s2, q, events.meal_mg - s1 - s2 - q)
    step = jnp.mod(k, round(DAY_MIN / h)) if repeated else k
    split = max((i + 1 for i, n in enumerate(times) if n > 1), default=0)
    A = math.prod(batch[:split])
    lead = jnp.broadcast_to(step, (n_meals, *batch[:split], *times[split:])).reshape(n_meals, A).astype(int)
    first = jnp.argmax(lead[:, None] == lead[None], axis=1)  # meals of one step share the first one's row

    def rows(x: Array) -> Array:
        flat = jnp.broadcast_to(x, (n_meals, *batch)).reshape(n_meals, A, -1)
        empty = jnp.zeros((n_meals + 1, *flat.shape[1:]), dtype=flat.dtype)
        return empty.at[first, jnp.arange(A)[None]].add(flat)

    here = lead[None] == jnp.arange(n_steps)[:, None, None]  # (step, meal, A)
    row = jnp.where(here.any(axis=1), jnp.argmax(here, axis=1), n_meals)
    return Meals(row, tuple(rows(x) for x in parts), batch)


def _gut_start(events: DayEvents, p: MaternalParams) -> tuple[Array, ...]:
    """What the day before has left in the gut (S1, S2, Q) at the start of a repeated day, mg."""
    age = DAY_MIN - jnp.mod(events.meal_min, DAY_MIN)
    left = chains.gut_states(events.meal_mg, age, p.k_e[None], p.k_a[None])
    return tuple(x.sum(axis=0) for x in left)


def drives(events: DayEvents, p: MaternalParams, n_steps: int, h: float, *, repeated: bool) -> Drives:
    """Drives of a day of `n_steps` steps of `h` minutes. `repeated`: the same day went before, for ever."""
    rank = p.BW.ndim
    like = p.BW

    def grid(start: float, count: int) -> Array:
        return (jnp.arange(count, dtype=like.dtype) * h + start).reshape((count,) + (1,) * rank)

    meals, gut_start = None, None
    if events.meal_mg.shape[0]:
        meals = _meals(events, p, n_steps, h, repeated=repeated)
        gut_start = _gut_start(events, p) if repeated else None
    zero = jnp.zeros_like(like)
    u_sc, u_start, E_met, E_met_start, E_ex, e_SI, e_SI_start = None, zero, None, zero, None, None, zero + 1.0
    if events.dose_mU.shape[0]:
        halves = grid(h / 2, n_steps + 1)
        if not repeated:  # at rest before: the first interval also carries the first half step
            halves = halves.at[0].set(0.0)
        absorbed = insulin_absorbed(events, p, halves, repeated)
        u_sc = jnp.diff(absorbed, axis=0) / h
        if repeated:
            # what counts at 04:00 is what was absorbed before: insulin acts later by 1/n + 1/p2, glucose by more
            late = (1.0 / p.n + 1.0 / p.p2 + GLUCOSE_LAG_MIN)[None]
            first = insulin_absorbed(events, p, grid(0.0, 2) - late, repeated)
            u_start = (first[1] - first[0]) / h
    if events.tablet_mg.shape[0]:

        def amount(t: Array, at: Array, mg: Array) -> Array:
            age = t - at
            if repeated:
                age = age - jnp.floor(age / DAY_MIN) * DAY_MIN
                return (
                    METFORMIN_F
                    * mg
                    * chains.depot_amount_periodic(age, METFORMIN_K_ABS, p.k_el[None], DAY_MIN)
                )
            return METFORMIN_F * mg * chains.depot_amount(age, METFORMIN_K_ABS, p.k_el[None])

        level = _per_event(grid(-h / 2, n_steps + 1), (events.tablet_min, events.tablet_mg), amount)
        effect = p.E_max[None] * level / (level + METFORMIN_C50)
        E_met, E_met_start = effect[1:], effect[0]
    if events.bout_intensity.shape[0]:
        bouts = (events.bout_start, events.bout_end, events.bout_intensity)

        def response(t: Array, start: Array, end: Array, a: Array) -> tuple[Array, Array]:
            """Integral of the fast level, and slow level: two first-order stages in series are the difference of
            their responses; after the bout each decays, so all earlier equal days are a geometric series."""
            level = chains.bout_level(t, start, end, TAU_EX_MIN)
            inside = jnp.clip(t - start, 0.0, jnp.maximum(end - start, 0.0))

            def stage(tau: float, now: Array) -> Array:
                if repeated:
                    now = now + chains.bout_level(t + DAY_MIN, start, end, tau) / -math.expm1(-DAY_MIN / tau)
                return tau * now

            last = stage(TAU_SLOW_MIN, chains.bout_level(t, start, end, TAU_SLOW_MIN))
            slow = (last - stage(TAU_EX_MIN, level)) / (TAU_SLOW_MIN - TAU_EX_MIN)
            return a * (inside - TAU_EX_MIN * level), a * slow

        integral, slow = _per_event(grid(0.0, n_steps + 2), bouts, response)
        # the level at an edge as the mean over both steps that meet there: smooth in the times of the bout
        around = (integral[2:] - integral[:-2]) / (2.0 * h)
        E_ex = (p.g_ex[None] * jnp.diff(integral[:-1], axis=0) / h, p.g_ex[None] * around)
        gain = 1.0 + p.s_ex[None] * slow[:-1]
        e_SI_start, e_SI = gain[0], gain[1:]
    return Drives(meals, gut_start, u_sc, E_met, E_ex, e_SI, u_start, E_met_start, e_SI_start)
