"""Text that a command writes into a page of the docs, between two marks; the rest of the page is left alone."""

from __future__ import annotations

from pathlib import Path

from twin.errors import UnusableInput


def put(page: Path, name: str, text: str) -> None:
    """Put the text between `<!-- NAME: begin -->` and `<!-- NAME: end -->`, in place of what is there.

    Raises : UnusableInput where the page has not both marks, each once.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = page.read_text(encoding="utf-8")
    before, _, rest = old.partition(begin)
    _, found, after = rest.partition(end)
    if not found or any(old.count(mark) > 1 for mark in (begin, end)):
        raise UnusableInput(
            "no-marks",
            f"{page}: expected {begin!r}, then {end!r}, each once. The page was left as it is. Put the marks where the "
            "text belongs.",
        )
    inside = text.strip("\n")
    page.write_text(f"{before}{begin}\n\n{inside}\n\n{end}{after}", encoding="utf-8")
