"""Oracles: molar mass of glucose, NGSP's printed conversion table, legal definitions of pound and inch."""

import pytest

from twin import units
from twin.errors import RowRejected


def test_glucose_factor_is_the_molar_mass():
    assert units.convert(5.1, "mmol/L", "glucose") == pytest.approx(5.1 * 180.156 / 10, rel=1e-12)
    assert units.convert(92.0, "mg/dl", "glucose") == 92.0
    assert units.convert(0.92, "g/L", "glucose") == pytest.approx(92.0)
    assert units.glucose_mmol_per_l(units.glucose_mg_dl(7.8)) == pytest.approx(7.8, rel=1e-14)
    assert units.unit_rule("mmol/L", "glucose").factor == units.GLUCOSE_MG_DL_PER_MMOL_L


@pytest.mark.parametrize(("ifcc", "ngsp"), [(31, 5.0), (42, 6.0), (48, 6.5), (53, 7.0), (75, 9.0)])
def test_hba1c_agrees_with_the_ngsp_table(ifcc, ngsp):
    """NGSP's table of pairs, printed to one decimal."""
    assert round(units.convert(ifcc, "mmol/mol", "hba1c"), 1) == ngsp
    assert units.hba1c_percent(ifcc) == units.convert(ifcc, "mmol/mol", "hba1c")


@pytest.mark.parametrize(
    ("value", "unit", "quantity", "expected"),
    [
        (30.1, "cm", "length_mm", 301.0),
        (301, "mm", "length_mm", 301.0),
        (3.4, "kg", "mass_g", 3400.0),
        (7.5, "[lb_av]", "mass_g", 7.5 * 453.59237),
        (120, "[oz_av]", "mass_g", 120 * 453.59237 / 16),
        (148, "[lb_av]", "mass_kg", 148 * 0.45359237),
        (65, "[in_i]", "height", 165.1),
        (8, "[iU]", "insulin", 8.0),
        (28, "wk", "gestation_days", 196.0),
    ],
)
def test_conversions(value, unit, quantity, expected):
    assert units.convert(value, unit, quantity) == pytest.approx(expected, rel=1e-12)


def test_enzyme_unit_is_flagged_and_only_for_insulin():
    assert units.convert(8, "U", "insulin") == 8.0
    assert "enzyme" in (units.unit_rule("U", "insulin").note or "")
    with pytest.raises(RowRejected):
        units.convert(8, "U", "carbohydrate")


@pytest.mark.parametrize("unit", ["mmHg", "MG/DL", "mg/L", "mmol", "%"])
def test_unknown_unit_is_refused_with_the_choice(unit):
    with pytest.raises(RowRejected) as why:
        units.convert(100, unit, "glucose")
    assert why.value.code == "unknown-unit"
    assert "mg/dL" in str(why.value) and "not used" in str(why.value)


def test_no_unit_is_refused():
    with pytest.raises(RowRejected) as why:
        units.convert(100, None, "glucose")
    assert why.value.code == "no-unit"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_value_must_be_finite(value):
    with pytest.raises(RowRejected, match="not finite"):
        units.convert(value, "mg/dL", "glucose")


def test_unit_text_only_from_the_list():
    assert units.unit_from_text("lbs") == "[lb_av]"
    assert units.unit_from_text("mg per dl") is None
    assert units.unit_class("mmol/L", "glucose") == "molar"
