"""The symbol tables of docs/model come from the parameters' own metadata.

Rewrite them after a change: `python -m tests.twin.physiology.test_symbol_table`.
"""

import re
from pathlib import Path

import pytest

from twin.physiology.parameters import FetalParams, MaternalParams
from twin.physiology.pregnancy import PregnancyParams

DOCS = Path(__file__).resolve().parents[3] / "docs" / "model"
PAGES = {
    "maternal_glucose.md": MaternalParams,
    "pregnancy.md": PregnancyParams,
    "fetal_growth.md": FetalParams,
}
COMMAND = "python -m tests.twin.physiology.test_symbol_table"
BEGIN, END = f"<!-- symbols: {COMMAND} -->", "<!-- end of symbols -->"


def table(module):
    """Markdown table of one parameter class, ending in a newline."""
    lines = ["| symbol | meaning | median | unit | source |", "|---|---|---|---|---|"]
    for name, field in module.__dataclass_fields__.items():
        m = field.metadata
        source = re.sub(r"([A-E]-[A-Z]+-\S*\d\S*|[A-E]-DM-\S+)(?=,|$)", r"[\1]", m["source"])
        lines.append(f"| `{name}` | {m['meaning']} | {m['median']:g} | {m['unit']} | {source} |")
    return "\n".join(lines) + "\n"


def with_table(text, module):
    """The page with its symbols replaced."""
    head, rest = text.split(BEGIN)
    return head + BEGIN + "\n\n" + table(module) + "\n" + END + rest.split(END)[1]


@pytest.mark.parametrize("page", PAGES)
def test_printed_symbols_are_the_parameters(page):
    text = (DOCS / page).read_text()
    assert text == with_table(text, PAGES[page]), f"symbols of docs/model/{page} are old; run: {COMMAND}"


@pytest.mark.parametrize("module", PAGES.values())
def test_every_parameter_says_what_it_is(module):
    for name, field in module.__dataclass_fields__.items():
        assert all(field.metadata[k] not in ("", None) for k in ("unit", "meaning", "median", "source")), name


if __name__ == "__main__":
    for page, module in PAGES.items():
        path = DOCS / page
        path.write_text(with_table(path.read_text(), module))
