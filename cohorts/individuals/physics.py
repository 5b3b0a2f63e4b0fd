"""One tolerance test on the twin's own equations, with glucose, insulin and C-peptide kept.

`twin.physiology.simulate` keeps glucose only, so `maternal.step` is scanned here. Insulin lives half a step after the
edge. Secretion is what enters plasma insulin; C-peptide follows it by two-compartment kinetics.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from twin.physiology import chains
from twin.physiology.maternal import MaternalState, StepCoefficients, StepDrive, fasting_state, step
from twin.physiology.parameters import MaternalParams

STEP_MIN = 3.0
SHAPE_MIN = 120.0  # over which the shapes of the terms run; after it they stay
NG_ML_PER_UU_ML = 6.0 / 331.0  # insulin 6 pmol/L per uU/mL; C-peptide 331 pmol/L per ng/mL (3020 g/mol)
_REST = StepDrive(None, 0.0, 0.0, (0.0, 0.0), 1.0)


class Dose(NamedTuple):
    """What the test gives at minute 0: a drink in mg, or an injection in mg/kg."""

    oral_mg: float = 0.0
    bolus_mg_per_kg: float = 0.0


class Terms(NamedTuple):
    """Structural terms beside the equations, (*batch) each; None is absent.

    basal : secretion that does not depend on glucose, uU/mL/min, fasting too.
    decline, wave : k_e(t) = k_e exp(decline (1 - 2 u) + wave cos(2 pi u)), u = t / 120 min up to 1.
    potentiation : of the delayed secretion, B(t) = B exp(potentiation u).
    saturation : of insulin clearance, n(I) = n (1 + s I_0) / (1 + s I), I_0 fasting, s = saturation per 100 uU/mL.
    """

    basal: Array | None = None
    decline: Array | None = None
    wave: Array | None = None
    potentiation: Array | None = None
    saturation: Array | None = None


class Course(NamedTuple):
    """(time, *batch): glucose mg/dL, insulin uU/mL, C-peptide in insulin-secretion units (times c_scale: ng/mL)."""

    G: Array
    I: Array
    C: Array


def c_peptide_rates(age_years: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k01, k12, k21 of C-peptide, 1/min: leaving the first compartment, and to and from it.

    age_years : 45 where NaN. Half-lives 4.95 min (share 0.76) and 29.2 + 0.14 age min: Van Cauter et al., Diabetes
    1992, normal subjects, recalled.
    """
    age = np.nan_to_num(np.asarray(age_years, dtype=float), nan=45.0)
    fast, share = np.log(2.0) / 4.95, 0.76
    slow = np.log(2.0) / (29.2 + 0.14 * age)
    k21 = share * slow + (1.0 - share) * fast  # from the second compartment back
    k01 = fast * slow / k21
    return k01, k21, fast + slow - k01 - k21


def c_peptide_propagator(rates: tuple[Array, Array, Array], h: float) -> tuple[Array, ...]:
    """Exact step of (C1, C2) under constant inflow u: C1' = a C1 + b C2 + e u, C2' = c C1 + d C2 + f u.

    C2 is an amount over the first volume. Partial fractions of the two eigenvalues, which are real and apart.
    """
    k01, k21, k12 = rates
    trace, det = -(k01 + k12 + k21), k01 * k21
    root = jnp.sqrt(trace**2 - 4.0 * det)
    l1, l2 = 0.5 * (trace + root), 0.5 * (trace - root)
    e1, e2 = jnp.exp(l1 * h), jnp.exp(l2 * h)
    g1, g2 = jnp.expm1(l1 * h) / l1, jnp.expm1(l2 * h) / l2
    m = -(k01 + k12)

    def entry(x1: Array, x2: Array, value: Array, diagonal: bool) -> Array:
        """Of (x1 (M - l2) - x2 (M - l1)) / (l1 - l2)."""
        shift = 1.0 if diagonal else 0.0
        return (x1 * (value - shift * l2) - x2 * (value - shift * l1)) / root

    return (
        entry(e1, e2, m, True),
        entry(e1, e2, k21, False),
        entry(e1, e2, k12, False),
        entry(e1, e2, -k21, True),
        entry(g1, g2, m, True),
        entry(g1, g2, k12, False),
    )


