"""The docs print parameters from their own metadata (`{{ table symbols:... }}`): it must be there and be complete."""

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


@pytest.mark.parametrize("page", PAGES)
def test_page_prints_the_symbols_of_the_code(page):
    module = PAGES[page]
    assert f"{{{{ table symbols:{module.__module__}.{module.__name__} }}}}" in (DOCS / page).read_text()


@pytest.mark.parametrize("module", PAGES.values())
def test_every_parameter_says_what_it_is(module):
    for name, field in module.__dataclass_fields__.items():
        assert all(field.metadata[k] not in ("", None) for k in ("unit", "meaning", "median", "source")), name
