"""WHO fetal growth charts (Kiserud 2017): quantile regression, each curve exp(b0 + b1 w + .. + b4 w^4).

Between curves the published method says nothing. Here ln value is linear in z between neighbouring curves,
which is exact for any lognormal. The calculators that follow the paper interpolate the centile linearly in
the value instead; `who_centile_linear` does that (they differ by at most 1.3 centile points).

The 1st and 99th curves by sex are left out: they meet the 2.5th and 97.5th (boys' 97.5th = 99th at 40+0) and
the paper prints no such table. Beyond the outermost curve used, z continues with the local SD (the chord from
the median to that curve).
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from scipy.special import ndtri

from twin.errors import UnknownStandard
from twin.growth_standards._curves import MALE, UNKNOWN, Standard, chord_sd, quantile_knots
from twin.growth_standards._evaluate import Sex, as_floats, over_batch, sex_code
from twin.growth_standards._tables import rows

FIRST_DAY, LAST_DAY = 98, 280
QUANTITIES = ("weight_g", "ac_mm", "bpd_mm", "fl_mm", "hc_mm", "hl_mm")
QUANTILES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
Z_KNOTS = ndtri(np.asarray(QUANTILES))


@cache
def standard(quantity: str) -> Standard:
    """The WHO curves of one quantity; weight by sex, with the published curves of both sexes for unknown."""
    table = _coefficients(quantity)

    def log_knots(day: Array, sex: Array) -> Array:
        row = jnp.asarray(table, day.dtype)[jnp.where(sex == UNKNOWN, 2, sex)]
        return _quartics(row, day / 7)

    kernels = quantile_knots(Z_KNOTS, log_knots, chord_sd(Z_KNOTS))
    return Standard("who", FIRST_DAY, LAST_DAY, *kernels, typical=1000.0 if quantity == "weight_g" else 100.0)


@cache
def _coefficients(quantity: str) -> np.ndarray:
    """(sex, quantile, power); sexes female, male, both. Outer curves by sex extend the 2.5/97.5 chords."""
    both = _published(quantity, "both")
    if quantity != "weight_g":
        return np.stack([both] * 3)
    by_sex = []
    for sex in ("female", "male"):
        table = _published(quantity, sex)
        for outer, inner in ((0, 1), (-1, -2)):
            # z of the median is 0, so the chord through it and the inner curve scales with z.
            stretch = Z_KNOTS[outer] / Z_KNOTS[inner]
            table[outer] = table[5] + stretch * (table[inner] - table[5])
        by_sex.append(table)
    return np.stack([*by_sex, both])


def _published(quantity: str, sex: str) -> np.ndarray:
    table = {
        float(row["quantile"]): [float(row[f"b{power}"]) for power in range(5)]
        for row in rows("who_quantiles.csv")
        if row["quantity"] == quantity and row["sex"] == sex
    }
    return np.array([table[quantile] for quantile in QUANTILES])


def who_centile_linear(
    quantity: str, value: ArrayLike, gestational_day: ArrayLike, *, sex: Sex = None
) -> Array:
    """Centile by linear interpolation of the centile in the value, as published WHO calculators do.

    quantity : "weight_g", "ac_mm", "bpd_mm", "fl_mm", "hc_mm" or "hl_mm" (humerus).
    value, gestational_day : (*batch) g or mm; days since the LMP-equivalent date. sex : used for weight only.
    Returns : (*batch) centile, 0-100; NaN outside 14+0 - 40+0 and beyond the outermost curves (1st and 99th;
        by sex 2.5th and 97.5th).
    Raises : UnknownStandard for a quantity without WHO curves.
    Source : Kiserud 2017; see `data/SOURCES.md`.
    """
    if quantity not in QUANTITIES:
        raise UnknownStandard(
            "unknown-quantity",
            f"WHO has no curves of {quantity!r}; expected one of {', '.join(QUANTITIES)}. "
            "Nothing was computed.",
        )
    value, day = as_floats(value, gestational_day)
    return _centile_linear(quantity, value, day, sex_code(sex))


@partial(jax.jit, static_argnums=0)
def _centile_linear(quantity: str, value: Array, day: Array, sex: Array) -> Array:
    table = _coefficients(quantity)
    centiles = 100 * np.asarray(QUANTILES)

    def scalar(value: Array, day: Array, sex: Array) -> Array:
        known = (day >= FIRST_DAY) & (day <= LAST_DAY) & (sex >= UNKNOWN) & (sex <= MALE)
        row = jnp.asarray(table, day.dtype)[jnp.where(sex == UNKNOWN, 2, sex)]
        curves = jnp.exp(_quartics(row, jnp.where(known, day, FIRST_DAY) / 7))
        by_sex = (sex != UNKNOWN) & (quantity == "weight_g")
        low, high = jnp.where(by_sex, curves[1], curves[0]), jnp.where(by_sex, curves[-2], curves[-1])
        known &= (value >= low) & (value <= high)
        return jnp.where(known, jnp.interp(value, curves, jnp.asarray(centiles, day.dtype)), jnp.nan)

    return over_batch(scalar, value, day, sex)


def _quartics(coefficients: Array, week: Array) -> Array:
    """(K,) values at one week of the polynomials whose (K, 5) coefficients are given."""
    weeks = jnp.broadcast_to(week, coefficients.shape[:1])
    total = coefficients[:, 4]
    for power in (3, 2, 1, 0):
        total = total * weeks + coefficients[:, power]
    return total
