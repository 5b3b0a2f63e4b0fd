"""Quarantine: each rule on a row made to break it, and on its neighbour that does not."""

import importlib.util
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.errors import TwinError
from twin.record import COLUMNS, empty_table, validate_table
from twin.record.plausibility import tenth_centile, typical_size

_spec = importlib.util.spec_from_file_location("record_rows", Path(__file__).with_name("conftest.py"))
_rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_rows)
at = _rows.at


def glucose(*values, **extra):
    rows = [
        at(200 + i / 24, value_mg_dl=v, kind="smbg", source=f"Bundle.entry[{i}]") | extra
        for i, v in enumerate(values)
    ]
    return pd.DataFrame(rows)


def codes(issues):
    return [(i.source, i.code) for i in issues]


@pytest.mark.parametrize("name", COLUMNS)
def test_empty_tables_keep_the_contract(name):
    clean, issues = validate_table(name, pd.DataFrame())
    assert not issues
    pd.testing.assert_series_equal(clean.dtypes, empty_table(name).dtypes)


def test_good_rows_pass_sorted_with_the_contract_dtypes():
    clean, issues = validate_table("glucose", glucose(95.0, 132.0).iloc[::-1])
    assert not issues
    assert clean["value_mg_dl"].tolist() == [95.0, 132.0]
    assert clean.dtypes.astype(str).to_dict() == COLUMNS["glucose"]


def test_mmol_values_under_a_mg_label_are_quarantined_never_converted():
    clean, issues = validate_table("glucose", glucose(95.0, 17.26, 110.0, 99.0))
    assert clean["value_mg_dl"].tolist() == [95.0, 110.0, 99.0]
    assert codes(issues) == [("Bundle.entry[1]", "implausible-glucose")]
    assert "mmol/L" in issues[0].message and "never converted" in issues[0].message


def test_mg_values_under_a_mmol_label():
    _, issues = validate_table("glucose", glucose(120 * 18.0156))
    assert "mg/dL under a mmol/L label" in issues[0].message


def test_a_meter_that_mislabels_its_unit_is_not_trusted_at_all():
    """Four of five values are impossible in mg/dL; the fifth (21 mmol/L) passes by chance and goes too."""
    clean, issues = validate_table("glucose", glucose(5.1, 6.2, 7.3, 4.9, 21.0, device="meter-a"))
    assert clean.empty
    assert [c for _, c in codes(issues)].count("suspect-unit") == 1
    other = pd.concat([glucose(5.1, 6.2, 7.3, device="meter-a"), glucose(99.0, device="meter-b")])
    assert validate_table("glucose", other)[0]["value_mg_dl"].tolist() == [99.0]


def test_censored_limits_are_the_devices():
    rows = pd.concat([glucose(600.0, censor="high"), glucose(10.0, censor="low").assign(source="x")])
    clean, issues = validate_table("glucose", rows)
    assert len(clean) == 2 and not issues


@pytest.mark.parametrize(
    ("table", "row", "code"),
    [
        ("glucose", {"value_mg_dl": 95.0, "kind": "urine"}, "unknown-word"),
        ("glucose", {"value_mg_dl": "95 or so", "kind": "smbg"}, "bad-type"),
        ("glucose", {"value_mg_dl": None, "kind": "smbg"}, "no-value"),
        ("glucose", {"value_mg_dl": np.inf, "kind": "smbg"}, "no-value"),
        ("glucose", {"value_mg_dl": 95.0, "kind": "ogtt", "minutes_post_load": 900}, "implausible-value"),
        ("meals", {"carbohydrate_g": 4000.0}, "implausible-value"),
        ("insulin", {"dose_U": -4.0, "formulation": "rapid"}, "implausible-value"),
        ("insulin", {"dose_U": 4.0, "formulation": "fast"}, "unknown-word"),
        ("weights", {"weight_kg": 700.0}, "implausible-value"),
        ("biometry", {"quantity": "hc_mm", "value": 30.1}, "implausible-value"),
        ("biometry", {"quantity": "efw_g", "value": 17.0}, "implausible-value"),
    ],
)
def test_one_bad_row_costs_one_row(table, row, code):
    good = {
        "glucose": {"value_mg_dl": 95.0, "kind": "smbg"},
        "meals": {"carbohydrate_g": 40.0},
        "insulin": {"dose_U": 4.0, "formulation": "rapid"},
        "weights": {"weight_kg": 70.0},
        "biometry": {"quantity": "hc_mm", "value": 301.0},
    }[table]
    df = pd.DataFrame([at(231, source="good") | good, at(231.1, source="bad") | row])
    clean, issues = validate_table(table, df)
    assert clean["source"].tolist() == ["good"]
    assert codes(issues) == [("bad", code)]


