"""A median growth curve for the fetal model: any standard, at any day of 10+0 - 45+0.

This is the one place that goes beyond a standard's published range, because the growth equation starts at
12 weeks and some standards start at 22. It is the shape of growth, never a label for a fetus or a newborn.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from twin.growth_standards._curves import MALE, UNKNOWN, Standard
from twin.growth_standards._evaluate import Sex, as_floats, over_batch, sex_code
from twin.growth_standards.equations import hadlock_1991_log_median, hadlock_1991_log_rate_per_day
from twin.growth_standards.registry import weight_standard

REFERENCE_FIRST_DAY, REFERENCE_LAST_DAY = 70, 315
RATE_BLEND_DAYS = 14.0


def reference_weight_g(
    gestational_day: ArrayLike, *, standard: str, sex: Sex = None, group: str | None = None
) -> Array:
    """Median fetal weight, continued beyond the range of the standard.

    gestational_day : (*batch) days since the LMP-equivalent date.
    Returns : (*batch) g; inside the standard's range exactly its median. Outside, ln weight goes on from the
        edge with Hadlock 1991's growth rate, plus the standard's own excess rate at the edge fading over
        `RATE_BLEND_DAYS`; weight and growth rate are both continuous. NaN outside 10+0 - 45+0.
    Raises : UnknownStandard, listing the names available.
    Source : see `data/SOURCES.md`; the continuation is a choice of this project.
    """
    (day,) = as_floats(gestational_day)
    return jnp.exp(_log_weight(weight_standard(standard, group), day, sex_code(sex)))


def reference_log_rate_per_day(
    gestational_day: ArrayLike, *, standard: str, sex: Sex = None, group: str | None = None
) -> Array:
    """(*batch) 1/day: d ln(weight) / d day of `reference_weight_g`, exact (not a difference)."""
    (day,) = as_floats(gestational_day)
    curve = partial(_log_weight, weight_standard(standard, group), sex=sex_code(sex))
    return jax.jvp(lambda d: curve(d), (day,), (jnp.ones_like(day),))[1]


@partial(jax.jit, static_argnums=0)
def _log_weight(standard: Standard, day: Array, sex: Array) -> Array:
    def scalar(day: Array, sex: Array) -> Array:
        known = (day >= REFERENCE_FIRST_DAY) & (day <= REFERENCE_LAST_DAY)
        known &= (sex >= UNKNOWN) & (sex <= MALE)
        day = jnp.where(known, day, standard.first_day)
        edge = jnp.where(
            day < standard.first_day,
            standard.first_day,
            jnp.where(day > standard.last_day, standard.last_day, day),
        )

        def log_median(d: Array) -> Array:
            return jnp.log(standard.value_from_z(jnp.zeros_like(d), d, sex))

        at_edge, rate = jax.jvp(log_median, (edge,), (jnp.ones_like(edge),))
        beyond = day - edge
        excess = rate - hadlock_1991_log_rate_per_day(edge / 7)
        faded = jnp.sign(beyond) * RATE_BLEND_DAYS * -jnp.expm1(-jnp.abs(beyond) / RATE_BLEND_DAYS)
        hadlock = hadlock_1991_log_median(day / 7) - hadlock_1991_log_median(edge / 7)
        # Inside the range `beyond` is 0, and so are the last two terms and (by the next line) their slopes.
        continued = jnp.where(beyond == 0, 0.0, hadlock + excess * faded)
        return jnp.where(known, at_edge + continued, jnp.nan)

    return over_batch(scalar, day, sex)
