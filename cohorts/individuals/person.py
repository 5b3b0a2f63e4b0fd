"""One person's latents given a population: mode by Gauss-Newton, and weighted draws around it, many people as lanes."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cohorts.individuals.data import BOLUS_MG_PER_KG, ORAL_G, PeopleTests
from cohorts.individuals.latents import PersonLatent, to_params
from cohorts.individuals.physics import STEP_MIN, Dose, Terms, c_peptide_rates, run
from cohorts.individuals.residual import masked

BOLUS_STEP_MIN = 1.0
ITERATIONS = 18
STUDENT_DF = 10.0  # of the draws: tails heavier than the posterior's
#: the draws are a mixture of two scales over Laplace's; the wide one is for people whose posterior is not normal
NARROW_SHARE, WIDTHS = 0.75, (1.0, 1.6)
_FAILED = 1e3  # ln value where the solver gave none


class Population(NamedTuple):
    """What of the population one person's fit needs: middles (person, latent), covariance, residual covariance."""

    middle: Array
    factor: Array  # lower Cholesky factor of the covariance between people, (latent, latent)
    residual: Array  # (obs, obs)


class Draws(NamedTuple):
    """Draws of each lane's latents, and what the equations say of its values there."""

    theta: Array  # (lane, draw, latent), ln
    ln_q: Array  # (lane, draw), density they were drawn from
    ln_f: Array  # (lane, draw, obs)
    mode: Array  # (lane, latent)
    reduction: Array  # (lane, latent): 1 - posterior over population variance, Laplace


class Protocol(NamedTuple):
    """The fixed part of a test: what is given, when values are taken, which."""

    minutes: tuple[float, ...]
    analytes: tuple[str, ...]
    dose: Dose
    h: float
    names: tuple[str, ...]  # of the latents


def protocol_of(tests: PeopleTests, latents: tuple[PersonLatent, ...]) -> Protocol:
    dose = Dose(bolus_mg_per_kg=BOLUS_MG_PER_KG) if tests.intravenous else Dose(oral_mg=1000.0 * ORAL_G)
    names = tuple(x.name for x in latents)
    h = BOLUS_STEP_MIN if tests.intravenous else STEP_MIN
    return Protocol(tuple(float(m) for m in tests.minute), tests.analytes, dose, h, names)


class Lanes(NamedTuple):
    """Values of each lane: a person, or a person with some values hidden. (lane, obs) unless said."""

    ln_y: Array
    mask: Array
    weight_kg: Array  # (lane,)
    rates: tuple[Array, Array, Array]  # of C-peptide, (lane,)


def lanes_of(tests: PeopleTests) -> Lanes:
    n = len(tests)
    rates = tuple(jnp.asarray(np.broadcast_to(r, (n,))) for r in c_peptide_rates(tests.age))
    return Lanes(
        jnp.asarray(tests.ln_y.reshape(n, -1)),
        jnp.asarray(tests.mask.reshape(n, -1)),
        jnp.asarray(tests.weight_kg),
        (rates[0], rates[1], rates[2]),
    )


def predicted(protocol: Protocol, theta: Array, lanes: Lanes, saturation: Array | None = None) -> Array:
    """ln of what the equations say of each value. theta : (latent, *batch) with the lane axis first in the batch.

    Returns (obs, *batch); `_FAILED` where the solver gave no finite positive number.
    """
    more = theta.ndim - 2

    def lift(x: Array) -> Array:
        return jnp.broadcast_to(x.reshape(x.shape + (1,) * more), theta.shape[1:])

    names = protocol.names
    measured = "c_peptide" in protocol.analytes
    k01, k21, k12 = (lift(r) for r in lanes.rates)
    has = {name: theta[names.index(name)] for name in ("decline", "wave", "potentiation") if name in names}
    basal = jnp.exp(theta[names.index("S_b")]) if "S_b" in names else None
    terms = Terms(basal=basal, saturation=saturation, **has)
    course = run(
        to_params(theta, lift(lanes.weight_kg), names),
        protocol.dose,
        np.array(protocol.minutes),
        rates=(k01, k21, k12) if measured else None,
        terms=terms,
        h=protocol.h,
    )
    parts = [course.G, course.I]
    if measured:
        parts.append(course.C * jnp.exp(theta[names.index("c_scale")]))
    value = jnp.concatenate(parts)
    ok = jnp.isfinite(value) & (value > 0.0)
    return jnp.where(ok, jnp.log(jnp.where(ok, value, 1.0)), _FAILED)


