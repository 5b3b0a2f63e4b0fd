"""The population of people: middles, spreads, correlations, covariates and residuals, learnt together.

Each person's latents are integrated out by importance draws: p(values of a person | population) is the mean over draws
of density(values | draw) density(draw | population) / density it was drawn from. EM climbs to the population's mode,
the draws made anew around people's modes in every round; its covariance there comes from people's scores. Why not NUTS:
docs/model/individuals.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import scipy.optimize
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from numpyro.infer.util import initialize_model

from cohorts.individuals.data import COVARIATES, PeopleTests
from cohorts.individuals.latents import DEFAULT_TERMS, TERMS, PersonLatent, latents_for, packaged_middles
from cohorts.individuals.person import (
    Draws,
    Lanes,
    Population,
    Protocol,
    draw_around,
    find_modes,
    lanes_of,
    noise_of,
    protocol_of,
)
from cohorts.individuals.residual import (
    LINEAR,
    SPREAD,
    START,
    WITH_C_PEPTIDE,
    ResidualParams,
    covariance,
    log_density,
    masked,
)

#: latents whose middle may move with age, BMI and sex, and how far: ln per unit of `COVARIATE_SCALE`
DRIVEN = ("S_I", "B", "VG", "R0")
SLOPE_SD = 0.2
LKJ_CONCENTRATION = 3.0
AFTER_DOUBT = 0.3  # of ln spreads learnt elsewhere
ROUGH_ROUNDS = 25  # before EM over draws
FROZEN_ROUNDS = 4  # of EM in which the residual stays
LONGEST_STRETCH = 5.0  # of an EM step
_LEAST_CURVATURE = 0.3  # of the population's prior in its unconstrained scale
_HELD = 1e-3  # SD of what is held
_NOISE = 0.5  # of the log marginal from round to round
_PATIENCE = 4  # rounds without gain before EM ends


class Hyperprior(NamedTuple):
    """What is believed of the population before its data: normal for middles, ln-normal for spreads."""

    latents: tuple[PersonLatent, ...]
    middle: np.ndarray
    middle_sd: np.ndarray
    ln_sd: np.ndarray
    ln_sd_sd: np.ndarray
    slopes: bool = True
    concentration: float = LKJ_CONCENTRATION
    corr: np.ndarray | None = None  # factor of known correlations; None: they are learnt
    residual_start: ResidualParams = START
    residual_spread: ResidualParams = SPREAD


def hyperprior_of(tests: PeopleTests, terms: tuple[str, ...] = DEFAULT_TERMS) -> Hyperprior:
    """From the packaged prior, carried outside pregnancy (`latents`).

    terms : structural ones, of `latents.TERMS`; the others are held where they do nothing, so that the same compiled
    programs serve an ablation.
    """
    latents = latents_for("c_peptide" in tests.analytes)
    off = np.array([x.name in TERMS and x.name not in terms for x in latents])
    nothing = np.array([0.0 if x.linear else np.log(1e-4) for x in latents])
    return Hyperprior(
        latents,
        np.where(off, nothing, packaged_middles(latents)),
        np.where(off, _HELD, [x.middle_sd for x in latents]),
        np.log(np.where(off, _HELD, [x.sd for x in latents])),
        np.where(off, _HELD, [x.sd_doubt for x in latents]),
        slopes=bool(np.any(tests.covariates != 0.0)),
    )


def hyperprior_after(learnt: Learnt, tests: PeopleTests) -> Hyperprior:
    """For a small group of other people: spreads, correlations and residuals as learnt elsewhere (spreads and
    residuals with their doubt), middles as learnt elsewhere but as doubtful as before any data."""
    plain = hyperprior_of(tests)
    where = {x.name: i for i, x in enumerate(learnt.prior.latents)}
    middle, ln_sd, doubt = plain.middle.copy(), plain.ln_sd.copy(), plain.ln_sd_sd.copy()
    for i, x in enumerate(plain.latents):
        if x.name in where:
            j = where[x.name]
            middle[i], ln_sd[i] = float(learnt.mode.middle[j]), float(np.log(learnt.mode.sd[j]))
            doubt[i] = min(AFTER_DOUBT, doubt[i])
    halved = ResidualParams(*(0.5 * v for v in SPREAD))
    return plain._replace(
        middle=middle,
        ln_sd=ln_sd,
        ln_sd_sd=doubt,
        corr=np.asarray(learnt.mode.corr),
        residual_start=learnt.mode.residual,
        residual_spread=halved._replace(
            sigma_c=SPREAD.sigma_c, fasting_c=SPREAD.fasting_c, share_c=SPREAD.share_c
        ),
    )


class Hyper(NamedTuple):
    """One population. middle, sd : (latent,); corr : factor of the correlations of the correlated latents;
    slope : (covariate, driven latent)."""

    middle: Array
    sd: Array
    corr: Array
    slope: Array
    residual: ResidualParams


def sample_hyper(prior: Hyperprior) -> Hyper:
    """The population's own prior, all sites standard or LKJ (non-centred)."""
    d = len(prior.latents)
    normal = dist.Normal(0.0, 1.0)
    middle = prior.middle + prior.middle_sd * numpyro.sample("middle", normal.expand([d]).to_event(1))
    sd = jnp.exp(prior.ln_sd + prior.ln_sd_sd * numpyro.sample("spread", normal.expand([d]).to_event(1)))
    n_corr = sum(x.correlated for x in prior.latents)
    if prior.corr is None:
        corr = numpyro.sample("corr", dist.LKJCholesky(n_corr, prior.concentration))
    else:
        corr = jnp.asarray(prior.corr)
    slope = jnp.zeros((len(COVARIATES), len(DRIVEN)))
    if prior.slopes:
        shape = [len(COVARIATES), len(DRIVEN)]
        slope = SLOPE_SD * numpyro.sample("slope", normal.expand(shape).to_event(2))
    measured = any(x.name == "c_scale" for x in prior.latents)
    names = [n for n in ResidualParams._fields if n not in WITH_C_PEPTIDE or measured]
    z = numpyro.sample("residual", normal.expand([len(names)]).to_event(1))
    values = {}
    for i, name in enumerate(names):
        centre, spread = getattr(prior.residual_start, name), getattr(prior.residual_spread, name)
        values[name] = centre + spread * z[i] if name in LINEAR else centre * jnp.exp(spread * z[i])
    return Hyper(middle, sd, corr, slope, START._replace(**values))


