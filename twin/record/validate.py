"""Validation of one table: types, words, plausibility, duplicates. Bad rows are reported, never repaired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from twin import schema
from twin.errors import TwinError
from twin.record.plausibility import EFW_FIRST_DAY, SIZE_RATIO, SIZE_SD, limits, typical_sd, typical_size
from twin.record.tables import COLUMNS, RecordIssue, empty_table, to_table

_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("glucose", "kind"): schema.GLUCOSE_KINDS,
    ("glucose", "relation"): schema.GLUCOSE_RELATIONS,
    ("glucose", "censor"): ("", "low", "high"),
    ("insulin", "formulation"): schema.INSULIN_FORMULATIONS,
    ("biometry", "quantity"): schema.BIOMETRY_QUANTITIES,
}
#: the number without which a row says nothing
_REQUIRED = {
    "glucose": "value_mg_dl",
    "meals": "carbohydrate_g",
    "insulin": "dose_U",
    "biometry": "value",
    "weights": "weight_kg",
    "activity": "duration_min",
}
_SAME_READING = {
    "glucose": ["time_utc", "kind", "device", "value_mg_dl", "minutes_post_load"],
    "meals": ["time_utc", "carbohydrate_g"],
    "insulin": ["time_utc", "dose_U", "formulation"],
    "medication": ["time_utc", "drug", "dose_mg", "per_day", "end_local"],
    "activity": ["time_utc", "duration_min", "intensity"],
    "biometry": ["time_utc", "quantity", "value", "method"],
    "weights": ["time_utc", "weight_kg"],
}
_CENSOR_LIMITS = (5.0, 1000.0)  # a "below" or "above" limit is the device's, not the patient's
_SUSPECT_SHARE, _SUSPECT_ROWS = 0.5, 3  # a device most of whose values are impossible is not trusted at all
#: appended to `method` of a fetal weight outside its formula's range, so that a likelihood can leave it out
OUTSIDE_RANGE = "outside-formula-range"


Row = Mapping[str, Any]
Column = (
    np.ndarray
)  # float64, int64, datetime64[ns] (an instant in UTC or a wall clock), or object holding str


class _Sieve:
    """Rows still in, by column, and the issues of those that left."""

    def __init__(self, columns: dict[str, Column]):
        self.columns = columns
        self.issues: list[RecordIssue] = []

    def __getitem__(self, column: str) -> Column:
        return self.columns[column]

    def drop(self, bad: np.ndarray, code: str, say: Callable[[Row], str]) -> None:
        if bad.any():
            self._report(bad, code, say, "rejected")
            self.take(np.flatnonzero(~bad))

    def warn(self, which: np.ndarray, code: str, say: Callable[[Row], str]) -> None:
        self._report(which, code, say, "warning")

    def take(self, rows: np.ndarray) -> None:
        self.columns = {name: values[rows] for name, values in self.columns.items()}

    def _report(self, which: np.ndarray, code: str, say: Callable[[Row], str], severity: str) -> None:
        for i in np.flatnonzero(which):
            row = {name: values[i] for name, values in self.columns.items()}
            self.issues.append(RecordIssue(str(row["source"]), code, say(row), severity))


def validate_table(name: str, df: pd.DataFrame) -> tuple[pd.DataFrame, tuple[RecordIssue, ...]]:
    """The usable rows of table `name`, sorted by UTC, with the contract's dtypes; an issue for every other.

    df : any subset of `COLUMNS[name]`; missing columns become "" or NaN.
    Quarantined: wrong types, no time, unknown words, values outside `plausibility.toml`, biometry far from
    the size of its gestational day (ten times too large: a unit fault), all readings of a device most of
    whose values are impossible, and duplicates. Nothing is converted or corrected.
    Raises : TwinError "bad-table" for a column the contract does not know.
    """
    unknown = sorted(set(df.columns) - set(COLUMNS[name]))
    if unknown:
        raise TwinError(
            "bad-table", f"table {name!r} has no columns {unknown}; it has {list(COLUMNS[name])}."
        )
    if df.empty:
        return empty_table(name), ()
    sieve = _typed(name, df)
    _words(sieve, name)
    _limits(sieve, name)
    if name == "biometry":
        _sizes(sieve)
    _duplicates(sieve, name)
    return to_table(name, sieve.columns), tuple(sieve.issues)


def _typed(name: str, df: pd.DataFrame) -> _Sieve:
    """The columns in the contract's types, without the rows that have a wrong type, no time or no value."""
    columns: dict[str, Column] = {}
    bad = np.zeros(len(df), bool)
    for column, dtype in COLUMNS[name].items():
        if column not in df:
            fill = {"str": "", "int64": 0}.get(dtype, "NaT" if dtype.startswith("datetime64") else np.nan)
            columns[column] = np.full(len(df), fill, dtype=_on_the_way(dtype))
            continue
        raw = df[column]
        if dtype == "str":
            words = raw if raw.dtype == dtype else raw.astype(object).fillna("").astype("str")
            columns[column] = words.to_numpy(dtype=object, na_value="")
            continue
        good = raw if raw.dtype == dtype else _as_type(raw, dtype)
        if good is not raw:
            bad |= (good.isna() & raw.notna()).to_numpy()
        columns[column] = good.to_numpy(dtype=_on_the_way(dtype))
    sieve = _Sieve(columns)
    sieve.drop(bad, "bad-type", lambda r: f"a value of the {name} row has the wrong type. Row not used.")
    missing = np.isnat(sieve["time_utc"]) | np.isnat(sieve["time_local"])
    sieve.drop(missing, "no-time", lambda r: f"the {name} row has no time. Row not used.")
    needed = _REQUIRED.get(name)
    if needed:
        sieve.drop(
            ~np.isfinite(sieve[needed]),
            "no-value",
            lambda r: f"the {name} row has no {needed}. Row not used.",
        )
    return sieve


