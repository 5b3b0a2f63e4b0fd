"""People of three sensor data sets as days on a grid, with their meals and insulin, and as patient records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from tests.statistical.real_cgm.grid import date_of, day_and_minute, on_grid
from tests.statistical.real_cgm.intake import (
    ABSURD_G,
    Dose,
    Meal,
    food_carbohydrate,
    insulin_doses,
    merged,
    metformin_mg,
)
from twin.record import PatientRecord, PregnancyFacts, build_record

LAST_RECORDED_DAY = 196  # gestational days: 28+0 weeks
KG_PER_LB, CM_PER_INCH = 0.45359237, 2.54


@dataclass(frozen=True)
class Source:
    """Tables of one person as read: columns time_local and value, g, U, mg; amounts of meals may be NaN."""

    glucose: pd.DataFrame
    meals: pd.DataFrame
    insulin: pd.DataFrame = field(default_factory=lambda: _table([], "dose_U", "formulation"))
    metformin: pd.DataFrame = field(default_factory=lambda: _table([], "dose_mg"))
    height_cm: float | None = None
    weight_kg: float | None = None
    age_y: float | None = None
    left_out: int = 0  # entries the reader itself could not use


@dataclass(frozen=True)
class Person:
    """One person: consecutive days from 04:00 to 04:00, and the same as a record.

    values : (day, 96) mg/dL, NaN unknown. meals, doses : per day, minutes since 04:00.
    counts : how many meals were dropped, filled in or merged.
    """

    dataset: str
    name: str
    first_day: date
    values: np.ndarray
    meals: tuple[tuple[Meal, ...], ...]
    doses: tuple[tuple[Dose, ...], ...]
    weight_kg: float | None
    record: PatientRecord
    counts: Mapping[str, int]

    @property
    def n_days(self) -> int:
        return len(self.values)

    def gestational_day(self, day: int) -> float:
        """Gestational day at 04:00 of day index `day`."""
        return LAST_RECORDED_DAY - (self.n_days - 1 - day) + 4.0 / 24.0


def _table(rows: list[tuple], *columns: str) -> pd.DataFrame:
    out = pd.DataFrame(rows, columns=["time_local", *columns])
    return out.assign(time_local=pd.to_datetime(out["time_local"]))


def _usable_meals(meals: pd.DataFrame) -> tuple[pd.DataFrame, Counter]:
    """Meals with plausible amounts; an unknown amount is the person's median meal. Merged where they are near."""
    grams = meals["carbohydrate_g"]
    counts = Counter(
        absurd=int((grams > ABSURD_G).sum()), zero=int((grams == 0).sum()), unknown=int(grams.isna().sum())
    )
    usable = grams.isna() | grams.between(0.0, ABSURD_G, inclusive="right")
    meals = meals[usable]
    meals = meals.assign(carbohydrate_g=meals["carbohydrate_g"].fillna(meals["carbohydrate_g"].median()))
    meals = meals.dropna(subset=["carbohydrate_g"])
    minute = (meals["time_local"] - pd.Timestamp(0)) / pd.Timedelta(minutes=1)
    rows = merged(zip(minute.astype(float), meals["carbohydrate_g"].astype(float), strict=True))
    counts["merged"] = len(meals) - len(rows)
    return _table([(pd.Timestamp(0) + pd.Timedelta(minutes=t), g) for t, g in rows], "carbohydrate_g"), counts


def person_of(dataset: str, name: str, source: Source) -> Person:
    """The person's days and record."""
    glucose = source.glucose.dropna(subset=["value_mg_dl"])
    meals, counts = _usable_meals(source.meals)
    counts["left_out"] = source.left_out
    day, minute = day_and_minute(glucose["time_local"])
    first, n_days = int(day.min()), int(day.max() - day.min() + 1)
    meal_day, meal_min = day_and_minute(meals["time_local"])
    dose_day, dose_min = day_and_minute(source.insulin["time_local"])
    eaten: list[list[Meal]] = [[] for _ in range(n_days)]
    given: list[list[Dose]] = [[] for _ in range(n_days)]
    for d, t, g in zip(meal_day - first, meal_min, meals["carbohydrate_g"], strict=True):
        if 0 <= d < n_days:
            eaten[d].append((float(t), float(g)))
    for d, t, u, f in zip(
        dose_day - first, dose_min, source.insulin["dose_U"], source.insulin["formulation"], strict=True
    ):
        if 0 <= d < n_days:
            given[d].append((float(t), float(u), str(f)))
    tables = {
        "glucose": glucose.assign(kind="cgm", device="cgm"),
        "meals": meals,
        "insulin": source.insulin,
        "medication": source.metformin.assign(drug="metformin"),
    }
    last = date_of(first + n_days - 1)
    lmp = last - timedelta(days=LAST_RECORDED_DAY)
    if source.weight_kg is not None:  # what is weighed now, so that no gain of pregnancy is added
        now = pd.Timestamp(date_of(first))
        tables["weights"] = _table([(now, source.weight_kg)], "weight_kg")
    facts = PregnancyFacts(
        lmp_equivalent=lmp,
        dating_method="ultrasound",
        dating_sd_days=3.0,
        maternal_age_y=source.age_y,
        height_cm=source.height_cm,
        weight_pre_kg=source.weight_kg,
        fetal_number=1,
    )
    rows = {k: _traced(k, v) for k, v in tables.items()}
    return Person(
        dataset,
        name,
        date_of(first),
        on_grid(day, minute, glucose["value_mg_dl"].to_numpy(dtype=float), first, n_days),
        tuple(map(tuple, eaten)),
        tuple(map(tuple, given)),
        source.weight_kg,
        build_record(f"{dataset}-{name}", rows, facts=facts),
        dict(counts),
    )


