"""Maternal glucose and insulin: the vector field, its fasting state, and one staggered semi-implicit step.

Equations of docs/model/maternal_glucose.md (evidence MODEL 1.1). On the step from t_n to t_{n+1}: the linear
chains are exact, G decays by a rational function with X at the half step, and X, Y, I live on half steps with
dG/dt taken at n+1: one evaluation per step, second order, positive for any parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from twin.physiology import chains
from twin.physiology.events import Drives
from twin.physiology.parameters import HILL, SIGMA, MaternalParams

POSITIVE_PART_WIDTH = 0.1  # mg/dL/min, smooth positive part of dG/dt [MODEL 1.1]


class MaternalState(NamedTuple):
    """G, IG and the gut at the step edge; X, Y, I half a step later. Units: mg, mg/dL, 1/min, uU/mL."""

    S1: Array
    S2: Array
    Q: Array
    G: Array
    X: Array
    Y: Array
    I: Array
    IG: Array


class StepDrive(NamedTuple):
    """One step's slice of `Drives`, with zeros for what is absent."""

    gut: tuple[Array, ...] | None  # S1, S2, Q, absorbed added by the meals of the step, mg
    u_sc: Array | float
    E_met: Array | float
    E_ex: tuple[Array, Array] | tuple[float, float]  # mean over the step, and at its end
    e_SI: Array | float


def secretion(p: MaternalParams, G: Array) -> Array:
    """Target of the delayed secretion, uU/mL/min: a Hill function of glucose."""
    r = G / p.G_s
    r2 = r * r
    assert HILL == 4
    r4 = r2 * r2
    return p.B * SIGMA * r4 / (1.0 + r4)


def positive_part(v: Array) -> Array:
    """Smooth positive part, so that gradients exist."""
    return v * 0.5 * (1.0 + jnp.tanh(v / POSITIVE_PART_WIDTH))


def _fasting_residual(p: MaternalParams, G: Array, E_met: Array, u_sc: Array) -> Array:
    insulin = (secretion(p, G) + u_sc / (p.V_I * p.BW)) / p.n
    return (p.E_G0 + p.S_I * insulin) * G - (p.R0 * (1.0 - E_met) - p.U_fp) / p.VG


def fasting_glucose(p: MaternalParams, E_met: Array, u_sc: Array) -> Array:
    """Fasting glucose, mg/dL: the one root of production = clearance (both sides monotone in G).

    Bisection on ln G without gradient, then one Newton step that carries the exact first derivative.
    """
    ceiling = (p.R0 * (1.0 - E_met) - p.U_fp) / (p.VG * p.E_G0)
    q, u, e = jax.lax.stop_gradient((p, u_sc, E_met))
    top = jnp.log(jax.lax.stop_gradient(ceiling)) + jnp.zeros_like(u)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        mid = 0.5 * (low + high)
        above = _fasting_residual(q, jnp.exp(mid), e, u) > 0
        return jnp.where(above, low, mid), jnp.where(above, mid, high)

    low, high = jax.lax.fori_loop(0, 26, halve, (top - 8.0, top))
    G0 = jnp.exp(0.5 * (low + high))
    slope = jax.jvp(lambda g: _fasting_residual(q, g, e, u), (G0,), (jnp.ones_like(G0),))[1]
    return G0 - _fasting_residual(p, G0, E_met, u_sc) / slope


def fasting_state(p: MaternalParams, E_met: Array, u_sc: Array) -> MaternalState:
    """The stationary state with an empty gut, given the standing effects of tablets and basal insulin."""
    G = fasting_glucose(p, E_met, u_sc)
    Y = secretion(p, G)
    I = (Y + u_sc / (p.V_I * p.BW)) / p.n
    zero = jnp.zeros_like(G)
    return MaternalState(zero, zero, zero, G, p.S_I * I, Y, I, G)


class StepCoefficients(eqx.Module):
    """Propagators and products of parameters for one step length, computed once per simulation."""

    h: float = eqx.field(static=True)
    gut: tuple[Array, Array, Array, Array, Array]
    keep_X: Array
    keep_Y: Array
    keep_I: Array
    gain_I: Array  # (1 - exp(-n h)) / n
    keep_IG: Array
    early_IG: Array  # weight of G at the start of the step
    late_IG: Array  # weight of G at its end
    half_X: Array
    produced: Array  # R0 / VG
    taken_up: Array  # U_fp / VG
    per_absorbed: Array  # f / (BW VG)
    secreted: Array  # B sigma
    over_G_s: Array
    dynamic: Array  # B K_d
    per_u_sc: Array  # 1 / (V_I BW)

    @classmethod
    def of(cls, p: MaternalParams, h: float) -> StepCoefficients:
        ratio = h / p.tau_IG
        keep = jnp.exp(-ratio)
        ramp = chains.phi1(-ratio)  # integral weights of a linear G over the step, exact
        return cls(
            h=h,
            gut=chains.gut_propagator(h, p.k_e, p.k_a),
            keep_X=jnp.exp(-p.p2 * h),
            keep_Y=jnp.exp(-h / p.T_s),
            keep_I=jnp.exp(-p.n * h),
            gain_I=-jnp.expm1(-p.n * h) / p.n,
            keep_IG=keep,
            early_IG=ramp - keep,
            late_IG=1.0 - ramp,
            half_X=-jnp.expm1(-p.p2 * h / 2),
            produced=p.R0 / p.VG,
            taken_up=p.U_fp / p.VG,
            per_absorbed=p.f / (p.BW * p.VG),
            secreted=p.B * SIGMA,
            over_G_s=1.0 / p.G_s,
            dynamic=p.B * p.K_d,
            per_u_sc=1.0 / (p.V_I * p.BW),
        )