def _on_the_way(dtype: str) -> str:
    return "object" if dtype == "str" else dtype.replace(", UTC", "")


def _as_type(raw: pd.Series, dtype: str) -> pd.Series:
    """Numbers or times in `dtype`; what cannot be read becomes missing."""
    if "UTC" in dtype:
        return pd.to_datetime(raw, errors="coerce", utc=True).dt.as_unit("ns")
    if dtype.startswith("datetime64"):
        return _wall_clock(raw).dt.as_unit("ns")
    number = pd.to_numeric(raw, errors="coerce")
    return number.fillna(0).astype("int64") if dtype == "int64" else number.astype("float64")


def _wall_clock(raw: pd.Series) -> pd.Series:
    """Times without a zone. One with a zone is an instant, whose wall clock is not known: missing."""
    try:
        read = pd.to_datetime(raw, errors="coerce")
    except ValueError:  # zones of several kinds
        read = None
    if read is not None and read.dt.tz is None:
        return read
    if isinstance(raw.dtype, pd.DatetimeTZDtype):
        return pd.Series(pd.NaT, index=raw.index, dtype="datetime64[ns]")
    each = [pd.to_datetime(value, errors="coerce") for value in raw]
    kept = [t if pd.isna(t) or t.tzinfo is None else pd.NaT for t in each]
    return pd.Series(kept, index=raw.index, dtype="datetime64[ns]")


def _words(sieve: _Sieve, name: str) -> None:
    for (table, column), allowed in _WORDS.items():
        if table == name:
            unknown = np.array([word not in allowed for word in sieve[column]], bool)
            sieve.drop(unknown, "unknown-word", _not_one_of(column, allowed))


def _not_one_of(column: str, allowed: tuple[str, ...]) -> Callable[[Row], str]:
    return lambda r: f"{column} {r[column]!r} is not one of {list(allowed)}. Row not used."


def _limits(sieve: _Sieve, name: str) -> None:
    if name == "biometry":
        values = zip(sieve["quantity"], sieve["value"], strict=True)
        inside = [low <= v <= high for q, v in values for low, high in [limits(f"biometry.{q}")["value"]]]
        sieve.drop(
            ~np.array(inside, bool),
            "implausible-value",
            lambda r: _outside("value", *limits(f"biometry.{r['quantity']}")["value"])(r),
        )
        return
    for column, (low, high) in limits(name).items():
        if column == "value_mg_dl":
            _glucose_values(sieve, low, high)
            continue
        outside = (sieve[column] < low) | (sieve[column] > high)
        sieve.drop(outside, "implausible-value", _outside(column, low, high))


