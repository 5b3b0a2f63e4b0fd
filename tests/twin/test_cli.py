"""`gdm-twin check` and the app: exit codes of the contract, places and reasons, help that stays fast."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twin import cli

DATA = Path(__file__).resolve().parents[1] / "data" / "fhir"
POINTS = [EntryPoint("twin", "twin.cli:register", cli.GROUP)]
GARBAGE = b"\x00\x01 not a record \xff"


def run(*arguments, points=POINTS):
    return CliRunner().invoke(cli.build_app(points), ["check", *map(str, arguments)])


def report(*arguments):
    result = run(*arguments, "--json")
    return result.exit_code, json.loads(result.stdout)


def test_the_faulty_bundle_is_reported_with_place_and_reason_and_the_rest_used():
    code, found = report(DATA / "faulty_bundle.json")
    assert code == 0 and found["exit_code"] == 0
    by_rows = {tuple(p["rows"][t] for t in ("glucose", "biometry")): p for p in found["patients"]}
    single, twins = by_rows[(1, 1)], by_rows[(0, 1)]
    rejected = {i["source"]: i["code"] for p in found["patients"] for i in p["issues"]}
    assert rejected == {
        "Bundle.entry[3]": "unknown-unit",
        "Bundle.entry[4]": "date-without-time",
        "Bundle.entry[5]": "entered-in-error",
        "Bundle.entry[10]": "unlabelled-fetus",
    }
    assert single["scope"]["status"] == "full"
    assert twins["scope"]["reasons"] == ["multiple-fetuses"]


def test_the_same_for_people():
    result = run(DATA / "faulty_bundle.json")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    for place, reason in (
        ("Bundle.entry[3]", "unknown-unit"),
        ("Bundle.entry[4]", "midnight is never assumed"),
        ("Bundle.entry[5]", "entered in error"),
        ("Bundle.entry[10]", "does not say which"),
        ("out of scope", "more than one fetus"),
    ):
        assert place in text and reason in text
    assert "reading faulty_bundle.json" in result.stderr and "reading faulty" not in result.stdout


def test_garbage_alone_is_unusable(tmp_path):
    (tmp_path / "garbage.json").write_bytes(GARBAGE)
    code, found = report(tmp_path / "garbage.json")
    assert code == 1 and not found["patients"]
    (issue,) = found["files"][0]["issues"]
    assert issue["source"] == "garbage.json" and issue["code"] in ("not-json", "unreadable")
    assert "Nothing of it was used" in issue["message"]
    assert report(tmp_path / "missing.json")[0] == 1


def test_garbage_beside_a_record_is_done_in_part(tmp_path):
    (tmp_path / "garbage.json").write_bytes(GARBAGE)
    (tmp_path / "record.json").write_bytes((DATA / "faulty_bundle.json").read_bytes())
    for paths in ((tmp_path,), (tmp_path / "record.json", tmp_path / "garbage.json")):
        code, found = report(*paths)
        assert code == 3 and len(found["patients"]) == 2


def test_a_whole_patient_left_out_is_done_in_part(tmp_path):
    bundle = json.loads((DATA / "faulty_bundle.json").read_text())
    lost = dict(bundle["entry"][3]["resource"], subject={"reference": "Patient/other"})
    bundle["entry"].append({"resource": lost})
    (tmp_path / "b.json").write_text(json.dumps(bundle))
    code, found = report(tmp_path / "b.json")
    assert code == 3
    assert [q["issues"][0]["code"] for q in found["quarantined"]] == ["unknown-unit"]
    assert "nothing usable" in run(tmp_path / "b.json").stdout


def test_one_bad_line_costs_one_line(tmp_path):
    resources = [e["resource"] for e in json.loads((DATA / "faulty_bundle.json").read_text())["entry"]]
    lines = [json.dumps(r) for r in resources] + ["garbage"]
    (tmp_path / "b.ndjson").write_text("\n".join(lines))
    code, found = report(tmp_path / "b.ndjson")
    assert code == 0
    assert [(i["source"], i["code"]) for i in found["files"][0]["issues"]] == [("b.ndjson:13", "bad-line")]


def test_wrong_usage_is_two(tmp_path):
    assert run().exit_code == 2
    assert run(DATA / "faulty_bundle.json", "--nonsense").exit_code == 2
    (tmp_path / "site.toml").write_text("colour = 'red'\n")
    result = run(DATA / "faulty_bundle.json", "--settings", tmp_path / "site.toml")
    assert result.exit_code == 2 and "colour" in result.stderr


def test_site_settings_are_used(tmp_path):
    (tmp_path / "site.toml").write_text("time_zone = 'Europe/Berlin'\n")
    assert run(DATA / "faulty_bundle.json", "--settings", tmp_path / "site.toml").exit_code == 0


def test_many_issues_of_one_kind_are_counted(tmp_path):
    bundle = json.loads((DATA / "faulty_bundle.json").read_text())
    bad = bundle["entry"][3]
    bundle["entry"] += [bad] * 20
    (tmp_path / "b.json").write_text(json.dumps(bundle))
    assert "9 more unknown-unit" in run(tmp_path / "b.json").stdout


def test_a_package_that_cannot_be_loaded_is_named_and_costs_only_itself(capsys):
    broken = [*POINTS, EntryPoint("elsewhere", "no.such.module:register", cli.GROUP)]
    app = cli.build_app(broken)
    assert "elsewhere" in capsys.readouterr().err
    assert CliRunner().invoke(app, ["check", str(DATA / "faulty_bundle.json")]).exit_code == 0


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"]])
def test_help_shows_examples(arguments):
    result = CliRunner().invoke(cli.build_app(POINTS), arguments)
    assert result.exit_code == 0 and "Examples:" in result.stdout and "gdm-twin check" in result.stdout


def test_help_imports_nothing_heavy():
    """Speed itself depends on the machine; what makes it slow does not."""
    code = (
        "import sys\n"
        "from importlib.metadata import EntryPoint\n"
        "from twin import cli\n"
        "cli.build_app([EntryPoint('twin', 'twin.cli:register', cli.GROUP)])\n"
        "heavy = {'jax', 'numpyro', 'pandas', 'fhir', 'xarray', 'arviz', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def bundle_of(*resources):
    entries = [{"resource": r} for r in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


@pytest.mark.parametrize(
    "content", ["[]", '{"resourceType":"Patient","id":"p"}', json.dumps(bundle_of()), "[[]]"]
)
def test_nothing_usable_has_a_reason(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    code, found = report(tmp_path / "x.json")
    assert code == 1 and not found["patients"]
    assert all(i["message"] for i in found["files"][0]["issues"]) and found["files"][0]["issues"]


@pytest.mark.parametrize("name", ["[/oops]", "[bold]x[/bold]", "\ud800x", "sim[1]"])
def test_text_of_a_record_is_never_markup_and_can_always_be_printed(tmp_path, name):
    bundle = json.loads((DATA / "faulty_bundle.json").read_text())
    for e in bundle["entry"]:
        if e["resource"]["resourceType"] == "Patient":
            e["resource"]["identifier"] = [{"system": "urn:gdm-twin:pseudonym", "value": name}]
        if e["resource"]["resourceType"] == "Observation":
            e["resource"]["code"]["coding"].insert(0, {"system": "urn:x", "code": name})
    bundle["entry"].append({"resource": {"resourceType": name, "subject": {"reference": f"Patient/{name}"}}})
    path = tmp_path / "[bold]x.json"
    path.write_text(json.dumps(bundle))
    result = run(path)
    assert result.exit_code in (0, 1, 3) and not isinstance(result.exception, Exception), result.exception


def test_a_fetus_small_by_computed_weight_is_small(tmp_path):
    """HC 260, AC 242 mm (10th centile at 30+0: 238), FL 46 mm: Hadlock gives about 1180 g (10th: 1337 g)."""
    mother = {"reference": "Patient/m"}

    def seen(code, day, **value):
        coding = {"coding": [{"system": "http://loinc.org", "code": code}]}
        return {"resourceType": "Observation", "status": "final", "subject": mother, "code": coding} | {
            "effectiveDateTime": day,
            **value,
        }

    def mm(value):
        return {"valueQuantity": {"value": value, "code": "mm", "system": "http://unitsofmeasure.org"}}

    resources = [
        {"resourceType": "Patient", "id": "m", "birthDate": "1994-01-01"},
        seen("11778-8", "2026-05-20", valueDateTime="2026-12-07"),
        *(seen(c, "2026-09-28", **mm(v)) for c, v in (("11984-2", 260), ("11979-2", 242), ("11963-6", 46))),
    ]
    (tmp_path / "x.json").write_text(json.dumps(bundle_of(*resources)))
    _, found = report(tmp_path / "x.json")
    assert "small-fetus" in found["patients"][0]["scope"]["reasons"]
    assert found["patients"][0]["scope"]["withheld"] == ["lower_glucose_optimisation"]
