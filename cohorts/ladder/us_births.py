"""Registered US births of 2022 as the ladder uses them: singletons of women without diabetes before pregnancy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cohorts.ladder.delivery import Group, group
from twin.forecast.onset import Who

FILE = "data/us_births_2022/births2022.csv.gz"
INCH_CM, LB_KG = 2.54, 0.45359237


def load(shared: Path) -> pd.DataFrame:
    """week (completed), weight_g, male, gdm, hypertension, parous, bmi, initiated; rows with all of them.

    initiated : induced, or caesarean without a trial of labour.
    """
    d = pd.read_csv(shared / FILE)
    d = d[
        (d["plurality"] == 1)
        & (d["diabetes_pre"] == "N")
        & d["weight"].notna()
        & d["duration"].notna()
        & d["total_kids"].notna()
    ]
    planned = (d["method"] == "cesarean") & (d["trial_at_labor"] == "N")
    found = pd.DataFrame(
        {
            "week": d["duration"].astype(int),
            "weight_g": d["weight"].astype(float),
            "male": (d["sex"] == "M").astype(int),
            "gdm": d["diabetes_gest"] == "Y",
            "hypertension": (d["hbp_pre"] == "Y") | (d["hbp_gest"] == "Y") | (d["eclampsia"] == "Y"),
            "parous": d["total_kids"] > 1,
            "bmi": d["wt_pre"] * LB_KG / (d["mheight"] * INCH_CM / 100.0) ** 2,
            "initiated": ((d["induction"] == "Y") | planned).astype(int),
        }
    )
    return found.reset_index(drop=True)


def groups(births: pd.DataFrame) -> list[Group]:
    """First and later births of women without either condition, with hypertension, with gestational diabetes."""
    found = []
    for parous in (False, True):
        here = births[births["parous"] == parous]
        order = "later" if parous else "first"
        plain = here[~here["gdm"] & ~here["hypertension"]]
        high = here[~here["gdm"] & here["hypertension"]]
        diabetes = here[here["gdm"] & ~here["hypertension"]]
        found += [
            group(f"{order} births", Who(0.0, 0.0, float(parous)), plain),
            group(f"{order} births, hypertension", Who(0.0, 1.0, float(parous)), high),
            group(f"{order} births, gestational diabetes", Who(1.0, 0.0, float(parous)), diabetes),
        ]
    return found