def test_no_time_is_an_issue():
    df = glucose(95.0).assign(time_utc=None)
    clean, issues = validate_table("glucose", df)
    assert clean.empty and issues[0].code == "no-time"


def test_factor_ten_against_gestational_age():
    """At 20+0 the typical FL is 31 mm: 310 is out of bounds, and so is 6.6 (cm of a term fetus)."""
    rows = [
        at(140, quantity="fl_mm", value=31.0, gestational_day=140.0, source="ok"),
        at(140.1, quantity="ac_mm", value=480.0, gestational_day=140.1, source="big"),
        at(266, quantity="efw_g", value=320.0, gestational_day=266.0, source="tenth"),
        at(266, quantity="efw_g", value=3200.0, gestational_day=266.0, source="fine"),
        at(266, quantity="efw_g", value=320.0, source="undated"),
    ]
    clean, issues = validate_table("biometry", pd.DataFrame(rows))
    assert sorted(clean["source"]) == ["fine", "ok", "undated"]
    assert sorted(codes(issues)) == [("big", "implausible-size"), ("tenth", "implausible-size")]
    assert any("ten times too small" in i.message for i in issues)


def test_early_fetal_weight_is_kept_and_marked():
    rows = [at(115, quantity="efw_g", value=142.0, gestational_day=115.0, method="site", source="a")]
    clean, issues = validate_table("biometry", pd.DataFrame(rows))
    assert clean["method"].tolist() == ["site;outside-formula-range"]
    assert [(i.code, i.severity) for i in issues] == [("efw-outside-formula-range", "warning")]


def test_duplicates_keep_the_first_and_name_the_rest():
    df = pd.concat([glucose(95.0), glucose(95.0).assign(source="Bundle.entry[9]")])
    clean, issues = validate_table("glucose", df)
    assert clean["source"].tolist() == ["Bundle.entry[0]"]
    assert codes(issues) == [("Bundle.entry[9]", "duplicate")]


def test_unknown_column_is_a_programming_error():
    with pytest.raises(TwinError, match="no columns"):
        validate_table("glucose", glucose(95.0).assign(colour="red"))


@given(st.lists(st.floats(0, 3000) | st.none() | st.text(max_size=3), max_size=12))
def test_kept_and_reported_cover_every_row(values):
    df = glucose(*values) if values else pd.DataFrame()
    clean, issues = validate_table("glucose", df)
    gone = {i.source for i in issues if i.severity == "rejected"}
    assert set(clean["source"]) | gone == {f"Bundle.entry[{i}]" for i in range(len(values))}
    assert not set(clean["source"]) & gone


def test_typical_sizes_follow_the_published_equations():
    """Independent evaluation of the INTERGROWTH-21st means [C-STD-03..06] and Hadlock 1991 [C-STD-01]."""
    week = np.arange(14.0, 41.0)
    log = np.log(week)
    means = {
        "hc_mm": -28.2849 + 1.69267 * week**2 - 0.397485 * week**2 * log,
        "bpd_mm": 5.60878 + 0.158369 * week**2 - 0.00256379 * week**3,
        "ac_mm": -81.3243 + 11.6772 * week - 0.000561865 * week**3,
        "fl_mm": -39.9616 + 4.32298 * week - 0.0380156 * week**2,
        "efw_g": np.exp(0.578 + 0.332 * week - 0.00354 * week**2),
    }
    for quantity, mean in means.items():
        np.testing.assert_allclose(typical_size(quantity, week * 7), mean, rtol=3e-3)
    assert np.isnan(typical_size("hc_mm", np.array([90.0, 320.0]))).all()


def test_tenth_centile_is_below_the_middle():
    """INTERGROWTH-21st AC at 36 weeks: mean 312.84, SD 17.03 [C-STD-05]."""
    assert tenth_centile("ac_mm", 252.0) == pytest.approx(312.84 - 1.28155 * 17.03, abs=0.05)
    assert tenth_centile("efw_g", 252.0) == pytest.approx(2813 * np.exp(-1.28155 * 0.12), abs=1)


@pytest.mark.parametrize(
    "local",
    [
        ["2026-01-01T08:00+02:00", "2026-01-01T08:05"],
        [datetime(2026, 1, 1, 8, tzinfo=UTC), datetime(2026, 1, 1, 8, 5)],
        [datetime(2026, 1, 1, 8, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T08:05"],
    ],
)
def test_a_wall_clock_with_a_zone_is_never_shifted(local):
    """An instant says nothing of the woman's clock: the row is rejected, not moved to UTC."""
    df = glucose(95.0, 97.0).assign(time_local=local)
    clean, issues = validate_table("glucose", df)
    assert clean["time_local"].tolist() == [pd.Timestamp("2026-01-01 08:05")]
    assert [i.code for i in issues] == ["bad-type"]
