"""The command `cohort simulate`: files, summary, refusals. The simulator itself is replaced by ready women."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from cohorts.cli import register
from cohorts.synthetic import folder
from twin.cli import build_app
from twin.fhir import read_source


@pytest.fixture
def app(monkeypatch, standard_women):
    def ready(asked, root, index):
        return [standard_women[i] for i in index]

    monkeypatch.setattr(folder, "simulated", ready)
    monkeypatch.setattr("scenarios.cli.start_engine", lambda: None)
    app = build_app([])
    register(app)
    return app


def test_files_and_summary(app, tmp_path):
    result = CliRunner().invoke(
        app, ["cohort", "simulate", "--n", "3", "--out", str(tmp_path / "c"), "--json"]
    )
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["women"] == 3 and summary["simulated"] is True
    truth = pd.read_parquet(tmp_path / "c" / summary["truth"])
    read = read_source(tmp_path / "c" / "fhir")
    assert [r.pseudonym for r in read.records] == list(truth["pseudonym"])
    assert summary["gdm"] == int(truth["gdm"].sum())
    assert summary["files"] == ["fhir/women-00000.ndjson.gz"] and summary["effective_women"] == 3.0


def test_cohorts_are_not_mixed(app, tmp_path):
    call = ["cohort", "simulate", "--n", "1", "--out", str(tmp_path)]
    assert CliRunner().invoke(app, call).exit_code == 0
    before = sorted(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    other = CliRunner().invoke(app, [*call, "--seed", "4"])
    assert other.exit_code == 1 and "other-cohort" in other.stderr and "seed was 0, is now 4" in other.stderr
    again = CliRunner().invoke(app, [*call, "--json"])
    assert again.exit_code == 0 and json.loads(again.stdout)["files_of_earlier_runs"] == 1
    assert before == sorted(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_a_stop_says_how_to_go_on(app, monkeypatch, tmp_path):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "simulated", stopped)
    result = CliRunner().invoke(app, ["cohort", "simulate", "--n", "2", "--out", str(tmp_path)])
    assert result.exit_code == 3 and "0 of 1 files are whole" in result.stderr


def test_strata_without_meaning_are_wrong_usage(app, tmp_path):
    call = ["cohort", "simulate", "--n", "3", "--out", str(tmp_path), "--json"]
    wrong = CliRunner().invoke(app, [*call, "--stratum", "twins"])
    assert wrong.exit_code == 2 and "macrosomia" in wrong.stderr
    meaningless = CliRunner().invoke(app, [*call, "--stratum", "poor-window"])
    assert meaningless.exit_code == 2 and "hospital" in meaningless.stderr
    assert not list(tmp_path.iterdir())


def test_unknown_design_lists_the_known(app, tmp_path):
    call = ["cohort", "simulate", "--n", "1", "--out", str(tmp_path), "--design", "nothing"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 2 and "standard" in result.stderr


def test_no_women_is_wrong_usage(app, tmp_path):
    call = ["cohort", "simulate", "--n", "0", "--out", str(tmp_path)]
    assert CliRunner().invoke(app, call).exit_code == 2


def test_other_generator_draws_from_no_prior(app, tmp_path):
    call = ["cohort", "simulate", "--n", "1", "--out", str(tmp_path), "--generator", "other"]
    refused = CliRunner().invoke(app, [*call, "--prior", "evidence-1"])
    assert refused.exit_code == 2 and "prior-without-meaning" in refused.stderr
    result = CliRunner().invoke(app, [*call, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["generator"] == "other"


def test_design_the_other_generator_cannot_do(app, tmp_path):
    call = ["cohort", "simulate", "--n", "1", "--out", str(tmp_path), "--design", "demo-large"]
    result = CliRunner().invoke(app, [*call, "--generator", "other"])
    assert result.exit_code == 2 and "not-in-generator" in result.stderr
