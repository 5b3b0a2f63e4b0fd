"""A population learnt from many women's posteriors: means, spreads, correlations, effects of covariates and groups.

Each woman comes as draws of her latents z under one common prior, z standard normal. Under a population N(m_i, S) of
the chosen latents her marginal likelihood is, up to a constant, the mean over her draws of N(z; m_i, S) / N(z; 0, I):
no refit is needed while populations stay near enough for that mean to rest on many draws (`share`). Where they do not,
the prior is moved to what was found, her draws are made anew, and the population is learnt again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoMultivariateNormal
from numpyro.infer.initialization import init_to_median

MEAN_SD, LN_SPREAD_SD = 0.7, 0.4  # of a population's mean and ln SD, in SDs of the common prior (assumed)
EFFECT_SD, GROUP_SD = 0.3, 0.3
SMALL = 150  # women up to whom NUTS is used
BATCH = 64
STEPS, LARGEST_STEP = 4000, 0.02


class Women(NamedTuple):
    """n women. draws : (woman, draw, latent); ln_weights : (woman, draw), normalised, under the common prior;
    covariates : (woman, covariate), standardised; group : (woman,) index of the site or device."""

    draws: Array
    ln_weights: Array
    covariates: Array
    group: Array


@dataclass(frozen=True)
class What:
    """latents : names of the last axis of `Women.draws`. moved : which of them covariates act on. grouped : which of
    them differ between groups."""

    latents: tuple[str, ...]
    moved: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    grouped: tuple[str, ...] = ()
    groups: int = 1


def hierarchy(what: What, women: Women, total: int) -> None:
    """The numpyro model; of a part of the women where `total` is more than it holds."""
    d = len(what.latents)
    mean = numpyro.sample("mean", dist.Normal(0.0, MEAN_SD).expand([d]).to_event(1))
    ln_sd = numpyro.sample("ln_sd", dist.Normal(0.0, LN_SPREAD_SD).expand([d]).to_event(1))
    corr = numpyro.sample("corr", dist.LKJCholesky(d, 4.0)) if d > 1 else jnp.ones((1, 1))
    location = jnp.broadcast_to(mean, (women.draws.shape[0], d))
    if what.moved and what.covariates:
        shape = (len(what.moved), len(what.covariates))
        effect = numpyro.sample("effect", dist.Normal(0.0, EFFECT_SD).expand(shape).to_event(2))
        at = jnp.asarray([what.latents.index(name) for name in what.moved])
        location = location.at[:, at].add(women.covariates @ effect.T)
    if what.grouped and what.groups > 1:
        spread = numpyro.sample("group_sd", dist.HalfNormal(GROUP_SD).expand([len(what.grouped)]).to_event(1))
        raw = numpyro.sample(
            "group_z", dist.Normal(0.0, 1.0).expand([what.groups, len(what.grouped)]).to_event(2)
        )
        own = numpyro.deterministic("group", raw * spread)
        at = jnp.asarray([what.latents.index(name) for name in what.grouped])
        location = location.at[:, at].add(own[women.group])
    sd = jnp.exp(ln_sd)
    factor = sd[:, None] * corr
    z = jax.scipy.linalg.solve_triangular(
        factor, jnp.moveaxis(women.draws - location[:, None], -1, 0).reshape(d, -1), lower=True
    )
    ln_density = -0.5 * jnp.sum(z**2, axis=0).reshape(women.ln_weights.shape) - jnp.sum(
        jnp.log(jnp.diag(factor))
    )
    ratio = ln_density + 0.5 * jnp.sum(women.draws**2, axis=-1)
    each = jax.scipy.special.logsumexp(women.ln_weights + ratio, axis=1)
    numpyro.factor("women", total / women.draws.shape[0] * jnp.sum(each))


class Learnt(NamedTuple):
    """Draws of the hyperparameters by name, (draw, ...); share : effective share of each woman's draws under their
    mean, (woman,); road : "nuts" or "variational"."""

    draws: dict[str, np.ndarray]
    share: np.ndarray
    road: str


def learn(key: Array, what: What, women: Women, *, draws: int = 1000) -> Learnt:
    """NUTS for small cohorts; else a full-covariance normal by minibatches of women."""
    n = women.draws.shape[0]
    if n <= SMALL:
        kernel = NUTS(hierarchy, target_accept_prob=0.9, init_strategy=init_to_median)
        run = MCMC(
            kernel,
            num_warmup=500,
            num_samples=draws // 2,
            num_chains=2,
            chain_method="vectorized",
            progress_bar=False,
        )
        run.run(key, what, women, n)
        found, road = run.get_samples(), "nuts"
    else:
        found, road = _by_batches(key, what, women, draws), "variational"
    told = {name: np.asarray(v) for name, v in found.items()}
    return Learnt(told, shares(what, women, told), road)


def _by_batches(key: Array, what: What, women: Women, draws: int) -> dict[str, Array]:
    n = women.draws.shape[0]
    guide = AutoMultivariateNormal(hierarchy, init_scale=0.05)
    optimiser = numpyro.optim.Adam(lambda i: LARGEST_STEP * jnp.exp(-5.0 * i / STEPS))
    svi = SVI(hierarchy, guide, optimiser, Trace_ELBO(num_particles=4))
    k_init, k_run, k_draw = jax.random.split(key, 3)
    first = jax.tree.map(lambda x: x[:BATCH], women)
    state = svi.init(k_init, what, first, n)

    def step(state: Any, k: Array) -> tuple[Any, Array]:
        some = jax.random.choice(k, n, (BATCH,), replace=False)
        part = jax.tree.map(lambda x: x[some], women)
        return svi.update(state, what, part, n)

    state, _ = jax.lax.scan(step, state, jax.random.split(k_run, STEPS))
    return guide.sample_posterior(k_draw, svi.get_params(state), sample_shape=(draws,))


def shares(what: What, women: Women, draws: dict[str, np.ndarray]) -> np.ndarray:
    """Effective share of each woman's draws under the hyperparameters' means: near 0, her draws must be made anew."""
    d = len(what.latents)
    mean, sd = draws["mean"].mean(axis=0), np.exp(draws["ln_sd"].mean(axis=0))
    corr = draws["corr"].mean(axis=0) if d > 1 else np.ones((1, 1))
    z = np.linalg.solve(sd[:, None] * corr, np.moveaxis(np.asarray(women.draws) - mean, -1, 0).reshape(d, -1))
    ratio = (-0.5 * (z**2).sum(axis=0)).reshape(women.ln_weights.shape) + 0.5 * (
        np.asarray(women.draws) ** 2
    ).sum(-1)
    ln_w = np.asarray(women.ln_weights) + ratio
    w = np.exp(ln_w - ln_w.max(axis=1, keepdims=True))
    return np.asarray(w.sum(axis=1) ** 2 / (w**2).sum(axis=1) / w.shape[1])


def stack(
    z: Sequence[np.ndarray], weights: Sequence[np.ndarray], at: Sequence[int], size: int, seed: int
) -> Women:
    """Women without covariates from posterior draws (latent, draw), thinned to `size` draws of equal weight each."""
    rng = np.random.default_rng(seed)
    rows = [rng.choice(w.size, size, p=w / w.sum()) for w in weights]
    draws = np.stack([x[np.asarray(at)][:, r].T for x, r in zip(z, rows, strict=True)])
    n = len(draws)
    return Women(
        jnp.asarray(draws),
        jnp.full((n, size), -np.log(size)),
        jnp.zeros((n, 0)),
        jnp.zeros(n, dtype=int),
    )
