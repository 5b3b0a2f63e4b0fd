"""Validation of one table: types, words, plausibility, duplicates. Bad rows are reported, never repaired."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from twin import schema
from twin.errors import TwinError
from twin.record.plausibility import EFW_FIRST_DAY, SIZE_RATIO, SIZE_SD, limits, typical_sd, typical_size
from twin.record.tables import COLUMNS, RecordIssue, empty_table

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


class _Sieve:
    """Rows still in, and the issues of those that left."""

    def __init__(self, df: pd.DataFrame):
        self.df = df
        self.issues: list[RecordIssue] = []

    def drop(self, bad: pd.Series, code: str, say: Callable[[pd.Series], str]) -> None:
        if not bad.any():
            return
        for _, row in self.df[bad].iterrows():
            self.issues.append(RecordIssue(str(row["source"]), code, say(row)))
        self.df = self.df[~bad]

    def warn(self, which: pd.Series, code: str, say: Callable[[pd.Series], str]) -> None:
        for _, row in self.df[which].iterrows():
            self.issues.append(RecordIssue(str(row["source"]), code, say(row), "warning"))


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
    sieve = _Sieve(_with_all_columns(name, df))
    _types(sieve, name)
    _words(sieve, name)
    _limits(sieve, name)
    if name == "biometry":
        _sizes(sieve)
    _duplicates(sieve, name)
    clean = sieve.df[list(COLUMNS[name])]  # sorted by the search for duplicates
    return clean.reset_index(drop=True).astype(COLUMNS[name]), tuple(sieve.issues)


def _with_all_columns(name: str, df: pd.DataFrame) -> pd.DataFrame:
    out = {}
    for column, dtype in COLUMNS[name].items():
        if column in df:
            out[column] = df[column].reset_index(drop=True)
        elif dtype.startswith("datetime64"):
            out[column] = pd.Series(pd.NaT, index=range(len(df)), dtype=dtype)
        else:
            fill = {"str": "", "int64": 0}.get(dtype, float("nan"))
            out[column] = pd.Series(fill, index=range(len(df)), dtype=dtype)
    return pd.DataFrame(out)


def _types(sieve: _Sieve, name: str) -> None:
    columns: dict[str, pd.Series] = {}
    bad = pd.Series(False, index=sieve.df.index)
    for column, dtype in COLUMNS[name].items():
        raw = sieve.df[column]
        if raw.dtype == dtype and dtype != "str":
            columns[column] = raw
            continue
        columns[column] = good = _as_type(raw, dtype)
        if dtype != "str":
            bad |= good.isna() & raw.notna()
    sieve.df = pd.DataFrame(columns)
    sieve.drop(bad, "bad-type", lambda r: f"a value of the {name} row has the wrong type. Row not used.")
    missing = sieve.df["time_utc"].isna() | sieve.df["time_local"].isna()
    sieve.drop(missing, "no-time", lambda r: f"the {name} row has no time. Row not used.")
    needed = _REQUIRED.get(name)
    if needed:
        value = sieve.df[needed].astype("float64")
        sieve.drop(
            value.isna() | value.abs().eq(np.inf),
            "no-value",
            lambda r: f"the {name} row has no {needed}. Row not used.",
        )


def _as_type(raw: pd.Series, dtype: str) -> pd.Series:
    """The column in `dtype`; what cannot be read becomes missing."""
    if dtype == "str":
        return raw.fillna("").astype("str")
    if dtype.startswith("datetime64"):
        return pd.to_datetime(raw, errors="coerce", utc="UTC" in dtype).dt.as_unit("ns")
    number = pd.to_numeric(raw, errors="coerce")
    return number.fillna(0).astype("int64") if dtype == "int64" else number.astype("float64")


def _words(sieve: _Sieve, name: str) -> None:
    for (table, column), allowed in _WORDS.items():
        if table == name:
            sieve.drop(~sieve.df[column].isin(allowed), "unknown-word", _not_one_of(column, allowed))


def _not_one_of(column: str, allowed: tuple[str, ...]) -> Callable[[pd.Series], str]:
    return lambda r: f"{column} {r[column]!r} is not one of {list(allowed)}. Row not used."


def _limits(sieve: _Sieve, name: str) -> None:
    if name == "biometry":
        values = zip(sieve.df["quantity"], sieve.df["value"], strict=True)
        inside = [low <= v <= high for q, v in values for low, high in [limits(f"biometry.{q}")["value"]]]
        outside = ~pd.Series(inside, index=sieve.df.index, dtype=bool)
        sieve.drop(
            outside,
            "implausible-value",
            lambda r: _outside("value", *limits(f"biometry.{r['quantity']}")["value"])(r),
        )
        return
    for column, (low, high) in limits(name).items():
        if column == "value_mg_dl":
            _glucose_values(sieve, low, high)
            continue
        value = sieve.df[column]
        outside = value.notna() & ~value.between(low, high)
        sieve.drop(outside, "implausible-value", _outside(column, low, high))


def _glucose_values(sieve: _Sieve, low: float, high: float) -> None:
    """Impossible values; and everything of a meter that mislabels its unit, since it also sends values that
    pass by chance."""
    df = sieve.df
    censored = df["censor"] != ""
    inside = df["value_mg_dl"].between(low, high) | (censored & df["value_mg_dl"].between(*_CENSOR_LIMITS))
    count = df.assign(wrong=~inside).groupby(["device", "kind"])["wrong"]
    wrong, rows = count.transform("sum"), count.transform("size")
    suspect = inside & (wrong >= _SUSPECT_ROWS) & (wrong > _SUSPECT_SHARE * rows)
    sieve.df = df.assign(_wrong=wrong, _rows=rows)
    sieve.drop(~inside, "implausible-glucose", _glucose_outside)
    sieve.drop(
        suspect[inside],
        "suspect-unit",
        lambda r: (
            f"{r['_wrong']} of {r['_rows']} readings of this device are impossible, so its unit is not "
            "trusted. Row quarantined. Correct the unit at the source."
        ),
    )


def _outside(column: str, low: float, high: float) -> Callable[[pd.Series], str]:
    def say(row: pd.Series) -> str:
        what = row.get("quantity", column)
        return (
            f"{what} {row[column]:g} is outside {low:g} to {high:g}. Row quarantined, not converted. "
            "Check the unit and the column at the source."
        )

    return say


def _glucose_outside(row: pd.Series) -> str:
    value = row["value_mg_dl"]
    seen, label = ("mmol/L", "mg/dL") if value < 20 else ("mg/dL", "mmol/L")
    hint = f"it looks like {seen} under a {label} label"
    return (
        f"glucose {value:g} mg/dL is not possible in a living patient; {hint}. "
        "Row quarantined, never converted. Correct the unit at the source."
    )


def _sizes(sieve: _Sieve) -> None:
    df = sieve.df
    quantity, value, day = (df[c].to_numpy() for c in ("quantity", "value", "gestational_day"))
    ratio, outside = np.full(len(df), np.nan), np.zeros(len(df), bool)
    for name, (low, high) in SIZE_RATIO.items():
        of_it = quantity == name
        typical = typical_size(name, day[of_it])
        r, z = value[of_it] / typical, (value[of_it] - typical) / typical_sd(name, day[of_it])
        ratio[of_it] = r
        outside[of_it] = (r < low) | (r > high) | (np.abs(z) > SIZE_SD)

    def say(row: pd.Series) -> str:
        r = float(row["_ratio"])
        ten = ", ten times too large" if 6 < r < 16 else ", ten times too small" if 0.06 < r < 0.16 else ""
        return (
            f"{row['quantity']} {row['value']:g} is {r:.2g} times the typical size at gestational day "
            f"{row['gestational_day']:.0f}{ten}. Row quarantined. Check unit (cm or mm), fetus and dating."
        )

    sieve.df = df.assign(_ratio=ratio)
    sieve.drop(pd.Series(outside, index=df.index), "implausible-size", say)
    early = (sieve.df["quantity"] == "efw_g") & (sieve.df["gestational_day"] < EFW_FIRST_DAY)
    sieve.warn(
        early,
        "efw-outside-formula-range",
        lambda r: (
            f"estimated weight {r['value']:g} g at gestational day {r['gestational_day']:.0f} lies before "
            f"the range of every formula (from 20 weeks); kept as data, its method marked {OUTSIDE_RANGE!r}."
        ),
    )
    if early.any():
        marked = sieve.df["method"].where(~early, [_mark(m) for m in sieve.df["method"]])
        sieve.df = sieve.df.assign(method=marked)


def _mark(method: str) -> str:
    if OUTSIDE_RANGE in method:
        return method
    return f"{method};{OUTSIDE_RANGE}" if method else OUTSIDE_RANGE


def _duplicates(sieve: _Sieve, name: str) -> None:
    sieve.df = sieve.df.sort_values(["time_utc", "source"], kind="stable")
    again = sieve.df.duplicated(_SAME_READING[name], keep="first")
    sieve.drop(again, "duplicate", lambda r: f"the same {name} row is already there. This copy was not used.")
