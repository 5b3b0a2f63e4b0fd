"""Fetal growth: lean and fat mass on the scale of weeks, driven by maternal glucose through fetal insulin.

Equations of docs/model/fetal_growth.md (evidence MODEL 2.1). At the reference exposure with no deviation the
fetus is exactly theta times the chosen standard. Weeks are true weeks: recorded weeks plus the dating error.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twin.growth_standards import biometry_median, efw_g, reference_weight_g
from twin.physiology.parameters import FetalParams
from twin.programs import placed, stored

FIRST_WEEK = 14  # fetal integration starts here, at theta times the standard
LAST_WEEK = 45
GLUCOSE_FROM_WEEK = (
    20  # exposure is followed from here; its effect opens around 24 weeks [D-BIB-01, D-BIB-02]
)
MEASURES = ("hc_mm", "ac_mm", "fl_mm", "bpd_mm")
#: growth of each measure with lean mass, ln per ln [MODEL 2.3]
SHAPE = {"hc_mm": 0.24, "ac_mm": 0.37, "fl_mm": 0.28, "bpd_mm": 0.26}
AC_ELASTICITY = 1.59  # d ln EFW / d ln AC of Hadlock 3 [C-EFW-08]
_TABLE_FIRST_DAY, _TABLE_LAST_DAY = 77, 315


class GrowthTable(eqx.Module):
    """One growth standard by the day: ln weight, and ln of each measure of a fetus of that weight.

    Biometry is INTERGROWTH-21st rescaled so that its Hadlock weight is the standard's weight [MODEL 2.3]. Read by
    linear interpolation in ln (error below 2e-5), so one compiled program serves every standard.
    """

    ln_weight: Float[Array, " day"]
    ln_measure: Float[Array, "measure day"]


@functools.lru_cache(maxsize=16)
def growth_table(standard: str) -> GrowthTable:
    """The table of a standard. Raises : UnknownStandard, listing the names available."""
    weight, measures = _growth_table(table_days(), standard)
    return GrowthTable(placed(np.asarray(weight)), placed(np.asarray(measures)))


@stored("standard")
def _growth_table(day: Array, standard: str) -> tuple[Array, Array]:
    weight = jnp.log(reference_weight_g(day, standard=standard))
    at = jnp.clip(day, 98.0, 280.0)  # the published range of the biometry, continued by its edge value
    mu = {q: biometry_median(q, at, standard="intergrowth21") for q in MEASURES}

    def closer(_: int, shift: Array) -> Array:
        scaled = {q: mu[q] * jnp.exp(SHAPE[q] * shift) for q in ("hc_mm", "ac_mm", "fl_mm")}
        return shift + weight - jnp.log(efw_g("hadlock3", **scaled))

    # simple iteration; the map's slope is near 1 at 32 weeks, 0.6 at 15
    shift = jax.lax.fori_loop(0, 20, closer, jnp.zeros_like(weight))
    return weight, jnp.stack([jnp.log(mu[q]) + SHAPE[q] * shift for q in MEASURES])


def table_days() -> np.ndarray:
    """Gestational days of the table's columns."""
    return np.arange(_TABLE_FIRST_DAY, _TABLE_LAST_DAY + 1, dtype=float)


def _read(column: Array, week: Array) -> Array:
    """Interpolate a table column at true weeks (any shape)."""
    at = jnp.clip(
        7.0 * week - _TABLE_FIRST_DAY, 0.0, _TABLE_LAST_DAY - _TABLE_FIRST_DAY - 1e-3
    )  # also in single precision
    low = jnp.floor(at).astype(int)
    fraction = at - low
    return column[low] * (1.0 - fraction) + column[low + 1] * fraction


def table_weight(table: GrowthTable, week: Array) -> Array:
    """Reference weight, g, at true weeks."""
    return jnp.exp(_read(table.ln_weight, week))


class FetusState(NamedTuple):
    """Lean and fat mass, g; J is ln fetal insulin over euglycaemia, per unit of its gain eta."""

    L: Array
    F: Array
    J: Array


class Growth(NamedTuple):
    """States at the cell edges and the growth factors within each cell; cell axis first."""

    edges: FetusState
    lean_factor: Array
    fat_factor: Array


def fat_fraction(week: Array) -> Array:
    """q(w), share of fat in the reference weight [MODEL 2.1; C-BC-04]."""
    return 0.125 * jax.nn.sigmoid((week - 35.0) / 3.0)


def insulin_window(week: Array) -> Array:
    """a(w): the growth response to fetal insulin opens around 24 weeks."""
    return jax.nn.sigmoid(week - 24.0)


