"""Laplace made honest: damped Gauss-Newton to the mode, then importance sampling around it.

The proposal is a multivariate t of many degrees of freedom with the curvature at the mode; its importance weights are
judged by Pareto k (`psis.pareto_smooth`). Where they are poor, the proposal learns center and scale from the weighted
draws and further rounds are drawn; all rounds count together under their mixture (deterministic-mixture adaptive
importance sampling: Cornuet et al. 2012, Scand J Stat 39:798).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array

from twin.encode import WomanData
from twin.inference.model import Evaluation, evaluate, predict
from twin.inference.priors import Prior
from twin.inference.psis import effective_sample_size, pareto_smooth
from twin.observation.blocks import Block
from twin.programs import stored

MAX_ITERATIONS = 40
CONVERGED = 1e-3  # change of the log joint between accepted steps
K_LIMIT = 0.7  # DESIGN 6
#: on four simulated women the worst k is 0.64, with a Gaussian 0.85
T_DF = 100.0
ESS_WANTED = 200.0  # effective draws, below which another round is drawn
MAX_ROUNDS = 5  # DESIGN 6: within five times the usual cost
SHRINK_DRAWS = 20.0  # weight, in draws, of "no change" when scales are learnt
SCALE_RANGE = (0.7, 1.6)


class Mode(NamedTuple):
    """The posterior mode, the Cholesky factor of the curvature there, and whether the search settled."""

    z: Array
    curvature_chol: Array
    log_joint: float
    iterations: int
    converged: bool


class Draws(NamedTuple):
    """Weighted draws, (latent, draw), and how they were made."""

    z: np.ndarray
    weights: np.ndarray
    pareto_k: float
    ess: float
    road: str  # "importance" | "adapted" | "prior"
    converged: bool
    evaluation: Evaluation


def has_readings(data: WomanData) -> bool:
    """False where nothing informs the posterior: the prior is the answer."""
    masks = (data.spots.mask, data.cgm.mask, data.ogtt.mask, data.scans.mask)
    return any(bool(np.any(np.asarray(m))) for m in masks)


@stored("prior")
def linearise(prior: Prior, data: WomanData, z: Array) -> tuple[Array, Array, Array]:
    """(log joint, its gradient, Gauss-Newton curvature) at z, (latent,), from one forward-mode sweep."""

    def statistics(v: Array) -> tuple[dict[str, tuple[Array, Array]], tuple[dict[str, Block], Array]]:
        predictions = predict(prior, data, v)
        moving = {name: (b.loc, jnp.log(b.scale)) for name, b in predictions.blocks.items()}
        return moving, (predictions.blocks, predictions.ok)

    jacobian, (blocks, ok) = jax.jacfwd(statistics, has_aux=True)(z)
    value = -0.5 * jnp.sum(z**2) - 0.5 * z.shape[0] * jnp.log(2.0 * jnp.pi)
    gradient = -z
    H = jnp.eye(z.shape[0], dtype=z.dtype)
    for name, block in blocks.items():

        def likelihood(loc: Array, ln_scale: Array, block: Block = block) -> Array:
            return block._replace(loc=loc, scale=jnp.exp(ln_scale)).log_likelihood()

        each, slopes = jax.value_and_grad(likelihood, argnums=(0, 1))(block.loc, jnp.log(block.scale))
        value = value + each
        for J, slope, weight in zip(jacobian[name], slopes, block.error.fisher(block.scale), strict=True):
            gradient = gradient + J.T @ slope
            H = H + J.T @ (J * jnp.where(block.mask, weight, 0.0)[:, None])
    return jnp.where(ok & jnp.isfinite(value), value, -jnp.inf), gradient, H


def find_mode(prior: Prior, data: WomanData, start: Array) -> Mode:
    """Levenberg-damped Gauss-Newton from `start`, (latent,); steps are at most two prior SDs long."""
    z, damping, settled = np.asarray(start), 1e-2, False
    value, gradient, H = (np.asarray(x) for x in linearise(prior, data, jnp.asarray(z)))
    count = 0
    while count < MAX_ITERATIONS and not settled and damping < 1e6:
        count += 1
        move = scipy.linalg.solve(H + damping * np.diag(np.diag(H)), gradient, assume_a="pos")
        candidate = z + move / max(1.0, float(np.max(np.abs(move))) / 2.0)
        new, new_gradient, new_H = (np.asarray(x) for x in linearise(prior, data, jnp.asarray(candidate)))
        if new > value:
            settled = bool(new - value < CONVERGED)
            z, value, gradient, H = candidate, new, new_gradient, new_H
            damping = max(0.2 * damping, 1e-6)
        else:
            damping *= 6.0
    # no step improves any more: a mode to working precision, if the gradient agrees
    decrement = float(gradient @ scipy.linalg.solve(H, gradient, assume_a="pos"))
    converged = bool(np.isfinite(value)) and (settled or decrement < 0.05)
    return Mode(jnp.asarray(z), jnp.linalg.cholesky(jnp.asarray(H)), float(value), count, converged)


class _Round(NamedTuple):
    """One proposal, in the coordinates in which the curvature at the mode is the identity: (latent,) each."""

    center: np.ndarray
    scale: np.ndarray


def _t_noise(rng: np.random.Generator, size: int, n: int) -> np.ndarray:
    return rng.standard_normal((size, n)) * np.sqrt(T_DF / rng.chisquare(T_DF, n))


def _ln_t(noise: np.ndarray) -> np.ndarray:
    """ln density of the multivariate t, up to a constant of the dimension."""
    return -0.5 * (T_DF + noise.shape[0]) * np.log1p(np.sum(noise**2, axis=0) / T_DF)


def _ln_mixture(rounds: list[_Round], at: np.ndarray) -> np.ndarray:
    """ln density of equal parts of all rounds at (latent, draw)."""
    each = [_ln_t((at - r.center[:, None]) / r.scale[:, None]) - np.sum(np.log(r.scale)) for r in rounds]
    return np.logaddexp.reduce(each, axis=0) - np.log(len(rounds))


def _learn(at: np.ndarray, weights: np.ndarray, ess: float) -> _Round:
    """Center and scale of the next round from weighted draws, drawn towards no change by their own noise."""
    mean = at @ weights
    variance = ((at - mean[:, None]) ** 2) @ weights
    center = mean * mean**2 / (mean**2 + variance / ess)
    scale = np.sqrt((ess * variance + SHRINK_DRAWS) / (ess + SHRINK_DRAWS))
    return _Round(center, np.clip(scale, *SCALE_RANGE))


def normalised(log_weights: np.ndarray) -> np.ndarray:
    w = np.exp(log_weights - np.max(log_weights))
    return w / w.sum()


def resample(key: Array, weights: np.ndarray, n: int) -> np.ndarray:
    """Systematic resampling: n indices whose counts follow `weights`."""
    u = (float(jax.random.uniform(key)) + np.arange(n)) / n
    return np.minimum(np.searchsorted(np.cumsum(weights), u), len(weights) - 1)


def draw_around(
    mode: Mode, at_draws: Callable[[np.ndarray], Any], key: Array, n: int
) -> tuple[np.ndarray, np.ndarray, float, float, int, Any]:
    """Weighted draws around a mode: (z, weights, Pareto k, effective draws, rounds, what `at_draws` says there).

    at_draws : z, (latent, draw), to a pytree with the draw last and a field `log_joint`. One round of n draws where its
    weights are good; else up to MAX_ROUNDS, resampled to n equal weights. k and the effective draws are those of all
    rounds together.
    """
    chol, center = np.asarray(mode.curvature_chol), np.asarray(mode.z)[:, None]
    k_noise, k_pick = jax.random.split(key)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(k_noise)))
    rounds = [_Round(np.zeros(len(center)), np.ones(len(center)))]
    places: list[np.ndarray] = []
    found: list[Any] = []

    def to_z(place: np.ndarray) -> np.ndarray:
        return center + scipy.linalg.solve_triangular(chol, place, trans=1, lower=True)

    while True:
        last = rounds[-1]
        places.append(last.center[:, None] + last.scale[:, None] * _t_noise(rng, len(center), n))
        found.append(at_draws(to_z(places[-1])))
        at = np.concatenate(places, axis=1)
        ln_joint = np.concatenate([np.asarray(f.log_joint) for f in found])
        smoothed, k = pareto_smooth(ln_joint - _ln_mixture(rounds, at))
        weights = normalised(smoothed)
        ess = effective_sample_size(weights)
        if (k <= K_LIMIT and ess >= min(ESS_WANTED, 0.2 * n)) or len(rounds) == MAX_ROUNDS:
            break
        rounds.append(_learn(at, weights, ess))
    if len(rounds) == 1:
        return to_z(at), weights, k, ess, 1, found[0]
    chosen = resample(k_pick, weights, n)
    there = jax.tree.map(lambda *x: np.concatenate(x, axis=-1)[..., chosen], *found)
    return to_z(at[:, chosen]), np.full(n, 1.0 / n), k, ess, len(rounds), there


def sample(prior: Prior, data: WomanData, key: Array, n: int = 1000) -> tuple[Draws, Mode | None]:
    """Posterior draws with normalised weights, and the mode; without readings, draws of the prior and None."""
    size = prior.size(data)
    if not has_readings(data):
        z = np.asarray(jax.random.normal(key, (size, n)))
        everything = evaluate(prior, data, jnp.asarray(z))
        return Draws(z, np.full(n, 1.0 / n), float("nan"), float(n), "prior", True, everything), None
    mode = find_mode(prior, data, jnp.zeros(size))
    z, weights, k, ess, rounds, everything = draw_around(
        mode, lambda at: evaluate(prior, data, jnp.asarray(at)), key, n
    )
    road = "importance" if rounds == 1 else "adapted"
    return Draws(z, weights, k, ess, road, mode.converged, everything), mode
