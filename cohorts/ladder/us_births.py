"""Registered US births as the ladder uses them: singletons; of 2022 with gestational diabetes told apart, of 2014 with
smoking."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cohorts.ladder.delivery import Group, group
from twin.forecast.onset import Who

FILE_2022 = "data/us_births_2022/births2022.csv.gz"
FILE_2014 = "data/us_births_2014/natality2014_100k.csv.gz"
FILES = (FILE_2014, FILE_2022)
INCH_CM, LB_KG = 2.54, 0.45359237


def load(shared: Path) -> pd.DataFrame:
    """week (completed), weight_g, male, gdm, hypertension, parous, bmi, initiated; rows with all of them.

    initiated : induced, or caesarean without a trial of labour.
    """
    d = pd.read_csv(shared / FILE_2022)
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


def load_2014(shared: Path) -> pd.DataFrame:
    """week (completed), weight_g, male, parous, bmi, height_cm, age_y, smoking (in pregnancy), hypertension, gain_kg.

    Women without any diabetes, rows with all of it.
    """
    d = pd.read_csv(shared / FILE_2014)
    d = d[(d["dplural"] == 1) & (d["urf_diab"] == "n")]
    cigarettes = d[["cig_1", "cig_2", "cig_3"]]
    found = pd.DataFrame(
        {
            "week": d["combgest"],
            "weight_g": d["dbwt"].astype(float),
            "male": (d["sex"] == "M").astype(int),
            "parous": (d["priorlive"] > 0).astype(float).where(d["priorlive"].notna()),
            "bmi": d["pwgt_r"] * LB_KG / (d["m_ht_in"] * INCH_CM / 100.0) ** 2,
            "height_cm": d["m_ht_in"] * INCH_CM,
            "age_y": d["mager"],
            "smoking": (cigarettes.max(axis=1) > 0).astype(float).where(cigarettes.notna().all(axis=1)),
            "hypertension": ((d["urf_chyper"] == "y") | (d["urf_phyper"] == "y")).astype(float),
            "gain_kg": (d["dwgt_r"] - d["pwgt_r"]) * LB_KG,
        }
    )
    return found.dropna().reset_index(drop=True)


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