def factor_of(prior: Hyperprior, h: Hyper) -> Array:
    """Lower Cholesky factor of the covariance between people, (latent, latent); correlated latents come first."""
    d, k = len(prior.latents), h.corr.shape[-1]
    assert all(x.correlated for x in prior.latents[:k])
    full = jnp.eye(d).at[:k, :k].set(h.corr)
    return h.sd[:, None] * full


def middles_of(prior: Hyperprior, h: Hyper, covariates: Array) -> Array:
    """(person, latent)."""
    names = [x.name for x in prior.latents]
    at = np.array([names.index(n) for n in DRIVEN])
    return jnp.broadcast_to(h.middle, (covariates.shape[0], len(names))).at[:, at].add(covariates @ h.slope)


def population_of(prior: Hyperprior, h: Hyper, covariates: Array, protocol: Protocol) -> Population:
    residual = covariance(h.residual, np.array(protocol.minutes), protocol.analytes)
    return Population(middles_of(prior, h, covariates), factor_of(prior, h), residual)


def log_weights(population: Population, lanes: Lanes, draws: Draws) -> Array:
    """ln of density(values | draw) density(draw | population) / density drawn from, (lane, draw)."""
    white_y = jnp.linalg.inv(jnp.linalg.cholesky(masked(population.residual, lanes.mask)))
    gap = jnp.where(lanes.mask[:, None], lanes.ln_y[:, None] - draws.ln_f, 0.0)
    ln_y = log_density(gap, white_y, lanes.mask)
    inverse = jnp.linalg.inv(population.factor)
    z = (draws.theta - population.middle[:, None]) @ inverse.T
    d = z.shape[-1]
    ln_theta = -0.5 * jnp.sum(z**2, axis=-1) - 0.5 * d * jnp.log(2.0 * jnp.pi)
    ln_det = jnp.sum(jnp.log(jnp.diagonal(population.factor)))
    return ln_y + ln_theta - ln_det - draws.ln_q


class Learnt(NamedTuple):
    """A population learnt from people: mode, draws where asked for, and how well the draws of people serve."""

    prior: Hyperprior
    protocol: Protocol
    mode: Hyper
    hyper_draws: Hyper | None  # leading axis: draw
    log_marginal: float  # of all values, people integrated out, at the mode (no hyperprior)
    ess: np.ndarray  # effective draws of each person at the mode
    draws: Draws
    diagnostics: dict[str, Any]


def _to_hyper(prior: Hyperprior, sites: dict[str, Array]) -> Hyper:
    with numpyro.handlers.substitute(data=sites), numpyro.handlers.seed(rng_seed=0):
        return sample_hyper(prior)


class _Densities(NamedTuple):
    """Of the population at a flat unconstrained point, each minus its log; and the point's sites and size."""

    expected: Callable[
        ..., tuple[Array, Array]
    ]  # value and gradient, people's draws weighted once and for all (EM)
    scores: Callable[..., Array]  # gradient of each person's log marginal, (size, person)
    minus_prior: Callable[[Array], Array]
    sites: Callable[[Array], dict[str, Array]]
    unravel: Callable[[Array], dict[str, Array]]
    size: int


