"""The public functions: names of standards to curves, z and centiles both ways."""

from collections.abc import Mapping

from jax import Array
from jax.typing import ArrayLike

from twin.errors import UnknownStandard
from twin.growth_standards import equations, newborn, nichd, who
from twin.growth_standards._curves import Standard
from twin.growth_standards._evaluate import Sex, centile_of_z, value_of, z_of, z_of_centile
from twin.growth_standards.efw import FORMULAS

WEIGHT_STANDARDS = (
    "hadlock1991",
    "intergrowth21_hadlock_efw",
    "intergrowth21_efw",
    "who",
    "nichd",
    "fmf2018",
)
BIRTHWEIGHT_STANDARDS = ("intergrowth21_newborn", *WEIGHT_STANDARDS)
BIOMETRY_STANDARDS: Mapping[str, tuple[str, ...]] = {
    "intergrowth21": ("hc_mm", "ac_mm", "fl_mm", "bpd_mm", "ofd_mm"),
    "who": ("hc_mm", "ac_mm", "fl_mm", "bpd_mm", "hl_mm"),
    "nichd": ("hc_mm", "ac_mm", "fl_mm", "bpd_mm"),
}
_BY_EQUATION = {
    "hadlock1991": equations.HADLOCK_1991,
    "intergrowth21_hadlock_efw": equations.INTERGROWTH_HADLOCK_EFW,
    "intergrowth21_efw": equations.INTERGROWTH_EFW,
    "fmf2018": equations.FMF_2018,
}


def available() -> dict[str, tuple[str, ...]]:
    """Names by kind; biometry as "standard:quantity"."""
    return {
        "weight": WEIGHT_STANDARDS,
        "biometry": tuple(
            f"{name}:{q}" for name, quantities in BIOMETRY_STANDARDS.items() for q in quantities
        ),
        "birthweight": BIRTHWEIGHT_STANDARDS,
        "newborn": newborn.QUANTITIES,
        "nichd_group": nichd.GROUPS,
        "efw_formula": FORMULAS,
    }


def range_days(standard: str) -> tuple[int, int]:
    """First and last gestational day of a weight or birth-weight standard. Raises UnknownStandard."""
    found = birthweight_standard(standard)
    return int(found.first_day), int(found.last_day)


def weight_median_g(
    gestational_day: ArrayLike, *, standard: str, sex: Sex = None, group: str | None = None
) -> Array:
    """(*batch) published median fetal weight, g; NaN outside the standard's range. See `weight_z`."""
    return weight_from_z(0.0, gestational_day, standard=standard, sex=sex, group=group)


def weight_z(
    weight_g: ArrayLike,
    gestational_day: ArrayLike,
    *,
    standard: str,
    sex: Sex = None,
    group: str | None = None,
) -> Array:
    """z-score of a fetal weight.

    weight_g, gestational_day : (*batch) g; days since the LMP-equivalent date, need not be whole.
    standard : one of `WEIGHT_STANDARDS`.
    sex : "female", "male", "unknown", None or codes 0, 1, -1 (may be traced). Only "who" has curves by sex;
        the others ignore it.
    group : "nichd" only; None is the mean of its four published groups, see `nichd`.
    Returns : (*batch) z; NaN outside the standard's range, never extrapolated in gestational age.
    Raises : UnknownStandard, listing the names available.
    Source : see `data/SOURCES.md`.
    """
    return z_of(weight_standard(standard, group), weight_g, gestational_day, sex)


def weight_from_z(
    z: ArrayLike, gestational_day: ArrayLike, *, standard: str, sex: Sex = None, group: str | None = None
) -> Array:
    """(*batch) g; the inverse of `weight_z`, with its arguments, NaN and errors."""
    return value_of(weight_standard(standard, group), z, gestational_day, sex)


def weight_centile(
    weight_g: ArrayLike,
    gestational_day: ArrayLike,
    *,
    standard: str,
    sex: Sex = None,
    group: str | None = None,
) -> Array:
    """(*batch) centile, 0-100, of a fetal weight; see `weight_z`."""
    return centile_of_z(weight_z(weight_g, gestational_day, standard=standard, sex=sex, group=group))


def weight_from_centile(
    centile: ArrayLike,
    gestational_day: ArrayLike,
    *,
    standard: str,
    sex: Sex = None,
    group: str | None = None,
) -> Array:
    """(*batch) g; the inverse of `weight_centile`; NaN unless 0 < centile < 100."""
    return weight_from_z(z_of_centile(centile), gestational_day, standard=standard, sex=sex, group=group)


def biometry_z(
    quantity: str,
    value_mm: ArrayLike,
    gestational_day: ArrayLike,
    *,
    standard: str = "intergrowth21",
    group: str | None = None,
) -> Array:
    """z-score of a fetal measurement.

    quantity : "hc_mm", "ac_mm", "fl_mm", "bpd_mm"; also "ofd_mm" (intergrowth21) and "hl_mm" (who).
    value_mm, gestational_day : (*batch) mm; days since the LMP-equivalent date.
    Returns : (*batch) z; NaN outside the standard's range, never extrapolated in gestational age.
    Raises : UnknownStandard, listing the names available.
    Source : see `data/SOURCES.md`. INTERGROWTH-21st BPD is outer to outer (RECALLED): see
        `bpd_outer_outer_mm`.
    """
    return z_of(biometry_standard(quantity, standard, group), value_mm, gestational_day)


