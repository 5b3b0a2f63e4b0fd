"""`gdm-twin run` and `demo` as a user types them: files, exit codes, messages."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from tests.one_woman import FORECAST_DRAWS, make_record
from twin.cli import build_app
from twin.fhir import write_ndjson, write_patient_bundle

AS_OF = "2026-10-11"
DRAWS = ["--draws", str(FORECAST_DRAWS), "--as-of", AS_OF]


@pytest.fixture(scope="module")
def app():
    return build_app()


def call(app, *args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory, one_record):
    path = tmp_path_factory.mktemp("in") / "her.json"
    path.write_text(json.dumps(write_patient_bundle(one_record)))
    return path


@pytest.fixture(scope="module")
def finished(app, bundle_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return call(app, "run", bundle_path, "--out", out, *DRAWS), out


def test_run_writes_what_the_contract_says(finished):
    result, out = finished
    assert result.exit_code == 0, result.output
    names = {"record", "posterior.nc", "forecast.nc", "risk.json", "report.html", "risk_assessment.json"}
    assert {p.name for p in out.iterdir()} == names
    risk = json.loads((out / "risk.json").read_text())
    with xr.open_dataset(out / "forecast.nc", engine="h5netcdf") as ds:
        assert ds.attrs["posterior_id"] == risk["provenance"]["posterior_id"]
        births = ds["birth_weight_g"].sel(scenario="as_now").values
    mean = risk["scenarios"][0]["birth_weight_g"]["mean"]  # the file's births have one sampled residual each
    assert mean == pytest.approx(births.mean(), abs=5 * 0.06 * births.mean() / np.sqrt(FORECAST_DRAWS))
    page = (out / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page
    assert json.loads((out / "risk_assessment.json").read_text())["resourceType"] == "Bundle"


def test_progress_is_on_stderr_and_json_on_stdout(app, bundle_path, tmp_path):
    result = call(app, "run", bundle_path, "--out", tmp_path, *DRAWS, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["schema"] == "gdm-twin/risk/1"
    assert "calibrating" in result.stderr


def test_out_of_scope_lists_the_data_and_exits_1(app, tmp_path):
    path = tmp_path / "twins.json"
    path.write_text(json.dumps(write_patient_bundle(make_record(fetal_number=2))))
    result = call(app, "run", path, "--out", tmp_path / "out", *DRAWS)
    assert result.exit_code == 1
    names = {"record", "risk.json", "report.html", "risk_assessment.json"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    risk = json.loads((tmp_path / "out" / "risk.json").read_text())
    assert risk["scope"]["status"] == "refused" and risk["scenarios"] == []
    assert risk["data"]["glucose_readings"] == 63
    page = (tmp_path / "out" / "report.html").read_text()
    assert "out of scope" in page.lower()
    assert not any(word in page for word in ("of 100 women", "macrosomia_4000", "birth_weight_q05"))


def test_garbage_exits_1_with_the_reason(app, tmp_path):
    path = tmp_path / "garbage.json"
    path.write_bytes(b"\x00\x01not fhir at all {")
    result = call(app, "run", path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_two_women_in_one_file(app, tmp_path):
    """One in scope, one with twins: a folder each; the usable one decides the exit code."""
    women = [replace(make_record(), pseudonym="p-a"), replace(make_record(fetal_number=2), pseudonym="p-b")]
    path = tmp_path / "women.ndjson"
    write_ndjson(women, path)
    result = call(app, "run", path, "--out", tmp_path / "out", *DRAWS)
    assert result.exit_code == 0, result.output
    folders = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert len(folders) == 2
    states = {
        json.loads((tmp_path / "out" / f / "risk.json").read_text())["scope"]["status"] for f in folders
    }
    assert states == {"full", "refused"}


def two_women(folder):
    """A folder with two women out of scope, so that nothing has to be fitted."""
    folder.mkdir()
    women = [
        replace(make_record(fetal_number=2), pseudonym="p-a"),
        replace(make_record(fetal_number=2), pseudonym="p-b"),
    ]
    write_ndjson(women, folder / "women.ndjson")
    return folder


def as_if_in_scope(engine, monkeypatch):
    """Refused results counted as forecasts: what is tested is the folder, not the fit."""
    real = engine.run_record

    def run_record(record, **options):
        result = real(record, **options)
        return replace(result, scope=replace(result.scope, status="full"))

    monkeypatch.setattr(engine, "run_record", run_record)


def test_an_unexpected_fault_costs_one_woman(app, tmp_path, monkeypatch):
    from scenarios import engine

    as_if_in_scope(engine, monkeypatch)
    real, seen = engine.run_record, []

    def fails_once(record, **options):
        seen.append(record.pseudonym)
        if len(seen) == 1:
            raise RuntimeError("singular matrix of her values")
        return real(record, **options)

    monkeypatch.setattr(engine, "run_record", fails_once)
    result = call(app, "run", two_women(tmp_path / "in"), "--out", tmp_path / "out", *DRAWS)
    assert result.exit_code == 3, result.output
    bad, good = (tmp_path / "out" / name for name in seen)
    assert {p.name for p in bad.iterdir()} == {"error.txt"} and (good / "report.html").exists()
    assert "singular matrix" in (bad / "error.txt").read_text()
    assert "unexpected" in result.stderr and "RuntimeError" in result.stderr and bad.name in result.stderr
    assert "her values" not in result.output, "what an exception quotes stays out of the log"


def test_a_fault_of_the_only_woman_exits_1(app, bundle_path, tmp_path, monkeypatch):
    from scenarios import engine

    def fails(record, **options):
        raise ZeroDivisionError

    monkeypatch.setattr(engine, "run_record", fails)
    result = call(app, "run", bundle_path, "--out", tmp_path / "out", *DRAWS)
    assert result.exit_code == 1 and (tmp_path / "out" / "error.txt").exists()


def test_what_no_woman_owns_stands_in_every_report(app, tmp_path, monkeypatch):
    """An unreadable file and a bad line beside two women: in each risk.json and report; `run` and `check` give 3."""
    from scenarios import engine

    as_if_in_scope(engine, monkeypatch)
    folder = two_women(tmp_path / "in")
    (folder / "broken.json").write_text('{"resourceType": "Bundle", "entry": [')
    with (folder / "women.ndjson").open("a") as file:
        file.write("not a resource\n")
    result = call(app, "run", folder, "--out", tmp_path / "out", *DRAWS)
    assert result.exit_code == 3, result.output
    assert call(app, "check", folder).exit_code == 3
    homes = list((tmp_path / "out").iterdir())
    assert len(homes) == 2
    for home in homes:
        risk = json.loads((home / "risk.json").read_text())
        assert {"not-json", "bad-line"} <= {i["code"] for i in risk["issues"]}
        page = (home / "report.html").read_text()
        assert "broken.json" in page and "Every row of the input was understood" not in page


@pytest.mark.parametrize(
    "options",
    [
        ["--method", "guess"],
        ["--no-such-option"],
        ["--scenario", "perfect"],
        ["--growth-standard", "hadlock"],
        ["--growth-standard", "intergrowth21_newborn"],
        ["--lga-reference", "mine"],
        ["--as-of", "next week"],
        ["--prior", "no-such-prior"],
        ["--settings", "no-such-file.toml"],
        ["--draws", "3"],
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(app, bundle_path, tmp_path, options):
    result = call(app, "run", bundle_path, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2, result.output
    assert not (tmp_path / "out").exists()


def test_missing_arguments_are_wrong_usage(app, bundle_path):
    assert call(app, "run").exit_code == 2
    assert call(app, "run", bundle_path).exit_code == 2
    assert call(app, "demo", "--patient", "nobody").exit_code == 2


def test_scenario_files_say_they_are_not_built(app, bundle_path, tmp_path):
    result = call(app, "run", bundle_path, "--out", tmp_path / "out", "--scenario", "walks.toml")
    assert result.exit_code == 2
    assert "not built yet" in result.output and "as_now" in result.output


@pytest.mark.parametrize("command", ["demo", "run"])
def test_help_has_examples(app, command):
    result = call(app, command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output and f"gdm-twin {command}" in result.output


@pytest.mark.slow
@pytest.mark.parametrize("patient", ["diet", "insulin", "large", "normal"])
def test_demo_runs(app, tmp_path, patient):
    result = call(app, "demo", "--patient", patient, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report.html").stat().st_size > 20_000
