"""A cohort on disk: the same bytes whether stopped or not, truth joined, births apart, text as the writer's."""

import json
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cohorts.synthetic import (
    DESIGNS,
    CgmPlan,
    SmbgPlan,
    folder,
    simulate_other,
    simulated_resources,
    titration,
)
from cohorts.synthetic.arms import arm_of, by_arm
from cohorts.synthetic.design import InsulinPlan, PrickLapses, ScanFaults
from cohorts.synthetic.files import line, ndjson_lines
from cohorts.synthetic.folder import Asked, begin, is_whole, join_truth, make_file
from cohorts.synthetic.simulate import simulate_chunk, simulate_cohort, woman_key
from cohorts.synthetic.skeleton import skeleton_record
from twin.errors import UnusableInput
from twin.fhir import read_source
from twin.record import COLUMNS


@pytest.fixture
def ready(monkeypatch, standard_women):
    """Ready women in files of two; the second file's truth has a column of its own."""

    def made(asked, root, index):
        return [
            (replace(r, pseudonym=f"sim-{i:06d}"), replace(t, pseudonym=f"sim-{i:06d}", parameters=own(i, t)))
            for i, (r, t) in ((i, standard_women[i % len(standard_women)]) for i in index)
        ]

    def own(i, truth):
        return truth.parameters | ({"late": 1.0} if i >= 2 else {})

    monkeypatch.setattr(folder, "WOMEN_PER_FILE", 2)
    monkeypatch.setattr(folder, "simulated", made)


def go(asked, out, stop_after=99):
    chosen = begin(asked, out)
    for number in range(asked.files):
        if not is_whole(out, number):
            if number >= stop_after:
                return
            make_file(asked, out, number, chosen.of_file(number))
    join_truth(asked, out)


def everything(out):
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.mark.parametrize("strata", [{}, {"class-3-obesity": 0.5}])
def test_stopped_and_whole_runs_give_the_same_bytes(ready, tmp_path, strata):
    asked = Asked(5, seed=3, strata=strata, outcomes=True)
    go(asked, tmp_path / "whole")
    for stop_after in (0, 1, 2, 99):
        go(asked, tmp_path / "stopped", stop_after)
    # a file cut off by the stop, and one of which the truth was not written yet
    for out in (tmp_path / "torn",):
        go(asked, out, 1)
        (out / "fhir" / "women-00001.ndjson.gz").write_bytes(b"half")
        (out / "fhir" / "women-00002.ndjson.gz.77.part").write_bytes(b"half")
        go(asked, out)
    whole = everything(tmp_path / "whole")
    assert whole == everything(tmp_path / "stopped") == everything(tmp_path / "torn")
    assert {p.split("/")[0] for p in whole} == {"cohort.json", "fhir", "outcomes", "truth.parquet"}


def test_truth_is_joined_by_name_with_a_row_group_a_file(ready, tmp_path):
    go(Asked(5), tmp_path)
    assert pq.ParquetFile(tmp_path / "truth.parquet").metadata.num_row_groups == 3
    truth = pd.read_parquet(tmp_path / "truth.parquet")
    assert list(truth["pseudonym"]) == [f"sim-{i:06d}" for i in range(5)]
    assert list(truth["late"].isna()) == [True, True, False, False, False]
    assert (truth["weight"] == 1.0).all() and truth["gdm"].dtype == bool
    read = read_source(tmp_path / "fhir")
    assert [r.facts.bmi_pre for r in read.records] == pytest.approx(list(truth["bmi_pre"]))


def test_other_arguments_are_refused_and_nothing_is_written(ready, tmp_path):
    go(Asked(4, seed=1), tmp_path, 1)
    before = everything(tmp_path)
    for other in (Asked(4, seed=2), Asked(5, seed=1), Asked(4, seed=1, outcomes=True)):
        with pytest.raises(UnusableInput) as refused:
            begin(other, tmp_path)
        assert refused.value.code == "other-cohort" and "Nothing was written" in str(refused.value)
    assert "seed was 1, is now 2" in str(_refusal(Asked(4, seed=2), tmp_path))
    assert everything(tmp_path) == before


def _refusal(asked, out):
    with pytest.raises(UnusableInput) as refused:
        begin(asked, out)
    return refused.value


def test_a_cohort_of_unknown_making_is_left_alone(tmp_path):
    (tmp_path / "fhir").mkdir()
    (tmp_path / "fhir" / "women-00000.ndjson.gz").write_bytes(b"")
    assert _refusal(Asked(4), tmp_path).code == "not-empty"
    assert not (tmp_path / "cohort.json").exists()


def test_records_hide_births_and_outcomes_show_them(ready, tmp_path):
    go(Asked(4, outcomes=True), tmp_path)
    truth = pd.read_parquet(tmp_path / "truth.parquet").set_index("pseudonym")
    for record in read_source(tmp_path / "fhir").records:
        facts = record.facts
        assert (facts.delivery_day, facts.birth_weight_g, facts.newborn_sex) == (None, None, None)
    (tmp_path / "cohort.json").rename(tmp_path / "cohort.txt")
    both = read_source(tmp_path)
    assert not both.issues and not both.quarantined and len(both.records) == 4
    for record in both.records:
        facts, row = record.facts, truth.loc[record.pseudonym]
        assert (facts.delivery_day - facts.lmp_equivalent).days == row["delivery_day"]
        assert facts.birth_weight_g == pytest.approx(row["birth_weight_g"], abs=5.0)
        assert facts.newborn_sex == row["fetal_sex"]
        assert not [i for i in record.issues if i.severity == "rejected"]


