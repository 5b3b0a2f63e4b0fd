"""How pregnancy changes the mother, week by week: insulin sensitivity, secretion, production, uptake.

Equations of docs/model/pregnancy.md (evidence MODEL 1.3). Parameters are given at 28 weeks, where women are
tested; earlier and later weeks follow. Only a fall of insulin sensitivity calls for compensation [MODEL 6.1].
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twin.physiology.parameters import MaternalParams, param

TEST_WEEK = 28.0
PLACENTA_EXPONENT = 0.75  # placental weight against fetal weight [C-PL-12]
_GRID_STEP = 0.5  # weeks, beta-cell adaptation
_GRID_END = 46.0
_COMPENSATION_SMOOTHING = 0.05


class PregnancyParams(eqx.Module):
    """Shape of the pregnancy functions."""

    e1: Float[Array, "*#batch"] = param("1", "early rise of insulin sensitivity", 0.20, "A-SI-01, A-SI-02")
    d_SI: Float[Array, "*#batch"] = param(
        "1", "fall of insulin sensitivity by term", 0.55, "A-SI-03, 06, 07, 08"
    )
    w50: Float[Array, "*#batch"] = param("wk", "half of that fall", 25.0, "MODEL 1.3, assumed")
    s_w: Float[Array, "*#batch"] = param("wk", "its width", 3.5, "MODEL 1.3, assumed")
    e2: Float[Array, "*#batch"] = param("1", "early rise of secretion", 0.571, "A-IS-01, A-IS-02")
    kappa: Float[Array, "*#batch"] = param("1", "compensation exponent of secretion", 0.366, "A-IS-03")
    tau_B: Float[Array, "*#batch"] = param("wk", "adaptation of the beta cell", 3.0, "MODEL 1.3, assumed")
    rise: Float[Array, "*#batch"] = param(
        "1", "rise of glucose production by 36 weeks", 0.25, "A-EGP-01, A-EGP-02"
    )

    @classmethod
    def reference(cls, **changes: object) -> PregnancyParams:
        values = {name: field.metadata["median"] for name, field in cls.__dataclass_fields__.items()}
        return cls(**(values | dict(changes)))  # type: ignore[arg-type]


def sensitivity_ratio(g: PregnancyParams, week: Array) -> Array:
    """SI(w) / SI before pregnancy. week : (time, *ones); fields of g (1, *batch) or scalars."""
    early = 1.0 + g.e1 * jnp.exp(-(((week - 12.0) / 5.0) ** 2))
    return early * (1.0 - g.d_SI * jax.nn.sigmoid((week - g.w50) / g.s_w))


def _compensation_target(g: PregnancyParams, week: Array) -> Array:
    lack = 1.0 / sensitivity_ratio(g, week) - 1.0
    lack = _COMPENSATION_SMOOTHING * jax.nn.softplus(lack / _COMPENSATION_SMOOTHING)
    return (1.0 + lack) ** g.kappa


def beta_cell_ratio(g: PregnancyParams, week: Array) -> Array:
    """B(w) / B before pregnancy = (1 + e2 g(w)) C(w): the early rise, and compensation C that lags by tau_B.

    The lag is on the compensation alone: with one lag on both, kappa and e2 cannot meet 1.55 at 13 and 1.99 at
    35 weeks [A-IS-02, A-IS-03] at tau_B 3 weeks (docs/model/pregnancy.md).
    week : (time, *ones); fields of g (1, *batch) or scalars. Returns : (time, *batch).
    """
    n = int(_GRID_END / _GRID_STEP)
    mids = ((jnp.arange(n) + 0.5) * _GRID_STEP).astype(week.dtype).reshape((n,) + (1,) * (week.ndim - 1))
    target = _compensation_target(g, mids)[:, None]
    keep = jnp.exp(-_GRID_STEP / g.tau_B)
    b0 = jnp.ones(target.shape[1:], dtype=target.dtype)

    def advance(b: Array, t: Array) -> tuple[Array, Array]:
        b = keep * b + (1.0 - keep) * t
        return b, b

    _, later = jax.lax.scan(advance, b0, target)
    grid = jnp.concatenate([b0[None], later])[:, 0]
    at = jnp.clip(week / _GRID_STEP, 0.0, float(n))
    low = jnp.minimum(jnp.floor(at).astype(int), n - 1)
    weight = at - low
    flat = low.reshape(low.shape[0])
    ramp = jnp.clip((week - 6.0) / 8.0, 0.0, 1.0)  # g(w): smooth step from 6 to 14 weeks
    early = 1.0 + g.e2 * ramp * ramp * (3.0 - 2.0 * ramp)
    return early * (grid[flat] * (1.0 - weight) + grid[flat + 1] * weight)


def at_weeks(
    p: MaternalParams, g: PregnancyParams, week: Array, relative_mass: Array, weight_kg: Array
) -> MaternalParams:
    """Maternal parameters at each week.

    p, g : values at 28 weeks, (*batch). week : (time, *ones). relative_mass : fetal weight over the reference
    weight at 28 weeks, (time, *batch or ones). weight_kg : maternal weight, (time, *ones).
    Returns : fields (time, *batch or ones).
    """
    g = jax.tree.map(lambda x: x[None], g)
    test = jnp.full((1, *week.shape[1:]), TEST_WEEK, dtype=week.dtype)
    sensitivity = sensitivity_ratio(g, week) / sensitivity_ratio(g, test)
    b = beta_cell_ratio(g, jnp.concatenate([week, test]))
    production = (1.0 + g.rise * week / 36.0) / (1.0 + g.rise * TEST_WEEK / 36.0)
    lifted = jax.tree.map(lambda x: x[None], p)
    return dataclasses.replace(
        lifted,
        S_I=p.S_I[None] * sensitivity,
        B=p.B[None] * b[:-1] / b[-1:],
        R0=p.R0[None] * production,
        U_fp=p.U_fp[None] * relative_mass**PLACENTA_EXPONENT,
        BW=weight_kg,
    )
