"""Real people through FHIR: what the tables say is what the record says, and nothing is lost on the way."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from twin.fhir import read_bundle
from twin.record import scope_gate
from twin.record.build import last_observation
from twin.settings import SiteSettings
from twin.timeline import gestational_day

SCRIPT = Path(__file__).with_name("make_fhir.py")
_spec = importlib.util.spec_from_file_location("make_fhir", SCRIPT)
make_fhir = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_fhir)

pytestmark = pytest.mark.shared_data


def rejected(record):
    return [i for i in record.issues if i.severity != "warning"]


def test_porto_alegre(shared_data):
    """Every woman is read; glucose, fetal weight, birth weight and day are those of the table."""
    rows = make_fhir.load_porto_alegre(shared_data)
    for row in rows[::4]:
        (record,) = read_bundle(make_fhir.porto_alegre_bundle(row))
        assert not rejected(record), rejected(record)
        facts = record.facts
        assert facts.birth_weight_g == float(row["birthweight_g"])
        assert (facts.delivery_day - facts.lmp_equivalent).days == pytest.approx(
            float(row["ga_birth_weeks"]) * 7, abs=0.01
        )
        assert facts.gdm is (row["gdm"] == "1")
        assert facts.maternal_age_y == pytest.approx(float(row["age_y"]), abs=1.0)
        hour = record.glucose[(record.glucose["minutes_post_load"] == 60) & (record.glucose["load_g"] == 75)]
        expected = [
            float(row[c])
            for c in ("l_1st_hour_ogtt75_1st_tri", "l_1st_hour_ogtt75_2tri", "l_1st_hour_ogtt75_3tri")
            if row[c]
        ]
        assert hour["value_mg_dl"].tolist() == expected
        if row["l_fetal_weight_at_ultrasound"]:
            (efw,) = record.biometry.itertuples()
            assert efw.value == float(row["l_fetal_weight_at_ultrasound"])
            if efw.gestational_day < 140:
                assert "outside-formula-range" in efw.method
                assert "efw-outside-formula-range" in {i.code for i in record.issues}


def test_bigideas(shared_data):
    """Counts and mean of the CGM and the carbohydrate of every timed meal; the recording begins at 28+0."""
    for subject, (cgm, meals) in list(make_fhir.load_bigideas(shared_data).items())[:2]:
        (record,) = read_bundle(make_fhir.bigideas_bundle(subject, cgm, meals))
        values = [float(r["glucose_mg_dl"]) for r in cgm]
        assert len(record.glucose) + len([i for i in rejected(record) if i.code == "duplicate"]) == len(
            values
        )
        assert record.glucose["value_mg_dl"].mean() == pytest.approx(np.mean(values), rel=1e-3)
        assert 196 <= record.glucose["gestational_day"].iloc[0] < 197
        clock = pd.Series([r["timestamp"][11:19] for r in cgm]).sort_values().tolist()
        assert sorted(record.glucose["time_local"].dt.strftime("%H:%M:%S")) == clock
        carbohydrate = sum(float(m["total_carb"]) for m in meals if m["time_begin"] and m["total_carb"])
        assert record.meals["carbohydrate_g"].sum() == pytest.approx(carbohydrate, abs=1.0)
        assert {i.code for i in rejected(record)} <= {"duplicate"}


def test_sydney(shared_data):
    """One scan without dating: dated from its own size, size for dates withheld, millimetres from centimetres.

    The median of the 623 dated days is checked against the days to birth: a median birth at 38 to 40 weeks.
    """
    days = []
    for row in make_fhir.load_sydney(shared_data)[::20]:
        (record,) = read_bundle(make_fhir.sydney_bundle(row))
        bad = {i.code for i in rejected(record)}
        assert bad <= {"implausible-size", "implausible-value"}
        facts = record.facts
        assert facts.dating_method == "biometry" and facts.dating_sd_days >= 3
        assert facts.delivery_day is None and facts.birth_weight_g is None
        sizes = record.biometry.set_index("quantity")["value"]
        if "ac_mm" in sizes:
            assert sizes["ac_mm"] == pytest.approx(10 * float(row["ac_cm"]))
        day = gestational_day(last_observation(record), facts.lmp_equivalent)
        gate = scope_gate(record, day, SiteSettings())
        if gate.status == "partial":
            assert "dated-by-late-biometry" in gate.reasons
        days.append(day + float(row["days_before_delivery"]))
    assert 266 <= np.median(days) <= 280
    (born,) = read_bundle(make_fhir.sydney_bundle(make_fhir.load_sydney(shared_data)[0], with_birth=True))
    assert born.facts.birth_weight_g == 3775.0


def test_the_script_writes_bundles(shared_data, tmp_path):
    command = [sys.executable, SCRIPT, "--shared", shared_data, "--out", tmp_path, "--people", "1"]
    subprocess.run([str(c) for c in command], check=True, capture_output=True)
    assert sorted(p.name.split("-")[0] for p in tmp_path.iterdir()) == ["bigideas", "porto", "sydney"]
    assert len(read_bundle(tmp_path)) == 3
