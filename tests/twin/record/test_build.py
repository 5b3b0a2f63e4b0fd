"""Facts from statements, looking back, and storage: round trips and small closed cases."""

import importlib.util
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from twin.errors import UnusableInput
from twin.record import (
    COLUMNS,
    PreviousBirth,
    Statement,
    as_of,
    assemble_facts,
    build_record,
    read_tables,
    write_tables,
)
from twin.record.build import last_observation
from twin.timeline import DatingStatement

_spec = importlib.util.spec_from_file_location("record_rows", Path(__file__).with_name("conftest.py"))
_rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_rows)
at, LMP = _rows.at, _rows.LMP


def on(day):
    return LMP + timedelta(days=day)


def edd(shift, stated):
    return Statement(
        "dating", DatingStatement(on(shift), "edd", True, on(stated), source=f"edd {stated}"), on(stated)
    )


@pytest.fixture
def full():
    statements = (
        edd(0, 60),
        edd(5, 130),
        Statement("parity", 1, on(60), "a"),
        Statement("gdm", True, on(180), "b", about=on(178)),
        Statement("hba1c_percent", (on(80), 5.4), on(80), "c"),
        Statement("previous_births", PreviousBirth(3900.0, 39.5, False), None, "d"),
        Statement("steroid_courses", on(220), on(220), "e"),
        Statement("steroid_courses", on(221), on(221), "f"),
        Statement("acute_illness", (on(200), on(204)), on(200), "g"),
        Statement("birth_weight_g", 3650.0, on(276), "h"),
        Statement("delivery_day", on(276), on(276), "i"),
        Statement("site_policy", {"median": "39+1"}, None, "j"),
    )
    rows = {
        "glucose": [
            at(d + 0.3, value_mg_dl=90.0 + d / 10, kind="smbg", source=f"g{d}") for d in (190, 210, 230)
        ],
        "meals": [at(190.25, carbohydrate_g=45.0, source="m")],
        "insulin": [at(210.3, dose_U=6.0, formulation="rapid", source="i")],
        "medication": [
            at(205, drug="metformin", dose_mg=500.0, per_day=2.0, end_local=pd.Timestamp(on(225)), source="x")
        ],
        "biometry": [
            at(d, quantity=q, value=v, method="", source=f"s{d}{q}")
            for d, q, v in ((150, "hc_mm", 192.0), (150.01, "ac_mm", 165.0), (222, "ac_mm", 285.0))
        ],
        "weights": [at(60.4, weight_kg=71.0, source="w1"), at(220.4, weight_kg=80.5, source="w2")],
    }
    return build_record("p-1", rows, statements, input_sha256="abc")


def same(a, b):
    for name in COLUMNS:
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    for f in fields(a):
        if f.name not in COLUMNS:
            assert getattr(a, f.name) == getattr(b, f.name), f.name


def test_the_newest_edd_rules_and_shifts_every_day(full):
    assert full.facts.lmp_equivalent == on(5)
    assert full.glucose["gestational_day"].tolist() == pytest.approx([185.3, 205.3, 225.3])
    assert full.biometry["scan"].tolist() == [0, 0, 1]
    assert full.facts.steroid_courses == (on(220),)
    assert full.facts.weight_now_kg == 80.5


def test_as_of_hides_everything_later(full):
    then = as_of(full, on(129))
    assert then.facts.lmp_equivalent == LMP, "the second EDD was not issued yet"
    assert then.glucose.empty and then.facts.gdm is None and then.facts.birth_weight_g is None
    assert then.facts.weight_now_kg == 71.0
    assert then.facts.previous_births and then.facts.site_policy == {"median": "39+1"}
    later = as_of(full, on(215))
    assert len(later.glucose) == 2 and later.facts.gdm is True
    assert later.facts.steroid_courses == () and later.facts.delivery_day is None
    assert later.medication["end_local"].isna().all(), "the end of the regimen was not known yet"
    assert later.biometry["scan"].tolist() == [0, 0]
    same(as_of(full, on(300)), full)


