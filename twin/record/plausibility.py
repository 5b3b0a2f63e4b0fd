"""Limits and typical fetal sizes, read from `plausibility.toml` and `size_by_week.csv` beside this file."""

from __future__ import annotations

import csv
import tomllib
from functools import cache
from pathlib import Path

import numpy as np

_HERE = Path(__file__).parent
#: a biometric value outside these multiples of the typical size for its week is quarantined
SIZE_RATIO = {
    "bpd_mm": (0.5, 1.7),
    "hc_mm": (0.5, 1.7),
    "ac_mm": (0.5, 1.7),
    "fl_mm": (0.4, 1.8),
    "efw_g": (0.2, 3.0),
}
#: ... and so is one this many SD from it [C-STD-03..06]: a wrong column, another fetus, or wrong dating
SIZE_SD = 6.0
#: 10th centile of a normal distribution
Z10 = -1.2815515655446004
#: SD of ln fetal weight about Hadlock's curve [C-STD-02]
HADLOCK_LN_SD = 0.12
#: an estimated weight before 20 weeks lies outside every formula here (Hadlock 1985 third trimester
#: [C-EFW-01..04], INTERGROWTH 22-40 weeks [C-EFW-06])
EFW_FIRST_DAY = 140.0


@cache
def limits(table: str) -> dict[str, tuple[float, float]]:
    """Column -> (lowest, highest) accepted value of `table`; for biometry "biometry.<quantity>"."""
    node: dict = tomllib.loads((_HERE / "plausibility.toml").read_text(encoding="utf-8"))
    for part in table.split("."):
        node = node.get(part, {})
    return {k: (float(v[0]), float(v[1])) for k, v in node.items() if isinstance(v, list)}


@cache
def _sizes() -> dict[str, np.ndarray]:
    lines = (_HERE / "size_by_week.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    return {name: np.array([float(r[name]) for r in rows]) for name in rows[0]}


def typical_size(quantity: str, gestational_day: np.ndarray) -> np.ndarray:
    """Typical value of a `schema.BIOMETRY_QUANTITIES` at `gestational_day` (any shape).

    NaN outside 14 to 44 weeks. Weeks 40 to 44 keep the 40-week value: this serves plausibility, not growth.
    """
    return _interpolate(quantity, gestational_day)


def typical_sd(quantity: str, gestational_day: np.ndarray) -> np.ndarray:
    """SD of a biometric quantity at `gestational_day` (any shape), mm; NaN for `efw_g`, as in `typical_size`."""
    if quantity == "efw_g":
        return np.full(np.shape(gestational_day), np.nan)
    return _interpolate(quantity.replace("_mm", "_sd"), gestational_day)


def tenth_centile(quantity: str, gestational_day: float | int) -> float:
    """10th centile of `ac_mm` (INTERGROWTH-21st [C-STD-05]) or `efw_g` (Hadlock 1991 [C-STD-01, 02])."""
    day = np.asarray(gestational_day, dtype=float)
    middle = float(_interpolate(quantity, day))
    if quantity == "efw_g":
        return middle * float(np.exp(Z10 * HADLOCK_LN_SD))
    return middle + Z10 * float(_interpolate(quantity.replace("_mm", "_sd"), day))


def _interpolate(column: str, gestational_day: np.ndarray) -> np.ndarray:
    sizes = _sizes()
    weeks = np.asarray(gestational_day, dtype=float) / 7.0
    inside = (weeks >= sizes["week"][0]) & (weeks <= 44.0)
    return np.where(inside, np.interp(weeks, sizes["week"], sizes[column]), np.nan)
