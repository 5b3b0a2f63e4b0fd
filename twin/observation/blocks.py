"""Error models and the blocks of readings they apply to.

Each gives a distribution for the reading and the Fisher information of its location and log scale, which is
what Gauss-Newton needs beyond a log density. Shapes: (reading, *batch).
"""

from __future__ import annotations

import abc
import math
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array

from twin.observation.residual import at_memory, filtered

#: meter: SD in mg/dL is the larger of 3 and 5 % of glucose [A-SMBG-03]; the ISO limit would be 7.65 [A-SMBG-02]
METER_SD_MG_DL = 3.0
METER_CV = 0.05
STUDENT_DF = 4.0  # 2 % outliers of finger-prick readings [MODEL 1.5]
SCAN_DF = 6.0  # gross errors: Sydney has 0.9 % per measure at about four times the SD
SCAN_CORE = math.sqrt((SCAN_DF - 2.0) / SCAN_DF)  # with them the SD is the published one [C-ERR-01..03]
TERM_WEEK, TERM_SD, PRETERM_SHARE, PRETERM_EDGE, PRETERM_MEAN = 39.3, 1.3, 0.12, 37.8, 3.0
OGTT_ASSAY_CV = 0.02  # venous plasma [MODEL 1.5]
OGTT_MODEL_CV = 0.03  # what the equations cannot follow within one test; widened by day multipliers


class AbstractErrorModel(eqx.Module):
    """Distribution of readings given location and scale; `on_ln` where both are of the reading's logarithm."""

    on_ln: ClassVar[bool] = False

    @abc.abstractmethod
    def distribution(self, loc: Array, scale: Array) -> dist.Distribution: ...

    @abc.abstractmethod
    def fisher(self, scale: Array) -> tuple[Array, Array]:
        """Expected information of the location, and of the log scale."""

    def log_density(self, value: Array, censor: Array, loc: Array, scale: Array) -> Array:
        """Log density of each reading; censored ones (-1 below, +1 above `value`) by the tail probability."""
        d = self.distribution(loc, scale)
        upper = jnp.log(jnp.clip(1.0 - d.cdf(value), 1e-12, 1.0))
        lower = jnp.log(jnp.clip(d.cdf(value), 1e-12, 1.0))
        return jnp.where(censor == 0, d.log_prob(value), jnp.where(censor < 0, lower, upper))


class NormalError(AbstractErrorModel):
    """Gaussian error, on whichever scale the block is in."""

    def distribution(self, loc: Array, scale: Array) -> dist.Distribution:
        return dist.Normal(loc, scale)

    def fisher(self, scale: Array) -> tuple[Array, Array]:
        return 1.0 / scale**2, jnp.full_like(scale, 2.0)


class ScanError(NormalError):
    """Ultrasound measures in ln: Student t, for the rare outlying measure (Sydney: 0.9 % per measure)."""

    on_ln: ClassVar[bool] = True
    df: float = SCAN_DF

    def distribution(self, loc: Array, scale: Array) -> dist.Distribution:
        return dist.StudentT(self.df, loc, scale * SCAN_CORE)

    def fisher(self, scale: Array) -> tuple[Array, Array]:
        core = scale * SCAN_CORE
        return (self.df + 1.0) / (self.df + 3.0) / core**2, jnp.full_like(
            scale, 2.0 * self.df / (self.df + 3.0)
        )

    def log_density(self, value: Array, censor: Array, loc: Array, scale: Array) -> Array:
        return self.distribution(loc, scale).log_prob(value)


