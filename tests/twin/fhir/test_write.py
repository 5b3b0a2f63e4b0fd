"""Writing: what is written is valid FHIR R4 and reads back the same; the oracle is the record itself."""

import gzip
import importlib.util
import json
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
from fhir.resources.R4B import get_fhir_model_class

from twin.fhir import read_bundle, write_ndjson, write_patient_bundle
from twin.record import COLUMNS, PregnancyFacts, Statement, build_record
from twin.timeline import DatingStatement

_spec = importlib.util.spec_from_file_location("fhir_rows", Path(__file__).with_name("conftest.py"))
_rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_rows)
LMP = _rows.LMP


def same_content(back, record):
    assert back.pseudonym == record.pseudonym
    for name in COLUMNS:
        a, b = getattr(back, name), getattr(record, name)
        keys = [c for c in a.columns if c != "source"]
        a = a.sort_values(keys, kind="stable", ignore_index=True)
        b = b.sort_values(keys, kind="stable", ignore_index=True)
        pd.testing.assert_frame_equal(a.drop(columns="source"), b.drop(columns="source"))
    for f in fields(PregnancyFacts):
        assert getattr(back.facts, f.name) == getattr(record.facts, f.name), f.name


def test_round_trip_keeps_every_table_and_fact(whole_record):
    assert all(len(getattr(whole_record, name)) for name in COLUMNS)
    written = write_patient_bundle(whole_record)
    (back,) = read_bundle(json.loads(json.dumps(written)))
    same_content(back, whole_record)
    codes = {i.code for i in back.issues}
    assert codes <= {"ogtt-load-unknown", "doses-not-placed", "efw-outside-formula-range"}, back.issues


def test_every_resource_is_valid_r4(whole_record):
    for entry in write_patient_bundle(whole_record)["entry"]:
        resource = entry["resource"]
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_history_keeps_the_days_things_became_known(whole_record):
    first = DatingStatement(LMP, "lmp", True, LMP + timedelta(days=60))
    second = DatingStatement(LMP + timedelta(days=4), "ultrasound", True, LMP + timedelta(days=90))
    history = (
        Statement("dating", first, first.stated_on),
        Statement("dating", second, second.stated_on),
        Statement("gdm", True, LMP + timedelta(days=181), "x", LMP + timedelta(days=180)),
        Statement("parity", 2, LMP + timedelta(days=61)),
    )
    record = build_record("h", {}, history)
    (back,) = read_bundle(write_patient_bundle(record))
    strip = [
        replace(s, source="", value=replace(s.value, source="") if s.name == "dating" else s.value)
        for s in back.history
    ]
    assert sorted(strip, key=str) == sorted((replace(s, source="") for s in history), key=str)
    assert back.facts == record.facts


def test_biometry_dating_is_not_written_as_a_fact(whole_record):
    """What was derived from the scans is derived again, not stated."""
    facts = replace(whole_record.facts, dating_method="biometry", dating_sd_days=9.0)
    text = json.dumps(write_patient_bundle(replace(whole_record, facts=facts)))
    assert "11778-8" not in text and '"dating"' not in text


def test_ndjson_plain_and_gzip(tmp_path, whole_record):
    other = _rows.everything("sim-2")
    for name in ("women.ndjson", "women.ndjson.gz"):
        lines = write_ndjson([whole_record, other], tmp_path / name)
        back = read_bundle(tmp_path / name)
        assert [r.pseudonym for r in back] == ["sim-1", "sim-2"]
        same_content(back[0], whole_record)
        assert back[0].glucose["source"].iloc[0].startswith("women.ndjson")
    raw = gzip.decompress((tmp_path / "women.ndjson.gz").read_bytes())
    assert raw.count(b"\n") == lines
    first = (tmp_path / "women.ndjson.gz").read_bytes()
    write_ndjson([whole_record, other], tmp_path / "women.ndjson.gz")
    assert first == (tmp_path / "women.ndjson.gz").read_bytes()


def test_extra_resources_are_appended(whole_record):
    extra = {"resourceType": "Device", "id": "d1"}
    assert write_patient_bundle(whole_record, [extra])["entry"][-1]["resource"] == extra
