"""Outcome of each draw: probabilities given the draw's fetal weight, integrating the residual at birth.

Working with the conditional probability of each draw (Rao-Blackwell) instead of a 0/1 outcome gives the same
expectation with less Monte-Carlo noise.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.special import ndtr, ndtri

from twin.forecast import BIRTH_RESIDUAL_SD
from twin.growth_standards import BIRTHWEIGHT_STANDARDS, birthweight_from_z
from twin.programs import stored

Z_90, Z_10 = 1.2815515655446004, -1.2815515655446004
SEX_CODE = {"female": 0, "male": 1}
MALE_SHARE = 0.512  # of births, where the sex is not known
_FIRST, _LAST = 140, 308


def exceeds(weight_g: np.ndarray, threshold_g: np.ndarray | float) -> np.ndarray:
    """P(birth weight > threshold | fetal weight at birth), same shape as `weight_g`."""
    return ndtr((np.log(weight_g) - np.log(threshold_g)) / BIRTH_RESIDUAL_SD)


def birth_weight_mean(weight_g: np.ndarray) -> np.ndarray:
    """Mean birth weight, g, (*batch), of equally likely draws of fetal weight at birth, (*batch, draw)."""
    return np.mean(weight_g, axis=-1) * math.exp(0.5 * BIRTH_RESIDUAL_SD**2)


def birth_weight_quantiles(weight_g: np.ndarray, q: Sequence[float]) -> np.ndarray:
    """Quantiles of birth weight, g, (*batch, q): the draws are the medians of equally likely lognormals.

    weight_g : (*batch, draw), fetal weight at birth. Newton steps on ln weight, kept inside the smallest and the
    largest component's own quantile, between which the mixture's lies; exact to 1e-7 of the weight.
    """
    ln = np.log(np.asarray(weight_g, dtype=float))[..., None, :]  # (*batch, 1, draw)
    wanted = np.asarray(q, dtype=float)
    own = BIRTH_RESIDUAL_SD * ndtri(wanted)
    low, high = ln.min(axis=-1) + own, ln.max(axis=-1) + own
    spread = np.sqrt(ln.var(axis=-1) + BIRTH_RESIDUAL_SD**2)
    at = np.clip(ln.mean(axis=-1) + spread * ndtri(wanted), low, high)
    for _ in range(60):
        u = (at[..., None] - ln) / BIRTH_RESIDUAL_SD
        over = ndtr(u).mean(axis=-1) - wanted
        low, high = np.where(over < 0.0, at, low), np.where(over < 0.0, high, at)
        slope = np.exp(-0.5 * u**2).mean(axis=-1) / (BIRTH_RESIDUAL_SD * math.sqrt(2.0 * math.pi))
        new = at - over / np.maximum(slope, 1e-12)
        new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        moved, at = np.max(np.abs(new - at)), new
        if moved < 1e-7:
            break
    return np.exp(at)


@stored("references")
def _limits(days: Array, references: tuple[str, ...]) -> Array:
    """Birth weight at Z_90 and Z_10, g, (reference, z, sex, day)."""
    z = jnp.asarray([Z_90, Z_10])[:, None, None]
    sex = jnp.asarray(list(SEX_CODE.values()))[None, :, None]
    each = jnp.broadcast_arrays(z, days[None, None], sex)
    return jnp.stack([birthweight_from_z(*each, standard=r) for r in references])


@functools.cache
def _limits_g(z: float, reference: str, sex: str) -> np.ndarray:
    """Birth weight at z by day from _FIRST to _LAST, g; NaN outside the reference's days."""
    together = reference in BIRTHWEIGHT_STANDARDS
    return _all_limits(BIRTHWEIGHT_STANDARDS if together else (reference,))[reference][
        (Z_90, Z_10).index(z), list(SEX_CODE).index(sex)
    ]


@functools.cache
def _all_limits(references: tuple[str, ...]) -> dict[str, np.ndarray]:
    days = np.arange(_FIRST, _LAST + 1, dtype=float)
    return dict(zip(references, np.asarray(_limits(days, references)), strict=True))


def chart_limit_g(
    day: np.ndarray, z: float, reference: str, sex: str | None
) -> list[tuple[float, np.ndarray]]:
    """(share of births, limit in g) by sex: one entry if the sex is known."""
    known = [(1.0, sex)] if sex in SEX_CODE else [(MALE_SHARE, "male"), (1.0 - MALE_SHARE, "female")]
    row = np.clip(np.asarray(day).astype(int) - _FIRST, 0, _LAST - _FIRST)
    return [(share, _limits_g(z, reference, str(name))[row]) for share, name in known]


def large(weight_g: np.ndarray, day: np.ndarray, reference: str, sex: str | None) -> np.ndarray:
    """P(birth weight above the reference's 90th centile | draw); NaN where the reference has no such day."""
    parts = [w * exceeds(weight_g, g) for w, g in chart_limit_g(day, Z_90, reference, sex)]
    return np.sum(parts, axis=0)


def small(weight_g: np.ndarray, day: np.ndarray, reference: str, sex: str | None) -> np.ndarray:
    """P(birth weight below the reference's 10th centile | draw)."""
    parts = [w * (1.0 - exceeds(weight_g, g)) for w, g in chart_limit_g(day, Z_10, reference, sex)]
    return np.sum(parts, axis=0)
