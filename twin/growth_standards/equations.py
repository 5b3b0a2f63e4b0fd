"""Standards given as equations: Hadlock 1991, FMF 2018, INTERGROWTH-21st fetal weight and biometry."""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from twin.growth_standards._curves import Standard, lms_of_log, lognormal, normal, polynomial

HADLOCK_1991_LOG_SD = 0.12
"""SD of ln weight [C-STD-02]. The abstract's 12.7 % is an SD of ln weight near 0.127; see the docs page."""


def hadlock_1991_log_median(week: Array) -> Array:
    """ln of the median weight in g at exact weeks [C-STD-01]."""
    return polynomial((0.578, 0.332, -0.00354), week)


def hadlock_1991_log_rate_per_day(week: Array) -> Array:
    """d ln W / d day of the Hadlock 1991 median."""
    return polynomial((0.332, -0.00708), week) / 7


HADLOCK_1991 = Standard(
    "hadlock1991",
    70,
    280,
    *lognormal(hadlock_1991_log_median, lambda week: jnp.full_like(week, HADLOCK_1991_LOG_SD)),
    typical=1000.0,
)

_LN10 = math.log(10)


def _fmf_log_median(week: Array) -> Array:
    """Nicolaides 2018 [C-STD-15]; x is days minus 199, log10 of g as read in dw1227/FetalGPSR."""
    return _LN10 * polynomial((3.0893, 0.00835, -0.00002965, -0.00000006062), 7 * week - 199)


def _fmf_log_sd(week: Array) -> Array:
    return _LN10 * (0.02464 + 0.0000564 * 7 * week)


FMF_2018 = Standard("fmf2018", 140, 294, *lognormal(_fmf_log_median, _fmf_log_sd), typical=1000.0)


def _ig_efw_l(week: Array) -> Array:
    return -4.257629 - 2162.234 / week**2 + 0.0002301829 * week**3


def _ig_efw_m(week: Array) -> Array:
    return 4.956737 + week**3 * (0.0005019687 - 0.0001227065 * jnp.log(week))


def _ig_efw_s(week: Array) -> Array:
    return 1e-4 * (-6.997171 + week**3 * (0.057559 - 0.01493946 * jnp.log(week)))


INTERGROWTH_EFW = Standard(
    "intergrowth21_efw", 154, 280, *lms_of_log(_ig_efw_l, _ig_efw_m, _ig_efw_s), typical=1000.0
)
"""Stirnemann 2017 [C-STD-08]: weight by INTERGROWTH's own HC-AC formula."""


def _ig_hadlock_l(week: Array) -> Array:
    x = week / 10
    return 9.43643 + (9.41579 - 83.54220 * jnp.log(x)) / x**2


def _ig_hadlock_m(week: Array) -> Array:
    return -2.42272 + 1.86478 * jnp.sqrt(week) - 1.93299e-5 * week**3


def _ig_hadlock_s(week: Array) -> Array:
    x = week / 10
    return 0.0193557 + (0.0310716 - 0.0657587 * jnp.log(x)) / x**2


INTERGROWTH_HADLOCK_EFW = Standard(
    "intergrowth21_hadlock_efw",
    126,
    287,
    *lms_of_log(_ig_hadlock_l, _ig_hadlock_m, _ig_hadlock_s),
    typical=1000.0,
)
"""Stirnemann 2020 [C-STD-09]: the same fetuses, weighed by Hadlock's HC-AC-FL formula."""


def _ig_biometry(mean: Callable[[Array], Array], sd: Callable[[Array], Array]) -> Standard:
    return Standard("intergrowth21", 98, 280, *normal(mean, sd), typical=100.0)


INTERGROWTH_BIOMETRY = {
    "hc_mm": _ig_biometry(  # [C-STD-03]
        lambda w: -28.2849 + w**2 * (1.69267 - 0.397485 * jnp.log(w)),
        lambda w: 1.98735 + w**3 * (0.0136772 - 0.00726264 * jnp.log(w) + 0.000976253 * jnp.log(w) ** 2),
    ),
    "bpd_mm": _ig_biometry(  # [C-STD-04]
        lambda w: 5.60878 + 0.158369 * w**2 - 0.00256379 * w**3,
        lambda w: jnp.exp(
            0.101242 + w**3 * (0.00150557 - 0.000771535 * jnp.log(w) + 0.0000999638 * jnp.log(w) ** 2)
        ),
    ),
    "ac_mm": _ig_biometry(  # [C-STD-05]
        lambda w: -81.3243 + 11.6772 * w - 0.000561865 * w**3,
        lambda w: -4.36302 + 0.121445 * w**2 + w**3 * (-0.0130256 + 0.00282143 * jnp.log(w)),
    ),
    "fl_mm": _ig_biometry(  # [C-STD-06]
        lambda w: polynomial((-39.9616, 4.32298, -0.0380156), w),
        lambda w: jnp.exp(0.605843 - 42.0014 / w**2 + 0.00000917972 * w**3),
    ),
    "ofd_mm": _ig_biometry(  # [C-STD-07]
        lambda w: -12.4097 + w**2 * (0.626342 - 0.148075 * jnp.log(w)),
        lambda w: jnp.exp(
            -0.880034 + w**2 * (0.0631165 - 0.0317136 * jnp.log(w) + 0.00408302 * jnp.log(w) ** 2)
        ),
    ),
}
"""Papageorghiou 2014, mean and SD in mm of exact weeks."""