def step(p: MaternalParams, c: StepCoefficients, y: MaternalState, d: StepDrive) -> MaternalState:
    """Advance one step of c.h minutes."""
    h = c.h
    e, s12, s1q, s2q, aq = c.gut
    S1 = e * y.S1
    S2 = e * y.S2 + s12 * y.S1
    Q = aq * y.Q + s2q * y.S2 + s1q * y.S1
    absorbed = (y.S1 - S1) + (y.S2 - S2) + (y.Q - Q)  # by conservation: mass balance is exact
    if d.gut is not None:
        S1, S2, Q = S1 + d.gut[0], S2 + d.gut[1], Q + d.gut[2]
        absorbed = absorbed + d.gut[3]
    base = c.produced * (1.0 - d.E_met) - c.taken_up
    E_mean, E_end = d.E_ex
    u = (p.E_G0 + E_mean + y.X) * h
    # exp(-u) as 1 / (1 + u + u^2/2 + u^3/6): third order, positive and bounded for any u, rest stays at rest
    supplied = h * base + c.per_absorbed * absorbed
    G = (y.G + supplied * (1.0 + u * (0.5 + u / 6.0))) / (1.0 + u * (1.0 + u * (0.5 + u / 6.0)))
    X_edge = y.X + c.half_X * (p.S_I * d.e_SI * y.I - y.X)
    dG = base + c.per_absorbed * p.k_a * Q - (p.E_G0 + E_end + X_edge) * G
    r2 = (G * c.over_G_s) ** 2
    assert HILL == 4
    Y = c.keep_Y * y.Y + (1.0 - c.keep_Y) * c.secreted * (r2 * r2 / (1.0 + r2 * r2))
    inflow = 0.5 * (y.Y + Y) + c.dynamic * positive_part(dG) + d.u_sc * c.per_u_sc
    I = c.keep_I * y.I + c.gain_I * inflow
    X = c.keep_X * y.X + (1.0 - c.keep_X) * p.S_I * d.e_SI * 0.5 * (y.I + I)
    IG = c.keep_IG * y.IG + c.early_IG * y.G + c.late_IG * G
    return MaternalState(S1, S2, Q, G, X, Y, I, IG)


def vector_field(t_min: Array, y: MaternalState, args: tuple[MaternalParams, StepDrive]) -> MaternalState:
    """The same equations as a plain right-hand side (events as impulses belong to the caller)."""
    del t_min
    p, d = args
    Ra = p.f * p.k_a * y.Q / p.BW
    dG = (p.R0 * (1.0 - d.E_met) + Ra - p.U_fp) / p.VG - (p.E_G0 + d.E_ex[1] + y.X) * y.G
    dI = y.Y + p.B * p.K_d * positive_part(dG) + d.u_sc / (p.V_I * p.BW) - p.n * y.I
    return MaternalState(
        -p.k_e * y.S1,
        p.k_e * (y.S1 - y.S2),
        p.k_e * y.S2 - p.k_a * y.Q,
        dG,
        -p.p2 * (y.X - p.S_I * d.e_SI * y.I),
        (secretion(p, y.G) - y.Y) / p.T_s,
        dI,
        (y.G - y.IG) / p.tau_IG,
    )


class Trajectory(NamedTuple):
    """Glucose at the step edges, (step + 1, *batch), mg/dL; `ok` is false where a value was not finite."""

    G: Array
    IG: Array
    end: MaternalState
    ok: Array


def slice_drives(d: Drives) -> StepDrive:
    """Step axis first in every present drive, so that `lax.scan` hands out one step at a time.

    Of the meals this is the row of their table; `Meals.of_step` makes a step's `gut` of it.
    """
    absent = 0.0
    return StepDrive(
        None if d.meals is None else (d.meals.row,),
        absent if d.u_sc is None else d.u_sc,
        absent if d.E_met is None else d.E_met,
        (absent, absent) if d.E_ex is None else d.E_ex,
        1.0 if d.e_SI is None else d.e_SI,
    )