def _glucose_values(sieve: _Sieve, low: float, high: float) -> None:
    """Impossible values; and everything of a meter that mislabels its unit, since it also sends values that
    pass by chance."""
    value, censored = sieve["value_mg_dl"], sieve["censor"] != ""
    wrong = ((value < low) | (value > high)) & ~(
        censored & (value >= _CENSOR_LIMITS[0]) & (value <= _CENSOR_LIMITS[1])
    )
    if not wrong.any():
        return
    sent_by = list(zip(sieve["device"], sieve["kind"], strict=True))
    rows, faults = Counter(sent_by), Counter(device for device, w in zip(sent_by, wrong, strict=True) if w)
    suspects = {d for d in faults if faults[d] >= _SUSPECT_ROWS and faults[d] > _SUSPECT_SHARE * rows[d]}
    suspect = np.array([d in suspects for d in sent_by], bool)
    sieve.drop(wrong, "implausible-glucose", _glucose_outside)
    sieve.drop(
        suspect[~wrong],
        "suspect-unit",
        lambda r: (
            f"{faults[r['device'], r['kind']]} of {rows[r['device'], r['kind']]} readings of this device are "
            "impossible, so its unit is not trusted. Row quarantined. Correct the unit at the source."
        ),
    )


def _outside(column: str, low: float, high: float) -> Callable[[Row], str]:
    def say(row: Row) -> str:
        what = row.get("quantity", column)
        return (
            f"{what} {row[column]:g} is outside {low:g} to {high:g}. Row quarantined, not converted. "
            "Check the unit and the column at the source."
        )

    return say


def _glucose_outside(row: Row) -> str:
    value = row["value_mg_dl"]
    seen, label = ("mmol/L", "mg/dL") if value < 20 else ("mg/dL", "mmol/L")
    hint = f"it looks like {seen} under a {label} label"
    return (
        f"glucose {value:g} mg/dL is not possible in a living patient; {hint}. "
        "Row quarantined, never converted. Correct the unit at the source."
    )


def _sizes(sieve: _Sieve) -> None:
    quantity, value, day = sieve["quantity"], sieve["value"], sieve["gestational_day"]
    ratio, outside = np.full(len(value), np.nan), np.zeros(len(value), bool)
    for name, (low, high) in SIZE_RATIO.items():
        of_it = quantity == name
        typical = typical_size(name, day[of_it])
        r, z = value[of_it] / typical, (value[of_it] - typical) / typical_sd(name, day[of_it])
        ratio[of_it] = r
        outside[of_it] = (r < low) | (r > high) | (np.abs(z) > SIZE_SD)

    def say(row: Row) -> str:
        r = float(row["_ratio"])
        ten = ", ten times too large" if 6 < r < 16 else ", ten times too small" if 0.06 < r < 0.16 else ""
        return (
            f"{row['quantity']} {row['value']:g} is {r:.2g} times the typical size at gestational day "
            f"{row['gestational_day']:.0f}{ten}. Row quarantined. Check unit (cm or mm), fetus and dating."
        )

    sieve.columns["_ratio"] = ratio
    sieve.drop(outside, "implausible-size", say)
    early = (sieve["quantity"] == "efw_g") & (sieve["gestational_day"] < EFW_FIRST_DAY)
    sieve.warn(
        early,
        "efw-outside-formula-range",
        lambda r: (
            f"estimated weight {r['value']:g} g at gestational day {r['gestational_day']:.0f} lies before "
            f"the range of every formula (from 20 weeks); kept as data, its method marked {OUTSIDE_RANGE!r}."
        ),
    )
    methods = [_mark(m) if e else m for m, e in zip(sieve["method"], early, strict=True)]
    sieve.columns["method"] = np.array(methods, dtype=object)


def _mark(method: str) -> str:
    if OUTSIDE_RANGE in method:
        return method
    return f"{method};{OUTSIDE_RANGE}" if method else OUTSIDE_RANGE


def _duplicates(sieve: _Sieve, name: str) -> None:
    by_source = np.argsort(sieve["source"].astype("U"), kind="stable")
    sieve.take(by_source[np.argsort(sieve["time_utc"][by_source], kind="stable")])
    time = sieve["time_utc"]
    as_before = np.concatenate([[False], time[1:] == time[:-1]])[: len(time)]
    seen: set[tuple[Any, ...]] = set()
    again = np.zeros(len(time), bool)
    for i in np.flatnonzero(as_before | np.append(as_before[1:], False)):  # no others can be the same
        values = (sieve[column][i] for column in _SAME_READING[name])
        reading = tuple(None if v != v else v for v in values)
        again[i] = reading in seen
        seen.add(reading)
    sieve.drop(again, "duplicate", lambda r: f"the same {name} row is already there. This copy was not used.")
