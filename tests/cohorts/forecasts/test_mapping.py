"""A table of women by a mapping: units, ages, yes and no; the same records as by FHIR; what is turned away."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cohorts.forecasts
from cohorts.forecasts.mapping import load_mapping, read_table, records_of
from tests.real_data.make_fhir import load_porto_alegre, load_sydney, porto_alegre_bundle, sydney_bundle
from twin.errors import UnusableInput
from twin.fhir import read_bundle

PACKAGED = Path(cohorts.forecasts.__file__).parent / "mappings"
MAPPING = """
woman = "id"
dated = true
[[scan]]
week = { column = "age", form = "weeks+days" }
ac_mm = { column = "ac", unit = "cm" }
[[glucose]]
week = 26
kind = "ogtt"
load_g = 75
at_0 = { column = "g0", unit = "mmol/L" }
[facts]
height_cm = { column = "height", unit = "m" }
bmi_pre = "bmi"
hypertension = [{ column = "chronic", is = "yes" }, { column = "later", is = "yes" }]
gdm = { column = "gdm", is = "yes", known_week = 27 }
[birth]
weight_g = { column = "kg", unit = "kg" }
week = "born"
sex = { column = "sex", is = "M" }
"""
HEAD = "id,age,ac,g0,height,bmi,chronic,later,gdm,kg,born,sex\n"
HER = '1,"33,4",29.5,5.0,1.60,25,no,yes,no,3.4,39.0,M\n'


@pytest.fixture
def mapping(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(MAPPING)
    return load_mapping(path)


def table(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    return read_table(path)


def test_values_are_in_the_units_of_the_record(mapping, tmp_path):
    (her,), left_out = records_of(table(tmp_path, HEAD + HER), mapping)
    assert not left_out
    assert her.biometry[["quantity", "value"]].values.tolist() == [["ac_mm", 295.0]]
    assert her.biometry["gestational_day"].iloc[0] == pytest.approx(235 + 10 / 24)
    assert her.glucose["value_mg_dl"].iloc[0] == pytest.approx(5.0 * 18.0156)
    f = her.facts
    assert (f.height_cm, f.weight_pre_kg, f.hypertension, f.gdm) == (160.0, 64.0, True, False)
    assert (f.birth_weight_g, f.newborn_sex, (f.delivery_day - f.lmp_equivalent).days) == (
        3400.0,
        "male",
        273,
    )


def test_what_is_missing_is_missing(mapping, tmp_path):
    (her,), _ = records_of(table(tmp_path, HEAD + "1,,,,,,,,,3.4,39.0,\n"), mapping)
    f = her.facts
    assert not len(her.biometry) and not len(her.glucose)
    assert (f.height_cm, f.hypertension, f.gdm, f.newborn_sex) == (None, None, None, None)


def test_a_bad_row_is_left_out_with_its_reason(mapping, tmp_path):
    rows = HER + HER.replace("1,", "2,", 1).replace("29.5", "wide") + "3" + HER[1:] + "3" + HER[1:]
    found, left_out = records_of(table(tmp_path, HEAD + rows), mapping)
    assert [r.pseudonym for r in found] == ["1"]
    assert [(x.who, x.code) for x in left_out] == [("2", "bad-row"), ("3", "bad-id"), ("3", "bad-id")]


def test_what_a_mapping_must_have(mapping, tmp_path):
    with pytest.raises(UnusableInput, match="g0"):
        records_of(table(tmp_path, (HEAD + HER).replace("g0", "other")), mapping)
    for text in ("woman = 'id'", "woman = 'id'\n[birth]\nweight_g='w'\nweek='b'\n[twins]\n", "woman ="):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(UnusableInput):
            load_mapping(tmp_path / "bad.toml")


@pytest.mark.shared_data
def test_sydney_as_by_fhir(shared_data):
    place = shared_data / "data" / "sydney_ultrasound_birthweight" / "scans.csv"
    found, left_out = records_of(read_table(place), load_mapping(PACKAGED / "sydney.toml"))
    rows = load_sydney(shared_data)
    assert len(found) == len(rows) == 623 and not left_out
    for her, row in list(zip(found, rows, strict=True))[::60]:
        by_fhir = read_bundle(sydney_bundle(row, with_birth=True))[0]
        assert_same(her, by_fhir)


@pytest.mark.shared_data
def test_porto_alegre_as_by_fhir(shared_data):
    place = shared_data / "data" / "gdm_porto_alegre" / "cohort.csv"
    found, left_out = records_of(read_table(place), load_mapping(PACKAGED / "porto_alegre.toml"))
    rows = load_porto_alegre(shared_data)
    assert len(found) == len(rows) == 80 and not left_out
    for her, row in list(zip(found, rows, strict=True))[::8]:
        by_fhir = read_bundle(porto_alegre_bundle(row))[0]
        assert_same(her, by_fhir)


def assert_same(her, other):
    """Values, ages and births; only the invented dates differ."""
    for name, columns in (("biometry", ["quantity", "value"]), ("glucose", ["kind", "value_mg_dl"])):
        a, b = (getattr(r, name).sort_values(["time_utc", *columns]) for r in (her, other))
        pd.testing.assert_frame_equal(a[columns].reset_index(drop=True), b[columns].reset_index(drop=True))
        np.testing.assert_allclose(a["gestational_day"], b["gestational_day"], atol=0.3)
    f, g = her.facts, other.facts
    assert (f.parity, f.gdm, f.smoking, f.birth_weight_g) == (g.parity, g.gdm, g.smoking, g.birth_weight_g)
    assert (f.weight_pre_kg, f.height_cm) == (g.weight_pre_kg, pytest.approx(g.height_cm))
    assert (f.delivery_day - f.lmp_equivalent) == (g.delivery_day - g.lmp_equivalent)
