"""What people ate and injected, as the sources write it: free text to grams, units and milligrams."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: carbohydrate per gram of food where only the food was weighed: assumed, mixed Chinese meals with rice, noodles,
#: vegetables, milk
CARBOHYDRATE_SHARE = 0.2
#: an entry above this is a slip of the pen, g
ABSURD_G = 250.0
#: meals that begin this near each other are one, min
MERGE_MIN = 15.0

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:g|ml)\b", re.IGNORECASE)
_DOSE = re.compile(r"([A-Za-z][^,]*?)\s*,\s*(\d+(?:\.\d+)?)\s*IU", re.IGNORECASE)
_METFORMIN = re.compile(r"metformin\s+(\d+(?:\.\d+)?)\s*(mg|g)\b", re.IGNORECASE)
_METFORMIN_SECOND = re.compile(r"/\s*metformin[^/,]*?/\s*(\d+(?:\.\d+)?)\s*(mg|g)\b", re.IGNORECASE)
_PREMIXED = ("70/30", "30r", "m30")
#: part of a drug's name -> formulation whose kinetics stand for it; the first match holds
_FORMULATION = (
    ("aspart", "rapid"),
    ("glulisine", "rapid"),
    ("lispro", "rapid"),
    ("novolin r", "regular"),
    ("humulin r", "regular"),
    ("detemir", "detemir"),
    ("glargine", "glargine"),
    ("glarigine", "glargine"),
    ("degludec", "glargine"),
)

Meal = tuple[float, float]  # minute, g of carbohydrate
Dose = tuple[float, float, str]  # minute, U, formulation


def food_carbohydrate(text: str) -> float | None:
    """Carbohydrate, g, of "Rice 75 g; Milk 250 ml"; None where no amount is given."""
    grams = sum(float(n) for n in _AMOUNT.findall(text))
    return CARBOHYDRATE_SHARE * grams if grams > 0.0 else None


def insulin_doses(text: str) -> tuple[list[tuple[float, str]], int]:
    """(units, formulation) of "drug, dose IU, drug, dose IU", a premix in its two parts; and drugs not known."""
    found: list[tuple[float, str]] = []
    unknown = 0
    for drug, amount in _DOSE.findall(text):
        name, units = drug.lower(), float(amount)
        if any(mark in name for mark in _PREMIXED):
            found += [(0.3 * units, "rapid" if "aspart" in name else "regular"), (0.7 * units, "nph")]
            continue
        known = [formulation for part, formulation in _FORMULATION if part in name]
        if known:
            found.append((units, known[0]))
        else:
            unknown += 1
    return found, unknown


def metformin_mg(text: str) -> float | None:
    """Metformin, mg, in a text of oral agents; None where there is none, or no dose of it."""
    found = _METFORMIN.search(text) or _METFORMIN_SECOND.search(text)
    if found is None:
        return None
    return float(found[1]) * (1000.0 if found[2].lower() == "g" else 1.0)


def merged(meals: Iterable[Meal]) -> list[Meal]:
    """Meals in time order; those that begin within `MERGE_MIN` of a meal's beginning belong to it."""
    out: list[Meal] = []
    for minute, grams in sorted(meals):
        if out and minute - out[-1][0] <= MERGE_MIN:
            out[-1] = (out[-1][0], out[-1][1] + grams)
        else:
            out.append((minute, grams))
    return out