def biometry_from_z(
    quantity: str,
    z: ArrayLike,
    gestational_day: ArrayLike,
    *,
    standard: str = "intergrowth21",
    group: str | None = None,
) -> Array:
    """(*batch) mm; the inverse of `biometry_z`, with its arguments, NaN and errors."""
    return value_of(biometry_standard(quantity, standard, group), z, gestational_day)


def biometry_median(
    quantity: str, gestational_day: ArrayLike, *, standard: str = "intergrowth21", group: str | None = None
) -> Array:
    """(*batch) mm; the published median (INTERGROWTH: mean); see `biometry_z`."""
    return biometry_from_z(quantity, 0.0, gestational_day, standard=standard, group=group)


def birthweight_z(
    weight_g: ArrayLike,
    gestational_day: ArrayLike,
    sex: Sex,
    *,
    standard: str = "intergrowth21_newborn",
    group: str | None = None,
) -> Array:
    """z-score of a birth weight for gestational age and sex; see `birthweight_centile`."""
    return z_of(birthweight_standard(standard, group), weight_g, gestational_day, sex)


def birthweight_from_z(
    z: ArrayLike,
    gestational_day: ArrayLike,
    sex: Sex,
    *,
    standard: str = "intergrowth21_newborn",
    group: str | None = None,
) -> Array:
    """(*batch) g; the inverse of `birthweight_z`."""
    return value_of(birthweight_standard(standard, group), z, gestational_day, sex)


def birthweight_centile(
    weight_g: ArrayLike,
    gestational_day: ArrayLike,
    sex: Sex,
    *,
    standard: str = "intergrowth21_newborn",
    group: str | None = None,
) -> Array:
    """Centile of a birth weight for gestational age and sex.

    weight_g, gestational_day : (*batch) g; completed days since the LMP-equivalent date.
    sex : "female", "male", "unknown", None or codes 0, 1, -1 (may be traced); unknown lies halfway
        between the two sexes' curves.
    standard : one of `BIRTHWEIGHT_STANDARDS`; the fetal standards serve as references too, and most have
        no sex and end at 40+0.
    Returns : (*batch) centile, 0-100; NaN outside the standard's range, never extrapolated.
    Raises : UnknownStandard, listing the names available.
    Source : see `data/SOURCES.md` for the paper, table, licence and file checksum.
    """
    return centile_of_z(birthweight_z(weight_g, gestational_day, sex, standard=standard, group=group))


def newborn_z(quantity: str, value: ArrayLike, gestational_day: ArrayLike, sex: Sex) -> Array:
    """(*batch) INTERGROWTH-21st z of "weight_g", "length_cm" or "head_cm"; NaN outside 24+0 - 42+6."""
    return z_of(_newborn(quantity), value, gestational_day, sex)


def newborn_from_z(quantity: str, z: ArrayLike, gestational_day: ArrayLike, sex: Sex) -> Array:
    """(*batch) g or cm; the inverse of `newborn_z`."""
    return value_of(_newborn(quantity), z, gestational_day, sex)


def weight_standard(name: str, group: str | None = None) -> Standard:
    """The curves behind a weight standard's name. Raises UnknownStandard."""
    if name == "nichd":
        return nichd.standard("weight_g", _nichd_group(group))
    _no_group(name, group)
    if name == "who":
        return who.standard("weight_g")
    if name in _BY_EQUATION:
        return _BY_EQUATION[name]
    raise _unknown("weight standard", name, WEIGHT_STANDARDS)


def biometry_standard(quantity: str, name: str, group: str | None = None) -> Standard:
    """The curves behind a biometry standard's name. Raises UnknownStandard."""
    if name not in BIOMETRY_STANDARDS:
        raise _unknown("biometry standard", name, tuple(BIOMETRY_STANDARDS))
    if quantity not in BIOMETRY_STANDARDS[name]:
        raise _unknown(f"quantity of biometry standard {name!r}", quantity, BIOMETRY_STANDARDS[name])
    if name == "nichd":
        return nichd.standard(quantity, _nichd_group(group))
    _no_group(name, group)
    return who.standard(quantity) if name == "who" else equations.INTERGROWTH_BIOMETRY[quantity]


def birthweight_standard(name: str, group: str | None = None) -> Standard:
    """The curves behind a birth-weight reference's name. Raises UnknownStandard."""
    if name not in BIRTHWEIGHT_STANDARDS:
        raise _unknown("birth-weight reference", name, BIRTHWEIGHT_STANDARDS)
    if name == "intergrowth21_newborn":
        _no_group(name, group)
        return newborn.standard("weight_g")
    return weight_standard(name, group)


def _newborn(quantity: str) -> Standard:
    if quantity not in newborn.QUANTITIES:
        raise _unknown("newborn quantity", quantity, newborn.QUANTITIES)
    return newborn.standard(quantity)


def _nichd_group(group: str | None) -> str:
    if group is None:
        return "mean"
    if group not in nichd.GROUPS:
        raise _unknown("NICHD group", group, nichd.GROUPS)
    return group


def _no_group(name: str, group: str | None) -> None:
    if group is not None:
        raise UnknownStandard(
            "no-groups",
            f"{name!r} has no groups, and group={group!r} arrived. Only 'nichd' has. Leave it out.",
        )


def _unknown(kind: str, name: str, names: tuple[str, ...]) -> UnknownStandard:
    return UnknownStandard(
        "unknown-standard",
        f"{kind} {name!r} is not known; expected one of {', '.join(names)}. Nothing was computed.",
    )
