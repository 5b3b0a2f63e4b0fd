"""Leave one time out: what is predicted of a person's values at one time from the values at all other times.

Each (person, hidden time) is a lane: its own mode and draws without the hidden values, weighted draws under one or
many populations, and the residual at the hidden time given the residuals at the others.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cohorts.individuals.data import PeopleTests
from cohorts.individuals.person import Draws, Lanes, draw_around, find_modes, lanes_of, noise_of
from cohorts.individuals.population import Hyper, Hyperprior, Learnt, effective, log_weights, population_of
from cohorts.individuals.residual import masked

PREDICTIVE_DRAWS = 600


class Predicted(NamedTuple):
    """Of hidden values, ln scale: (person, analyte, time), draws on a last axis more; NaN where nothing was hidden."""

    ln_y: np.ndarray
    pit: np.ndarray
    draws: np.ndarray
    ess: np.ndarray  # (person, time), effective draws, median over populations


def hidden_lanes(tests: PeopleTests) -> tuple[Lanes, np.ndarray]:
    """Lanes person by person and time by time, and which values are hidden in each, (lane, obs)."""
    full = lanes_of(tests)
    n, a, t = tests.ln_y.shape
    hide = np.broadcast_to(np.eye(t, dtype=bool)[None, :, None, :], (n, t, a, t)).reshape(n * t, a * t)
    every = jax.tree.map(lambda x: jnp.repeat(x, t, axis=0), full)
    return every._replace(mask=every.mask & ~hide), hide


@jax.jit
def _conditional(S: Array, lanes: Lanes, hide: Array, draws: Draws) -> tuple[Array, Array]:
    """Mean (lane, draw, obs) and SD (lane, obs) of hidden values given the draw and the others; junk elsewhere."""
    inner = jnp.linalg.inv(masked(S, lanes.mask))
    pairs = hide[:, :, None] & lanes.mask[:, None, :]
    cross = jnp.where(pairs, jnp.broadcast_to(S, pairs.shape), 0.0)
    weight = jnp.einsum("lij,ljk->lik", cross, inner)
    gap = jnp.where(lanes.mask[:, None], lanes.ln_y[:, None] - draws.ln_f, 0.0)
    mean = draws.ln_f + jnp.einsum("lij,lsj->lsi", weight, gap)
    variance = jnp.diagonal(S)[None] - jnp.einsum("lij,lij->li", weight, cross)
    return mean, jnp.sqrt(jnp.maximum(variance, 1e-8))


def _some(h: Hyper, n: int) -> Hyper:
    """`n` of the draws, evenly spaced."""
    every = h.middle.shape[0]
    at = np.linspace(0, every - 1, min(n, every)).astype(int)
    return jax.tree.map(lambda x: jnp.asarray(x)[at], h)


def truncated(w: np.ndarray) -> np.ndarray:
    """Weights that add to 1 in each lane, none above sqrt(draws) times the mean one (Ionides 2008, recalled): where few
    draws carry all, the prediction errs to the wide side."""
    share = np.exp(w - w.max(axis=-1, keepdims=True))
    share = np.minimum(share, np.sqrt(share.shape[-1]) * share.mean(axis=-1, keepdims=True))
    return np.asarray(share / share.sum(axis=-1, keepdims=True))


def leave_one_time_out(
    key: Array,
    tests: PeopleTests,
    learnt: Learnt,
    *,
    draws: int = 300,
    populations: int = 10,
    saturation: float | None = None,
) -> Predicted:
    """Predict each person's values at each time from the others under a population learnt elsewhere.

    populations : how many draws of the population are averaged over where `learnt` has any; else its mode is taken.
    Returns : Predicted.
    """
    prior: Hyperprior = learnt.prior
    protocol = learnt.protocol
    n, a, t = tests.ln_y.shape
    lanes, hide = hidden_lanes(tests)
    covariates = jnp.repeat(jnp.asarray(tests.covariates), t, axis=0)
    sat = None if saturation is None else jnp.asarray(saturation)
    k_draw, k_pick, k_normal = jax.random.split(key, 3)
    if learnt.hyper_draws is None:
        hypers = jax.tree.map(lambda x: jnp.asarray(x)[None], learnt.mode)
    else:
        hypers = _some(learnt.hyper_draws, populations)
    hidden, d = jnp.asarray(hide), learnt.mode.middle.shape[0]
    m = hypers.middle.shape[0]
    each = PREDICTIVE_DRAWS // m
    rows = np.arange(len(hide))
    pit, found, ess = np.zeros(hide.shape), [], np.zeros((m, len(hide)))
    ln_y = np.repeat(tests.ln_y.reshape(n, -1), t, axis=0)
    z = jnp.zeros((len(hide), d))
    for i in range(m):
        h = jax.tree.map(lambda x, i=i: x[i], hypers)
        population = population_of(prior, h, covariates, protocol)
        z, scale = find_modes(protocol, lanes, population, jnp.clip(z, -3.0, 3.0), sat)
        noise = noise_of(jax.random.fold_in(k_draw, i), (len(hide), draws, d))
        made = draw_around(protocol, lanes, population, z, scale, noise, sat)
        w = log_weights(population, lanes, made)
        mean, sd = _conditional(population.residual, lanes, hidden, made)
        share = truncated(np.asarray(w))
        ess[i] = effective(w)
        below = np.asarray(jax.scipy.stats.norm.cdf((ln_y[:, None] - mean) / sd[:, None]))
        pit += np.einsum("ls,lso->lo", share, below) / m
        logits = jnp.log(share)[:, None]
        pick = jax.random.categorical(jax.random.fold_in(k_pick, i), logits, shape=(len(hide), each))
        centre = np.asarray(mean)[rows[:, None], np.asarray(pick)]  # (lane, draw, obs)
        fresh = np.asarray(jax.random.normal(jax.random.fold_in(k_normal, i), centre.shape))
        found.append(centre + fresh * np.asarray(sd)[:, None])
    sample = np.concatenate(found, axis=1)

    def back(x: np.ndarray) -> np.ndarray:
        """Of (lane, obs, ...), the entries hidden in their lane, as (person, analyte, time, ...)."""
        wide = x.reshape(n, t, a, t, *x.shape[2:])
        same = np.stack([wide[:, i, :, i] for i in range(t)], axis=2)
        shape = tests.mask.reshape(n, a, t, *(1,) * (x.ndim - 2))
        return np.where(shape, same, np.nan)

    return Predicted(
        np.where(tests.mask, tests.ln_y, np.nan),
        back(pit),
        back(np.moveaxis(sample, 1, -1)),
        np.median(ess, axis=0).reshape(n, t),
    )
