"""Rare strata on request: kept more often than others, with the weights that undo it.

A candidate of the plain population is screened: a cheap look says to which strata she seems to belong. She is kept
with a chance that depends on that look alone, by a uniform number of her own, so that her weight is the inverse of a
known chance, whatever the screen gets wrong: an error of the screen makes a stratum less frequent, never a mean wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cohorts.synthetic.design import Design
from twin.errors import UnusableInput
from twin.growth_standards import birthweight_centile
from twin.settings import SiteSettings

MACROSOMIA_G = 4000.0
CLASS_3_BMI = 40.0  # WHO classes of obesity
SMALL_CENTILE, NEWBORN_CHART = 3.0, "intergrowth21_newborn"
_SITE = SiteSettings()
FIT_ROUNDS, FIT_WITHIN = 400, 1e-3
SHARE_OF_REST = 0.5  # for all strata without a share of their own together, of what the others leave


@dataclass(frozen=True)
class Stratum:
    """says : who belongs to it. of_outcome : told by what the physics does, not by who she is."""

    says: str
    of_outcome: bool


STRATA: Mapping[str, Stratum] = {
    "macrosomia": Stratum("birth weight above 4000 g", True),
    "overt-diabetes": Stratum(
        "75 g test in the range of overt diabetes: 126 mg/dL or more fasting (IADPSG 2010, the scope gate's limit) or "
        "200 or more at 2 h (WHO 2013, recalled)",
        True,
    ),
    "class-3-obesity": Stratum("body mass index before pregnancy 40 kg/m2 or more (WHO)", False),
    "growth-restriction": Stratum(
        "birth weight below the 3rd centile of INTERGROWTH-21st newborns [chart: C-STD-13; limit: recalled]",
        True,
    ),
    "poor-window": Stratum("poor acoustic window; of designs with faults of scans", False),
}

Marks = Mapping[str, np.ndarray]  # stratum -> (woman,), bool


def read_strata(texts: Sequence[str]) -> dict[str, float]:
    """Shares of the cohort from NAME or NAME=SHARE; those without have SHARE_OF_REST of the rest.

    Raises : UnusableInput "unknown-stratum", "bad-share".
    """
    found: dict[str, float | None] = {}
    for text in texts:
        name, _, share = text.partition("=")
        if name not in STRATA or name in found:
            said = "given twice" if name in found else "not known"
            raise UnusableInput(
                "unknown-stratum",
                f"stratum {name!r} is {said}; expected each at most once, of {sorted(STRATA)}. Nothing was simulated.",
            )
        try:
            found[name] = float(share) if share else None
        except ValueError:
            found[name] = np.nan
    given = [share for share in found.values() if share is not None]
    each = round(SHARE_OF_REST * (1.0 - sum(given)) / max(len(found) - len(given), 1), 9)
    shares = {name: each if share is None else share for name, share in found.items()}
    if not all(0.0 < share < 1.0 for share in shares.values()) or sum(shares.values()) >= 1.0:
        told = ", ".join(f"{name}={share:g}" for name, share in shares.items())
        raise UnusableInput(
            "bad-share",
            f"the shares of strata are {told}; expected each above 0 and all together below 1, as in "
            "--stratum macrosomia=0.3. Nothing was simulated. Ask for less.",
        )
    return shares


def check_design(strata: Mapping[str, float], design: Design) -> None:
    """Raises : UnusableInput "stratum-without-meaning" where the design has not what tells the stratum."""
    lacks = {
        "overt-diabetes": ("tolerance test", all(leaf.ogtt_week is None for leaf in design.leaves)),
        "poor-window": ("acoustic window", all(leaf.scan_faults is None for leaf in design.leaves)),
    }
    for name, (what, lacking) in lacks.items():
        if name in strata and lacking:
            raise UnusableInput(
                "stratum-without-meaning",
                f"stratum {name!r} was asked for, and design {design.name!r} has no {what}; expected one that has, "
                "such as 'hospital'. Nothing was simulated.",
            )


def of_birth(weight_g: np.ndarray, day: np.ndarray, male: np.ndarray) -> dict[str, np.ndarray]:
    """Strata told by the birth, (woman,). day : recorded gestational day."""
    sex = np.asarray(male, dtype=int)
    centile = np.asarray(birthweight_centile(weight_g, day, sex, standard=NEWBORN_CHART))  # type: ignore[arg-type]
    return {"macrosomia": weight_g > MACROSOMIA_G, "growth-restriction": centile < SMALL_CENTILE}


def of_test(glucose: np.ndarray) -> np.ndarray:
    """Overt diabetes of a 75 g test, (0, 60, 120 min; woman), mg/dL as reported."""
    return np.asarray((glucose[0] >= _SITE.overt_fasting_mg_dl) | (glucose[2] >= _SITE.overt_random_mg_dl))


def ratios(screened: Marks, shares: Mapping[str, float]) -> dict[str, float]:
    """How many times as often as others a woman of each stratum is kept, for the strata to have these shares.

    screened : of a sample of the plain population. Of several strata she is kept as that with the largest ratio says.
    Raises : UnusableInput "stratum-too-rare" where nobody of the sample is of it; "bad-share" where no ratios do it.
    """
    for name in shares:
        if not screened[name].any() or screened[name].all():
            found = int(screened[name].sum())
            raise UnusableInput(
                "stratum-too-rare",
                f"{found} of {screened[name].size} women screened are of stratum {name!r}; expected some, not all. "
                "Nothing was simulated. Leave the stratum out, or take another design.",
            )
    ratio = dict.fromkeys(shares, 1.0)
    for _ in range(FIT_ROUNDS):
        weight = relative(screened, ratio)
        now = {name: float(weight[screened[name]].sum() / weight.sum()) for name in shares}
        if all(abs(now[name] - share) < FIT_WITHIN * share for name, share in shares.items()):
            return ratio
        ratio = {
            name: ratio[name] * (share / (1.0 - share)) / (now[name] / (1.0 - now[name]))
            for name, share in shares.items()
        }
    told = ", ".join(f"{name} {now[name]:.3f} for {share:g}" for name, share in shares.items())
    raise UnusableInput(
        "bad-share",
        f"no chances of being kept give these shares together ({told}): the strata overlap. Nothing was simulated. "
        "Ask for shares that fit together.",
    )


def relative(screened: Marks, ratio: Mapping[str, float]) -> np.ndarray:
    """(woman,): her chance of being kept over that of a woman of no stratum."""
    rows = [np.where(screened[name], r, 0.0) for name, r in ratio.items()]
    found = np.max(rows, axis=0)
    return np.where(found > 0.0, found, 1.0)


def chances(screened: Marks, ratio: Mapping[str, float]) -> np.ndarray:
    """(woman,): her chance of being kept; the largest anybody has is 1."""
    return relative(screened, ratio) / max(1.0, *ratio.values())


def weights(chance: np.ndarray) -> np.ndarray:
    """Inverse chances, with mean 1 over the cohort: weighted means are of the plain population."""
    inverse = 1.0 / chance
    return inverse / inverse.mean()


def effective_women(weight: np.ndarray) -> float:
    """How many women of the plain population tell a mean as well [Kish]."""
    return float(weight.sum() ** 2 / (weight**2).sum())
