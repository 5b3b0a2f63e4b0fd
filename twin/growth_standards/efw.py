"""Estimated fetal weight from scan measurements: the formulas clinics use.

An estimate is not a weight: its total error is about 7.5 % [C-EFW-14], and its bias depends on the population
and the formula [C-EFW-09, C-EFW-12]. Both belong to the error model of a scan, not to this module.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from twin.errors import UnknownStandard, UnusableInput
from twin.growth_standards._evaluate import as_floats

DEFAULT_FORMULA = "hadlock3"


def _hadlock1(ac: Array, fl: Array) -> Array:
    """Hadlock 1985, AC and FL [C-EFW-04]."""
    return 10 ** (1.304 + 0.05281 * ac + 0.1938 * fl - 0.004 * ac * fl)


def _hadlock2(bpd: Array, ac: Array, fl: Array) -> Array:
    """Hadlock 1985, BPD, AC, FL [C-EFW-03]; coefficients RECALLED, not seen in the paper."""
    return 10 ** (1.335 - 0.0034 * ac * fl + 0.0316 * bpd + 0.0457 * ac + 0.1623 * fl)


def _hadlock3(hc: Array, ac: Array, fl: Array) -> Array:
    """Hadlock 1985, HC, AC, FL [C-EFW-02]; RECALLED there, and the four test vectors of the SRHR calculator
    agree to 0.1 g."""
    return 10 ** (1.326 - 0.00326 * ac * fl + 0.0107 * hc + 0.0438 * ac + 0.158 * fl)


def _hadlock4(bpd: Array, hc: Array, ac: Array, fl: Array) -> Array:
    """Hadlock 1985, all four [C-EFW-01]. A copy without BPD*AC circulates: a third low [C-EFW-07]."""
    return 10 ** (1.3596 - 0.00386 * ac * fl + 0.0064 * hc + 0.00061 * bpd * ac + 0.0424 * ac + 0.174 * fl)


def _shepard(bpd: Array, ac: Array) -> Array:
    """Shepard 1982, BPD and AC, kg in the paper [C-EFW-05]."""
    return 1000 * 10 ** (-1.7492 + 0.166 * bpd + 0.046 * ac - 2.646 * ac * bpd / 1000)


def _intergrowth21(hc: Array, ac: Array) -> Array:
    """Stirnemann 2017, HC and AC; fitted at 22-40 weeks [C-EFW-06]."""
    cube = (ac / 100) ** 3
    return jnp.exp(5.084820 - 54.06633 * cube - 95.80076 * cube * jnp.log(ac / 100) + 3.136370 * hc / 100)


class _Formula(NamedTuple):
    needs: tuple[str, ...]
    grams: Callable[..., Array]  # of centimetres, in the order of `needs`


_FORMULAS = {
    "hadlock1": _Formula(("ac_mm", "fl_mm"), _hadlock1),
    "hadlock2": _Formula(("bpd_mm", "ac_mm", "fl_mm"), _hadlock2),
    "hadlock3": _Formula(("hc_mm", "ac_mm", "fl_mm"), _hadlock3),
    "hadlock4": _Formula(("bpd_mm", "hc_mm", "ac_mm", "fl_mm"), _hadlock4),
    "shepard": _Formula(("bpd_mm", "ac_mm"), _shepard),
    "intergrowth21": _Formula(("hc_mm", "ac_mm"), _intergrowth21),
}
FORMULAS = tuple(_FORMULAS)


def formula_needs(formula: str) -> tuple[str, ...]:
    """Names of the measurements a formula uses. Raises UnknownStandard."""
    return _formula(formula).needs


def efw_g(
    formula: str = DEFAULT_FORMULA,
    *,
    bpd_mm: ArrayLike | None = None,
    hc_mm: ArrayLike | None = None,
    ac_mm: ArrayLike | None = None,
    fl_mm: ArrayLike | None = None,
) -> Array:
    """Estimated fetal weight.

    formula : one of `FORMULAS`; the default is Hadlock's HC-AC-FL formula.
    bpd_mm, hc_mm, ac_mm, fl_mm : (*batch) mm. A measurement the formula does not use is ignored.
        Hadlock's BPD is outer to inner; convert an outer-to-outer one with `bpd_outer_inner_mm`.
    Returns : (*batch) g; NaN where a measurement is not positive.
    Raises : UnknownStandard, listing the formulas; UnusableInput when a measurement is missing.
    Source : [C-EFW-01]..[C-EFW-06]; see `data/SOURCES.md`.
    """
    needs, _ = _formula(formula)
    given = {"bpd_mm": bpd_mm, "hc_mm": hc_mm, "ac_mm": ac_mm, "fl_mm": fl_mm}
    values = [value for name in needs if (value := given[name]) is not None]
    if len(values) < len(needs):
        missing = [name for name in needs if given[name] is None]
        raise UnusableInput(
            "missing-measurement",
            f"EFW formula {formula!r} needs {', '.join(needs)}; {', '.join(missing)} did not arrive. "
            f"No weight was estimated. Choose a formula of {FORMULAS} whose measurements are there.",
        )
    return _evaluate(formula, *as_floats(*values))


@partial(jax.jit, static_argnums=0)
def _evaluate(formula: str, *millimetres: Array) -> Array:
    mm = jnp.broadcast_arrays(*millimetres)
    positive = jnp.all(jnp.stack([value > 0 for value in mm]), axis=0)
    grams = _FORMULAS[formula].grams(*(jnp.where(positive, value, 100.0) / 10 for value in mm))
    return jnp.where(positive, grams, jnp.nan)


def _formula(name: str) -> _Formula:
    if name not in _FORMULAS:
        raise UnknownStandard(
            "unknown-efw-formula",
            f"EFW formula {name!r} is not known; expected one of {', '.join(FORMULAS)}. "
            "No weight was estimated.",
        )
    return _FORMULAS[name]


def bpd_outer_outer_mm(bpd_outer_inner_mm: ArrayLike) -> Array:
    """(*batch) mm; BPD outer to outer edge from outer to inner, 14-40 weeks [C-ERR-06]."""
    (inner,) = as_floats(bpd_outer_inner_mm)
    return 0.555934 + 1.027318 * inner


def bpd_outer_inner_mm(bpd_outer_outer_mm: ArrayLike) -> Array:
    """(*batch) mm; the inverse of `bpd_outer_outer_mm` [C-ERR-06]."""
    (outer,) = as_floats(bpd_outer_outer_mm)
    return (outer - 0.555934) / 1.027318
