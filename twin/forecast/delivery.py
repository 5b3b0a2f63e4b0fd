"""When birth happens: onset (`twin.forecast.onset`) competing with the site's policy, given that pregnancy continues.

The policy's last day ends the wait: 40+6 on diet (NICE 2015), 39+6 on a drug (ACOG), both site settings. A given birth
day replaces all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array

SPONTANEOUS_MEDIAN_DAY = 39.7 * 7.0  # [MODEL 2.3]
SPONTANEOUS_SD_DAYS = 1.3 * 7.0  # [MODEL 2.3]
LAST_DAY_DIET = 286  # 40+6: NICE 2015 (quoted in CLINICAL 2, decision 11)
LAST_DAY_DRUG = 279  # 39+6: ACOG, on a drug (quoted in CLINICAL 2, decision 11)
POST_TERM_DAY = 294  # 42+0, where no policy ends the wait


@dataclass(frozen=True)
class DeliveryPolicy:
    """`last_day`: gestational day by which birth is brought about; `given_day`: birth on that day, no model.

    `initiated`: whether births are brought about before as well, as often as where the hazards were fitted.
    """

    last_day: int = LAST_DAY_DIET
    given_day: int | None = None
    initiated: bool = True
    name: str = "site policy"

    def describe(self) -> str:
        if self.given_day is not None:
            return f"birth taken as given on {week_day(self.given_day)}"
        onset = "onset as in US births of 2022" if self.initiated else "spontaneous onset"
        return f"{self.name}: {onset}, birth by {week_day(self.last_day)} at the latest"


def week_day(day: float) -> str:
    """Gestational day as weeks+days."""
    whole = int(day)
    return f"{whole // 7}+{whole % 7}"


def birth_days(onset: np.ndarray, policy: DeliveryPolicy, as_of_day: float) -> np.ndarray:
    """Gestational day of birth (whole days) of the day on which the wait would end without a last day, (*batch)."""
    if policy.given_day is not None:
        return np.full(np.shape(onset), float(policy.given_day))
    return np.minimum(onset, max(float(policy.last_day), np.floor(as_of_day + 1.0))).astype(float)


def delivery_days(uniform: Array, policy: DeliveryPolicy, as_of_day: float) -> Array:
    """Gestational day of birth (whole days) from uniform noise, given that birth has not happened by `as_of_day`.

    uniform : (*batch) in (0, 1); the same noise under two policies gives paired births.
    """
    if policy.given_day is not None:
        return jnp.full_like(uniform, float(policy.given_day))
    return _by_policy(uniform, float(policy.last_day), as_of_day)


@jax.jit
def _by_policy(uniform: Array, last_day: Array, as_of_day: Array) -> Array:
    already = ndtr((as_of_day - SPONTANEOUS_MEDIAN_DAY) / SPONTANEOUS_SD_DAYS).astype(uniform.dtype)
    already = jnp.minimum(already, 1.0 - 1e-4)
    onset = SPONTANEOUS_MEDIAN_DAY + SPONTANEOUS_SD_DAYS * ndtri(already + uniform * (1.0 - already))
    latest = jnp.maximum(last_day, as_of_day + 1.0)
    return jnp.floor(jnp.clip(onset, as_of_day, latest))


def spontaneous_day(key: Array, n: int, last_day: int = POST_TERM_DAY) -> Array:
    """(n,) birth days of women followed from 24 weeks, for virtual cohorts."""
    u = jax.random.uniform(key, (n,), minval=1e-6, maxval=1.0 - 1e-6)
    return delivery_days(u, DeliveryPolicy(last_day=last_day), 168.0)
