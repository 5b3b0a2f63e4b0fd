"""Unit conversion at the wall: every accepted unit is in `units.toml`; anything else is refused.

The core has one canonical unit per quantity (glucose mg/dL, biometry mm, fetal weight g, maternal weight kg,
height cm, insulin U, HbA1c %). Sources: glucose 180.156 g/mol; NGSP master equation for HbA1c; UCUM.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from twin.errors import RowRejected

#: mg/dL per mmol/L of glucose
GLUCOSE_MG_DL_PER_MMOL_L = 18.0156


@dataclass(frozen=True)
class UnitRule:
    """How a value in one unit becomes the canonical one: ``value * factor + offset``."""

    factor: float
    offset: float = 0.0
    note: str | None = None


@cache
def _tables() -> dict[str, dict]:
    return tomllib.loads((Path(__file__).parent / "units.toml").read_text(encoding="utf-8"))


def canonical_unit(quantity: str) -> str:
    """The unit stored for `quantity` (a table of `units.toml`, for example "glucose")."""
    return str(_tables()[quantity]["canonical"])


def known_units(quantity: str) -> tuple[str, ...]:
    """UCUM codes accepted for `quantity`, sorted."""
    return tuple(sorted(_tables()[quantity]["unit"]))


def unit_rule(unit: str | None, quantity: str) -> UnitRule:
    """The conversion of `unit` for `quantity`.

    Raises : RowRejected "no-unit" without a unit, "unknown-unit" for one that is not in the table.
    """
    expected = f"expected one of {list(known_units(quantity))}. The row was not used."
    if not unit:
        raise RowRejected("no-unit", f"{quantity} value without a unit; {expected}")
    rule = _tables()[quantity]["unit"].get(unit)
    if rule is None:
        raise RowRejected(
            "unknown-unit",
            f"{quantity} unit {unit!r} is not one of the accepted UCUM codes; {expected} "
            "Add the unit to twin/units.toml if the sender is trusted.",
        )
    return UnitRule(**rule)


def convert(value: float | int, unit: str | None, quantity: str) -> float:
    """`value` in the canonical unit of `quantity`.

    Raises : RowRejected "unknown-unit", "no-unit", or "not-a-number" for a value that is not finite.
    """
    rule = unit_rule(unit, quantity)
    number = float(value)
    if not math.isfinite(number):
        raise RowRejected("not-a-number", f"{quantity} value {value!r} is not finite. The row was not used.")
    return number * rule.factor + rule.offset


def unit_from_text(text: str | None) -> str | None:
    """UCUM code for a unit written as text only; None when the text is not on the fixed list."""
    return _tables()["text"].get(text) if text else None


def unit_class(unit: str | None, quantity: str) -> str | None:
    """ "mass" or "molar" where the quantity knows both; None otherwise."""
    return _tables()[quantity].get("class_of", {}).get(unit)


def glucose_mg_dl(mmol_per_l: float | int) -> float:
    """Glucose in mg/dL from mmol/L."""
    return mmol_per_l * GLUCOSE_MG_DL_PER_MMOL_L


def glucose_mmol_per_l(mg_dl: float | int) -> float:
    """Glucose in mmol/L from mg/dL."""
    return mg_dl / GLUCOSE_MG_DL_PER_MMOL_L


def hba1c_percent(mmol_per_mol: float | int) -> float:
    """HbA1c in NGSP % from IFCC mmol/mol (NGSP master equation)."""
    return 0.09148 * mmol_per_mol + 2.152