def run(
    p: MaternalParams,
    dose: Dose,
    minutes: np.ndarray,
    *,
    rates: tuple[Array, Array, Array] | None = None,
    terms: Terms | None = None,
    h: float = STEP_MIN,
) -> Course:
    """Glucose, insulin and C-peptide of a test begun fasting, at `minutes`; negative ones are fasting.

    p : fields (*batch); minutes : (time,), in order; rates : of C-peptide, (*batch) each, None for none.
    Returns : Course, (time, *batch). C is in ng/mL for c_scale 1. Values are not guarded: the caller checks them.
    """
    x = Terms() if terms is None else terms
    zero = jnp.zeros_like(p.BW)
    given = zero if x.basal is None else x.basal * p.V_I * p.BW  # as the equations take insulin, mU/min
    rest = fasting_state(p, zero, given)
    c = StepCoefficients.of(p, h)
    drive = _REST._replace(u_sc=given)
    rise = dose.bolus_mg_per_kg / p.VG
    released = p.B * p.K_d * rise
    y0 = rest._replace(S1=rest.S1 + dose.oral_mg, G=rest.G + rise, I=rest.I + released)
    n_steps = int(np.ceil(float(minutes[-1]) / h + 0.5))
    u = jnp.minimum((jnp.arange(n_steps) + 0.5) * h / SHAPE_MIN, 1.0).reshape((-1,) + (1,) * p.BW.ndim)
    emptying, strength = None, None
    if x.decline is not None or x.wave is not None:
        ln = zero[None] if x.decline is None else x.decline[None] * (1.0 - 2.0 * u)
        ln = ln if x.wave is None else ln + x.wave[None] * jnp.cos(2.0 * jnp.pi * u)
        ln = jnp.broadcast_to(ln, (n_steps, *p.BW.shape))
        emptying = chains.gut_propagator(
            h, p.k_e[None] * jnp.exp(ln), jnp.broadcast_to(p.k_a[None], ln.shape)
        )
    if x.potentiation is not None:
        strength = jnp.exp(x.potentiation[None] * u)
    k = None if rates is None else c_peptide_propagator(rates, h)
    inflow0 = p.n * rest.I
    pool0: tuple[Array, ...] = ()
    if rates is not None:
        c1 = inflow0 / rates[0]
        pool0 = (
            c1 + released,
            c1 * rates[2] / rates[1],
        )  # what the injection releases at once is secreted too
    Carry = tuple[MaternalState, tuple[Array, ...]]

    def advance(state: Carry, now: tuple) -> tuple[Carry, tuple[Array, ...]]:
        y, pool = state
        gut, B = now
        used = c if gut is None else dataclasses.replace(c, gut=gut)
        if B is not None:
            used = dataclasses.replace(used, secreted=c.secreted * B)
        if x.saturation is not None:
            s = x.saturation / 100.0
            n = p.n * (1.0 + s * rest.I) / (1.0 + s * y.I)
            used = dataclasses.replace(used, keep_I=jnp.exp(-n * h), gain_I=-jnp.expm1(-n * h) / n)
        new = step(p, used, y, drive)
        if k is None:
            return (new, pool), (new.G, new.I)
        inflow = (new.I - used.keep_I * y.I) / used.gain_I
        C1, C2 = pool
        pool = (k[0] * C1 + k[1] * C2 + k[4] * inflow, k[2] * C1 + k[3] * C2 + k[5] * inflow)
        return (new, pool), (new.G, new.I, pool[0])

    _, found = jax.lax.scan(advance, (y0, pool0), (emptying, strength), length=n_steps)

    def at(first: Array, later: Array, delay: float) -> Array:
        values = jnp.concatenate([first[None], later])
        where = (np.maximum(minutes, 0.0) - delay) / h
        low = np.clip(np.floor(where).astype(int), 0, n_steps - 1)
        weight = np.clip(where - low, 0.0, None).reshape((-1,) + (1,) * (values.ndim - 1))
        return values[low] * (1.0 - weight) + values[low + 1] * weight

    before = (np.asarray(minutes) <= 0.0).reshape((-1,) + (1,) * rest.G.ndim)
    G = jnp.where(before, rest.G[None], at(y0.G, found[0], 0.0))
    I = jnp.where(before, rest.I[None], at(y0.I, found[1], h / 2))
    if rates is None:
        return Course(G, I, jnp.zeros_like(G))
    scale = NG_ML_PER_UU_ML
    C = jnp.where(before, (inflow0 / rates[0])[None], at(pool0[0], found[2], h / 2))
    return Course(G, I, scale * C)
