"""Random women of the prior: parameters and two days of events, none of them on any grid.

Medians and CVs: MODEL.md sections 1.2 (28 weeks, normal tolerance) and 1.4 (insulin, metformin, exercise).
A third are GDM-like (lower B); half inject insulin, a quarter take metformin, a third walk after meals.
"""

import math

import numpy as np

DAY_MIN = 1440.0
METFORMIN_K_EL = 1.4 * math.log(2.0) / 300.0  # half-life 5 h, clearance x1.4 in pregnancy [A-PK-10,11]
METFORMIN_C50 = 0.55 * 1000.0 / DAY_MIN / METFORMIN_K_EL  # mg: mean amount at 1 g a day (MODEL 1.4)
R0_SLOPE = 0.25 / 36.0  # per week [A-EGP-01,02]

MEDIAN = {
    "BW": 70.0,
    "VG": 1.65,
    "f": 0.90,
    "k_e": 0.025,
    "k_a": 0.057,
    "R0": 2.41,
    "U_fp": 0.12,
    "E_G0": 0.0103,
    "SI": 5.6e-4,
    "p2": 0.025,
    "B": 1.0,
    "sigma": 30.0,
    "h": 4.0,
    "Gs": 156.0,
    "T_s": 10.0,
    "K_d": 6.9,
    "n": 0.16,
    "V_I": 0.10,
    "tau_IG": 6.0,
    "tau": {"rapid": 55.0, "regular": 90.0, "nph": 240.0, "detemir": 360.0, "glargine": 600.0},
    "F": {"rapid": 0.85, "regular": 0.85, "nph": 0.85, "detemir": 0.85, "glargine": 0.85},
    "k_m": 0.5 / 60.0,
    "k_el": METFORMIN_K_EL,
    "F_m": 0.55,
    "C50": METFORMIN_C50,
    "E_max": 0.10,
    "tau_ex": 15.0,
    "tau_slow": 720.0,
    "g_ex": 0.003,
    "s_ex": 0.3,
}
CV = {
    "BW": 0.15,
    "VG": 0.12,
    "f": 0.05,
    "k_e": 0.30,
    "k_a": 0.50,
    "R0": 0.08,
    "U_fp": 0.50,
    "E_G0": 0.10,
    "SI": 0.50,
    "p2": 0.35,
    "Gs": 0.08,
    "T_s": 0.40,
    "K_d": 0.40,
    "n": 0.25,
    "V_I": 0.25,
    "tau_IG": 0.40,
    "k_m": 0.30,
    "k_el": 0.30,
    "F_m": 0.20,
    "C50": 0.30,
    "g_ex": 0.50,
    "s_ex": 0.50,
}
TAU_CV = {"rapid": 0.25, "regular": 0.25, "nph": 0.25, "detemir": 0.25, "glargine": 0.40}
MEALS = ((450.0, 45.0), (600.0, 20.0), (750.0, 60.0), (930.0, 20.0), (1110.0, 55.0), (1260.0, 20.0))
MAIN_MEALS = (0, 2, 4)


def median_woman(**changes):
    """Parameters at the medians of MODEL.md section 1.2, with changes."""
    return {k: dict(v) if isinstance(v, dict) else v for k, v in MEDIAN.items()} | changes


def median_day(grams=220.0, days=1):
    """Six meals a day at the usual hours, `grams` of carbohydrate in all."""
    total = sum(g for _, g in MEALS)
    return {"meals": [(d * DAY_MIN + t, g * grams / total) for d in range(days) for t, g in MEALS]}


def lognormal(rng, median, cv):
    """One draw with this median and coefficient of variation."""
    return median * math.exp(rng.normal(0.0, math.sqrt(math.log1p(cv**2))))


def draw_params(rng):
    """One woman between 28 and 40 weeks."""
    p = median_woman()
    week = rng.uniform(28.0, 40.0)
    p["U_fp"] = 0.12 + 0.16 * (week - 28.0) / 12.0
    p["R0"] *= (1.0 + R0_SLOPE * week) / (1.0 + R0_SLOPE * 28.0)
    for name, cv in CV.items():
        p[name] = lognormal(rng, p[name], cv)
    p["f"] = min(p["f"], 1.0)
    p["B"] = math.exp(-0.55 * math.log(p["SI"] / MEDIAN["SI"]) + rng.normal(0.0, 0.30))
    if rng.random() < 1.0 / 3.0:
        p["B"] *= rng.uniform(0.4, 0.8)
    p["tau"] = {k: lognormal(rng, v, TAU_CV[k]) for k, v in MEDIAN["tau"].items()}
    p["tau"]["rapid"] *= rng.uniform(1.0, 1.3)  # slower late in pregnancy [A-PK-04]
    p["F"] = {k: rng.uniform(0.7, 1.0) for k in MEDIAN["F"]}
    return p


def draw_events(rng, days=2):
    """Meals and treatment of one woman, sorted, at fractional minutes."""
    insulin, metformin, walks = rng.random() < 0.5, rng.random() < 0.25, rng.random() < 1.0 / 3.0
    regular = rng.random() < 0.3
    rapid_u, basal_u = rng.uniform(2.0, 10.0, 3), rng.uniform(6.0, 20.0)
    basal, tablet = str(rng.choice(["nph", "detemir", "glargine"])), float(rng.choice([500.0, 850.0, 1000.0]))
    appetite = lognormal(rng, 1.0, 0.2)
    events = {"meals": [], "doses": [], "tablets": [], "activity": []}
    for day in range(days):
        start = DAY_MIN * day
        times = np.sort(rng.normal([t for t, _ in MEALS], 30.0))
        times = start + np.clip(times, 5.0, DAY_MIN - 5.0)
        grams = [appetite * lognormal(rng, g, 0.25) for _, g in MEALS]
        events["meals"] += [(float(t), g) for t, g in zip(times, grams, strict=True)]
        if insulin:
            for k, units in zip(MAIN_MEALS, rapid_u, strict=True):
                kind = "regular" if regular and k == 4 else "rapid"
                before = max(start, times[k] - rng.uniform(0.0, 20.0))
                events["doses"].append((float(before), float(units), kind))
            events["doses"].append((float(start + rng.uniform(1290.0, 1400.0)), float(basal_u), basal))
        if metformin:
            for k in (0, 4):
                events["tablets"].append((float(times[k] + rng.uniform(0.0, 10.0)), tablet))
        if walks:
            for k in MAIN_MEALS:
                begin = float(times[k] + rng.uniform(10.0, 30.0))
                events["activity"].append((begin, begin + 20.0, float(rng.uniform(0.6, 1.4))))
    return {name: sorted(rows) for name, rows in events.items()}


def draw_women(n, seed):
    """n women: list of (params, events over two days). A larger n keeps the earlier women."""
    women = []
    for child in np.random.SeedSequence(seed).spawn(n):
        rng = np.random.default_rng(child)
        women.append((draw_params(rng), draw_events(rng)))
    return women
