"""The only place that steps the equations: the scan of the hot path. `diffrax_day` has the same step as a solver."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from twin.physiology.adjoint import scan_states
from twin.physiology.events import DayEvents, Drives, Meals, drives
from twin.physiology.maternal import (
    MaternalState,
    StepCoefficients,
    StepDrive,
    Trajectory,
    fasting_state,
    slice_drives,
    step,
)
from twin.physiology.parameters import MaternalParams

STEP_MIN = 3.0  # to fit readings; error against the exact solution: docs/model/numerics.md
COARSE_STEP_MIN = 5.0  # ensembles, and the search for a mode
DAY_STEPS = round(1440.0 / STEP_MIN)


def with_meals(d: StepDrive, meals: Meals | None) -> StepDrive:
    """The drive of a step, the row of its meals replaced by what they add."""
    return d if meals is None or d.gut is None else d._replace(gut=meals.of_step(d.gut[0]))


def _split(scanned: StepDrive) -> tuple[list[Array], Callable[[list[Array]], StepDrive]]:
    """Arrays to scan over, and how to put one step's slice back among the constants."""
    leaves, tree = jax.tree.flatten(scanned)
    moving = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]
    constant = [None if i in moving else leaf for i, leaf in enumerate(leaves)]

    def join(parts: list[Array]) -> StepDrive:
        full = list(constant)
        for i, part in zip(moving, parts, strict=True):
            full[i] = part
        return jax.tree.unflatten(tree, full)

    return [leaves[i] for i in moving], join


def starting_state(p: MaternalParams, d: Drives) -> MaternalState:
    """Fasting under what tablets, basal insulin and activity still do, the gut as the day before left it."""
    y0 = fasting_state(dataclasses.replace(p, S_I=p.S_I * d.e_SI_start), d.E_met_start, d.u_sc_start)
    if d.gut_start is None:
        return y0
    S1, S2, Q = d.gut_start
    return y0._replace(S1=S1, S2=S2, Q=Q)


def simulate_day(
    p: MaternalParams,
    events: DayEvents,
    *,
    n_steps: int | None = None,
    h: float = STEP_MIN,
    repeated: bool = True,
    start: MaternalState | None = None,
    adjoint: bool = False,
) -> Trajectory:
    """Glucose over `n_steps` steps (None: a day) of `h` minutes from the fasting state (or `start`).

    p : fields (*batch); events : fields (event, *batch); ones broadcast, ranks equal.
    repeated : the same day went before for ever, so tablets, basal insulin and activity linger.
    adjoint : made for reverse mode (`adjoint.scan_states`), and then without forward mode.
    Returns : Trajectory, edges first; values made finite where `ok` is false.
    """
    n_steps = round(1440.0 / h) if n_steps is None else n_steps
    d = drives(events, p, n_steps, h, repeated=repeated)
    c = StepCoefficients.of(p, h)
    y0 = starting_state(p, d) if start is None else start
    batch = jnp.broadcast_shapes(
        *(x.shape for x in jax.tree.leaves(p)), *(e.shape[1:] for e in jax.tree.leaves(events))
    )
    y0 = jax.tree.map(lambda x: jnp.broadcast_to(x, batch), y0)
    if adjoint:
        states = _states(p, c, y0, d, n_steps)
        end = jax.tree.map(lambda y: y[-1], states)
        return _trajectory(y0, states.G, states.IG, end)
    xs, join = _split(slice_drives(d))

    def advance(y: MaternalState, parts: list[Array]) -> tuple[MaternalState, tuple[Array, Array]]:
        y = step(p, c, y, with_meals(join(parts), d.meals))
        return y, (y.G, y.IG)

    end, (G, IG) = jax.lax.scan(advance, y0, xs, length=n_steps)
    return _trajectory(y0, G, IG, end)


def _states(
    p: MaternalParams, c: StepCoefficients, y0: MaternalState, d: Drives, n_steps: int
) -> MaternalState:
    """States after each step, by a scan made for reverse mode: every drive is an array of its own."""
    drive = slice_drives(d)
    if d.meals is not None:
        drive = drive._replace(gut=d.meals.by_step())
    xs, join = _split(drive)
    xs = [jnp.broadcast_to(x, (n_steps, *y0.G.shape)) for x in xs]

    def advance(
        theta: tuple[MaternalParams, StepCoefficients], y: MaternalState, parts: list[Array]
    ) -> MaternalState:
        return step(*theta, y, join(parts))

    return scan_states(advance, (p, c), y0, xs)


def _trajectory(y0: MaternalState, G: Array, IG: Array, end: MaternalState) -> Trajectory:
    G = jnp.concatenate([y0.G[None], G])
    IG = jnp.concatenate([y0.IG[None], IG])
    ok = jnp.isfinite(G).all(axis=0)
    return Trajectory(jnp.where(ok[None], G, 1.0), jnp.where(ok[None], IG, 1.0), end, ok)


def glucose_at(trajectory: Array, t_min: Array, h: float = STEP_MIN) -> Array:
    """Linear interpolation of (edge, *batch) values at `t_min`, (reading,), for every batch member.

    Returns (reading, *batch).
    """
    at = jnp.clip(t_min / h, 0.0, trajectory.shape[0] - 1.0)
    low = jnp.minimum(jnp.floor(at).astype(int), trajectory.shape[0] - 2)
    weight = (at - low).reshape(at.shape + (1,) * (trajectory.ndim - 1))
    return trajectory[low] * (1.0 - weight) + trajectory[low + 1] * weight
