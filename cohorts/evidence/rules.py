"""The rules: what each published row is compared with, fixed before any fit (rules.csv)."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources

ROLES = ("calibrate", "validate", "inexpressible")


@dataclass(frozen=True)
class Rule:
    """One row of the evidence. published, low, high : one entry for each number the row states."""

    row: str
    study: str
    statistic: str
    design: str
    published: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    unit: str
    band_from: str
    role: str
    counted: bool
    reason: str

    def met(self, values: tuple[float, ...]) -> tuple[bool, ...]:
        return tuple(a <= v <= b for v, a, b in zip(values, self.low, self.high, strict=True))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(x) for x in text.split(" / ")) if text else ()


@functools.cache
def load_rules() -> dict[str, Rule]:
    """Every rule by its row, in the order of the file."""
    text = (resources.files("cohorts.evidence") / "rules.csv").read_text(encoding="utf-8")
    found = {}
    for r in csv.DictReader(text.splitlines()):
        bands = [tuple(map(float, b.split(" to "))) for b in r["band"].split(" / ")] if r["band"] else []
        rule = Rule(
            r["row"],
            r["study"],
            r["statistic"],
            r["design"],
            _numbers(r["published"]),
            tuple(b[0] for b in bands),
            tuple(b[1] for b in bands),
            r["unit"],
            r["band_from"],
            r["role"],
            r["counted"] == "yes",
            r["reason"],
        )
        assert rule.role in ROLES and len(rule.low) == len(rule.published), rule.row
        found[rule.row] = rule
    return found
