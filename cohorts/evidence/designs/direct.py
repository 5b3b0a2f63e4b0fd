"""What follows from the equations and the prior without a cohort: kinetics, formulas, parameters, weight gain."""

from __future__ import annotations

import numpy as np

from cohorts.population.numbers import beside
from cohorts.population.population import Arrays, Population
from cohorts.population.women import draw
from twin.encode import DATING_SD_DAYS, expected_gain_kg
from twin.growth_standards import bpd_outer_inner_mm, efw_g, reference_weight_g
from twin.physiology.parameters import INSULIN_TAU_MIN, METFORMIN_F, MaternalParams

HALF_LIFE_NOT_PREGNANT_MIN = 300.0  # metformin, of which the prior's elimination is a multiple [A-PK-11]
STANDARDS = ("hadlock1991", "intergrowth21_hadlock_efw", "intergrowth21_efw")


def simulate(population: Population, n: int, seed: int = 8) -> Arrays:
    """Weight gain of n women, and the population's own numbers in every column."""
    women = list(draw(seed, n))
    gain = np.concatenate([expected_gain_kg(np.array([40.0]))[0] + w.extra_gain_kg for w in women])
    bmi = np.concatenate([w.bmi for w in women])
    own = {x.name: x.center for x in population.prior.latents}
    tau = {k: float(population.numbers.get(f"center.{k}", own[k])) for k in ("tau_IG", "tau_rapid")}
    kg = float(beside(population.numbers, "care.metformin_gain_kg"))
    constant = {"tau_IG": tau["tau_IG"], "tau_rapid": tau["tau_rapid"], "metformin_kg": kg}
    return {"gain": gain, "bmi": bmi} | {k: np.full(len(gain), v) for k, v in constant.items()}


def statistics(c: Arrays) -> dict[str, tuple[float, ...]]:
    lean = (c["bmi"] >= 18.5) & (c["bmi"] < 25.0)
    spread = float(np.log(np.maximum(c["gain"][lean] + 8.75, 0.5)).std())
    gain = [float(x) for x in expected_gain_kg(np.array([20.0, 30.0]))]
    hours = np.linspace(0.0, 72.0, 7201)

    def uptake(tau_min: float) -> np.ndarray:
        x = hours * 60.0 / tau_min
        return np.asarray(x * np.exp(-x))

    def peak_h(name: str) -> float:
        return float(hours[np.argmax(uptake(INSULIN_TAU_MIN[name]))])

    taken = np.cumsum(uptake(INSULIN_TAU_MIN["glargine"]))
    rapid = float(c["tau_rapid"][0])
    k_el = float(MaternalParams.reference().k_el)
    at = {"hc_mm": 330.0, "ac_mm": 330.0, "fl_mm": 70.0}

    def elasticity(name: str) -> float:
        up, down = ({**at, name: at[name] * s} for s in (1.001, 0.999))
        return float(np.log(efw_g("hadlock3", **up) / efw_g("hadlock3", **down)) / np.log(1.001 / 0.999))

    return {
        "A-PK-01": (60.0 * peak_h("rapid"),),
        "A-PK-04": (rapid / INSULIN_TAU_MIN["rapid"],),
        "A-PK-05": (peak_h("nph"),),
        "A-PK-06": (peak_h("detemir"),),
        "A-PK-07": (float(hours[np.searchsorted(taken, 0.9 * taken[-1])]),),
        "A-PK-10": ((rise := 100.0 * (k_el * HALF_LIFE_NOT_PREGNANT_MIN / np.log(2.0) - 1.0)), rise),
        "A-PK-11": (float(np.log(2.0) / k_el / 60.0), METFORMIN_F),
        "A-CGM-08": (float(c["tau_IG"][0]),),
        "A-BW-01": (*gain, float(np.median(c["gain"][lean])), spread),
        "C-EFW-08": (elasticity("ac_mm"), elasticity("hc_mm"), elasticity("fl_mm")),
        "C-ERR-06": (
            93.015 - float(bpd_outer_inner_mm(93.015)),
        ),  # an outer-inner diameter of 90 mm, measured outside
        "C-STD-10": tuple(float(reference_weight_g(280.0, standard=s)) for s in STANDARDS),
        "C-ERR-07": (DATING_SD_DAYS,),
        "D-EME-04": (float(c["metformin_kg"][0]),),
    }