def _densities(prior: Hyperprior, protocol: Protocol) -> _Densities:
    def only_prior() -> None:
        sample_hyper(prior)

    info = initialize_model(jax.random.key(0), only_prior)
    flat, unravel = ravel_pytree(info.param_info.z)

    def sites(x: Array) -> dict[str, Array]:
        return info.postprocess_fn(unravel(x))

    def each(x: Array, lanes: Lanes, draws: Draws, covariates: Array) -> Array:
        h = _to_hyper(prior, sites(x))
        return log_weights(population_of(prior, h, covariates, protocol), lanes, draws)

    def scores(x: Array, lanes: Lanes, draws: Draws, covariates: Array) -> Array:
        def people(v: Array) -> Array:
            return jax.scipy.special.logsumexp(each(v, lanes, draws, covariates), axis=-1)

        return jax.lax.map(lambda e: jax.jvp(people, (x,), (e,))[1], jnp.eye(x.size))

    def expected(x: Array, lanes: Lanes, draws: Draws, covariates: Array, share: Array) -> Array:
        w = each(x, lanes, draws, covariates)
        return info.potential_fn(unravel(x)) - jnp.sum(share * jnp.where(share > 0.0, w, 0.0))

    return _Densities(
        jax.jit(jax.value_and_grad(expected)),
        jax.jit(scores),
        jax.jit(lambda x: info.potential_fn(unravel(x))),
        sites,
        unravel,
        flat.size,
    )


def _indices(density: _Densities, site: str) -> np.ndarray:
    """Entries of a flat point that are of a site."""
    found = density.unravel(jnp.arange(density.size, dtype=float))[site]
    return np.asarray(found).reshape(-1).astype(int)


def shares(w: Array) -> Array:
    """Weights of draws that add to 1 in each lane, from `log_weights`."""
    return jnp.exp(w - jax.scipy.special.logsumexp(w, axis=-1, keepdims=True))


def effective(w: Array) -> np.ndarray:
    """Effective number of draws of each lane."""
    return np.asarray(1.0 / jnp.sum(shares(w) ** 2, axis=-1))


def _rough(
    prior: Hyperprior, protocol: Protocol, lanes: Lanes, saturation: Array | None
) -> tuple[np.ndarray, np.ndarray, Array]:
    """Where to begin: sites `middle` and `spread` by EM with Laplace's normals, no correlation, the residual at its
    start, and people's modes (person, latent)."""
    n = lanes.ln_y.shape[0]
    S = covariance(prior.residual_start, np.array(protocol.minutes), protocol.analytes)
    middle, sd = prior.middle, np.exp(prior.ln_sd)
    theta = jnp.broadcast_to(jnp.asarray(middle), (n, len(middle)))
    for _ in range(ROUGH_ROUNDS):
        every = jnp.broadcast_to(jnp.asarray(middle), theta.shape)
        z = jnp.clip((theta - every) / sd[None], -3.0, 3.0)
        z, scale = find_modes(protocol, lanes, Population(every, jnp.diag(jnp.asarray(sd)), S), z, saturation)
        theta = every + z * sd[None]
        own = sd**2 * np.mean(np.sum(np.asarray(scale) ** 2, axis=-1), axis=0)
        # the population's own prior enters as so many people would
        weight = (sd / prior.middle_sd) ** 2 / n
        middle = (np.mean(np.asarray(theta), axis=0) + weight * prior.middle) / (1.0 + weight)
        found = np.log(own + np.mean((np.asarray(theta) - middle) ** 2, axis=0)) / 2.0
        weight = 1.0 / (2.0 * n * prior.ln_sd_sd**2)
        sd = np.exp((found + weight * prior.ln_sd) / (1.0 + weight))
    return (middle - prior.middle) / prior.middle_sd, (np.log(sd) - prior.ln_sd) / prior.ln_sd_sd, theta


