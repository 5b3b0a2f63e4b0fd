"""Pregnancy against before it: insulin sensitivity, first phase, production and fasting values by week."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Array

from cohorts.population.engine import Lanes, fasting, first_phase, tolerance_test
from cohorts.population.numbers import beside
from cohorts.population.population import Arrays, Population, gather
from cohorts.population.women import Women
from twin.physiology.parameters import MaternalParams

WEEKS = (0.0, 6.0, 10.0, 11.0, 13.0, 14.0, 28.0, 30.0, 31.0, 32.0, 34.0, 35.0, 39.0)
UUML_TO_PMOL = 6.0
MG_TO_UMOL = 1000.0 / 180.156
MMOL = 18.0156


def simulate(population: Population, n: int, seed: int = 1) -> Arrays:
    def look(women: Women, lanes: Lanes) -> Arrays:
        found = fasting(population.prior, population.numbers, lanes, WEEKS)
        p = found.params
        G, _ = tolerance_test(
            population.prior,
            population.numbers,
            lanes,
            28.0,
            women.test_day[0],
            75.0,
            (0.0, 60.0, 120.0),
        )
        return {
            "S_I": p.S_I,
            "first_phase": first_phase(p),
            "produced": produced(p, found.G, found.I, beside(population.numbers, "measure.held_back")),
            "U_fp": p.U_fp,
            "kg": np.asarray(women.weight_kg(np.array(WEEKS))),
            "G": found.G,
            "I": found.I,
            "test": G,
            "routine": np.full(len(women), float(beside(population.numbers, "measure.routine_plasma"))),
            **{name: getattr(p, name)[0] for name in ("VG", "n", "p2", "E_G0", "T_s")},
        }

    return gather(population, seed, n, look)


def statistics(c: Arrays) -> dict[str, tuple[float, ...]]:
    at = {w: i for i, w in enumerate(WEEKS)}
    gdm = meets_iadpsg(c["test"])
    lean, obese = c["bmi"] < 25.0, c["bmi"] >= 30.0

    def cv(x: np.ndarray) -> float:
        return float(x.std() / x.mean())

    def ratio(name: str, week: float, to: float, here: np.ndarray | None = None) -> float:
        of = slice(None) if here is None else here
        return float(c[name][at[week]][of].mean() / c[name][at[to]][of].mean())

    S, FP = c["S_I"], c["first_phase"]
    rises = [ratio("S_I", w, 0.0) * ratio("first_phase", w, 0.0) for w in (13.0, 35.0)]
    index = S[at[34.0]] * FP[at[34.0]]
    heavy = gdm & (c["bmi"] > 28.0) & (c["bmi"] < 36.0)
    usual = ~gdm & (c["bmi"] > 24.0) & (c["bmi"] < 32.0)
    G, I = c["G"], c["I"]
    routine = float(c["routine"][0])
    before = routine * float(np.median(G[at[0.0]]))
    effectiveness = c["E_G0"] + S[at[0.0]] * I[at[0.0]]  # with what fasting insulin does
    groups = (lean, (c["bmi"] >= 25.0) & (c["bmi"] <= 30.0), c["bmi"] > 30.0)
    total = c["produced"] * c["kg"]  # mg/min, as the clamp studies count it
    rise = 100.0 * float(total[at[35.0]].mean() / total[at[0.0]].mean() - 1.0)
    uptake = c["U_fp"][at[39.0]] * c["kg"][at[39.0]] * MG_TO_UMOL
    return {
        "A-SI-01": (cv(S[at[0.0]]),),
        "A-SI-02": (ratio("S_I", 13.0, 0.0), cv(S[at[13.0]])),
        "A-SI-03": (ratio("S_I", 35.0, 0.0), cv(S[at[35.0]])),
        "A-SI-04": (ratio("S_I", 34.0, 0.0, ~gdm),),
        "A-SI-05": (float(S[at[34.0]][gdm].mean() / S[at[34.0]][~gdm].mean()),),
        "A-SI-06": (100.0 * (ratio("S_I", 35.0, 0.0, ~gdm) - 1.0),),
        "A-SI-07": (100.0 * (ratio("S_I", 35.0, 0.0, ~gdm & lean) - 1.0),),
        "A-SI-08": (100.0 * (ratio("S_I", 35.0, 0.0, obese) - 1.0),),
        "A-SI-10": (float(S[at[32.0]][heavy].mean() / S[at[32.0]][usual].mean()),),
        "A-SI-11": (cv(S[at[14.0]]),),
        "A-SI-12": (ratio("S_I", 30.0, 14.0),),
        "A-SI-13": (cv(S[at[14.0]]),),
        "A-SI-14": (ratio("S_I", 30.0, 14.0),),
        "A-IS-01": (cv(FP[at[0.0]]),),
        "A-IS-02": (ratio("first_phase", 13.0, 0.0), cv(FP[at[13.0]])),
        "A-IS-03": (ratio("first_phase", 35.0, 0.0), cv(FP[at[35.0]])),
        "A-IS-04": (ratio("first_phase", 34.0, 0.0, ~gdm),),
        "A-IS-06": (100.0 * ratio("first_phase", 35.0, 0.0, ~gdm),),
        "A-IS-07": (rises[0], rises[1]),
        "A-IS-09": (100.0 * float(index[gdm].mean() / index[~gdm].mean() - 1.0),),
        "A-EGP-01": (rise,),
        "A-EGP-02": (rise,),
        "A-EGP-04": (ratio("produced", 30.0, 14.0),),
        "A-EGP-05": (
            float(
                (c["produced"] * I)[at[30.0]].mean() / (c["produced"] * I)[at[14.0]].mean(),
            ),
        ),
        "A-FPG-01": (before, *(routine * float(np.median(G[at[w]])) - before for w in (11.0, 34.0))),
        "A-FPG-03": (float((G[at[10.0]] - G[at[6.0]])[c["bmi"] < 30.0].mean()),),
        "A-FPG-04": (float((G[at[11.0]] - G[at[0.0]]).mean() / MMOL),),
        "A-FPG-05": (float((G[at[28.0]] - G[at[0.0]]).mean() / MMOL),),
        "A-FPG-06": tuple(float(G[at[31.0]][g].mean() / MMOL) for g in groups),
        "A-FI-01": tuple(float(I[at[31.0]][g].mean() * UUML_TO_PMOL) for g in groups),
        "A-MM-01": (float(np.median(S[at[0.0]])), cv(S[at[0.0]])),
        "A-MM-02": (float(np.median(S[at[34.0]][~gdm])), cv(S[at[34.0]][~gdm])),
        "A-MM-03": (float(np.median(effectiveness)), cv(effectiveness)),
        "A-MM-04": (float(np.median(c["p2"])), cv(c["p2"])),
        "A-MM-05": (float(np.median(c["VG"])), cv(c["VG"])),
        "A-MM-06": (float(np.median(c["n"])), cv(c["n"])),
        "A-MM-09": (float(np.median(c["T_s"])),),
        "C-PL-05": (float(np.median(uptake)),),
    }


def produced(p: MaternalParams, G: Array, I: Array, held_back: Any) -> Array:
    """Fasting production as tracers measure it, mg/kg/min: the model's R0 is production without insulin; a share of
    what insulin does is to hold production back."""
    return p.R0 - held_back * p.S_I * I * G * p.VG


def meets_iadpsg(test: np.ndarray) -> np.ndarray:
    """75 g test, 0/60/120 min, mg/dL, as reported in whole numbers [B-DX-01]."""
    whole = np.round(test)
    return np.asarray((whole[0] >= 92.0) | (whole[1] >= 180.0) | (whole[2] >= 153.0))
