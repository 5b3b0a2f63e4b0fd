"""What her data say of each parameter, and whether they disagree with the prior or with one another.

Conflicts rest on pivots: functions of readings and latents that are standard normal when the model holds, before the
readings are seen. Every latent is one; so are, for each kind of reading, level and spread of its residuals. Posterior
mean m and variance v of a pivot then share its unit variance, Var(m) + E(v) = 1, so m / sqrt(1 - v) is about standard
normal over women (exactly so in a linear Gaussian model, where v does not depend on the readings) [in the manner of
Evans and Moshonov 2006, Bayesian Analysis 1:893, and of Yuan and Johnson 2012, Biometrics 68:156]. How often flags are
raised without a cause is measured on simulated women: docs/model/faithfulness.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy.special import ndtr, ndtri, stdtr
from scipy.stats import chi2

from twin.inference.calibrate import Posterior
from twin.inference.laplace import has_readings
from twin.inference.model import readings
from twin.observation.blocks import AbstractErrorModel
from twin.programs import placed

FALSE_ALARM = 0.01  # of a woman whose data the model made, all her tests together
DETERMINED = 0.2  # posterior variance, in prior variances, of a direction the data determine, and at most
CHANCE = 0.5  # of the least variance that a direction of the prior shows in so few effective draws
LEAST_INFORMED = 0.1  # 1 - v of a pivot, below which its posterior says nothing of a conflict
SCORED_DRAWS = 400  # draws whose residuals are looked at


@dataclass(frozen=True)
class Learnt:
    """One parameter: contraction, 1 - posterior / prior variance, and posterior mean in prior SDs from the center."""

    contraction: float
    z: float


@dataclass(frozen=True)
class Conflict:
    """One test of her data. z : signed where a direction has a meaning; p : tail probability if the model holds."""

    of: str
    kind: str  # "parameters" | "level" | "spread"
    z: float
    p: float
    flagged: bool


def identifiability(posterior: Posterior) -> dict[str, Learnt]:
    """Every named latent of the prior, in its own SDs from its center (`Prior.deviates`).

    A contraction near 0: her data do not tell it, what is reported of it is the prior.
    """
    names = [latent.name for latent in posterior.prior.latents]
    own = np.asarray(posterior.prior.deviates(placed(posterior.z)))
    mean, variance = _moments(own, posterior.weights)
    return {n: Learnt(1.0 - float(v), float(m)) for n, m, v in zip(names, mean, variance, strict=True)}


def conflicts(posterior: Posterior) -> tuple[Conflict, ...]:
    """Tests of her parameters against the prior, and of level and spread of each kind of reading against the fit.

    `flagged` at FALSE_ALARM over all tests of the woman (Bonferroni). Empty without readings.
    """
    if not has_readings(posterior.data):
        return ()
    found = [_parameters(posterior), *_residuals(posterior)]
    tests = [f for f in found if f is not None]
    return tuple(Conflict(of, kind, z, p, p * len(tests) < FALSE_ALARM) for of, kind, z, p in tests)


def as_told(posterior: Posterior) -> dict[str, object]:
    """Both as they stand in risk.json's `calibration`."""
    return {
        "identifiability": {
            name: {"contraction": round(told.contraction, 3), "z": round(told.z, 3)}
            for name, told in identifiability(posterior).items()
        },
        "conflicts": [
            {"of": c.of, "kind": c.kind, "z": round(c.z, 2), "p": float(f"{c.p:.2g}"), "flagged": c.flagged}
            for c in conflicts(posterior)
        ],
    }


def _moments(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = x @ weights
    return mean, np.maximum((x - mean[..., None]) ** 2 @ weights, 0.0)


def _parameters(posterior: Posterior) -> tuple[str, str, float, float] | None:
    """All she shares between days, along the directions her data determine: chi-square of their means.

    The sample covariance of e draws of an identity of size n has no variance below (1 - sqrt(n / e))^2 [Marchenko and
    Pastur 1967, Math USSR Sb 1:457]; with few effective draws, directions near that are noise, not knowledge.
    """
    n = posterior.prior.n_shared(posterior.data)
    z = posterior.z[:n]
    mean = z @ posterior.weights
    centered = z - mean[:, None]
    variance, direction = np.linalg.eigh((centered * posterior.weights) @ centered.T)
    least = max(0.0, 1.0 - np.sqrt(n / (posterior.calibration.ess_min or z.shape[1]))) ** 2
    kept = np.maximum(variance, 0.0) < min(DETERMINED, CHANCE * least)
    if not kept.any():
        return None
    along = (direction[:, kept].T @ mean) / np.sqrt(1.0 - variance[kept])
    p = float(chi2.sf(np.sum(along**2), int(kept.sum())))
    return "parameters", "parameters", float(-ndtri(np.clip(p, 1e-300, 1.0 - 1e-12))), p


def _residuals(posterior: Posterior) -> list[tuple[str, str, float, float] | None]:
    """Two pivots of each kind of reading: sum of the normal scores, and their sum of squares (too large only)."""
    pick = posterior.pick_evenly(SCORED_DRAWS)
    censored = {"spot_glucose": np.asarray(posterior.data.spots.censor) != 0}
    found = []
    for name, reading in readings(posterior.data).items():
        keep = (reading.mask > 0) & ~censored.get(name, np.zeros(len(reading.mask), bool))
        n = int(keep.sum())
        if not n:
            continue
        loc = np.asarray(posterior.evaluation.loc[name])[keep][:, pick].astype(float)
        scale = np.asarray(posterior.evaluation.scale[name])[keep][:, pick].astype(float)
        u = normal_scores(reading.error, reading.value[keep], loc, scale)
        squares = np.sum(u**2, axis=0)
        low, high = chi2.logcdf(squares, n), chi2.logsf(squares, n)
        spread = np.where(low < high, ndtri(np.exp(low)), -ndtri(np.exp(high)))
        for kind, pivot in (("level", u.sum(axis=0) / np.sqrt(n)), ("spread", spread)):
            found.append(_surprise(name, kind, np.clip(pivot, -30.0, 30.0)))
    return found


def _surprise(of: str, kind: str, pivot: np.ndarray) -> tuple[str, str, float, float] | None:
    """pivot : (draw,), of equal weight."""
    informed = 1.0 - float(pivot.var())
    if informed < LEAST_INFORMED:
        return None
    z = float(pivot.mean()) / float(np.sqrt(informed))
    # steadier readings than their error allows harm nobody: the posterior is then too wide, not too narrow
    return of, kind, z, float(ndtr(-z) if kind == "spread" else 2.0 * ndtr(-abs(z)))


def normal_scores(
    error: AbstractErrorModel, value: np.ndarray, loc: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Readings as standard normals under their error model. value : (reading,); loc, scale : (reading, draw)."""
    unit = error.distribution(jnp.zeros(()), jnp.ones(()))  # each is a family of location and scale
    x = ((value[:, None] - loc) / scale - float(unit.loc)) / float(unit.scale)
    if isinstance(unit, dist.StudentT):
        return -np.sign(x) * ndtri(stdtr(float(unit.df), -np.abs(x)))
    return x
