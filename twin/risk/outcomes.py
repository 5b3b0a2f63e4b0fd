"""Outcome of each draw: probabilities given the draw's fetal weight, integrating the residual at birth.

Working with the conditional probability of each draw (Rao-Blackwell) instead of a 0/1 outcome gives the same
expectation with less Monte-Carlo noise.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from twin.forecast import BIRTH_RESIDUAL_SD
from twin.growth_standards import birthweight_from_z

Z_90, Z_10 = 1.2815515655446004, -1.2815515655446004
SEX_CODE = {"female": 0, "male": 1}
MALE_SHARE = 0.512  # of births, where the sex is not known


def exceeds(weight_g: np.ndarray, threshold_g: np.ndarray | float) -> np.ndarray:
    """P(birth weight > threshold | fetal weight at birth), same shape as `weight_g`."""
    gap = (np.log(weight_g) - np.log(threshold_g)) / BIRTH_RESIDUAL_SD
    return np.asarray(ndtr(jnp.asarray(gap)))


def chart_limit_g(
    day: np.ndarray, z: float, reference: str, sex: str | None
) -> list[tuple[float, np.ndarray]]:
    """(share of births, limit in g) by sex: one entry if the sex is known. NaN outside the reference's days."""
    known = [(1.0, sex)] if sex in SEX_CODE else [(MALE_SHARE, "male"), (1.0 - MALE_SHARE, "female")]
    out = []
    for share, name in known:
        code = jnp.full(day.shape, SEX_CODE[str(name)])
        limit = birthweight_from_z(z, jnp.asarray(day, dtype=float), code, standard=reference)
        out.append((share, np.asarray(limit)))
    return out


def large(weight_g: np.ndarray, day: np.ndarray, reference: str, sex: str | None) -> np.ndarray:
    """P(birth weight above the 90th centile of the reference | draw); NaN where the reference has no such day."""
    return sum(w * exceeds(weight_g, g) for w, g in chart_limit_g(day, Z_90, reference, sex))  # type: ignore[return-value]


def small(weight_g: np.ndarray, day: np.ndarray, reference: str, sex: str | None) -> np.ndarray:
    """P(birth weight below the 10th centile of the reference | draw)."""
    return sum(w * (1.0 - exceeds(weight_g, g)) for w, g in chart_limit_g(day, Z_10, reference, sex))  # type: ignore[return-value]