@functools.partial(jax.jit, static_argnames=("protocol",))
def find_modes(
    protocol: Protocol, lanes: Lanes, population: Population, start: Array, saturation: Array | None = None
) -> tuple[Array, Array]:
    """Mode z (lane, latent) of each lane and the lower factor of Laplace's covariance of z (lane, latent, latent).

    Latents are middle + factor z, z standard normal (non-centred). start : (lane, latent). Levenberg-Marquardt, the
    damping of every lane its own.
    """
    n_lane, d = start.shape
    white = jnp.linalg.inv(jnp.linalg.cholesky(masked(population.residual, lanes.mask)))

    def ln_f(z: Array) -> Array:
        theta = population.middle + z @ population.factor.T
        return predicted(protocol, theta.T, lanes, saturation).T

    def residual(z: Array) -> Array:
        r = jnp.where(lanes.mask, ln_f(z) - lanes.ln_y, 0.0)
        return jnp.einsum("lij,lj->li", white, r)

    def cost(z: Array) -> Array:
        return 0.5 * jnp.sum(residual(z) ** 2, axis=-1) + 0.5 * jnp.sum(z**2, axis=-1)

    def linear(z: Array) -> tuple[Array, Array]:
        def push(k: Array) -> Array:
            tangent = jnp.broadcast_to(jax.nn.one_hot(k, d, dtype=z.dtype), z.shape)
            return jax.jvp(residual, (z,), (tangent,))[1]

        J = jax.vmap(push, out_axes=-1)(jnp.arange(d))  # (lane, obs, latent)
        return residual(z), J

    def improve(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        z, damping, now = state
        r, J = linear(z)
        H = jnp.einsum("lik,lij->lkj", J, J) + jnp.eye(d)[None]
        g = jnp.einsum("lik,li->lk", J, r) + z
        diagonal = jnp.eye(d)[None] * (damping[:, None] * jnp.diagonal(H, axis1=-2, axis2=-1))[:, None, :]
        step = jnp.linalg.solve(H + diagonal, g[..., None])[..., 0]
        length = jnp.linalg.norm(step, axis=-1, keepdims=True)
        new = z - step * jnp.minimum(1.0, 3.0 / jnp.maximum(length, 1e-12))
        then = cost(new)
        better = then < now
        return (
            jnp.where(better[:, None], new, z),
            jnp.where(better, damping * 0.2, jnp.minimum(damping * 5.0 + 1e-3, 1e6)),
            jnp.where(better, then, now),
        )

    z, _, _ = jax.lax.fori_loop(0, ITERATIONS, improve, (start, jnp.full(n_lane, 1e-2), cost(start)))
    _, J = linear(z)
    H = jnp.einsum("lik,lij->lkj", J, J) + jnp.eye(d)[None]
    return z, jnp.linalg.cholesky(jnp.linalg.inv(H))


@functools.partial(jax.jit, static_argnames=("protocol",))
def draw_around(
    protocol: Protocol,
    lanes: Lanes,
    population: Population,
    z: Array,
    scale: Array,
    noise: tuple[Array, Array],
    saturation: Array | None = None,
) -> Draws:
    """Student-t draws around modes. z, scale : of `find_modes`; noise : normals (lane, draw, latent), chi-squares of
    `STUDENT_DF` degrees of freedom (lane, draw)."""
    normal, chi2 = noise
    d, n_draw = z.shape[-1], normal.shape[1]
    width = jnp.where(jnp.arange(n_draw) < round(NARROW_SHARE * n_draw), *WIDTHS)
    white = width[None, :, None] * normal / jnp.sqrt(chi2 / STUDENT_DF)[..., None]
    zs = z[:, None] + jnp.einsum("lij,lsj->lsi", scale, white)
    theta = population.middle[:, None] + zs @ population.factor.T
    ln_f = jnp.moveaxis(predicted(protocol, jnp.moveaxis(theta, -1, 0), lanes, saturation), 0, -1)
    ln_det = jnp.sum(jnp.log(jnp.diagonal(scale, axis1=-2, axis2=-1)), axis=-1) + jnp.sum(
        jnp.log(jnp.diagonal(population.factor))
    )
    gammaln = jax.scipy.special.gammaln
    constant = (
        gammaln((STUDENT_DF + d) / 2) - gammaln(STUDENT_DF / 2) - 0.5 * d * jnp.log(STUDENT_DF * jnp.pi)
    )
    radius = jnp.sum(white**2, axis=-1)
    parts = [
        jnp.log(share) - d * jnp.log(w) - 0.5 * (STUDENT_DF + d) * jnp.log1p(radius / (STUDENT_DF * w**2))
        for share, w in zip((NARROW_SHARE, 1.0 - NARROW_SHARE), WIDTHS, strict=True)
    ]
    ln_q = constant - ln_det[:, None] + jnp.logaddexp(*parts)
    left = jnp.einsum("ij,ljk->lik", population.factor, scale)
    spread = jnp.diagonal(population.factor @ population.factor.T)
    reduction = 1.0 - jnp.sum(left**2, axis=-1) / spread[None]
    return Draws(theta, ln_q, ln_f, population.middle + z @ population.factor.T, reduction)


@functools.partial(jax.jit, static_argnames=("shape",))
def noise_of(key: Array, shape: tuple[int, int, int]) -> tuple[Array, Array]:
    """Normals (lane, draw, latent) and chi-squares (lane, draw) for `draw_around`."""
    one, two = jax.random.split(key)
    normal = jax.random.normal(one, shape, dtype=float)
    return normal, 2.0 * jax.random.gamma(two, STUDENT_DF / 2, shape[:2], dtype=float)
