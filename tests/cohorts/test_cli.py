"""The command `cohort simulate`: files, summary, refusals. The simulator itself is replaced by ready women."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

import cohorts.synthetic
from cohorts.cli import register
from twin.cli import build_app
from twin.fhir import read_source


@pytest.fixture
def app(monkeypatch, standard_women):
    def ready(key, n, design, prior, standard, *, progress):
        yield from standard_women[:n]
        progress(n)

    monkeypatch.setattr(cohorts.synthetic, "simulate_cohort", ready)
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


def test_cohorts_are_not_mixed(app, tmp_path):
    call = ["cohort", "simulate", "--n", "1", "--out", str(tmp_path)]
    assert CliRunner().invoke(app, call).exit_code == 0
    before = sorted(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    again = CliRunner().invoke(app, call)
    assert again.exit_code == 1 and "not-empty" in again.stderr
    assert before == sorted(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_unknown_design_lists_the_known(app, tmp_path):
    call = ["cohort", "simulate", "--n", "1", "--out", str(tmp_path), "--design", "nothing"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 2 and "standard" in result.stderr


def test_no_women_is_wrong_usage(app, tmp_path):
    call = ["cohort", "simulate", "--n", "0", "--out", str(tmp_path)]
    assert CliRunner().invoke(app, call).exit_code == 2


def test_other_generator_draws_from_no_prior(app, monkeypatch, standard_women, tmp_path):
    def other(key, n, design, standard, *, progress):
        yield from standard_women[:n]
        progress(n)

    monkeypatch.setattr(cohorts.synthetic, "simulate_other", other)
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
