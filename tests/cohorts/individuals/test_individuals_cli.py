"""The command's help and errors, and a fit of a few people through it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twin.cli import build_app

CALL = ("cohort", "individuals")


def test_help_tells_what_it_is_not() -> None:
    got = CliRunner().invoke(build_app(), [*CALL, "--help"])
    assert got.exit_code == 0
    assert "no statement about pregnant women" in " ".join(got.output.split())
    assert "Exit codes" in got.output


def test_wrong_usage_is_2() -> None:
    assert CliRunner().invoke(build_app(), [*CALL, "somewhere", "moon", "--out", "x.json"]).exit_code == 2


def test_nothing_there_is_1(tmp_path: Path) -> None:
    got = CliRunner().invoke(
        build_app(), [*CALL, str(tmp_path), "vanderbilt", "--out", str(tmp_path / "x.json")]
    )
    assert got.exit_code == 1 and "error (no-such-file)" in got.output
    assert not (tmp_path / "x.json").exists()


@pytest.mark.slow
def test_a_population_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "ogtt_insulin_vanderbilt"
    folder.mkdir(parents=True)
    names = [f"ogtt_{a}_{m:03d}" for a in ("glucose", "insulin") for m in (0, 30, 60, 90, 120)]
    rows = [",".join(["id", "age", "gender.f", "weight_kg", "bmi", *names])]
    for i in range(8):
        G = [90 + i, 140 + 3 * i, 150 + 5 * i, 130 + 4 * i, 110 + i]
        I = [8 + i, 60 + 9 * i, 80 + 4 * i, 70 + i, 50 + 6 * i]
        rows.append(",".join(map(str, [i, 40 + i, "Male", 80 + i, 27 + i, *G, *I])))
    rows.append("9,40,Male,80,27,,140,150,130,110,8,60,80,70,50")
    (folder / "ogtt_wide.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "population.json"
    args = [str(tmp_path), "vanderbilt", "--out", str(out), "--draws", "60", "--populations", "100", "--json"]
    got = CliRunner().invoke(build_app(), [*CALL, *args])
    assert got.exit_code == 0, got.output
    found = json.loads(out.read_text())
    assert found["people"] == 8 and found["issues"] == ["ogtt_wide.csv row 8: not-a-number"]
    assert len(found["draws"]["middle"]) == 100
