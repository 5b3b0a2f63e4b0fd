"""The code table: which FHIR codes are understood, and what they mean. The rules are data (`codes.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
#: this project's own codes, extensions and identifiers
OWN = "urn:gdm-twin:code"
OWN_EXTENSION = "urn:gdm-twin:extension"


@dataclass(frozen=True)
class Code:
    """One understood code of one concept; `name` is the meaning where the concept is a list of answers."""

    concept: str
    reader: str
    system: str
    code: str
    source: str
    quantity: str = ""
    name: str = ""
    unit_class: str | None = None
    prefix: bool = False
    set: Mapping[str, Any] = field(default_factory=dict)


@cache
def code_table() -> tuple[Code, ...]:
    """Every row of `codes.toml`, in its order."""
    data = tomllib.loads((Path(__file__).parent / "codes.toml").read_text(encoding="utf-8"))
    return tuple(
        Code(
            concept=name,
            reader=concept["reader"],
            system=data["systems"][row["system"]],
            code=row["code"],
            source=row["source"],
            quantity=concept.get("quantity", ""),
            name=row.get("name", ""),
            unit_class=row.get("class"),
            prefix=row.get("prefix", False),
            set=concept.get("set", {}),
        )
        for name, concept in data["concept"].items()
        for row in concept["codes"]
    )


@cache
def _exact() -> dict[tuple[str, str], Code]:
    return {(c.system, c.code): c for c in code_table()}


@cache
def _prefixes() -> tuple[Code, ...]:
    return tuple(c for c in code_table() if c.prefix)


def find_code(system: str | None, code: str | None) -> Code | None:
    """The table's row for one coding, None if it is not understood."""
    if not system or not code:
        return None
    exact = _exact().get((system, code))
    if exact is not None:
        return exact
    for c in _prefixes():
        if c.system == system and code.startswith(c.code):
            return c
    return None


def first_code(concept: str) -> Code:
    """The code this project writes for `concept`: its first row."""
    return next(c for c in code_table() if c.concept == concept)


def understood(codings: Iterable[Mapping[str, Any]]) -> list[Code]:
    """The understood codes among several codings of one element, in order, one per concept."""
    found: dict[str, Code] = {}
    for coding in codings:
        hit = find_code(coding.get("system"), coding.get("code"))
        if hit is not None:
            found.setdefault(hit.concept, hit)
    return list(found.values())


def check_digit_ok(system: str, code: str) -> bool:
    """Whether the code's own check digit is right: LOINC mod 10, SNOMED CT Verhoeff.

    LOINC answer codes (LA...) follow another scheme and are not checked; other systems have no check digit.
    """
    if system == LOINC:
        if code.startswith("LA"):
            return True
        body, _, last = code.rpartition("-")
        if not body.isdigit() or not last.isdigit():
            return False
        digits = body[::-1]
        doubled = str(2 * int(digits[0::2][::-1]))
        total = sum(map(int, doubled)) + sum(map(int, digits[1::2]))
        return (-total) % 10 == int(last)
    if system == SNOMED:
        return code.isdigit() and _verhoeff(code) == 0
    return True


def _verhoeff(digits: str) -> int:
    """Verhoeff checksum in the dihedral group of order 10 (SNOMED CT identifier specification)."""
    permute = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    check = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(position % 8):
            value = permute[value]
        check = _dihedral(check, value)
    return check


def _dihedral(a: int, b: int) -> int:
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


def markdown_table() -> str:
    """The code table as Markdown, for docs/reference/fhir_mapping.md."""
    lines = ["| concept | read as | codes | source |", "|---|---|---|---|"]
    names = {LOINC: "LOINC", SNOMED: "SNOMED", OWN: "own"}
    for concept in dict.fromkeys(c.concept for c in code_table()):
        rows = [c for c in code_table() if c.concept == concept]
        fields = ", ".join(f"{k} {v}" for k, v in rows[0].set.items())
        codes = ", ".join(
            f"{names.get(c.system, c.system.rsplit('/', 1)[-1])} {c.code}{'…' if c.prefix else ''}"
            f"{f' = {c.name}' if c.name else ''}"
            for c in rows
        )
        marks = ", ".join(dict.fromkeys(_mark(c.source) for c in rows))
        read_as = rows[0].reader + (f" ({fields})" if fields else "")
        lines.append(f"| {concept} | {read_as} | {codes} | {marks} |")
    return "\n".join(lines)


def _mark(source: str) -> str:
    words = source.replace(",", " ").split()
    return "SEEN weak" if words[:2] == ["SEEN", "weak"] else words[0]