class BirthAge(AbstractErrorModel):
    """Age at birth of an undated pregnancy whose birth day is given: `loc` is that age, weeks.

    Term births around 39.3 weeks (SD 1.3) and 12 % earlier, with an exponential tail of mean 3 weeks below 37.8
    (Sydney, 523 births: 39.3, 1.1, 13 %; docs/model/priors.md).
    """

    def distribution(self, loc: Array, scale: Array) -> dist.Distribution:
        return dist.Normal(TERM_WEEK, scale)

    def fisher(self, scale: Array) -> tuple[Array, Array]:
        return 1.0 / scale**2, jnp.zeros_like(scale)

    def log_density(self, value: Array, censor: Array, loc: Array, scale: Array) -> Array:
        term = dist.Normal(TERM_WEEK, scale).log_prob(loc) + jnp.log1p(-PRETERM_SHARE)
        below = jax.nn.log_sigmoid((PRETERM_EDGE - loc) / 0.3)
        early = -(PRETERM_EDGE - loc) / PRETERM_MEAN - jnp.log(PRETERM_MEAN) + below + jnp.log(PRETERM_SHARE)
        return jnp.logaddexp(term, early)


class CgmError(NormalError):
    """ln sensor glucose: Gaussian given the readings before (see `innovations`)."""

    on_ln: ClassVar[bool] = True


class OgttError(NormalError):
    """Laboratory glucose of a tolerance test."""


class SpotError(AbstractErrorModel):
    """ln finger-prick or single laboratory glucose against the week's reference day: Student t."""

    on_ln: ClassVar[bool] = True
    df: float = STUDENT_DF

    def distribution(self, loc: Array, scale: Array) -> dist.Distribution:
        return dist.StudentT(self.df, loc, scale)

    def fisher(self, scale: Array) -> tuple[Array, Array]:
        shape = jnp.full_like(scale, 2.0 * self.df / (self.df + 3.0))
        return (self.df + 1.0) / (self.df + 3.0) / scale**2, shape

    def log_density(self, value: Array, censor: Array, loc: Array, scale: Array) -> Array:
        z = (value - loc) / scale
        r = z / jnp.sqrt(1.0 + z**2 / 4.0)  # closed form of the distribution function at 4 degrees of freedom
        below = 0.5 + 0.375 * r * (1.0 - r**2 / 12.0)
        log_tail = jnp.log(jnp.clip(jnp.where(censor < 0, below, 1.0 - below), 1e-12, 1.0))
        return jnp.where(censor == 0, self.distribution(loc, scale).log_prob(value), log_tail)


class Block(NamedTuple):
    """Readings of one kind with their predicted location and scale; padding has mask 0."""

    error: AbstractErrorModel
    value: Array
    censor: Array
    mask: Array
    loc: Array
    scale: Array

    def pointwise(self) -> Array:
        """Log density of each reading, 0 for padding, (reading, *batch)."""
        each = self.error.log_density(self.value, self.censor, self.loc, self.scale)
        return jnp.where(self.mask, each, 0.0)

    def log_likelihood(self) -> Array:
        """Summed over readings, (*batch)."""
        return jnp.sum(self.pointwise(), axis=0)


def spot_cv(loc: Array, day_cv: Array) -> Array:
    """CV of a single reading around `loc`, mg/dL, of the week's reference day: meter and day-to-day variation."""
    meter = 0.5 * (METER_SD_MG_DL + METER_CV * loc) + 0.5 * jnp.sqrt(
        (METER_SD_MG_DL - METER_CV * loc) ** 2 + 0.25
    )
    return jnp.sqrt((meter / loc) ** 2 + day_cv**2)  # smooth maximum of the two meter terms


def ogtt_scale(loc: Array) -> Array:
    return jnp.sqrt(OGTT_ASSAY_CV**2 + OGTT_MODEL_CV**2) * loc


def innovations(
    value: Array, mask: Array, level: Array, sd: Array, memory: Array, gain: Array, spread: Array
) -> tuple[Array, Array]:
    """Sensor readings along the second axis (time) as location and scale given those before.

    value, mask, level, sd : (day, time, *batch or ones); memory : (*batch), t_a of the residual, min; gain, spread :
    `residual.gains` of the mask. Each day starts afresh.
    """
    mean = filtered((value - level) / sd, mask, at_memory(gain, memory), memory)
    return level + sd * mean, sd * jnp.exp(at_memory(spread, memory))