def _traced(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The table with a source for every row, and UTC taken as local."""
    return table.assign(
        time_utc=table["time_local"].dt.tz_localize("UTC"),
        source=[f"{name}{i}" for i in range(len(table))],
    ).reset_index(drop=True)


def load_cgmacros(shared: Path) -> Iterator[tuple[str, Source]]:
    """CGMacros: the Dexcom of each person, the Libre of those who have no other."""
    folder = shared / "data" / "nc_cgmacros"
    dexcom, libre = (_glucose(folder / f"cgm_{sensor}_5min.csv.gz") for sensor in ("dexcom", "libre"))
    meals = pd.read_csv(folder / "meals.csv", dtype={"subject": str})
    meals = meals.rename(columns={"Timestamp": "time_local", "Carbs": "carbohydrate_g"})
    meals["time_local"] = pd.to_datetime(meals["time_local"])
    bio = pd.read_csv(folder / "bio.csv", dtype={"subject": str}).set_index("subject")
    for name in sorted(dexcom.keys() | libre.keys(), key=int):
        yield (
            name,
            Source(
                dexcom.get(name, libre.get(name)),
                meals.loc[meals["subject"] == name, ["time_local", "carbohydrate_g"]].dropna(),
                height_cm=float(bio.loc[name, "Height"]) * CM_PER_INCH,
                weight_kg=float(bio.loc[name, "Body weight"]) * KG_PER_LB,
                age_y=float(bio.loc[name, "Age"]),
            ),
        )


def load_bigideas(shared: Path) -> Iterator[tuple[str, Source]]:
    """BIG IDEAs: foods logged under one time are one meal."""
    folder = shared / "data" / "cgm_meals_bigideas"
    glucose = _glucose(folder / "cgm.csv.gz")
    foods = pd.read_csv(folder / "food_log.csv", dtype={"subject": str}).dropna(subset=["time_begin"])
    foods["time_local"] = pd.to_datetime(foods["time_begin"].str.lstrip("s"))
    grams = foods.groupby(["subject", "time_local"])["total_carb"].sum(min_count=1).dropna().reset_index()
    grams = grams.rename(columns={"total_carb": "carbohydrate_g"})
    for name in sorted(glucose):
        yield (
            name,
            Source(glucose[name], grams.loc[grams["subject"] == name, ["time_local", "carbohydrate_g"]]),
        )


def load_shanghai(shared: Path) -> Iterator[tuple[str, Source]]:
    """Shanghai, type 2: food and insulin from free text, pump boluses as rapid insulin.

    The basal rate of pumps and insulin given into a vein are not read.
    """
    folder = shared / "data" / "cgm_meals_insulin_shanghai"
    rows = pd.read_csv(folder / "records.csv.gz", dtype={"subject": str, "unit_note": str})
    rows = rows[rows["type"] == "T2DM"].rename(
        columns={"timestamp": "time_local", "cgm_mg_dl": "value_mg_dl"}
    )
    rows["time_local"] = pd.to_datetime(rows["time_local"])
    subjects = pd.read_csv(folder / "subjects_t2dm.csv", dtype={"person_id": str}).set_index("person_id")
    for name, own in rows.groupby("subject"):
        doses: list[tuple] = []
        left_out = 0
        for row in own.dropna(subset=["insulin_sc"]).itertuples():
            found, unknown = insulin_doses(row.insulin_sc)
            doses += [(row.time_local, units, formulation) for units, formulation in found]
            left_out += unknown
        pump = own[own["csii_bolus_iu"] > 0]
        doses += [(t, u, "rapid") for t, u in zip(pump["time_local"], pump["csii_bolus_iu"], strict=True)]
        eaten = own.dropna(subset=["dietary_intake"])
        grams = eaten["dietary_intake"].map(food_carbohydrate).astype(float)
        tablets = own.dropna(subset=["oral_agents"])
        taken = tablets.assign(dose_mg=tablets["oral_agents"].map(metformin_mg)).dropna(subset=["dose_mg"])
        yield (
            str(name),
            Source(
                own[["time_local", "value_mg_dl"]],
                eaten[["time_local"]].assign(carbohydrate_g=grams),
                _table(doses, "dose_U", "formulation"),
                taken[["time_local", "dose_mg"]],
                age_y=float(subjects["age"].get(name, np.nan)),
                left_out=left_out,
            ),
        )


def _glucose(path: Path) -> dict[str, pd.DataFrame]:
    table = pd.read_csv(path, dtype={"subject": str})
    table = table.rename(columns={"timestamp": "time_local", "glucose_mg_dl": "value_mg_dl"})
    table["time_local"] = pd.to_datetime(table["time_local"])
    return {str(k): v[["time_local", "value_mg_dl"]] for k, v in table.groupby("subject")}


LOADERS: dict[str, Callable[[Path], Iterator[tuple[str, Source]]]] = {
    "cgmacros": load_cgmacros,
    "shanghai": load_shanghai,
    "bigideas": load_bigideas,
}


def load_people(shared: Path, dataset: str) -> list[Person]:
    """People of one data set in the order of their numbers; those without any recorded meal are left out."""
    found = (person_of(dataset, name, source) for name, source in LOADERS[dataset](shared))
    return [p for p in found if any(p.meals)]
