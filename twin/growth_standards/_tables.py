"""The coefficient tables of `data/` (sources and checksums in `data/SOURCES.md`), read once each."""

import csv
from functools import cache
from importlib import resources


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """Rows of one packaged CSV file, as text."""
    text = resources.files("twin.growth_standards").joinpath("data", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
