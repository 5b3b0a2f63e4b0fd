"""A population learnt from many women's posteriors: means, spreads, correlations, effects of covariates and groups.

Each woman comes as draws x of her latents, in SDs of a start prior from its centers, with the log density of the prior
they were made under. Under a population N(m_i, S) her marginal likelihood is, up to a constant, the mean over her draws
of N(x; m_i, S) over that density: no refit is needed while the two are near enough for that mean to rest on many draws
(`shares`). Where they are not, her draws are made anew under what was found.

Up to SMALL women the population is sampled by NUTS, more by importance around the mode; by NUTS too where groups are
learnt, whose spread is far from normal, and where Pareto k says that the weights cannot be trusted. Both go through the
women in batches. What the finite number of each woman's draws leaves open (`noise_of`) is added to the spread of the
hyperparameters. Measured: docs/model/cohort_calibration.md.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import scipy.optimize
from jaxtyping import Array
from numpyro.distributions.transforms import biject_to
from numpyro.infer.util import potential_energy

from twin.inference.laplace import ESS_WANTED, K_LIMIT, Mode, Sampler, resample
from twin.inference.sampler import judge, place_at, run_chains

MEAN_SD, LN_SPREAD_SD = 0.7, 0.4  # of a population's mean and ln SD, in SDs of the start prior (assumed)
EFFECT_SD, GROUP_SD = 0.3, 0.3  # of a covariate's SD on a latent; scale of the SD between groups (assumed)
CONCENTRATION = 4.0  # of LKJ: a correlation has prior SD near 0.3 (assumed)
SMALL = 150  # women up to whom NUTS is used
BATCH = 256  # women whose draws are in memory at once
PROPOSED = 2000  # draws around the mode
WARMUP, SAMPLED = 300, 500  # of each of four chains
#: variance of the mode from the women's finite draws, in posterior variances, above which they are too few
NOISE_LIMIT = 0.5
#: in the name under which compiled programs are kept, which knows the sources of `twin` alone
CODE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


class Women(NamedTuple):
    """n women. draws : (woman, draw, latent), in SDs of the start prior; ln_weights : (woman, draw), normalised;
    ln_prior : log density of each draw under the prior it was made with; covariates : (woman, covariate),
    standardised; group : (woman,), index of the site or device."""

    draws: Array
    ln_weights: Array
    ln_prior: Array
    covariates: Array
    group: Array


@dataclass(frozen=True)
class What:
    """latents : names of the last axis of `Women.draws`, of which the last `alone` correlate with none. moved : which
    of them covariates act on. grouped : which of them differ between groups."""

    latents: tuple[str, ...]
    alone: int = 0
    moved: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    grouped: tuple[str, ...] = ()
    groups: int = 1

    @property
    def correlated(self) -> int:
        return len(self.latents) - self.alone

    def at(self, names: tuple[str, ...]) -> Array:
        return jnp.asarray([self.latents.index(n) for n in names], dtype=int)

    def priors(self) -> dict[str, dist.Distribution]:
        """Of every hyperparameter that is sampled, by name."""
        d, c, g = len(self.latents), self.correlated, len(self.grouped)
        found: dict[str, dist.Distribution] = {
            "mean": dist.Normal(0.0, MEAN_SD).expand([d]).to_event(1),
            "ln_sd": dist.Normal(0.0, LN_SPREAD_SD).expand([d]).to_event(1),
        }
        if c > 1:
            found["factor"] = dist.LKJCholesky(c, CONCENTRATION)
        if self.moved and self.covariates:
            shape = (len(self.moved), len(self.covariates))
            found["effect"] = dist.Normal(0.0, EFFECT_SD).expand(shape).to_event(2)
        if self.has_groups:
            found["group_sd"] = dist.HalfNormal(GROUP_SD).expand([g]).to_event(1)
            found["group_z"] = dist.Normal(0.0, 1.0).expand([self.groups, g]).to_event(2)
        return found

    @property
    def has_groups(self) -> bool:
        return bool(self.grouped) and self.groups > 1


def hierarchy(what: What, women: Women) -> None:
    """The numpyro model."""
    found = {name: numpyro.sample(name, prior) for name, prior in what.priors().items()}
    numpyro.factor("women", ln_likelihood(what, found, women))


def factor_of(what: What, found: dict[str, Array]) -> Array:
    """Lower triangular Cholesky factor of the correlations, (latent, latent)."""
    factor = jnp.eye(len(what.latents))
    c = what.correlated
    return factor.at[:c, :c].set(found["factor"]) if c > 1 else factor


def locations(what: What, found: dict[str, Array], covariates: Array, group: Array) -> Array:
    """Where each woman's latents are centered, (woman, latent)."""
    location = jnp.broadcast_to(found["mean"], (covariates.shape[0], len(what.latents)))
    if "effect" in found:
        location = location.at[:, what.at(what.moved)].add(covariates @ found["effect"].T)
    if "group_z" in found:
        own = found["group_z"] * found["group_sd"][None]
        location = location.at[:, what.at(what.grouped)].add(own[group])
    return location


