"""The prior's numbers as a vector: what may be learnt of a population, and the prior with other numbers.

A name is `center.LATENT`, `sd.LATENT`, `constant.NAME` or `effect.TARGET.COVARIATE`. Positive numbers are moved on the
ln scale, in units of how far the evidence lets them be off (`Scale`), so that a step of 1 is a step of one such SD.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from twin.inference.priors import Prior

LEAST_CENTER_SD = (
    0.5  # of a center before it is learnt, in SDs between women: the evidence decides, not the start
)
SD_LN_SD = 0.25  # how far a spread may be off, ln (assumed: spreads come from a dozen to a hundred people)
POSITIVE_CONSTANTS = ("xi_sd", "xi_weeks", "test_S_I", "test_B", "test_k_e", "weight_39_g")


class Scale(NamedTuple):
    """Where a number starts, and what one step of it is."""

    name: str
    value: float
    sd: float
    ln: bool

    def at(self, step: Any) -> Any:
        """The number `step` steps away; of a float or a traced array."""
        if not self.ln:
            return self.value + self.sd * step
        grown = self.sd * step
        return self.value * (math.exp(grown) if isinstance(grown, float) else _exp(grown))


def _exp(x: Any) -> Any:
    import jax.numpy as jnp

    return jnp.exp(x)


#: numbers that no woman's prior holds, learnt beside it: how clinics treat, how studies measure. Value, SD, ln
BESIDE: Mapping[str, tuple[float, float, bool]] = {
    "care.diet": (0.85, 0.10, True),  # carbohydrate of a treated woman against her own habit (assumed)
    "care.diet_gain_kg": (-1.5, 0.7, False),  # weight gain under dietary advice (assumed)
    "care.metformin_gain_kg": (-1.2, 0.4, False),  # [D-EME-04]
    "measure.cord_gain": (4.0, 0.40, True),  # ln fetal insulin per ln exposure, eta [MODEL 2.2]
    "measure.old_meter": (0.93, 0.04, True),  # meters of the 1990s showed whole blood, below plasma (assumed)
    # exponent by which larger glucose drinks empty more slowly: 0 at first order, 1 at a constant rate (assumed)
    "measure.load_emptying": (0.5, 0.3, False),
    "measure.observers": (1.6, 0.2, True),  # error of two observers over that of one [C-ERR-01..04, RECALLED]
    "measure.held_back": (
        0.5,
        0.25,
        True,
    ),  # share of fasting insulin's action that is on production (assumed)
    "measure.routine_plasma": (
        0.95,
        0.03,
        True,
    ),  # glucose left after an hour or so before separation (assumed)
    "site.east_asia_B": (0.80, 0.25, True),  # dynamic secretion in two cohorts of China and Korea (assumed)
    "measure.cord_ln_sd": (0.6, 0.40, True),  # of cord insulin or C-peptide at equal exposure (assumed)
}


def beside(numbers: Mapping[str, Any], name: str) -> Any:
    """A number of `BESIDE`, learnt or as it starts."""
    return numbers.get(name, BESIDE[name][0])


def scales(prior: Prior, names: Sequence[str]) -> list[Scale]:
    """The numbers of these names. Raises : KeyError for a name the prior does not have."""
    every = {name: Scale("", *entry) for name, entry in BESIDE.items()}
    for x in prior.latents:
        of_center = max(x.center_sd, LEAST_CENTER_SD) * x.sd
        every[f"center.{x.name}"] = Scale("", x.center, of_center, x.transform == "ln")
        every[f"sd.{x.name}"] = Scale("", x.sd, SD_LN_SD, True)
    for c in prior.constants:
        ln = c.name in POSITIVE_CONSTANTS
        every[f"constant.{c.name}"] = Scale("", c.value, c.sd / c.value if ln else c.sd, ln)
    for e in prior.effects:
        every[f"effect.{e.target}.{e.covariate}"] = Scale("", e.value, e.sd, False)
    return [every[name]._replace(name=name) for name in names]


def with_numbers(prior: Prior, numbers: Mapping[str, Any]) -> Prior:
    """The prior with these numbers in place of its own, which may be traced arrays."""

    def or_own(kind: str, name: str, own: float) -> Any:
        return numbers.get(f"{kind}.{name}", own)

    return dataclasses.replace(
        prior,
        latents=tuple(
            dataclasses.replace(x, center=or_own("center", x.name, x.center), sd=or_own("sd", x.name, x.sd))
            for x in prior.latents
        ),
        constants=tuple(
            dataclasses.replace(c, value=or_own("constant", c.name, c.value)) for c in prior.constants
        ),
        effects=tuple(
            dataclasses.replace(e, value=or_own("effect", f"{e.target}.{e.covariate}", e.value))
            for e in prior.effects
        ),
    )
