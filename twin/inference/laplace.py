"""Posterior by damped Gauss-Newton, importance weights and, where those fail, a tempered sampler.

Each error model gives its Fisher weight, so the curvature is J' W J + I, positive by construction. The Gaussian
at the mode is the proposal; its importance weights are judged by Pareto k (`psis.pareto_smooth`). k > 0.7:
tempering from the proposal to the posterior with preconditioned Crank-Nicolson moves.
"""

from __future__ import annotations

from typing import NamedTuple

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
MOVES_PER_LEVEL = 3
MAX_LEVELS = 12
STEP_BETA = 0.5  # share of fresh noise in one Crank-Nicolson move


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
    road: str  # "importance" | "tempered" | "prior"
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


def _log_weight(
    prior: Prior, data: WomanData, mode: Mode, noise: np.ndarray
) -> tuple[np.ndarray, Evaluation]:
    """Draws mode + chol^-T noise, (latent, draw), and the model there."""
    chol = np.asarray(mode.curvature_chol)
    z = np.asarray(mode.z)[:, None] + scipy.linalg.solve_triangular(chol, noise, trans=1, lower=True)
    return z, evaluate(prior, data, jnp.asarray(z))


def _excess(evaluation: Evaluation, noise: np.ndarray) -> np.ndarray:
    """ln(posterior / proposal) up to a constant."""
    return np.asarray(evaluation.log_joint) + 0.5 * np.sum(noise**2, axis=0)


def _move(
    prior: Prior, data: WomanData, mode: Mode, noise: np.ndarray, log_w: np.ndarray, key: Array, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """Crank-Nicolson moves that leave proposal * (posterior / proposal)^power invariant."""
    for k in jax.random.split(key, MOVES_PER_LEVEL):
        k1, k2 = jax.random.split(k)
        fresh = np.asarray(jax.random.normal(k1, noise.shape, dtype=noise.dtype))
        candidate = np.sqrt(1.0 - STEP_BETA**2) * noise + STEP_BETA * fresh
        new = _excess(_log_weight(prior, data, mode, candidate)[1], candidate)
        accept = np.log(np.asarray(jax.random.uniform(k2, new.shape))) < power * (new - log_w)
        noise, log_w = np.where(accept[None], candidate, noise), np.where(accept, new, log_w)
    return noise, log_w


def normalised(log_weights: np.ndarray) -> np.ndarray:
    w = np.exp(log_weights - np.max(log_weights))
    return w / w.sum()


def resample(key: Array, weights: np.ndarray, n: int) -> np.ndarray:
    """Systematic resampling: n indices whose counts follow `weights`."""
    u = (float(jax.random.uniform(key)) + np.arange(n)) / n
    return np.minimum(np.searchsorted(np.cumsum(weights), u), len(weights) - 1)


def _next_power(log_w: np.ndarray, power: float) -> float:
    """The largest step of the tempering that keeps half the effective sample."""

    def ess(to: float) -> float:
        return effective_sample_size(normalised((to - power) * log_w))

    n = len(log_w)
    if ess(1.0) >= 0.5 * n:
        return 1.0
    low, high = power, 1.0
    for _ in range(30):
        mid = 0.5 * (low + high)
        low, high = (mid, high) if ess(mid) >= 0.5 * n else (low, mid)
    return max(low, power + 1e-3)


def family_effective_size(values: np.ndarray, family: np.ndarray) -> float:
    """Effective number of equally weighted draws that come in families, (latent, draw).

    Draws of one ancestor stay alike until moves part them: the design effect of cluster sampling, 1 + (m - 1) r with
    m the draw-weighted family size and r the intraclass correlation (ANOVA), of the latent where it is largest.
    """
    _, index, counts = np.unique(family, return_inverse=True, return_counts=True)
    n, groups = values.shape[1], len(counts)
    if groups < 2:
        return 1.0
    if groups == n:
        return float(n)
    centered = values - values.mean(axis=1, keepdims=True)
    sums = np.stack([np.bincount(index, weights=row, minlength=groups) for row in centered])
    between = np.sum(sums**2 / counts, axis=1)
    within = np.maximum(np.sum(centered**2, axis=1) - between, 0.0) / (n - groups)
    between /= groups - 1
    typical = (n - np.sum(counts**2) / n) / (groups - 1)
    variance = np.maximum((between - within) / typical, 0.0)
    alike = float(np.max(variance / np.maximum(variance + within, 1e-300)))
    return float(n / (1.0 + (np.sum(counts**2) / n - 1.0) * alike))


def _tempered(
    prior: Prior, data: WomanData, mode: Mode, key: Array, noise: np.ndarray, log_w: np.ndarray
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Sequential tempering from the Gaussian at the mode to the posterior: (noise, ancestor of each, finished)."""
    power, ancestor = 0.0, np.arange(noise.shape[1])
    for _ in range(MAX_LEVELS):
        key, k1, k2 = jax.random.split(key, 3)
        target = _next_power(log_w, power)
        chosen = resample(k1, normalised((target - power) * log_w), noise.shape[1])
        power, ancestor = target, ancestor[chosen]
        noise, log_w = _move(prior, data, mode, noise[:, chosen], log_w[chosen], k2, power)
        if power >= 1.0:
            return noise, ancestor, True
    return noise, ancestor, False


def sample(prior: Prior, data: WomanData, key: Array, n: int = 1000) -> tuple[Draws, Mode | None]:
    """Posterior draws with normalised weights, and the mode; without readings, draws of the prior and None."""
    size = prior.size(data)
    if not has_readings(data):
        z = np.asarray(jax.random.normal(key, (size, n)))
        everything = evaluate(prior, data, jnp.asarray(z))
        return Draws(z, np.full(n, 1.0 / n), float("nan"), float(n), "prior", True, everything), None
    mode = find_mode(prior, data, jnp.zeros(size))
    k1, k2 = jax.random.split(key)
    noise = np.asarray(jax.random.normal(k1, (size, n), dtype=mode.z.dtype))
    z, everything = _log_weight(prior, data, mode, noise)
    log_w = _excess(everything, noise)
    smoothed, k = pareto_smooth(log_w)
    if k <= K_LIMIT:
        weights = normalised(smoothed)
        ess = effective_sample_size(weights)
        return Draws(z, weights, k, ess, "importance", mode.converged, everything), mode
    moved, ancestor, finished = _tempered(prior, data, mode, k2, noise, log_w)
    z, everything = _log_weight(prior, data, mode, moved)
    ess = family_effective_size(moved, ancestor)
    return Draws(z, np.full(n, 1.0 / n), k, ess, "tempered", mode.converged and finished, everything), mode
