"""The staggered step as a diffrax solver: one interface with reference and adaptive solvers.

Apart from the hot path, so that a forecast need not load diffrax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twin.physiology.events import DayEvents, Meals, drives
from twin.physiology.maternal import (
    MaternalState,
    StepCoefficients,
    StepDrive,
    slice_drives,
    step,
    vector_field,
)
from twin.physiology.parameters import MaternalParams
from twin.physiology.simulate import DAY_STEPS, STEP_MIN, starting_state, with_meals


class Staggered(diffrax.AbstractSolver):
    """The staggered semi-implicit step as a diffrax solver of fixed step `h` minutes.

    args = (MaternalParams, StepCoefficients, Meals or None, scanned drives); the drive of a step is found from its
    start time.
    """

    h: float
    term_structure: ClassVar[Any] = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable] = diffrax.LocalLinearInterpolation

    def order(self, terms: Any) -> int:
        return 2

    def init(self, terms, t0, t1, y0, args):
        return None

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        p, c, meals, scanned = args
        y1 = step(p, c, y0, _drive_at(scanned, meals, t0, self.h))
        return y1, None, {"y0": y0, "y1": y1}, None, diffrax.RESULTS.successful

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)


def _drive_at(scanned: StepDrive, meals: Meals | None, t_min: Array, h: float) -> StepDrive:
    """The drive of the step that starts at `t_min`."""
    k = jnp.round(t_min / h).astype(int)
    return with_meals(jax.tree.map(lambda a: a[k] if isinstance(a, jax.Array) else a, scanned), meals)


def _field(t_min: Array, y: MaternalState, args: Any) -> MaternalState:
    p, c, meals, scanned = args
    return vector_field(t_min, y, (p, _drive_at(scanned, meals, t_min, c.h)))


def diffrax_day(
    p: MaternalParams, events: DayEvents, *, n_steps: int = DAY_STEPS, h: float = STEP_MIN
) -> Array:
    """The same day through `diffrax.diffeqsolve` with the `Staggered` solver: glucose at the edges, mg/dL."""
    d = drives(events, p, n_steps, h, repeated=True)
    y0 = starting_state(p, d)
    batch = jnp.broadcast_shapes(
        *(x.shape for x in jax.tree.leaves(p)), *(e.shape[1:] for e in jax.tree.leaves(events))
    )
    y0 = jax.tree.map(lambda x: jnp.broadcast_to(x, batch), y0)
    edges = jnp.asarray(np.arange(n_steps + 1) * h)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_field),  # type: ignore[arg-type]
        Staggered(h),
        t0=0.0,
        t1=n_steps * h,
        dt0=None,
        y0=y0,
        args=(p, StepCoefficients.of(p, h), d.meals, slice_drives(d)),
        stepsize_controller=diffrax.StepTo(edges),
        saveat=diffrax.SaveAt(ts=edges),
        max_steps=n_steps + 1,
        throw=False,
    )
    assert solution.ys is not None
    return solution.ys.G
