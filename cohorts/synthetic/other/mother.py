"""The mother of the other generator: Dalla Man's parameters between the normal and the type 2 column, and what
pregnancy does to them by the week.

Between-person spread follows the A-DM-CV rows, narrowed by one factor; pregnancy runs in straight lines through the
measured weeks, and each line is scaled per woman. Numbers marked "tuned" were set by hand so that the cohort's
tolerance tests resemble HAPO's [A-OGTT-01..03]; docs/model/other_generator.md gives what came out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cohorts.synthetic.other.meal_model import Body, Floats, extraction

#: rows A-DM-N-<name>, and A-DM-T2-<name>; Vm0 and kp1 follow from the basal state instead, as in the paper
NORMAL: Mapping[str, float] = {
    "VG": 1.88, "k1": 0.065, "k2": 0.079, "VI": 0.05, "m1": 0.19, "m2": 0.484, "m4": 0.194, "m5": 0.0304,
    "m6": 0.6471, "kmax": 0.0558, "kmin": 0.008, "kabs": 0.057, "f": 0.90, "b": 0.82, "d": 0.01, "kp2": 0.0021,
    "kp3": 0.009, "kp4": 0.0618, "ki": 0.0079, "Fcns": 1.0, "Vmx": 0.047, "Km0": 225.59, "p2U": 0.0331, "K": 2.3,
    "alpha": 0.05, "beta": 0.11, "gamma": 0.5, "ke1": 0.0005, "ke2": 339.0,
}  # fmt: skip
TYPE_2: Mapping[str, float] = {
    "VG": 1.49, "k1": 0.042, "k2": 0.071, "VI": 0.04, "m1": 0.379, "m2": 0.673, "m4": 0.269, "m5": 0.0526,
    "m6": 0.8118, "kmax": 0.0465, "kmin": 0.0076, "kabs": 0.023, "f": 0.90, "b": 0.68, "d": 0.09, "kp2": 0.0007,
    "kp3": 0.005, "kp4": 0.0786, "ki": 0.0066, "Fcns": 1.0, "Vmx": 0.034, "Km0": 466.21, "p2U": 0.084, "K": 0.99,
    "alpha": 0.013, "beta": 0.05, "gamma": 0.5, "ke1": 0.0007, "ke2": 269.0,
}  # fmt: skip
#: the paper's own Vm0 and kp1 of the two columns, for its own subjects (A-DM-N-Vm0, A-DM-N-kp1, A-DM-T2-...)
PAPER_VM0, PAPER_KP1 = (2.5, 4.65), (2.7, 3.09)
#: between-person CV [A-DM-CV-*: ten virtual adults with type 1 diabetes, to be used as a width only]
SPREAD: Mapping[str, float] = {
    "VG": 0.07, "VI": 0.27, "k1": 0.30, "k2": 0.41, "m1": 0.37, "m5": 0.57, "kmax": 0.30, "kmin": 0.55,
    "kabs": 0.98, "b": 0.15, "d": 0.39, "kp2": 0.44, "kp3": 0.59, "ki": 0.49, "Vmx": 0.59, "Km0": 0.09, "p2U": 0.32,
}  # fmt: skip
NARROWED = 0.60  # tuned: share of that ln SD given to each parameter of its own
FASTEST_LIVER = 1.8  # 1/min: insulin leaves the liver no faster, so that steps of a minute are stable
BASAL_GLUCOSE, BASAL_LN_SD = 80.0, 0.055  # mg/dL before pregnancy, lean end [A-FPG-01: median 81]; tuned
BASAL_GLUCOSE_T2_RATIO = (
    1.79  # fasting of the type 2 column over the normal one (170 and 95 mg/dL, from the equations)
)
BASAL_INSULIN, BASAL_INSULIN_LN_SD = 25.0, 0.20  # pmol/L [A-DM-N-Ib]; spread assumed
INSULIN_PER_LN_SENSITIVITY = -0.6  # assumed: fasting insulin stands for sensitivity
BASAL_EGP, BASAL_EGP_CV = 1.90, 0.13  # mg/kg/min: the normal column's fasting state; CV [A-DM-CV-EGPb]
MIXTURE_LOGIT = (-2.4, 0.05, 0.9)  # tuned: type 2 share at BMI 27, per kg/m2, SD between women
MEDIAN_MIXTURE = round(float(1.0 / (1.0 + np.exp(-MIXTURE_LOGIT[0]))), 2)
SENSITIVITY_PER_BMI = -0.04  # ln per kg/m2; fasting insulin 23/33/50 pmol/L over BMI classes [A-FI-01]
SENSITIVITY_LN_SD = 0.40  # tuned; women with T1D spread by 45 % [A-SI-11]
SECRETION_PER_LN_SENSITIVITY = -0.60  # tuned; near MODEL 1.2's -0.55
SECRETION_LN_SD, DYNAMIC_LN_SD = 0.25, 0.60  # tuned
SECRETION_LEVEL, DYNAMIC_LEVEL = 0.95, 1.3  # tuned: beta and K of young women over the normal column
MIDDLE_BMI, LARGEST_BMI = 27.0, 45.0
#: weeks of the measurements: before pregnancy, 12-14, 34-36 [A-SI-01..03, A-IS-01..03]; level after (assumed)
WEEKS = (0.0, 13.0, 35.0)
EARLY_SENSITIVITY, EARLY_SENSITIVITY_SD = 0.20, 0.15  # [A-SI-01, A-SI-02]; SD [MODEL 1.3]
LATE_FALL, LATE_FALL_SD = 0.47, 0.08  # between the pooled 40 and lean 56 % [A-SI-03, A-SI-06..08]; SD assumed
LATE_FALL_PER_BMI = -0.0075  # lean -56, obese -47 % [A-SI-07, A-SI-08] over about 12 kg/m2
EARLY_SECRETION, LATE_SECRETION = 0.55, 0.99  # [A-IS-01..03]
SECRETION_RISE_LN_SD = 0.35  # assumed
EGP_RISE = 0.20  # of basal production by week 35 [A-EGP-01, A-EGP-02: +15 to +30 %]
UPTAKE_MG_MIN = 21.1  # 117.1 umol/min at term [C-PL-05]
UPTAKE_LN_SD = 0.40  # [MODEL 1.2: 50 %], assumed narrower
TAU_IG_MIN, TAU_IG_LN_SD = 6.0, 0.35  # [A-CGM-08; MODEL 1.5]

#: every standard normal a woman's traits are made of
TRAITS = (
    *(f"own_{name}" for name in SPREAD),
    "mixture", "sensitivity", "basal_glucose", "basal_insulin", "basal_production", "secretion", "dynamic",
    "early_sensitivity", "late_fall", "secretion_rise", "uptake", "tau_IG",
)  # fmt: skip


class Mothers(NamedTuple):
    """Women before pregnancy, and the lines of their pregnancy; every field (woman,)."""

    body: Body
    basal_production: Floats  # mg/kg/min
    mixture: Floats  # 0 normal column, 1 type 2 column
    sensitivity: Floats  # factor on Vmx and kp3 already in `body`
    early_sensitivity: Floats
    late_fall: Floats
    secretion_rise: Floats
    uptake: Floats


def ln_sd(cv: float) -> float:
    """SD of the logarithm of a log-normal with this CV."""
    return float(np.sqrt(np.log1p(cv * cv)))


def basal_secretion(m: Mapping[str, Floats], I: Floats) -> Floats:
    """Secretion, pmol/kg/min, that holds insulin at I, pmol/L: the fasting balance of liver and plasma."""
    body = Body(**{name: m.get(name, np.zeros_like(I)) for name in Body._fields})
    Ip = I * m["VI"]
    S = np.full_like(I, 1.5)
    for _ in range(200):
        aim = (m["m2"] + m["m4"]) * Ip / (1.0 - extraction(body, S)) - m["m2"] * Ip
        S = 0.5 * (S + aim)
    return S


def mothers(z: Mapping[str, Floats], bmi: Floats) -> Mothers:
    """Women from their standard normals (`TRAITS`, each (woman,)) and pre-pregnancy BMI, kg/m2."""
    lean = np.minimum(bmi, LARGEST_BMI) - MIDDLE_BMI
    a, b, c = MIXTURE_LOGIT
    u = 1.0 / (1.0 + np.exp(-(a + b * lean + c * z["mixture"])))
    m = {name: NORMAL[name] * (TYPE_2[name] / NORMAL[name]) ** u for name in NORMAL}
    for name, cv in SPREAD.items():
        own = NARROWED * ln_sd(cv) * z[f"own_{name}"]
        if name == "b":  # a share of the load: spread on the logit scale, about the same CV
            odds = m[name] / (1.0 - m[name]) * np.exp(own / (1.0 - m[name]))
            m[name] = np.clip(odds / (1.0 + odds), 0.4, 0.95)
        else:
            m[name] = m[name] * np.exp(own)
    m["m1"] = np.minimum(m["m1"], FASTEST_LIVER * (1.0 - m["m6"]))
    ln_s = SENSITIVITY_PER_BMI * lean + SENSITIVITY_LN_SD * z["sensitivity"]
    s = np.exp(ln_s)
    m["Vmx"], m["kp3"] = m["Vmx"] * s, m["kp3"] * s
    release = np.exp(SECRETION_PER_LN_SENSITIVITY * ln_s + SECRETION_LN_SD * z["secretion"])
    m["beta"] = m["beta"] * SECRETION_LEVEL * release
    m["K"] = m["K"] * DYNAMIC_LEVEL * release * np.exp(DYNAMIC_LN_SD * z["dynamic"])
    G = BASAL_GLUCOSE * BASAL_GLUCOSE_T2_RATIO**u * np.exp(BASAL_LN_SD * z["basal_glucose"])
    I = BASAL_INSULIN * np.exp(INSULIN_PER_LN_SENSITIVITY * ln_s + BASAL_INSULIN_LN_SD * z["basal_insulin"])
    S = basal_secretion(m, I)
    EGP = BASAL_EGP * np.exp(ln_sd(BASAL_EGP_CV) * z["basal_production"])
    EGP = np.maximum(EGP, m["Fcns"] + 0.2)
    Gp = G * m["VG"]
    Gt = (m["Fcns"] - EGP + m["k1"] * Gp) / m["k2"]
    m["Vm0"] = (EGP - m["Fcns"]) * (m["Km0"] + Gt) / Gt
    m["kp1"] = EGP + m["kp2"] * Gp + m["kp3"] * I + m["kp4"] * S / m["gamma"]
    body = Body(
        BW=np.full_like(u, 70.0),
        U_fp=np.zeros_like(u),
        h=G,
        S_h=S,
        I_ref=I,
        tau_IG=TAU_IG_MIN * np.exp(TAU_IG_LN_SD * z["tau_IG"]),
        **m,
    )
    return Mothers(
        body=body,
        basal_production=EGP,
        mixture=u,
        sensitivity=s,
        early_sensitivity=EARLY_SENSITIVITY + EARLY_SENSITIVITY_SD * z["early_sensitivity"],
        late_fall=np.clip(LATE_FALL + LATE_FALL_PER_BMI * lean + LATE_FALL_SD * z["late_fall"], 0.15, 0.75),
        secretion_rise=np.exp(SECRETION_RISE_LN_SD * z["secretion_rise"]),
        uptake=np.exp(UPTAKE_LN_SD * z["uptake"]),
    )


def line(week: Floats, early: Floats | float, late: Floats | float) -> Floats:
    """Straight lines from 0 before pregnancy through `early` at 13 weeks to `late` at 35, level from there."""
    first = np.clip(week / WEEKS[1], 0.0, 1.0)
    second = np.clip((week - WEEKS[1]) / (WEEKS[2] - WEEKS[1]), 0.0, 1.0)
    return early * first * (1.0 - second) + late * second


def sensitivity_ratio(m: Mothers, week: Floats) -> Floats:
    """Vmx and kp3 over their values before pregnancy."""
    return 1.0 + line(week, m.early_sensitivity, -m.late_fall)


def secretion_ratio(m: Mothers, week: Floats) -> Floats:
    """beta, K and S_h over their values before pregnancy."""
    return 1.0 + m.secretion_rise * line(week, EARLY_SECRETION, LATE_SECRETION)


def at_week(m: Mothers, week: Floats, weight_kg: Floats, fetal_weight_ratio: Floats) -> Body:
    """Parameters of gestational weeks. week, weight_kg : (column,), kg. fetal_weight_ratio : fetal weight over the
    population's weight at 40 weeks; uteroplacental uptake is proportional to it."""
    s, c = sensitivity_ratio(m, week), secretion_ratio(m, week)
    return m.body._replace(
        BW=weight_kg,
        Vmx=m.body.Vmx * s,
        kp3=m.body.kp3 * s,
        kp1=m.body.kp1 + m.basal_production * line(week, 0.0, EGP_RISE),
        beta=m.body.beta * c,
        K=m.body.K * c,
        S_h=m.body.S_h * c,
        U_fp=UPTAKE_MG_MIN * m.uptake * fetal_weight_ratio / weight_kg,
    )


def pick(m: Mothers, woman: Floats) -> Mothers:
    """Columns from women: every field indexed by `woman` (integers)."""
    rest = {name: getattr(m, name)[woman] for name in Mothers._fields if name != "body"}
    return Mothers(body=Body(*(x[woman] for x in m.body)), **rest)


def paper_subject(
    type_2: bool = False, weight_kg: float = 78.0, basal: tuple[float, float] = (95.0, 25.0)
) -> Body:
    """The paper's own subject, one column: its table as printed; basal glucose mg/dL and insulin pmol/L."""
    table = TYPE_2 if type_2 else NORMAL
    m = {name: np.array([v]) for name, v in table.items()}
    G, I = (np.array([x]) for x in basal)
    return Body(
        BW=np.array([weight_kg]),
        U_fp=np.zeros(1),
        h=G,
        I_ref=I,
        S_h=basal_secretion(m, I),
        tau_IG=np.array([TAU_IG_MIN]),
        Vm0=np.array([PAPER_VM0[type_2]]),
        kp1=np.array([PAPER_KP1[type_2]]),
        **m,
    )
