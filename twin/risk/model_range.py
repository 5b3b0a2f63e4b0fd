"""How far a probability would move if the model's own choices were other: DESIGN 4's `low` and `high`.

Draws of the prior artefact tilt the posterior; the first-order effect of moving one latent's prior center by d
(in units of z) on a probability P is d * Cov(p, z). Monte-Carlo error and another delivery policy are added on
the logit scale. What is unknown about the woman is not in here: that is the birth-weight interval.
"""

from __future__ import annotations

import numpy as np

N_DRAWS = 200
_EDGE = 1e-4


def logit(p: float | np.ndarray) -> np.ndarray:
    q = np.clip(p, _EDGE, 1.0 - _EDGE)
    return np.log(q / (1.0 - q))


def tilt_effects(p: np.ndarray, z: np.ndarray, ess: float) -> np.ndarray:
    """Cov(p, z_j) per latent, shrunk by its own Monte-Carlo noise. p : (draw,); z : (latent, draw)."""
    covariance = (z - z.mean(axis=1, keepdims=True)) @ (p - p.mean()) / p.size
    noise = p.var() * z.var(axis=1) / ess
    keep = np.sqrt(np.clip(1.0 - noise / np.maximum(covariance**2, 1e-18), 0.0, 1.0))
    return covariance * keep


def probability_range(
    p: np.ndarray,
    z: np.ndarray,
    shifts: np.ndarray,
    ess: float,
    other_policies: list[float],
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """(probability, low, high): 90 % range over prior draws, Monte-Carlo error and delivery policies.

    p : (draw,) conditional probabilities. z : (latent, draw). shifts : (prior draw, latent), draws of the prior's
    centers. other_policies : the probability under other delivery policies.
    """
    mean = float(np.clip(p.mean(), 0.0, 1.0))
    slope = max(mean * (1.0 - mean), _EDGE)
    effects = shifts @ tilt_effects(p, z, ess) / slope
    error = rng.standard_normal(len(effects)) * np.sqrt(p.var() / ess) / slope
    step = max((abs(float(logit(q) - logit(mean))) for q in other_policies), default=0.0)
    policy = rng.uniform(-1.0, 1.0, len(effects)) * step
    moved = 1.0 / (1.0 + np.exp(-(logit(mean) + effects + error + policy)))
    low, high = np.quantile(moved, [0.05, 0.95])
    return mean, float(min(low, mean)), float(max(high, mean))