def reference_masses(week: Array, q_scale: Array, table: GrowthTable) -> tuple[Array, Array]:
    """Lean and fat mass of the reference fetus, g; past the table's end as at its end."""
    week = jnp.minimum(week, (_TABLE_LAST_DAY - 1e-3) / 7.0)
    weight = table_weight(table, week)
    q = q_scale * fat_fraction(week)
    return (1.0 - q) * weight, q * weight


def grow(
    p: FetalParams, start: FetusState, edges: Array, exposure: Array, deviation: Array, table: GrowthTable
) -> Growth:
    """Advance over cells between `edges` (cell + 1, *batch or ones), true weeks.

    exposure : x, ln glucose exposure over the reference, per cell. deviation : xi, growth-rate deviation, per
    cell. Increments of the reference are exact, so euglycaemia reproduces the standard whatever the cells.
    """
    tau = p.tau_I
    p = jax.tree.map(lambda x: x[None], p)
    L_ref, F_ref = reference_masses(edges, p.q_scale, table)
    dt = edges[1:] - edges[:-1]
    mid = 0.5 * (edges[1:] + edges[:-1])

    def insulin(J: Array, cell: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        x, width = cell
        half = x + (J - x) * jnp.exp(-0.5 * width / tau)
        J = x + (J - x) * jnp.exp(-width / tau)
        return J, (J, half)

    batch = jnp.broadcast_shapes(start.J.shape, exposure.shape[1:], dt.shape[1:], tau.shape)
    J0 = jnp.broadcast_to(start.J, batch)
    _, (J, J_mid) = jax.lax.scan(insulin, J0, (jnp.broadcast_to(exposure, (dt.shape[0], *batch)), dt))
    window = insulin_window(mid)  # fuels other than glucose, too, are not seen before it [D-BIB-01, D-BIB-02]
    common = p.growth_shift * window + p.late_shift * jax.nn.sigmoid(mid - 34.0) + deviation
    drive = window * J_mid
    lean = jnp.exp(p.s_L * drive + common)
    fat = jnp.exp(p.s_F * drive + common + p.fatness)
    dL = p.theta * (L_ref[1:] - L_ref[:-1]) * lean
    dF = p.theta * (F_ref[1:] - F_ref[:-1]) * fat

    def accumulate(first: Array, steps: Array) -> Array:
        first = jnp.broadcast_to(first, steps.shape[1:])
        return jnp.concatenate([first[None], first[None] + jnp.cumsum(steps, axis=0)])

    states = FetusState(accumulate(start.L, dL), accumulate(start.F, dF), jnp.concatenate([J0[None], J]))
    return Growth(states, lean, fat)


def starting_state(p: FetalParams, week: Array, table: GrowthTable) -> FetusState:
    """The fetus at the first edge: theta times the standard, no deviation yet."""
    L, F = reference_masses(week, p.q_scale, table)
    return FetusState(p.theta * L, p.theta * F * jnp.exp(p.fatness), jnp.zeros_like(p.theta * L))


def masses_at(
    p: FetalParams, growth: Growth, edges: Array, cell: Array, week: Array, table: GrowthTable
) -> tuple[Array, Array]:
    """Lean and fat mass at true weeks inside given cells.

    cell : (time,) integers, the cell each time lies in. week : (time, *batch or ones). Returns (time, *batch).
    """
    p = jax.tree.map(lambda x: x[None], p)
    L_ref, F_ref = reference_masses(week, p.q_scale, table)
    L_edge, F_edge = reference_masses(edges[cell], p.q_scale, table)
    L = growth.edges.L[cell] + p.theta * (L_ref - L_edge) * growth.lean_factor[cell]
    F = growth.edges.F[cell] + p.theta * (F_ref - F_edge) * growth.fat_factor[cell]
    return L, F


def latent_ln_biometry(L: Array, F: Array, week: Array, q_scale: Array, table: GrowthTable) -> Array:
    """ln of the four `MEASURES`, mm, of a fetus without its own shape deviation; more fat widens the abdomen only.

    L, F : lean and fat mass, g, (*batch). Returns (measure, *batch).
    """
    L_ref, F_ref = reference_masses(week, q_scale, table)
    lean = jnp.log(L / L_ref)
    extra = q_scale * fat_fraction(week) / AC_ELASTICITY * (jnp.log(F / F_ref) - lean)
    rows = [
        _read(table.ln_measure[i], week) + SHAPE[q] * lean + (extra if q == "ac_mm" else 0.0)
        for i, q in enumerate(MEASURES)
    ]
    return jnp.stack(rows)
