"""What the equations leave over in one test: a process with memory per analyte, and the assay.

On ln values. With t from the drink, residual of glucose r_G = sigma_G s_G(t) x (process of memory tau_G); of insulin
r_I = kappa r_G + its own; of C-peptide r_C = share (r_I's own) + its own. s(t) is `fasting`
up to the drink and 1 after.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

#: laboratory CV; glucose [MODEL 1.5], immunoassays of insulin and C-peptide 6 % (recalled)
ASSAY_CV = {"glucose": 0.02, "insulin": 0.06, "c_peptide": 0.06}


class ResidualParams(NamedTuple):
    """SDs are of ln values, memories in minutes; `*_c` matter only where C-peptide is measured."""

    sigma_G: Array | float
    tau_G: Array | float
    fasting_G: Array | float
    sigma_I: Array | float
    tau_I: Array | float
    fasting_I: Array | float
    kappa: Array | float
    sigma_c: Array | float = 0.1
    fasting_c: Array | float = 0.5
    share_c: Array | float = 0.5


#: where the fit begins, and the spread of the prior of its logarithm (`kappa`, `share_c`: of itself)
START = ResidualParams(0.04, 30.0, 0.5, 0.12, 30.0, 0.8, 0.3, 0.10, 0.6, 0.5)
SPREAD = ResidualParams(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 0.5, 0.5, 0.5)
LINEAR = ("kappa", "share_c")
WITH_C_PEPTIDE = ("sigma_c", "fasting_c", "share_c")


def covariance(r: ResidualParams, minutes: np.ndarray, analytes: tuple[str, ...]) -> Array:
    """Covariance of ln values, analyte by analyte, (analyte * time, analyte * time)."""
    lag = np.abs(np.subtract.outer(minutes, minutes))
    before = minutes <= 0.0

    def process(sigma: Array | float, tau: Array | float, fasting: Array | float) -> Array:
        s = sigma * jnp.where(before, fasting, 1.0)
        return s[:, None] * s[None, :] * jnp.exp(-lag / tau)

    G = process(r.sigma_G, r.tau_G, r.fasting_G)
    own = process(r.sigma_I, r.tau_I, r.fasting_I)
    blocks = [[G, r.kappa * G], [r.kappa * G, r.kappa**2 * G + own]]
    if "c_peptide" in analytes:
        c = r.kappa * r.share_c
        C = process(r.sigma_c, r.tau_I, r.fasting_c)
        blocks[0].append(c * G)
        blocks[1].append(c * r.kappa * G + r.share_c * own)
        blocks.append([c * G, c * r.kappa * G + r.share_c * own, c**2 * G + r.share_c**2 * own + C])
    assay = np.repeat([ASSAY_CV[a] ** 2 for a in analytes], len(minutes))
    return jnp.block(blocks) + jnp.diag(jnp.asarray(assay))


def masked(S: Array, mask: Array) -> Array:
    """Covariance with absent values independent and of unit variance. S : (obs, obs); mask : (*lane, obs)."""
    both = mask[..., :, None] & mask[..., None, :]
    n = S.shape[-1]
    alone = jnp.where(mask, 0.0, 1.0)[..., None] * jnp.eye(n).reshape((1,) * (mask.ndim - 1) + (n, n))
    return jnp.where(both, jnp.broadcast_to(S, both.shape), 0.0) + alone


def log_density(residual: Array, factor: Array, mask: Array) -> Array:
    """Log normal density of present values. residual : (lane, draw, obs), 0 where absent; factor : inverse Cholesky
    factor, (lane, obs, obs); mask : (lane, obs). Returns (lane, draw)."""
    white = jnp.einsum("lij,lsj->lsi", factor, residual)
    ln_det = jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)
    n = jnp.sum(mask, axis=-1)
    return -0.5 * jnp.sum(white**2, axis=-1) + (ln_det - 0.5 * n * jnp.log(2.0 * jnp.pi))[:, None]
