"""The code table: every row has a source, its check digit is right, no code means two things."""

from pathlib import Path

import pytest

from twin import units
from twin.fhir import codes
from twin.fhir.codes import code_table


@pytest.mark.parametrize("row", code_table(), ids=lambda c: f"{c.concept}-{c.code}")
def test_check_digits_sources_and_quantities(row):
    assert codes.check_digit_ok(row.system, row.code)
    assert row.source.split()[0].rstrip(",") in {"SEEN", "RECALLED", "INFERRED", "OWN"}
    if row.quantity:
        assert units.canonical_unit(row.quantity)


@pytest.mark.parametrize(
    ("system", "code", "ok"),
    [
        (codes.LOINC, "4548-4", True),
        (codes.LOINC, "4548-5", False),
        (codes.LOINC, "glucose", False),
        (codes.SNOMED, "167096006", True),
        (codes.SNOMED, "67096006", False),  # printed in a published map; the check found it
        (codes.SNOMED, "11687020", False),
        ("http://www.whocc.no/atc", "A10AB05", True),
    ],
)
def test_check_digits_find_misprints(system, code, ok):
    assert codes.check_digit_ok(system, code) is ok


def test_no_code_twice():
    seen = [(c.system, c.code) for c in code_table()]
    assert len(seen) == len(set(seen))


def test_prefixes_and_unknown_codes():
    found = codes.find_code("http://hl7.org/fhir/sid/icd-10-cm", "O24.410")
    assert found is not None and found.concept == "gdm"
    assert codes.find_code("http://hl7.org/fhir/sid/icd-10-cm", "O24.9") is None
    assert codes.find_code(codes.LOINC, "24.410") is None
    assert codes.find_code(None, "4548-4") is None


def test_the_codes_written_are_the_first_of_each_concept():
    assert codes.first_code("glucose_cgm").code == "99504-3"
    assert codes.first_code("gdm").code == "11687002"


def test_the_documentation_shows_this_table():
    """Regenerate the table of docs/reference/fhir_mapping.md with twin.fhir.codes.markdown_table."""
    page = Path(__file__).resolve().parents[3] / "docs" / "reference" / "fhir_mapping.md"
    assert codes.markdown_table() in page.read_text(encoding="utf-8")