def test_arguments_are_stored_with_what_they_stood_for(ready, tmp_path):
    go(Asked(2, design="hospital"), tmp_path)
    about = json.loads((tmp_path / "cohort.json").read_text())
    assert about["simulated"] is True and about["arguments"]["design"] == "hospital"
    assert about["arguments"]["prior_sha256"] and about["arguments"]["software"].startswith("0.")


def test_text_is_what_the_writer_of_records_gives(standard_women):
    """Every line of women with finger pricks, tests and scans, and of one with a sensor, a diary and insulin."""
    plan = replace(
        DESIGNS["demo-insulin"], if_gdm=False, cgm=CgmPlan(33.0, 2), smbg=SmbgPlan(33.0, 1.0), insulin=None
    )
    records = [r for r, _ in standard_women] + [r for r, _ in simulate_other(5, 1, plan)]
    assert len(records[-1].meals) and (records[-1].glucose["kind"] == "cgm").any()
    for record in records:
        assert list(ndjson_lines(record)) == [line(r) for r in simulated_resources(record)]


def test_unchecked_records_are_the_checked_ones(prior, everyone, standard_women):
    chunk = [(woman_key(jax.random.key(12), i), f"sim-{i:06d}") for i in range(2)]
    for (record, _), (checked, _) in zip(
        simulate_chunk(chunk, everyone, prior, "hadlock1991", assemble=skeleton_record),
        standard_women,
        strict=False,
    ):
        assert list(ndjson_lines(record)) == list(ndjson_lines(checked))


def test_lapses_take_readings_away_and_change_nothing_else(prior, everyone, standard_women):
    """The own generator's women with pauses and missed scans: a part of the same women's readings, the same truth."""
    design = replace(
        everyone, smbg=replace(everyone.smbg, lapses=PrickLapses()), scan_faults=ScanFaults(0.5, 0.0)
    )
    fewer = list(simulate_cohort(jax.random.key(12), 4, design, prior))
    dropped = {"glucose": 0, "biometry": 0}
    for (a, ta), (b, tb) in zip(fewer, standard_women, strict=True):
        # a poor window blurs what is measured
        names = ("glucose",) if ta.parameters["poor_window"] else ("glucose", "biometry")
        for name in names:
            keys = [c for c in COLUMNS[name] if c not in ("source", "scan")]
            part = getattr(a, name)[keys].merge(getattr(b, name)[keys], how="left", indicator=True)
            if name == "biometry":
                assert (part["_merge"] == "both").all()
            dropped[name] += len(getattr(b, name)) - len(getattr(a, name))
        assert ta.z == tb.z and ta.birth_weight_g == tb.birth_weight_g
    assert dropped["biometry"] > 0


def test_arms_are_made_apart_and_put_back_in_order():
    """Sizes of batches: wide where many have the arm, narrow else; each woman under her own arm."""
    hospital = DESIGNS["hospital"]
    women = list(range(200))
    batches = []

    def run(some, design):
        batches.append((design.name, len(some)))
        return [(w, design.name) for w in some]

    made = by_arm(women, hospital, lambda w: (9, w), run)
    assert [w for w, _ in made] == women
    assert all(name == arm_of((9, w), hospital).name for w, name in made)
    for _, design in hospital.arms:
        sizes = [n for name, n in batches if name == design.name]
        wide = sum(sizes) > 48
        assert all(n == (128 if wide else 16) for n in sizes[:-1])
    assert arm_of((9, 1), DESIGNS["standard"]) is DESIGNS["standard"]


def test_a_hospital_of_the_other_generator(monkeypatch):
    """Eight women, all treated as if they met IADPSG, one round of titration: every arm's readings are there."""
    monkeypatch.setattr(titration, "ROUNDS", 1)
    arms = tuple(
        (share, replace(arm, if_gdm=False, insulin=arm.insulin and InsulinPlan(34.0)))
        for share, arm in ((0.3, a) for _, a in DESIGNS["hospital"].arms)
    )
    women = list(simulate_other(2, 8, replace(DESIGNS["hospital"], arms=arms)))
    kinds = {truth.design: set() for _, truth in women}
    for record, truth in women:
        kinds[truth.design] |= set(record.glucose["kind"])
        assert np.isin(truth.parameters["poor_window"], (0.0, 1.0))
        assert record.biometry["scan"].nunique() <= 3
    expected = {
        "hospital-test": {"ogtt"},
        "hospital-pricks": {"ogtt", "smbg"},
        "hospital-sensor": {"ogtt", "smbg", "cgm"},
    }
    assert kinds and all(kinds[name] <= expected[name] for name in kinds)