def ln_each(what: What, found: dict[str, Array], women: Women) -> Array:
    """Log density of every draw under the population less that under its own prior, (woman, draw)."""
    d = len(what.latents)
    factor = jnp.exp(found["ln_sd"])[:, None] * factor_of(what, found)
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(d), lower=True)
    location = locations(what, found, women.covariates, women.group) @ inverse.T
    z = women.draws @ inverse.T - location[:, None]
    constant = 0.5 * d * math.log(2.0 * math.pi) + jnp.sum(jnp.log(jnp.diag(factor)))
    return -0.5 * jnp.sum(z**2, axis=-1) - constant - women.ln_prior


def ln_likelihood(what: What, found: dict[str, Array], women: Women) -> Array:
    """Of all women, BATCH at a time."""
    n = women.ln_prior.shape[0]

    def some(part: Women, real: Array) -> Array:
        each = jax.scipy.special.logsumexp(part.ln_weights + ln_each(what, found, part), axis=1)
        return jnp.sum(jnp.where(real, each, 0.0))

    if n <= BATCH:
        return some(women, jnp.ones(n, dtype=bool))
    parts = -(-n // BATCH)
    rows = np.minimum(np.arange(parts * BATCH), n - 1).reshape(parts, BATCH)
    real = (np.arange(parts * BATCH) < n).reshape(parts, BATCH)

    def step(total: Array, at: tuple[Array, Array]) -> tuple[Array, None]:
        part = jax.tree.map(lambda x: x[at[0]], women)
        return total + some(part, at[1]), None

    start = jnp.zeros((), dtype=women.draws.dtype)
    return jax.lax.scan(jax.checkpoint(step), start, (jnp.asarray(rows), jnp.asarray(real)))[0]


def unconstrained_sizes(what: What) -> dict[str, tuple[int, ...]]:
    """Shape of each hyperparameter on the whole real line."""
    return {
        name: tuple(biject_to(prior.support).inverse_shape(prior.event_shape))
        for name, prior in what.priors().items()
    }


def _split(what: What, u: Array) -> dict[str, Array]:
    found, start = {}, 0
    for name, shape in unconstrained_sizes(what).items():
        size = math.prod(shape)
        found[name] = u[start : start + size].reshape(shape)
        start += size
    return found


def constrained(what: What, u: Array) -> dict[str, Array]:
    """Hyperparameters by name of one point on the real line, (size,), and what is told of them."""
    priors = what.priors()
    found = {name: biject_to(priors[name].support)(x) for name, x in _split(what, u).items()}
    factor = factor_of(what, found)
    told = {"corr": factor @ factor.T}
    if what.has_groups:
        told["group"] = found["group_z"] * found["group_sd"][None]
    return found | told


@dataclass(frozen=True)
class Hierarchy:
    """`sampler.LogDensity` of the hyperparameters on the real line."""

    what: What
    code: str = CODE

    def __call__(self, women: Women, u: Array) -> Array:
        return -potential_energy(hierarchy, (self.what, women), {}, _split(self.what, u))


Told = dict[str, float | int | None]


class Learnt(NamedTuple):
    """Draws of the hyperparameters by name, (draw, ...), of equal weight; share : of each woman, `shares`. road :
    "nuts", "importance" or "mode"; told : its diagnostics, and `noise`, the largest of `noise_of`; ok : whether all are
    within their limits."""

    draws: dict[str, np.ndarray]
    share: np.ndarray
    road: str
    told: Told
    ok: bool


def learn(key: Array, what: What, women: Women, *, draws: int = 1000, roughly: bool = False) -> Learnt:
    """The posterior of the hyperparameters. roughly : by the curvature at the mode alone, road "mode", to see where
    the population lies; never ok."""
    density = Hierarchy(what)
    mode = _mode(density, women)
    k_first, k_second = jax.random.split(key)
    road = "importance"
    if roughly:
        u = mode.at(np.asarray(jax.random.normal(k_first, (len(mode.z), draws)))).T
        by_name = jax.tree.map(np.asarray, _constrained_many(what, jnp.asarray(u)))
        return Learnt(by_name, shares(what, women, by_name), "mode", {}, False)
    found: tuple[np.ndarray, Told, bool] | None = None
    if women.draws.shape[0] > SMALL and not what.has_groups:
        found = _by_importance(k_first, density, women, mode, draws)
    if found is None or not found[2]:
        road, found = "nuts", _by_nuts(k_second, density, women, mode, draws)
    u, told, ok = found
    noise = noise_of(what, women, mode)
    extra = np.sqrt(noise) * np.asarray(jax.random.normal(jax.random.fold_in(key, 2), u.shape))
    u = u + mode.at(extra.T).T - mode.z
    by_name = jax.tree.map(np.asarray, _constrained_many(what, jnp.asarray(u)))
    told["noise"] = largest = float(noise.max())
    return Learnt(by_name, shares(what, women, by_name), road, told, ok and largest <= NOISE_LIMIT)


@functools.partial(jax.jit, static_argnums=0)
def _constrained_many(what: What, u: Array) -> dict[str, Array]:
    return jax.vmap(functools.partial(constrained, what))(u)


@functools.partial(jax.jit, static_argnums=0)
def _value_and_grad(density: Callable, women: Women, u: Array) -> tuple[Array, Array]:
    return jax.value_and_grad(density, argnums=1)(women, u)


@functools.partial(jax.jit, static_argnums=0)
def _curvature(density: Callable, women: Women, u: Array) -> Array:
    """Column by column: all at once would hold the women's draws once for each."""
    slope = jax.grad(density, argnums=1)
    return jax.lax.map(lambda v: -jax.jvp(lambda x: slope(women, x), (u,), (v,))[1], jnp.eye(u.shape[0]))


@functools.partial(jax.jit, static_argnums=0)
def _values(density: Callable, women: Women, u: Array) -> Array:
    return jax.lax.map(lambda x: density(women, x), u)


def _mode(density: Hierarchy, women: Women) -> Mode:
    """Of the hyperparameters on the real line; no direction is taken to be wider than ten."""
    size = sum(math.prod(s) for s in unconstrained_sizes(density.what).values())

    def down(u: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _value_and_grad(density, women, jnp.asarray(u))
        return -float(value), -np.asarray(slope)

    found = scipy.optimize.minimize(down, np.zeros(size), jac=True, method="BFGS", options={"gtol": 1e-2})
    H = np.asarray(_curvature(density, women, jnp.asarray(found.x)))
    value, direction = np.linalg.eigh(0.5 * (H + H.T))
    H = (direction * np.maximum(value, 1e-2)) @ direction.T
    factor = np.linalg.cholesky(H[::-1, ::-1])[::-1, ::-1]
    return Mode(found.x, factor, -float(found.fun), int(found.nit), True, size)


def _by_importance(
    key: Array, density: Hierarchy, women: Women, mode: Mode, draws: int
) -> tuple[np.ndarray, Told, bool]:
    """Adaptive importance sampling around the mode; weights are exact and judged by Pareto k."""
    k_run, k_pick = jax.random.split(key)
    sampler = Sampler(mode, k_run, PROPOSED)
    while not sampler.done:
        sampler.take(np.asarray(_values(density, women, jnp.asarray(sampler.propose().T))))
    found = sampler.draws()
    ok = found.pareto_k <= K_LIMIT and found.ess >= ESS_WANTED * PROPOSED
    told: Told = {"pareto_k": found.pareto_k, "ess": found.ess, "rounds": len(sampler.rounds)}
    return found.z.T[resample(k_pick, found.weights, draws)], told, bool(ok)


def _by_nuts(
    key: Array, density: Hierarchy, women: Women, mode: Mode, draws: int
) -> tuple[np.ndarray, Told, bool]:
    chains = run_chains(density, women, place_at(mode.z, mode.factor), key, warmup=WARMUP, draws=SAMPLED)
    size = chains.z.shape[-1]
    verdict = judge({f"u_{i}": chains.z[..., i] for i in range(size)}, chains)
    told: Told = {
        "rhat_max": verdict.rhat_max,
        "ess_bulk_min": verdict.ess_bulk_min,
        "ess_tail_min": verdict.ess_tail_min,
        "bfmi_min": verdict.bfmi_min,
        "divergences": verdict.divergences,
    }
    every = chains.z.reshape(-1, size)
    return every[np.linspace(0, len(every) - 1, draws).round().astype(int)], told, verdict.ok


def noise_of(what: What, women: Women, mode: Mode) -> np.ndarray:
    """How far the mode may be off for the women's finite draws, (direction,): variances where the curvature at the
    mode is the identity. Of draws taken as independent; those of `laplace` are more even, so this is an upper bound."""
    place = place_at(mode.z, mode.factor)
    return np.asarray(_noise(what, women, place.center, place.spread.T))


@functools.partial(jax.jit, static_argnums=0)
def _noise(what: What, women: Women, center: Array, directions: Array) -> Array:
    n = women.ln_prior.shape[0]
    rows = jnp.arange(-(-n // BATCH) * BATCH).reshape(-1, BATCH)

    def some(at: Array) -> Array:
        part = jax.tree.map(lambda x: x[jnp.minimum(at, n - 1)], women)

        def each(u: Array) -> Array:
            return ln_each(what, constrained(what, u), part)

        w = jax.nn.softmax(part.ln_weights + each(center), axis=1)

        def along(v: Array) -> Array:
            slope = jax.jvp(each, (center,), (v,))[1]
            apart = slope - jnp.sum(w * slope, axis=1, keepdims=True)
            return jnp.sum(jnp.where(at < n, jnp.sum((w * apart) ** 2, axis=1), 0.0))

        return jax.lax.map(along, directions)

    return jnp.sum(jax.lax.map(some, rows), axis=0)


def shares(what: What, women: Women, draws: dict[str, np.ndarray]) -> np.ndarray:
    """Effective draws of each woman under the hyperparameters' means, of those under her own prior: near 0, her draws
    must be made anew."""
    middle = {name: jnp.asarray(x.mean(axis=0)) for name, x in draws.items()}
    if "factor" in middle:
        c = what.correlated
        middle["factor"] = jnp.linalg.cholesky(middle["corr"][:c, :c])
    ratio = np.asarray(jax.jit(ln_each, static_argnums=0)(what, middle, women))
    own = np.asarray(women.ln_weights)
    return _effective(own + ratio) / _effective(own)


def _effective(ln_w: np.ndarray) -> np.ndarray:
    w = np.exp(ln_w - ln_w.max(axis=1, keepdims=True))
    return np.asarray(w.sum(axis=1) ** 2 / (w**2).sum(axis=1))
