"""INTERGROWTH-21st newborn size by sex and day, 24+0 - 42+6: weight, length, head circumference.

From 33+0 the published model is a skew Student t (Fernandez and Steel, "ST3" of GAMLSS) with parameters by
day; below, one normal (length, head) or lognormal (weight) equation. Quantiles are computed once, in SciPy,
at close z knots from -3 to 3 (the range the paper prints); evaluation joins them by straight lines in
(z, ln value), and days by straight lines in ln value. Beyond |z| = 3 the local SD (the chord from the median)
goes on.

Sex unknown: the mean of the two sexes' ln curves at equal z (halfway between the two charts).
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import ndtr, ndtri, stdtrit

from twin.growth_standards._curves import UNKNOWN, Standard, chord_sd, quantile_knots
from twin.growth_standards._tables import rows

FIRST_DAY, LAST_DAY = 168, 300
FIRST_SKEW_T_DAY = 231
QUANTITIES = ("weight_g", "length_cm", "head_cm")

_PRINTED = ndtri(np.array([0.03, 0.05, 0.10, 0.90, 0.95, 0.97]))
Z_KNOTS = np.unique(np.concatenate([np.arange(-2.5, 2.51, 0.25), [-3, 3], _PRINTED]))

# Villar 2016, very preterm: mean = a + b f(week) + c male, with the variance. Weight: ln kg and sqrt(week).
_VERY_PRETERM = {
    "weight_g": (-7.00303, 1.325911, 0.0571937, 0.0373218),
    "length_cm": (1.307633, 1.270022, 0.4263885, 6.757543),
    "head_cm": (0.7866522, 0.887638, 0.2513385, 2.433481),
}


@cache
def standard(quantity: str) -> Standard:
    """The newborn curves of one quantity; weight in g, the others in cm."""
    female, male = _log_curves(quantity, "female"), _log_curves(quantity, "male")
    table = np.stack([female, male, (female + male) / 2])

    def log_knots(day: Array, sex: Array) -> Array:
        curves = jnp.asarray(table, day.dtype)
        row = jnp.where(sex == UNKNOWN, 2, sex)
        before = jnp.clip(jnp.floor(day).astype(int) - FIRST_DAY, 0, LAST_DAY - FIRST_DAY - 1)
        part = day - (before + FIRST_DAY)
        return (1 - part) * curves[row, before] + part * curves[row, before + 1]

    kernels = quantile_knots(Z_KNOTS, log_knots, chord_sd(Z_KNOTS))
    typical = {"weight_g": 3000.0, "length_cm": 50.0, "head_cm": 34.0}[quantity]
    return Standard("intergrowth21_newborn", FIRST_DAY, LAST_DAY, *kernels, typical=typical)


def _log_curves(quantity: str, sex: str) -> np.ndarray:
    """(day, knot) ln of g or cm."""
    a, b, male_effect, variance = _VERY_PRETERM[quantity]
    week = np.arange(FIRST_DAY, FIRST_SKEW_T_DAY)[:, None] / 7
    offset = male_effect * (sex == "male")
    deviation = np.sqrt(variance) * Z_KNOTS
    if quantity == "weight_g":
        early = np.log(1000) + a + b * np.sqrt(week) + offset + deviation
    else:
        early = np.log(a + b * week + offset + deviation)
    return np.concatenate([early, _skew_t_log_curves(quantity, sex)])


def _skew_t_log_curves(quantity: str, sex: str) -> np.ndarray:
    """Quantiles of the two-piece t: weight 1 : nu^2 below and above mu, scales sigma/nu and sigma nu."""
    source = "weight_kg" if quantity == "weight_g" else quantity
    parameters = {
        int(row["day"]): [float(row[name]) for name in ("mu", "sigma", "nu", "tau")]
        for row in rows("intergrowth21_newborn_skew_t.csv")
        if row["quantity"] == source and row["sex"] == sex
    }
    days = range(FIRST_SKEW_T_DAY, LAST_DAY + 1)
    mu, sigma, nu, tau = np.array([parameters[day] for day in days]).T[:, :, None]
    p, q = ndtr(Z_KNOTS), ndtr(-Z_KNOTS)
    below = mu + sigma / nu * stdtrit(tau, np.minimum(p * (1 + nu**2) / 2, 0.5))
    above = mu - sigma * nu * stdtrit(tau, np.minimum(q * (1 + nu**2) / (2 * nu**2), 0.5))
    value = np.where(p * (1 + nu**2) < 1, below, above)
    return np.log(value * (1000 if quantity == "weight_g" else 1))
