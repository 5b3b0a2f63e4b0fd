"""Tolerance tests of single people from a folder of real data: read row by row, a bad one rejected with its reason.

Values keep their meaning, not their files' units: glucose mg/dL, insulin uU/mL, C-peptide ng/mL, minutes from the drink
(or the injection), all as natural logarithms in `PeopleTests`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from twin.errors import RowRejected, UnusableInput
from twin.record.tables import RecordIssue

GLUCOSE, INSULIN, C_PEPTIDE = "glucose", "insulin", "c_peptide"
#: what a laboratory can report of an adult in a tolerance test: outside it the value is a slip, not a finding
PLAUSIBLE = {GLUCOSE: (30.0, 700.0), INSULIN: (0.3, 2000.0), C_PEPTIDE: (0.05, 60.0)}
UNIT = {GLUCOSE: "mg/dL", INSULIN: "uU/mL", C_PEPTIDE: "ng/mL"}
ORAL_G = 75.0
BOLUS_MG_PER_KG = 300.0  # the customary dose of the FSIGT; recalled, the curve's source does not print it
DEFAULT_WEIGHT_KG = 70.0  # where no weight is recorded; what it hides goes into V_G and R_0 per kg
COVARIATES = ("age", "bmi", "male")
#: centre and unit of each covariate as the population sees it: per 10 years, per 5 kg/m2, man against woman
COVARIATE_SCALE = {"age": (45.0, 10.0), "bmi": (30.0, 5.0), "male": (0.5, 1.0)}
_FEWEST_VALUES = 6
MIXING_MIN = (
    4.0  # after an injection glucose is not yet one pool (recalled: the first minutes are left out of fits)
)


@dataclass(frozen=True)
class PeopleTests:
    """Tests of one protocol. Shapes: (person, analyte, time) for `ln_y` and `mask`, (time,) for `minute`."""

    name: str
    ids: tuple[str, ...]
    analytes: tuple[str, ...]
    minute: np.ndarray
    ln_y: np.ndarray  # 0 where there is no value
    mask: np.ndarray
    weight_kg: np.ndarray  # (person,)
    age: np.ndarray  # (person,), years, NaN where not known
    covariates: np.ndarray  # (person, covariate), scaled, 0 where not known
    sha256: str
    intravenous: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def people(self, index: np.ndarray) -> PeopleTests:
        """The same protocol for some of its people."""
        index = np.asarray(index)
        return PeopleTests(
            self.name,
            tuple(self.ids[i] for i in index),
            self.analytes,
            self.minute,
            self.ln_y[index],
            self.mask[index],
            self.weight_kg[index],
            self.age[index],
            self.covariates[index],
            self.sha256,
            self.intravenous,
        )


def scaled_covariates(age: np.ndarray, bmi: np.ndarray, male: np.ndarray) -> np.ndarray:
    """(person, covariate) on the scale the population uses; 0, the centre, where a value is not known."""
    columns = []
    for name, values in zip(COVARIATES, (age, bmi, male), strict=True):
        centre, unit = COVARIATE_SCALE[name]
        x = (np.asarray(values, dtype=float) - centre) / unit
        columns.append(np.where(np.isfinite(x), x, 0.0))
    return np.column_stack(columns)


def checked(value: object, analyte: str) -> float:
    """A value of the analyte in its unit.

    Raises : RowRejected "not-a-number" or "implausible-value".
    """
    try:
        x = float(str(value))
    except ValueError:
        x = math.nan
    low, high = PLAUSIBLE[analyte]
    if not math.isfinite(x):
        raise RowRejected("not-a-number", f"{analyte} {value!r} is not a number. The row was not used.")
    if not low <= x <= high:
        raise RowRejected(
            "implausible-value",
            f"{analyte} {x:g} {UNIT[analyte]} is outside {low:g}-{high:g}. The row was not used; check its unit.",
        )
    return x


def _number(row: pd.Series, column: str, low: float, high: float) -> float:
    """A covariate: NaN where absent.

    Raises : RowRejected "implausible-value".
    """
    x = float(pd.to_numeric(row[column], errors="coerce"))
    if math.isfinite(x) and not low <= x <= high:
        raise RowRejected(
            "implausible-value", f"{column} {x:g} is outside {low:g}-{high:g}. The row was not used."
        )
    return x


def _file(folder: Path, name: str, columns: tuple[str, ...]) -> tuple[pd.DataFrame, str]:
    """A table and the SHA-256 of its file.

    Raises : UnusableInput "no-such-file" or "missing-column".
    """
    path = folder / name
    if not path.is_file():
        raise UnusableInput(
            "no-such-file", f"{path.name!r} is not in folder {folder.name!r}. Nothing was read."
        )
    table = pd.read_csv(path, dtype=str)
    lacking = [c for c in columns if c not in table.columns]
    if lacking:
        raise UnusableInput(
            "missing-column", f"{path.name}: no column {', '.join(lacking)}. Nothing was read."
        )
    return table, hashlib.sha256(path.read_bytes()).hexdigest()


def _usable(tests: PeopleTests, issues: list[RecordIssue]) -> tuple[PeopleTests, list[RecordIssue]]:
    if not len(tests):
        raise UnusableInput(
            "nothing-usable", f"{tests.name}: every row was rejected ({len(issues)}). Nothing was read."
        )
    return tests, issues


VANDERBILT_MINUTE = (0, 30, 60, 90, 120)


def load_vanderbilt(folder: Path) -> tuple[PeopleTests, list[RecordIssue]]:
    """75 g tests of adults, five times, glucose and insulin; a row is a person.

    folder : holds ogtt_wide.csv (licence GPL-3 of its package; the numbers are read, nothing is copied).
    Returns : tests, and one issue per rejected row. Race, lipids and height are not read.
    Raises : UnusableInput "no-such-file", "missing-column", "nothing-usable".
    """
    names = {a: [f"ogtt_{a}_{m:03d}" for m in VANDERBILT_MINUTE] for a in (GLUCOSE, INSULIN)}
    needed = ("id", "age", "gender.f", "weight_kg", "bmi", *names[GLUCOSE], *names[INSULIN])
    table, sha = _file(folder, "ogtt_wide.csv", needed)
    kept, issues, seen = [], [], set()
    for i, row in table.iterrows():
        try:
            if pd.isna(row["id"]) or row["id"] in seen:
                raise RowRejected("bad-id", f"id {row['id']!r} is absent or repeated. The row was not used.")
            values = [[math.log(checked(row[c], a)) for c in names[a]] for a in (GLUCOSE, INSULIN)]
            numbers = (
                _number(row, "weight_kg", 30.0, 300.0),
                _number(row, "age", 18.0, 100.0),
                _number(row, "bmi", 12.0, 90.0),
            )
            sex = {"Male": 1.0, "Female": 0.0}.get(str(row["gender.f"]), math.nan)
            seen.add(row["id"])
            kept.append((str(row["id"]), values, *numbers, sex))
        except RowRejected as why:
            issues.append(RecordIssue(f"ogtt_wide.csv row {i}", why.code, str(why)))
    ln_y = np.array([k[1] for k in kept]).reshape(-1, 2, len(VANDERBILT_MINUTE))
    weight, age, bmi, male = (np.array([k[j] for k in kept], dtype=float) for j in range(2, 6))
    known = weight[np.isfinite(weight)]
    usual = float(np.mean(known)) if len(known) else DEFAULT_WEIGHT_KG
    tests = PeopleTests(
        "vanderbilt",
        tuple(k[0] for k in kept),
        (GLUCOSE, INSULIN),
        np.array(VANDERBILT_MINUTE, dtype=float),
        ln_y,
        np.ones(ln_y.shape, dtype=bool),
        np.where(np.isfinite(weight), weight, usual),
        age,
        scaled_covariates(age, bmi, male),
        sha,
    )
    return _usable(tests, issues)


def load_tokyo(folder: Path) -> tuple[PeopleTests, list[RecordIssue]]:
    """75 g tests of healthy adults, 14 times, glucose, insulin and C-peptide; a row is a value.

    folder : holds ogtt_glucose_insulin_cpeptide_gip.csv (CC BY, recalled). GIP is not used.
    Returns : tests, and one issue per rejected row or person. Neither weight, age nor sex is recorded there.
    Raises : UnusableInput "no-such-file", "missing-column", "nothing-usable".
    """
    name = "ogtt_glucose_insulin_cpeptide_gip.csv"
    table, sha = _file(folder, name, ("subject", "t_min", "analyte", "unit", "value"))
    known = {
        "glucose": (GLUCOSE, ("mg/dL",)),
        "insulin": (INSULIN, ("μU/mL", "µU/mL", "uU/mL")),  # both Greek mu and the micro sign are in use
        "c-peptide": (C_PEPTIDE, ("ng/mL",)),
    }
    values: dict[tuple[str, str, float], float] = {}
    issues = []
    for i, row in table.iterrows():
        analyte = str(row["analyte"]).strip().lower()
        if analyte not in known:
            continue
        try:
            which, units = known[analyte]
            if row["unit"] not in units:
                raise RowRejected(
                    "unknown-unit", f"{which} in {row['unit']!r}; expected {units[0]}. The row was not used."
                )
            minute = float(pd.to_numeric(row["t_min"], errors="coerce"))
            if pd.isna(row["subject"]) or not -60.0 <= minute <= 600.0:
                raise RowRejected("bad-key", "no subject, or no minute of the test. The row was not used.")
            key = (str(row["subject"]), which, minute)
            if key in values:
                raise RowRejected("repeated", f"a second {which} at {minute:g} min. The row was not used.")
            values[key] = math.log(checked(row["value"], which))
        except RowRejected as why:
            issues.append(RecordIssue(f"{name} row {i}", why.code, str(why)))
    minutes = np.array(sorted({k[2] for k in values}))
    analytes = (GLUCOSE, INSULIN, C_PEPTIDE)
    ids, each = [], []
    for subject in sorted({k[0] for k in values}, key=lambda s: (len(s), s)):
        y = np.array([[values.get((subject, a, m), math.nan) for m in minutes] for a in analytes])
        if min(np.isfinite(y[:2]).sum(axis=1)) < _FEWEST_VALUES:
            text = f"fewer than {_FEWEST_VALUES} values of glucose or insulin. The person was not used."
            issues.append(RecordIssue(f"{name} subject {subject}", "too-few-values", text))
            continue
        ids.append(subject)
        each.append(y)
    n = len(ids)
    ln_y = np.array(each).reshape(n, len(analytes), len(minutes))
    unknown = np.full(n, np.nan)
    tests = PeopleTests(
        "tokyo",
        tuple(ids),
        analytes,
        minutes,
        np.nan_to_num(ln_y),
        np.isfinite(ln_y),
        np.full(n, DEFAULT_WEIGHT_KG),
        unknown,
        scaled_covariates(unknown, unknown, unknown),
        sha,
    )
    return _usable(tests, issues)


def load_fsigt(folder: Path) -> tuple[PeopleTests, list[RecordIssue]]:
    """One intravenous test, 24 samples of glucose and insulin; a row is a time.

    folder : holds fsigt.csv (published figures). The dose is taken to be 0.3 g/kg (recalled).
    Returns : tests of one person, and one issue per rejected row.
    Raises : UnusableInput "no-such-file", "missing-column", "nothing-usable".
    """
    table, sha = _file(folder, "fsigt.csv", ("t_min", "glucose_mg_dl", "insulin_uU_ml"))
    rows: list[tuple[float, ...]] = []
    issues = []
    for i, row in table.iterrows():
        try:
            minute = float(pd.to_numeric(row["t_min"], errors="coerce"))
            if not 0.0 <= minute <= 600.0 or any(minute == r[0] for r in rows):
                raise RowRejected("bad-key", "no minute of the test, or one twice. The row was not used.")
            pair = checked(row["glucose_mg_dl"], GLUCOSE), checked(row["insulin_uU_ml"], INSULIN)
            if 0.0 < minute < MIXING_MIN:
                raise RowRejected(
                    "mixing", f"{minute:g} min after the injection glucose is not mixed. Not used."
                )
            rows.append((minute, *(math.log(v) for v in pair)))
        except RowRejected as why:
            issues.append(RecordIssue(f"fsigt.csv row {i}", why.code, str(why)))
    y = np.array(sorted(rows)).reshape(-1, 3)
    unknown = np.full(1, np.nan)
    tests = PeopleTests(
        "fsigt",
        ("1",) if len(y) else (),
        (GLUCOSE, INSULIN),
        y[:, 0],
        y[None, :, 1:].transpose(0, 2, 1),
        np.ones((1, 2, len(y)), dtype=bool),
        np.full(1, DEFAULT_WEIGHT_KG),
        unknown,
        scaled_covariates(unknown, unknown, unknown),
        sha,
        intravenous=True,
    )
    return _usable(tests, issues)


#: loader and folder below data/ of the shelf
LOADERS: dict[str, tuple[Callable[[Path], tuple[PeopleTests, list[RecordIssue]]], str]] = {
    "vanderbilt": (load_vanderbilt, "ogtt_insulin_vanderbilt"),
    "tokyo": (load_tokyo, "ogtt_timecourse_tokyo"),
    "fsigt": (load_fsigt, "fsigt_pacini_bergman1986"),
}


def load(shared: Path, name: str) -> tuple[PeopleTests, list[RecordIssue]]:
    """Tests of a data set by its name, from the shelf.

    Raises : UnusableInput "unknown-data-set", and what the loaders raise.
    """
    if name not in LOADERS:
        raise UnusableInput(
            "unknown-data-set", f"{name!r}; expected one of {sorted(LOADERS)}. Nothing was read."
        )
    loader, folder = LOADERS[name]
    return loader(shared / "data" / folder)