def test_as_of_at_an_instant(full):
    second = full.glucose["time_utc"].iloc[1].to_pydatetime()
    assert len(as_of(full, second).glucose) == 2
    assert len(as_of(full, second - timedelta(seconds=1)).glucose) == 1
    assert second.tzinfo is not None and second.astimezone(UTC) == second
    local = full.glucose["time_local"].iloc[1].to_pydatetime()
    assert isinstance(local, datetime) and len(as_of(full, local).glucose) == 2


def test_as_of_of_facts_without_history(make):
    record = make(
        delivery_day=on(270),
        birth_weight_g=3500.0,
        newborn_sex="female",
        hba1c_percent=((on(80), 5.2), (on(200), 5.6)),
        acute_illness=((on(190), on(230)),),
    )
    then = as_of(record, on(200)).facts
    assert (then.delivery_day, then.birth_weight_g, then.newborn_sex) == (None, None, None)
    assert then.hba1c_percent == ((on(80), 5.2), (on(200), 5.6))
    assert then.acute_illness == ((on(190), None),)
    assert as_of(record, on(270)).facts.birth_weight_g == 3500.0


def test_biometry_dating_is_taken_back(make):
    record = make({"biometry": [at(210, quantity="hc_mm", value=280.0)]}, dating_method="biometry")
    then = as_of(record, on(215))
    assert then.facts.lmp_equivalent is None and then.facts.dating_method == "none"
    assert then.biometry["gestational_day"].isna().all()


def test_rows_outside_the_pregnancy_are_reported(make):
    rows = {"glucose": [at(d, value_mg_dl=95.0, kind="smbg", source=f"g{d}") for d in (-20, 100, 290)]}
    record = make(rows, delivery_day=on(280))
    assert record.glucose["source"].tolist() == ["g100"]
    assert [(i.source, i.code) for i in record.issues] == [
        ("g-20", "outside-pregnancy"),
        ("g290", "outside-pregnancy"),
    ]


def test_an_earlier_pregnancy_is_set_apart():
    said = (
        edd(0, 60),
        Statement("gdm", True, on(70), "old gdm", about=on(-700)),
        Statement("fetal_death", True, on(70), "old loss", about=on(-700)),
        Statement("hypertension", True, on(70), "chronic", about=on(-2000)),
    )
    facts, issues = assemble_facts(said)
    assert facts.previous_gdm is True and facts.gdm is None
    assert facts.fetal_death is None and facts.hypertension is True
    assert [(i.source, i.code) for i in issues] == [("old loss", "earlier-pregnancy")]


def test_conflicts_and_impossible_facts_are_reported():
    said = (
        edd(0, 60),
        edd(60, 50),
        Statement("parity", 2, on(10), "first"),
        Statement("parity", 1, on(90), "second"),
        Statement("height_cm", 16.5, on(10), "tall"),
    )
    facts, issues = assemble_facts(said)
    assert facts.parity == 1 and facts.height_cm is None and facts.lmp_equivalent == LMP
    assert {(i.source, i.code) for i in issues} == {
        ("first", "conflicting-facts"),
        ("tall", "implausible-value"),
        ("edd 50", "dating-disagrees"),
    }


def test_a_statement_must_name_a_fact():
    with pytest.raises(KeyError):
        assemble_facts([Statement("colour", "red")])


def test_storage_round_trip(full, tmp_path):
    same(read_tables(write_tables(full, tmp_path / "record")), full)
    bare = replace(full, history=(), issues=())
    same(read_tables(write_tables(bare, tmp_path / "other")), bare)


def test_not_a_stored_record(tmp_path):
    with pytest.raises(UnusableInput, match="not a stored record"):
        read_tables(tmp_path)


def test_last_observation(full, make):
    assert last_observation(full) == full.glucose["time_local"].max().to_pydatetime()
    assert last_observation(make()) is None
    assert date(2026, 1, 1) < last_observation(full).date()
