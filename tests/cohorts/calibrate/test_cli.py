"""The command `cohort calibrate`: files, resuming, who is left out, refusals. Fits are replaced by ready draws: women
whose S_I lies half an SD above the prior's center."""

import dataclasses
import json
import zlib

import numpy as np
import pytest
from typer.testing import CliRunner

from cohorts.calibrate import cohort, hierarchy
from cohorts.calibrate.read import candidates, read_cohort
from cohorts.cli import register
from tests.one_woman import STANDARD
from twin.cli import build_app
from twin.fhir import write_ndjson
from twin.inference.calibrate import Calibration, Posterior
from twin.inference.diagnostics import Conflict
from twin.inference.priors import load_prior

WOMEN, DRAWS = 24, 300


def ready(entries, prior, standard, **_):
    """Posteriors as wide as half the prior, of women as the prior has them, but for S_I."""
    for entry in entries:
        rng = np.random.default_rng(zlib.crc32(entry.patient.encode()))
        size = prior.size(entry.data)
        center = np.sqrt(0.75) * rng.standard_normal(size)
        center[prior.index["S_I"]] += 0.5
        z = center[:, None] + 0.5 * rng.standard_normal((size, DRAWS))
        yield Posterior(
            prior,
            entry.data,
            z,
            np.full(DRAWS, 1.0 / DRAWS),
            Calibration("laplace", True),
            entry.as_of_day,
            standard,
            entry.patient,
        )


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setattr("scenarios.cli.start_engine", lambda: None)
    monkeypatch.setattr(hierarchy, "SMALL", 5)
    monkeypatch.setattr(cohort, "calibrate_stream", ready)
    monkeypatch.setattr(
        cohort, "conflicts", lambda p: (Conflict("ogtt", "level", float(p.z[0, 0]), 0.5, False),)
    )
    app = build_app([])
    register(app)
    return app


@pytest.fixture
def source(one_record, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    for i in range(WOMEN):
        write_ndjson(
            [dataclasses.replace(one_record, pseudonym=f"woman-{i:02d}")], folder / f"{i:02d}.ndjson"
        )
    return folder


def call(app, source, out, *more):
    text = [
        "cohort",
        "calibrate",
        str(source),
        "--out",
        str(out),
        "--latents",
        "S_I,theta",
        "--rounds",
        "1",
        *more,
    ]
    return CliRunner().invoke(app, text)


def test_files_and_summary(app, source, tmp_path):
    out = tmp_path / "new" / "learnt.toml"
    result = call(app, source, out, "--covariates", "bmi", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    kept = json.loads(out.with_suffix(".json").read_text())
    prior = load_prior(str(out))
    assert told["women"] == WOMEN and told["left_out"] == [] and told["files"][0] == "learnt.toml"
    assert prior.id == told["id"] == kept["id"] and prior.sha256 == kept["sha256"]
    assert prior.latents[prior.index["S_I"]].center > load_prior().latents[0].center
    assert [(c.first, c.second) for c in prior.correlations] == [("S_I", "theta")]
    assert kept["sampler"]["road"] in ("importance", "nuts") and kept["source_sha256"]
    assert len(kept["hyperparameters"]["mean.S_I"]["draws"]) == 200
    assert set(kept["predictive_checks"]["before"]) == {"ogtt, level"}
    page = out.with_suffix(".html").read_text()
    assert page.count("data:image/png") == 3 and 'src="http' not in page


def test_a_second_run_fits_nobody_and_writes_the_same(app, source, tmp_path, monkeypatch):
    out = tmp_path / "learnt.toml"
    assert call(app, source, out).exit_code == 0
    first = [p.read_bytes() for p in (out, out.with_suffix(".json"))]

    def none(*_, **__):
        raise AssertionError("a woman was fitted again")

    monkeypatch.setattr(cohort, "calibrate_stream", none)
    (out.with_suffix(".json")).unlink()
    assert call(app, source, out).exit_code == 0
    assert [p.read_bytes() for p in (out, out.with_suffix(".json"))] == first


def test_who_cannot_be_used_is_counted_with_the_reason(app, source, tmp_path, monkeypatch, one_record):
    (source / "torn.json").write_text("{")
    twins = dataclasses.replace(
        one_record,
        pseudonym="of-twins",
        facts=dataclasses.replace(one_record.facts, fetal_number=2),
        history=(),
    )
    write_ndjson([twins], source / "twins.ndjson")
    write_ndjson([dataclasses.replace(one_record, pseudonym="woman-00")], source / "again.ndjson")

    def failing(entries, prior, standard, **_):
        entries = list(entries)
        if any(e.patient == "woman-01" for e in entries):
            raise FloatingPointError("no")
        yield from ready(entries, prior, standard)

    monkeypatch.setattr(cohort, "calibrate_stream", failing)
    result = call(app, source, tmp_path / "learnt.toml", "--json")
    assert result.exit_code == 3, result.output
    told = json.loads(result.stdout)
    reasons = told["left_out_by_reason"]
    assert told["women"] == WOMEN - 2
    assert reasons["in-many-files"] == 1 and reasons["no-fit"] == 1 and reasons["out-of-scope"] == 1
    assert sum(reasons.values()) == 4


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--latents", "S_I,none_such"), 2, "none_such"),
        (("--covariates", "colour"), 2, "colour"),
        (("--group", "ward"), 2, "ward"),
        (("--group", "site"), 2, "one-group"),
        (("--prior", "absent.toml"), 1, "unknown-prior"),
        (("--latents", "S_I,B,R0,k_e,theta,fatness,VG,n,p2,G_s,K_d,E_G0,k_a"), 1, "too-few-women"),
    ],
)
def test_refusals(app, source, tmp_path, more, code, says):
    out = tmp_path / "learnt.toml"
    result = call(app, source, out, *more)
    assert result.exit_code == code and says in result.stderr
    assert not out.exists()


def test_nothing_usable(app, tmp_path):
    (tmp_path / "empty").mkdir()
    result = call(app, tmp_path / "empty", tmp_path / "learnt.toml")
    assert result.exit_code == 1 and "nothing-usable" in result.stderr
    result = call(app, tmp_path / "empty", tmp_path / "learnt.html")
    assert result.exit_code == 2 and "bad-out" in result.stderr


def test_a_site_is_the_first_folder(one_record, tmp_path):
    for site, name in (("north", "a"), ("north", "b"), ("south", "c")):
        folder = tmp_path / site / "deeper"
        folder.mkdir(parents=True, exist_ok=True)
        write_ndjson([dataclasses.replace(one_record, pseudonym=name)], folder / f"{name}.ndjson")
    found = read_cohort(tmp_path)
    women, left_out = candidates(found.records, STANDARD, "site")
    assert [(w.name, w.group) for w in women] == [("a", "north"), ("b", "north"), ("c", "south")]
    assert not left_out