def _minimise(f: Callable[..., tuple[Array, Array]], x: np.ndarray, steps: int, *args: Any) -> np.ndarray:
    def both(v: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = f(jnp.asarray(v), *args)
        return float(value), np.asarray(slope, dtype=float)

    found = scipy.optimize.minimize(both, x, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return np.asarray(found.x)


def learn(
    key: Array,
    tests: PeopleTests,
    prior: Hyperprior | None = None,
    *,
    draws: int = 400,
    rounds: int = 30,
    populations: int = 0,
    saturation: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Learnt:
    """Learn a population by EM over weighted draws of people, and its uncertainty where asked for.

    draws : of each person; rounds : times they are made anew; populations : draws of the population from the normal at
    its mode (0: the mode only); saturation : of insulin clearance (`physics.Terms`), None for the plain equations.
    Returns : Learnt.
    """
    prior = hyperprior_of(tests) if prior is None else prior
    protocol = protocol_of(tests, prior.latents)
    lanes, covariates = lanes_of(tests), jnp.asarray(tests.covariates)
    n, d = len(tests), len(prior.latents)
    density = _densities(prior, protocol)
    sat = None if saturation is None else jnp.asarray(saturation)
    values, started = [], time.process_time()
    x, move, stretch = np.zeros(density.size), np.zeros(density.size), 1.0
    frozen = _indices(density, "residual")
    x[_indices(density, "middle")], x[_indices(density, "spread")], theta = _rough(
        prior, protocol, lanes, sat
    )

    def people(x: np.ndarray, theta: Array, n_draw: int) -> tuple[Hyper, Draws, Array, float]:
        """Draws of people and their weights under the population at x, and the log marginal of all values."""
        mode = _to_hyper(prior, density.sites(jnp.asarray(x)))
        population = population_of(prior, mode, covariates, protocol)
        z = jnp.clip((theta - population.middle) @ jnp.linalg.inv(population.factor).T, -3.0, 3.0)
        z, scale = find_modes(protocol, lanes, population, z, sat)
        noise = noise_of(key, (n, n_draw, d))
        made = draw_around(protocol, lanes, population, z, scale, noise, sat)
        w = log_weights(population, lanes, made)
        return mode, made, w, float(jnp.sum(jax.scipy.special.logsumexp(w, axis=-1) - jnp.log(n_draw)))

    best: tuple[float, np.ndarray, Array] = (-np.inf, x, theta)
    found: list[float] = []
    for i in range(rounds):
        mode, made, w, ln_p = people(x, theta, draws)
        value = ln_p - float(density.minus_prior(jnp.asarray(x)))
        values.append(ln_p)
        ess = effective(w)
        say(
            f"round {i}: log posterior {value:.2f}, log marginal {ln_p:.2f}, stretch {stretch:.1f}, "
            f"ESS {ess.min():.0f} to {np.median(ess):.0f}, {time.process_time() - started:.1f} s"
        )
        if value < best[0] - _NOISE and stretch > 1.0:  # too far: the plain step of the round before
            x, stretch = best[1] + move, 1.0
            continue
        theta = made.mode
        if value > best[0]:
            best = (value, x, theta)
        if i > FROZEN_ROUNDS + _PATIENCE and value < max(found[-_PATIENCE:]) + _NOISE:
            break
        found.append(value)
        y = _minimise(density.expected, x, 30, lanes, made, covariates, shares(w))
        move = y - x
        if i < FROZEN_ROUNDS:  # the middles first: a residual that explains everything would be hard to leave
            move[frozen] = 0.0
        else:
            stretch = min(stretch * 1.5, LONGEST_STRETCH)
        x = x + stretch * move
    x = best[1]
    mode, made, w, ln_p = people(x, best[2], 2 * draws)
    ess = effective(w)
    told: dict[str, Any] = {
        "log_marginal_by_round": values,
        "seconds_mode": time.process_time() - started,
        "ess_min": float(ess.min()),
        "ess_median": float(np.median(ess)),
        "log_marginal_noise_variance": float(np.sum(1.0 / ess - 0.5 / draws)),
    }
    hyper_draws = None
    if populations:
        began = time.process_time()
        L = _width(density, _scores(density, lanes, made, covariates, x), x)
        normal = jax.random.normal(jax.random.fold_in(key, 1), (populations, density.size), dtype=float)
        points = jnp.asarray(x)[None] + normal @ jnp.asarray(L).T
        hyper_draws = jax.vmap(lambda v: _to_hyper(prior, density.sites(v)))(points)
        told["seconds_population"] = time.process_time() - began
    return Learnt(prior, protocol, mode, hyper_draws, ln_p, ess, made, told)


def _scores(density: _Densities, lanes: Lanes, draws: Draws, covariates: Array, x: np.ndarray) -> np.ndarray:
    """Gradient of each person's log marginal with respect to the population, (person, size)."""
    return np.asarray(density.scores(jnp.asarray(x), lanes, draws, covariates)).T


def _width(density: _Densities, person_scores: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Lower factor of the population's covariance at the mode: the inverse of the outer product of people's scores
    plus the curvature of its prior, the latter by differences and not below `_LEAST_CURVATURE`."""
    step = 1e-3
    slope = jax.jit(jax.grad(density.minus_prior))
    rows = [slope(jnp.asarray(x + e)) - slope(jnp.asarray(x - e)) for e in step * np.eye(len(x))]
    H = np.array(rows) / (2.0 * step)
    values, vectors = np.linalg.eigh(0.5 * (H + H.T))
    prior = (vectors * np.maximum(values, _LEAST_CURVATURE)) @ vectors.T
    return np.linalg.cholesky(np.linalg.inv(person_scores.T @ person_scores + prior))
