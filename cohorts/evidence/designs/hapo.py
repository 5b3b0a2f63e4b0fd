"""HAPO: one 75 g test at 28 weeks, blinded to values below overt diabetes, birth weight by its own centile."""

from __future__ import annotations

import numpy as np

from cohorts.evidence.designs.course import meets_iadpsg
from cohorts.evidence.statistics import above_own_centile, odds_ratio, standardised
from cohorts.population.birth import births
from cohorts.population.engine import Arm, Lanes, pregnancy, tolerance_test
from cohorts.population.numbers import beside
from cohorts.population.population import Arrays, Population, gather
from cohorts.population.women import Who, Women

WEEK = 28.0
ASSAY_CV = 0.02  # MODEL 1.5
BLINDED_FASTING, BLINDED_2H = 105.0, 200.0  # mg/dL, above which women were unblinded [HAPO 2008, RECALLED]
SD_MG_DL = (6.9, 30.9, 23.5)  # the study's unit of an odds ratio [D-HAPO-01, 03, 05]
FASTING_CATEGORIES = (75.0, 80.0, 85.0, 90.0, 95.0, 100.0)  # lower bounds of 2-7 [D-HAPO-09]
ONE_HOUR_CATEGORIES = (106.0, 133.0, 156.0, 172.0, 194.0, 212.0)  # [D-HAPO-10]
TWO_HOUR_CATEGORIES = (91.0, 109.0, 126.0, 140.0, 158.0, 178.0)  # [D-HAPO-11]
#: BMI at the test 27.7 (SD 5.1), about 24.5 before pregnancy; parity and age of the cohort [HAPO 2008, RECALLED]
WHO = Who(ln_bmi=(3.19, 0.19), age_y=(29.2, 5.8), nulliparous=0.48, smoking=0.07, hypertension=0.06)


def simulate(
    population: Population, n: int, seed: int = 2, who: Who = WHO, *, followed: bool = True
) -> Arrays:
    """followed : to birth; without, the test alone."""

    def look(women: Women, lanes: Lanes) -> Arrays:
        G, insulin = tolerance_test(
            population.prior,
            population.numbers,
            lanes,
            WEEK,
            women.test_day[0],
            75.0,
            (0.0, 30.0, 60.0, 120.0),
        )
        tested = {"test": np.asarray(G) * (1.0 + ASSAY_CV * women.reading[:4]), "insulin": insulin}
        if not followed:
            return tested
        weeks = pregnancy(population.prior, population.numbers, lanes, Arm(), False)
        born = births(women, weeks, population.standard)
        gain, sd = (float(beside(population.numbers, f"measure.cord_{k}")) for k in ("gain", "ln_sd"))
        born["fetal_insulin"] = gain * born["fetal_insulin"] + sd * women.reading[9]
        return tested | born

    return gather(population, seed, n, look, who)


def simulate_tests(population: Population, n: int) -> Arrays:
    return simulate(population, n, followed=False)


def _blinded(glucose: np.ndarray) -> np.ndarray:
    return np.asarray((glucose[0] <= BLINDED_FASTING) & (glucose[2] <= BLINDED_2H))


def statistics_tests(c: Arrays) -> dict[str, tuple[float, ...]]:
    glucose = np.round(c["test"][[0, 2, 3]])
    seen = glucose[:, _blinded(glucose)]
    return {
        **{f"A-OGTT-0{i + 1}": (float(seen[i].mean()), float(seen[i].std())) for i in range(3)},
        "B-DX-04": (100.0 * float(meets_iadpsg(glucose).mean()),),
    }


def statistics(c: Arrays) -> dict[str, tuple[float, ...]]:
    tested = statistics_tests(c)
    glucose = np.round(c["test"][[0, 2, 3]])
    blinded = _blinded(glucose)
    c = {k: v[..., blinded] for k, v in c.items()}
    glucose = glucose[:, blinded]
    parous, boy = c["parity"] > 0, c["male"]
    adjust = (c["bmi"], c["height_cm"], c["age_y"], parous)
    day, weight = c["birth_day"], c["birth_weight_g"]
    large = above_own_centile(weight, day, 0.9, boy, parous)
    insulin = c["fetal_insulin"] > np.quantile(c["fetal_insulin"], 0.9)
    fat = c["fat_share"] > np.quantile(c["fat_share"], 0.9)
    z = standardised(weight, day, boy, parous)
    zi = (c["fetal_insulin"] - c["fetal_insulin"].mean()) / c["fetal_insulin"].std()
    per_sd = [glucose[i] / SD_MG_DL[i] for i in range(3)]

    def each(outcome: np.ndarray) -> list[float]:
        return [odds_ratio(outcome, x, *adjust) for x in per_sd]

    def shift(outcome: np.ndarray, x: np.ndarray) -> float:
        X = np.column_stack([np.ones(len(x)), x, *adjust]).astype(float)
        return float(np.linalg.lstsq(X, outcome, rcond=None)[0][1])

    category = np.searchsorted(FASTING_CATEGORIES, glucose[0], side="right")
    rate = [100.0 * float(large[category == k].mean()) for k in (0, 6)]
    insulin_rate = [100.0 * float(insulin[category == k].mean()) for k in (0, 6)]
    ends = [float(z[category == k].mean()) for k in (0, 6)]
    heavier = []
    for i, bounds in enumerate((FASTING_CATEGORIES, ONE_HOUR_CATEGORIES, TWO_HOUR_CATEGORIES)):
        k = np.searchsorted(bounds, glucose[i], side="right")
        ends_only = (k == 0) | (k == 6)
        X = np.column_stack([np.ones(len(k)), k == 6, *adjust, boy, day])[ends_only].astype(float)
        heavier.append(float(np.linalg.lstsq(X, weight[ends_only], rcond=None)[0][1]))
    by_category = tuple(100.0 * float(large[category == k].mean()) for k in range(7))
    OR, ORI, ORF = each(large), each(insulin), each(fat)
    week = day / 7.0
    return tested | {
        "D-HAPO-01": (OR[0],),
        "D-HAPO-02": (ORI[0],),
        "D-HAPO-03": (OR[1],),
        "D-HAPO-04": (ORI[1],),
        "D-HAPO-05": (OR[2],),
        "D-HAPO-06": (ORI[2],),
        "D-HAPO-07": (rate[0], rate[1]),
        "D-HAPO-08": (insulin_rate[0], insulin_rate[1]),
        "D-HAPO-12": (min(heavier), max(heavier)),
        "D-HAPO-13": (float(weight.mean()), float(weight.std()), float(week.mean()), float(week.std())),
        "D-HAPO-14": (shift(z, per_sd[0]), shift(z, per_sd[1])),
        "D-HAPO-15": (ends[1] - ends[0],),
        "D-HAPO-16": (shift(zi, per_sd[0]),),
        "D-HAPO-17": (ORF[0], ORF[1], ORF[2]),
        "D-HAPO-18": (OR[0], OR[1], OR[2]),
        "D-HAPO-19": (ORI[0], ORI[1], ORI[2]),
        "_lga_by_fasting": by_category,
        "_ogtt_mean": tuple(float(x) for x in np.asarray(c["test"]).mean(axis=1)),
        "_ogtt_sd": tuple(float(x) for x in np.asarray(c["test"]).std(axis=1)),
        "_insulin_mean": tuple(float(x) for x in np.asarray(c["insulin"]).mean(axis=1)),
    }
