"""Reading the data sets: a bad row is rejected with its reason and counted, the others stay."""

from pathlib import Path

import numpy as np
import pytest

from cohorts.individuals.data import C_PEPTIDE, LOADERS, load, load_fsigt, load_tokyo, load_vanderbilt
from twin.errors import UnusableInput

HEAD = "id,age,gender.f,weight_kg,bmi," + ",".join(
    f"ogtt_{a}_{m:03d}" for a in ("glucose", "insulin") for m in range(0, 121, 30)
)
GOOD = "45,Female,80,29,90,140,150,130,110,8,60,80,70,50"


def vanderbilt(folder: Path, *rows: str) -> Path:
    (folder / "ogtt_wide.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    return folder


def test_good_rows_stay_beside_bad_ones(tmp_path: Path) -> None:
    rows = (
        f"1,{GOOD}",
        f"1,{GOOD}",  # the same id
        "3,45,Male,,,5.1,140,150,130,110,8,60,80,70,50",  # mmol/L
        "4,45,Male,80,29,90,140,,130,110,8,60,80,70,50",
        "5,45,Male,80,29,90,140,150,130,110,8,60,80,70,-2",
        "6,17,Male,80,29,90,140,150,130,110,8,60,80,70,50",
        "7,45,Male,,,90,140,150,130,110,8,60,80,70,50",  # no weight: the mean of the others
    )
    tests, issues = load_vanderbilt(vanderbilt(tmp_path, *rows))
    assert tests.ids == ("1", "7")
    assert [i.code for i in issues] == [
        "bad-id",
        "implausible-value",
        "not-a-number",
        "implausible-value",
        "implausible-value",
    ]
    assert [i.source for i in issues] == [f"ogtt_wide.csv row {i}" for i in (1, 2, 3, 4, 5)]
    assert np.allclose(np.exp(tests.ln_y[0]), [[90, 140, 150, 130, 110], [8, 60, 80, 70, 50]])
    assert np.allclose(tests.weight_kg, 80.0)
    assert np.allclose(tests.covariates, [[0.0, -0.2, -0.5], [0.0, 0.0, 0.5]])


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda folder: folder, "no-such-file"),
        (
            lambda folder: vanderbilt(folder, "4,45,Male,80,29,,140,150,130,110,8,60,80,70,50"),
            "nothing-usable",
        ),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, make, code: str) -> None:
    with pytest.raises(UnusableInput) as why:
        load_vanderbilt(make(tmp_path))
    assert why.value.code == code


def test_missing_columns_and_unknown_names_are_said(tmp_path: Path) -> None:
    (tmp_path / "ogtt_wide.csv").write_text("id,age\n1,40\n")
    with pytest.raises(UnusableInput, match="no column"):
        load_vanderbilt(tmp_path)
    with pytest.raises(UnusableInput, match="expected one of"):
        load(tmp_path, "nowhere")


def tokyo(folder: Path, extra: tuple[str, ...] = ()) -> Path:
    lines = ["subject,t_min,analyte,unit,value"]
    for subject in ("2", "10"):
        for m in (-10, 0, 30, 60, 90, 120):
            lines += [f"{subject},{m},Glucose,mg/dL,100", f"{subject},{m},Insulin,μU/mL,10"]
            lines += [f"{subject},{m},C-peptide,ng/mL,2", f"{subject},{m},GIP(Active),pM,20"]
    (folder / "ogtt_glucose_insulin_cpeptide_gip.csv").write_text("\n".join([*lines, *extra]) + "\n")
    return folder


def test_a_bad_value_costs_one_value(tmp_path: Path) -> None:
    extra = (
        "2,0,Glucose,mg/dL,99",
        "2,45,Insulin,pmol/L,60",
        "2,45,Glucose,mg/dL,n.d.",
        "2,,Glucose,mg/dL,99",
    )
    tests, issues = load_tokyo(tokyo(tmp_path, (*extra, "3,0,Glucose,mg/dL,90")))
    assert [i.code for i in issues] == [
        "repeated",
        "unknown-unit",
        "not-a-number",
        "bad-key",
        "too-few-values",
    ]
    assert tests.ids == ("2", "10")
    assert tests.analytes[2] == C_PEPTIDE
    assert tests.mask.all() and tests.ln_y.shape == (2, 3, 6)


def test_fsigt_rows(tmp_path: Path) -> None:
    (tmp_path / "fsigt.csv").write_text(
        "t_min,glucose_mg_dl,insulin_uU_ml\n0,92,11\n2,350,26\n4,287,x\n6,251,85\n6,251,85\n"
    )
    tests, issues = load_fsigt(tmp_path)
    assert [i.code for i in issues] == ["mixing", "not-a-number", "bad-key"]
    assert tests.intravenous and tests.minute.tolist() == [0.0, 6.0]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "people", "values"), [("vanderbilt", 110, 1100), ("tokyo", 12, 504), ("fsigt", 1, 46)]
)
def test_the_shelf_is_read_whole(shared_data: Path, name: str, people: int, values: int) -> None:
    tests, issues = load(shared_data, name)
    mixing = [1] if name == "fsigt" else []
    assert (len(tests), int(tests.mask.sum()), len(issues)) == (people, values, len(mixing))
    assert name in LOADERS and len(tests.sha256) == 64
