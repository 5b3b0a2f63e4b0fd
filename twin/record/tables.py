"""`PatientRecord`: what is known of one pregnancy, validated, in canonical units, each row traceable.

Times: `time_utc` is a UTC instant (for order), `time_local` the wall clock without zone (for meals and
slots), `gestational_day` is days since the LMP-equivalent date with the fraction of the local day, NaN while
the pregnancy is not dated. `source` leads back to the entry the row came from.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

_TIME = {"time_utc": "datetime64[ns, UTC]", "time_local": "datetime64[ns]", "gestational_day": "float64"}

#: table -> column -> dtype; the order is the order on disk
COLUMNS: dict[str, dict[str, str]] = {
    "glucose": _TIME
    | {
        "value_mg_dl": "float64",
        "kind": "str",  # schema.GLUCOSE_KINDS
        "relation": "str",  # schema.GLUCOSE_RELATIONS
        "minutes_post_load": "float64",  # OGTT only; NaN elsewhere
        "load_g": "float64",  # OGTT only; NaN elsewhere
        "censor": "str",  # "" | "low" (true value below) | "high" (above)
        "device": "str",
        "source": "str",
    },
    "meals": _TIME | {"carbohydrate_g": "float64", "source": "str"},
    "insulin": _TIME | {"dose_U": "float64", "formulation": "str", "source": "str"},
    "medication": _TIME
    | {
        "drug": "str",
        "dose_mg": "float64",
        "end_local": "datetime64[ns]",
        "per_day": "float64",
        "source": "str",
    },
    "activity": _TIME | {"duration_min": "float64", "intensity": "float64", "source": "str"},
    "biometry": _TIME
    | {
        "quantity": "str",  # schema.BIOMETRY_QUANTITIES
        "value": "float64",  # mm or g
        "sd_mm": "float64",  # measurement SD in the unit of `value`; NaN: the error model's default
        "method": "str",  # e.g. "outer-outer", "hadlock-hc-ac-fl"
        "scan": "int64",  # readings of one examination share a number
        "source": "str",
    },
    "weights": _TIME | {"weight_kg": "float64", "source": "str"},
}


@dataclass(frozen=True)
class RecordIssue:
    """One thing that was not used, or used with a doubt: where, which kind, and the sentence for people."""

    source: str
    code: str
    message: str
    severity: str = "rejected"  # "rejected" | "warning" | "not-understood"


@dataclass(frozen=True)
class PreviousBirth:
    weight_g: float | None = None
    weeks: float | None = None
    macrosomia: bool | None = None


@dataclass(frozen=True)
class PregnancyFacts:
    """Covariates and flags. None means not recorded, never "no"."""

    lmp_equivalent: date | None = None  # gestational day 0 after the accepted dating rules
    dating_method: str = "none"  # "edd" | "lmp" | "ultrasound" | "biometry" | "none"
    dating_sd_days: float | None = None
    maternal_age_y: float | None = None
    height_cm: float | None = None
    weight_pre_kg: float | None = None
    weight_now_kg: float | None = None
    parity: int | None = None
    smoking: bool | None = None
    hypertension: bool | None = None
    previous_births: tuple[PreviousBirth, ...] = ()
    previous_gdm: bool | None = None
    gdm: bool | None = None
    diabetes_before_pregnancy: bool | None = None
    hba1c_percent: tuple[tuple[date, float], ...] = ()
    steroid_courses: tuple[date, ...] = ()  # first dose, antenatal course
    oral_steroids: tuple[tuple[date, date | None], ...] = ()
    acute_illness: tuple[tuple[date, date | None], ...] = ()
    bariatric_surgery: bool | None = None
    fetal_number: int | None = None
    fetal_sex: str | None = None  # "male" | "female"
    fetal_anomaly: bool | None = None
    hydrops: bool | None = None
    fetal_death: bool | None = None
    fetal_growth_restriction: bool | None = None
    labour: bool | None = None
    site_policy: Mapping[str, object] = field(default_factory=dict)
    delivery_day: date | None = None
    birth_weight_g: float | None = None
    newborn_sex: str | None = None

    @property
    def bmi_pre(self) -> float | None:
        if self.weight_pre_kg is None or self.height_cm is None:
            return None
        return self.weight_pre_kg / (self.height_cm / 100.0) ** 2


@dataclass(frozen=True)
class Statement:
    """One recorded statement behind a fact, kept so that `as_of` can hide what was not yet known.

    `name` is a field of `PregnancyFacts`, or "dating" with a `timeline.DatingStatement`; `value` is the
    field's value, or one element of it where the field is a tuple. `known_on`: date it was issued, None if
    not recorded. `about`: onset of the condition, where recorded.
    """

    name: str
    value: object
    known_on: date | None = None
    source: str = ""
    about: date | None = None


@dataclass(frozen=True)
class PatientRecord:
    """One woman's pregnancy. Tables hold the columns of `COLUMNS`, sorted by `time_utc`; empty is allowed."""

    pseudonym: str
    glucose: pd.DataFrame
    meals: pd.DataFrame
    insulin: pd.DataFrame
    medication: pd.DataFrame
    activity: pd.DataFrame
    biometry: pd.DataFrame
    weights: pd.DataFrame
    facts: PregnancyFacts
    issues: tuple[RecordIssue, ...] = ()
    input_sha256: str = ""
    history: tuple[Statement, ...] = ()  # what `facts` was assembled from; empty for records built directly


def empty_table(name: str) -> pd.DataFrame:
    """An empty table with the right columns and dtypes; `name` is a key of `COLUMNS`."""
    return _empty(name).copy()


def to_table(name: str, columns: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The table `name` from arrays of one length: float64, int64, datetime64[ns] (UTC or wall clock), str."""

    def column(values: np.ndarray, dtype: str) -> Any:
        if "UTC" in dtype:
            return pd.DatetimeIndex(values, tz="UTC")
        return pd.array(values, dtype="str") if dtype == "str" else values

    return pd.DataFrame({c: column(columns[c], dtype) for c, dtype in COLUMNS[name].items()})


@functools.cache
def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame({c: pd.Series(dtype=t) for c, t in COLUMNS[name].items()})
