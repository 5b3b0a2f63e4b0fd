"""Women with gestational diabetes under care: treatment trials, cohorts of treated women, and those left untreated.

Every woman is followed under several arms with the same noise, so that arms differ by treatment alone; a trial's own
difference between groups of its size is wider, which its band already says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cohorts.evidence.designs.course import meets_iadpsg
from cohorts.evidence.statistics import flag_difference, odds_ratio, slope
from cohorts.population.birth import births, induced
from cohorts.population.engine import Arm, Lanes, pregnancy, subset, tolerance_test
from cohorts.population.numbers import beside
from cohorts.population.population import Arrays, Population, gather
from cohorts.population.women import Women
from twin.forecast.delivery import LAST_DAY_DIET, LAST_DAY_DRUG

MMOL = 18.0156
TEST_WEEK, START_WEEK, EARLY_WEEK = 26.0, 28.0, 17.0
LIMITS_100 = np.array([95.0, 180.0, 155.0, 140.0])[:, None]
METFORMIN_MG = 2000.0
FEW = 512  # women of a block with a diagnosis, padded up to a multiple
NEEDED_U = 1.0  # insulin a day from which a woman counts as on insulin
GLUCOSE_ROW = {32.0: 12, 38.0: 18, 36.0: 16, 31.0: 11}  # of weeks.read: week 20.5 is row 0


def _outcome(women: Women, weeks: Any, standard: str, last_day: Any) -> Arrays:
    born = births(women, weeks, standard, last_day)
    read = np.asarray(weeks.read)
    units = np.asarray(weeks.insulin_U)
    return {
        **born,
        "fasting_32": read[0, GLUCOSE_ROW[32.0]],
        "fasting_38": read[0, GLUCOSE_ROW[38.0]],
        "after_36": read[1:, GLUCOSE_ROW[36.0]].mean(axis=0),
        "mean_31": np.asarray(weeks.mean)[GLUCOSE_ROW[31.0]],
        "night_31": read[0, GLUCOSE_ROW[31.0]],
        "fasting_mean": read[0, 9:17].mean(axis=0),
        "most_units": units[:18].max(axis=0),
        "units_36": units[GLUCOSE_ROW[36.0]],
    }


def _registered(arm: str, women: Women, weeks: Any, standard: str, gdm: bool) -> Arrays:
    """Births as they are registered in the US: of cohorts there, not of trials with a last day. gdm : known and cared
    for."""
    born = births(women, weeks, standard, gestational_diabetes=float(gdm), initiated=True)
    return {f"us_{arm}.{k}": born[k] for k in ("birth_day", "birth_weight_g")}


def simulate(population: Population, n: int, seed: int = 5) -> Arrays:
    prior, numbers = population.prior, population.numbers
    per_kg = {(e.target, e.covariate): e.value for e in prior.effects}["growth", "gain"]
    per_kg = numbers.get("effect.growth.gain", per_kg)
    diet = beside(numbers, "care.diet")
    advised = per_kg * beside(numbers, "care.diet_gain_kg")
    lighter = per_kg * beside(numbers, "care.metformin_gain_kg")
    arms = {
        "none": (Arm(), False, 287),
        "diet": (Arm(START_WEEK, carbohydrate=diet, growth=advised), False, LAST_DAY_DIET),
        "insulin": (Arm(START_WEEK, carbohydrate=diet, growth=advised, insulin=1.0), True, LAST_DAY_DIET),
        "metformin": (
            Arm(
                START_WEEK,
                carbohydrate=diet,
                growth=advised + lighter,
                insulin=1.0,
                metformin_mg=METFORMIN_MG,
            ),
            True,
            LAST_DAY_DRUG,
        ),
        "early": (Arm(EARLY_WEEK, carbohydrate=diet, growth=advised, insulin=1.0), True, LAST_DAY_DIET),
    }

    def look(women: Women, lanes: Lanes) -> Arrays:
        def test(load: float, minutes: tuple[float, ...], day: int) -> np.ndarray:
            G, _ = tolerance_test(
                prior, numbers, lanes, TEST_WEEK, women.test_day[day], load, minutes
            )  # fmt: skip
            return np.asarray(G) * (1.0 + 0.02 * women.reading[: len(minutes)])

        found: Arrays = {
            "test_75": test(75.0, (0.0, 60.0, 120.0), 0),
            "test_50": test(50.0, (60.0,), 1),
            "test_100": test(100.0, (0.0, 60.0, 120.0, 180.0), 2),
        }
        for name, (arm, drugs, last_day) in arms.items():
            if not drugs:
                weeks = pregnancy(prior, numbers, lanes, arm, drugs)
                found |= {
                    f"{name}.{k}": v for k, v in _outcome(women, weeks, population.standard, last_day).items()
                }
                found |= _registered(name, women, weeks, population.standard, name != "none")
                if name == "none":
                    found["none.induced"] = induced(women, weeks, population.standard, False)
        # drugs take eight times as long: only women with a diagnosis
        sick = (
            meets_iadpsg(found["test_75"])
            | carpenter_coustan(found["test_100"])
            | (found["test_75"][2] >= 139.5)
        )
        some, few = women.some(sick, FEW), subset(lanes, women.places(sick, FEW))
        for name, (arm, drugs, last_day) in arms.items():
            if drugs:
                weeks = pregnancy(prior, numbers, few, arm, drugs)
                outcome = _outcome(some, weeks, population.standard, last_day)
                outcome["induced"] = induced(some, weeks, population.standard, True)
                named = {f"{name}.{k}": v for k, v in outcome.items()}
                if name == "insulin":
                    named |= _registered(name, some, weeks, population.standard, True)
                for k, v in named.items():
                    every = np.full(len(women), np.nan)
                    every[sick] = v[: int(sick.sum())]
                    found[k] = every
        gain_eta = beside(numbers, "measure.cord_gain")
        return found | {"eta": np.full(len(women), float(gain_eta))}

    return gather(population, seed, n, look)


def carpenter_coustan(test_100: np.ndarray) -> np.ndarray:
    """Two of four [B-DX-02, RECALLED]."""
    return np.asarray((np.round(test_100) >= LIMITS_100).sum(axis=0) >= 2)


def statistics(c: Arrays) -> dict[str, tuple[float, ...]]:
    iadpsg = meets_iadpsg(c["test_75"])
    fasting, after_2h = np.round(c["test_75"][0]), np.round(c["test_75"][2])
    two_step = carpenter_coustan(c["test_100"]) & (np.round(c["test_50"][0]) >= 140.0)
    # the label: P90 of untreated women without GDM, by week, sex and parity
    z, cut = _labels(c, ~iadpsg & ~two_step)

    def w(arm: str, who: np.ndarray) -> np.ndarray:
        return c[f"{arm}.birth_weight_g"][who]

    def large(arm: str, who: np.ndarray) -> float:
        return 100.0 * float((z[arm][who] > cut).mean())

    def over(arm: str, who: np.ndarray, g: float = 4000.0) -> float:
        return 100.0 * float((w(arm, who) > g).mean())

    def arm_mean(name: str, arm: str, who: np.ndarray) -> float:
        return float(c[f"{arm}.{name}"][who].mean())

    normal = ~iadpsg & ~two_step
    mild = (fasting < 126.0) & (after_2h >= 140.0) & (after_2h <= 198.0)
    untreated = iadpsg & ~two_step
    needs_drug = iadpsg & (c["insulin.most_units"] > NEEDED_U)
    kjos = two_step & (fasting >= 100.0) & (fasting <= 125.0)
    obese, heavy = c["bmi"] >= 30.0, c["bmi"] >= 25.0
    lean = (c["bmi"] >= 18.5) & ~heavy
    on_insulin = {a: c[f"{a}.most_units"][iadpsg] > NEEDED_U for a in ("insulin", "metformin")}
    dose = {a: float(c[f"{a}.units_36"][iadpsg][on_insulin[a]].mean()) for a in on_insulin}
    share = {a: 100.0 * float(on_insulin[a].mean()) for a in on_insulin}
    fat = {a: c[f"{a}.fat_share"] * c[f"{a}.birth_weight_g"] for a in ("none", "insulin")}
    lean_mass = {a: (1.0 - c[f"{a}.fat_share"]) * c[f"{a}.birth_weight_g"] for a in ("early", "insulin")}
    igt = ((np.round(c["test_100"]) >= LIMITS_100).sum(axis=0) == 1) & (np.round(c["test_50"][0]) >= 140.0)
    is_large = z["insulin"] > cut
    law = two_step
    gain = c["extra_gain_kg"]
    third = [np.quantile(gain[two_step], q) for q in (1 / 3, 2 / 3)]
    groups = [
        two_step & (gain > third[1]),
        two_step & (gain > third[0]) & (gain <= third[1]),
        two_step & (gain <= third[0]),
    ]
    late = c["none.mean_31"]
    no_gdm_obese = obese & normal
    top = late > np.quantile(late[no_gdm_obese], 0.70)
    large_none, large_care = z["none"] > cut, z["insulin"] > cut
    large_us = z["us_none"] > cut
    base = float(large_us[lean & ~iadpsg].mean())
    extra = float((large_us[heavy & ~iadpsg].astype(float) - base).sum()) / max(float(large_us.sum()), 1.0)

    def versus(name: str, a: str, b: str, who: np.ndarray) -> float:
        return arm_mean(name, a, who) - arm_mean(name, b, who)

    registry = np.where(two_step, large_care, large_none)
    or_gdm = odds_ratio(registry[lean], two_step[lean], c["age_y"][lean], c["parity"][lean] > 0)
    or_heavy = odds_ratio(
        registry[~two_step], heavy[~two_step], c["age_y"][~two_step], c["parity"][~two_step] > 0
    )
    return {
        "A-PK-08": (dose["insulin"], dose["metformin"]),
        "D-ACH-01": (
            float(w("none", mild).mean()),
            float(w("insulin", mild).mean() - w("none", mild).mean()),
        ),
        "D-ACH-02": (large("insulin", mild), large("none", mild), over("insulin", mild), over("none", mild)),
        "D-ACH-03": (
            100.0 * arm_mean("induced", "insulin", mild),
            100.0 * arm_mean("induced", "none", mild),
        ),
        "D-EME-01": (versus("fasting_32", "metformin", "insulin", iadpsg) / MMOL,),
        "D-EME-02": (versus("fasting_38", "metformin", "insulin", iadpsg) / MMOL,),
        "D-EME-03": (share["insulin"], share["metformin"] / max(share["insulin"], 1e-6)),
        "D-EME-05": (
            float(w("insulin", iadpsg).mean()),
            float(w("metformin", iadpsg).mean() - w("insulin", iadpsg).mean()),
            over("metformin", iadpsg),
            over("insulin", iadpsg),
            large("metformin", iadpsg),
            large("insulin", iadpsg),
        ),
        "D-MET-01": (versus("after_36", "metformin", "insulin", needs_drug),),
        "D-MET-02": (
            float(w("metformin", needs_drug).mean() - w("insulin", needs_drug).mean()),
            large("metformin", needs_drug),
            large("insulin", needs_drug),
        ),
        "D-KJO-01": (
            float(w("us_insulin", kjos).mean()),
            float(w("us_diet", kjos).mean()),
            large("us_insulin", kjos),
            large("us_diet", kjos),
        ),
        "D-BER-01": (
            float(w("us_insulin", two_step).mean()),
            float(w("us_insulin", two_step).std()),
            large("us_insulin", two_step),
            *(float(w("us_insulin", g).mean()) for g in groups),
        ),
        "D-ETH-01": (
            float(w("us_none", normal).mean()),
            float(w("us_none", untreated).mean() - w("us_none", normal).mean()),
        ),
        "D-ETH-02": (large("us_none", normal), large("us_none", untreated) / large("us_none", normal)),
        "D-ETH-03": (float(z["us_none"][untreated].mean() - z["us_none"][normal].mean()),),
        "D-ETH-04": (large("us_insulin", two_step), float(w("us_insulin", two_step).mean())),
        "D-BLK-01": (100.0 * float(iadpsg.mean()), 100.0 * float(heavy[iadpsg].mean()), 100.0 * extra),
        "D-US-01": (
            large("us_none", ~iadpsg & lean),
            large("us_none", ~iadpsg & obese),
            large("us_insulin", iadpsg & lean),
            large("us_insulin", iadpsg & obese),
        ),
        "D-SWE-01": (or_gdm, or_heavy),
        "C-BC-05": (
            float(fat["none"][normal].mean()),
            float(fat["insulin"][two_step].mean() - fat["none"][normal].mean()),
        ),
        "C-BC-06": (
            float(w("none", normal).mean()),
            float(w("insulin", two_step).mean() - w("none", normal).mean()),
        ),
        "C-BC-07": (
            float((w("none", normal) - fat["none"][normal]).mean()),
            float(
                (w("insulin", two_step) - fat["insulin"][two_step]).mean()
                - (w("none", normal) - fat["none"][normal]).mean()
            ),
        ),
        "C-BC-08": (
            0.1
            * MMOL
            * slope(
                100.0 * c["insulin.fat_share"][two_step & c["male"]],
                c["insulin.fasting_mean"][two_step & c["male"]],
            ),
        ),
        "B-GDM-01": _law(c, law, is_large, "mean_31"),
        "B-GDM-02": _law(c, law, is_large, "night_31"),
        "D-LAW-01": (_law(c, law, is_large, "mean_31")[1],),
        "D-LPD-01": (
            float(w("none", no_gdm_obese & top).mean() - w("none", no_gdm_obese & ~top).mean()),
            float(w("none", no_gdm_obese & ~top).mean()),
        ),
        "D-TOB-01": (float((lean_mass["early"] - lean_mass["insulin"])[iadpsg].mean() / 1000.0),),
        "C-FI-02": tuple(
            float(
                np.exp(
                    c["eta"][0]
                    * (c[f"{a}.fetal_insulin"][g].mean() - c["none.fetal_insulin"][~igt & ~two_step].mean())
                )
            )
            for a, g in (("none", igt), ("insulin", two_step))
        ),
        "US-GDM": (_flagged(c, two_step),),
        "_us_gdm_on_insulin": (100.0 * float((c["insulin.most_units"][two_step] > NEEDED_U).mean()),),
        "D-PRE-01": (over("none", two_step),),
        "C-FI-01": (
            float(
                np.exp(
                    c["eta"][0]
                    * (
                        np.median(c["insulin.fetal_insulin"][two_step])
                        - np.median(c["none.fetal_insulin"][normal])
                    )
                )
            ),
        ),
    }


def _flagged(c: Arrays, flag: np.ndarray) -> float:
    """Birth weight of women with the diagnosis, treated, less that of the others, g, at equal week, sex, BMI, parity
    and hypertension."""
    week = np.floor(np.where(flag, c["us_insulin.birth_day"], c["us_none.birth_day"]) / 7.0)
    weight = np.where(flag, c["us_insulin.birth_weight_g"], c["us_none.birth_weight_g"])
    return flag_difference(weight, week, flag, c["male"], c["bmi"], c["parity"] > 0, c["hypertension"])


def _law(c: Arrays, who: np.ndarray, is_large: np.ndarray, name: str) -> tuple[float, float]:
    x = c[f"insulin.{name}"] / MMOL
    usual = float(x[who & ~is_large].mean())
    return usual, float(x[who & is_large].mean()) - usual


def _labels(c: Arrays, normal: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    """z of ln birth weight by week, sex and parity of normal women, under every arm; and their own P90."""
    arms = ("none", "diet", "insulin", "metformin", "early", "us_none", "us_diet", "us_insulin")

    def columns(arm: str) -> np.ndarray:
        week = c[f"{arm}.birth_day"] / 7.0 - 39.5
        return np.column_stack([np.ones(len(week)), week, week**2, c["male"], c["parity"] > 0]).astype(float)

    y = np.log(c["none.birth_weight_g"][normal])
    X = columns("none")[normal]
    b = np.linalg.lstsq(X, y, rcond=None)[0]
    sd = float((y - X @ b).std())
    z = {a: (np.log(c[f"{a}.birth_weight_g"]) - columns(a) @ b) / sd for a in arms}
    return z, float(np.quantile(z["none"][normal], 0.9))
