"""The fetus of the other generator: total weight by Richards' growth law, biometry by allometry.

One mass, no lean and fat, no standard times a factor: the fetus grows towards its own asymptote at its own rate,
maternal glucose scales the rate, and what was gained early is partly given back because growth slows with size.
Equations: docs/model/other_generator.md. The fetus is the trailing axis; weeks are true weeks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from twin.growth_standards import biometry_median, weight_median_g

Floats = np.ndarray

START_WEEK, END_WEEK, DAYS = 14, 45, 7
#: Richards' curve through INTERGROWTH-21st's Hadlock weights, 18-41 weeks (within 0.7 %) [C-STD-09]
SHAPE_NU, RATE, MID_WEEK = 0.3793, 0.10205, 37.006
LEVEL_WEIGHT_G, LEVEL_WEEK = 3350.0, 39.43  # the population's centre, as in the prior (docs/model/priors.md)
#: ln SD between fetuses of size, asymptote and rate of approach, and their link. Tuned to the spread of estimated
#: weight (11-12 %) and of birth weight (0.13) [C-STD-01, C-STD-09, C-STD-13]
SIZE_LN_SD, ASYMPTOTE_LN_SD, RATE_LN_SD, ASYMPTOTE_RATE_R = 0.053, 0.14, 0.02, -0.6
#: slow deviation of the rate of ln weight: stationary SD, weeks; tuned to correlations of size over weeks [C-LONG-02]
DEVIATION_SD, DEVIATION_WEEKS = 0.06, 3.5
#: response of the growth rate to ln exposure; tuned so that ln weight at 40 weeks moves 0.36 per ln exposure held
#: from 24 weeks [MODEL 2.2]
GLUCOSE_GAIN = 0.396
GLUCOSE_WEEKS = (22.0, 26.0)  # it opens over these, in a line [D-BIB-01, D-BIB-02]
FASTING_WEIGHT = 0.30  # of ln fasting in ln exposure; the rest is the plain 24-h mean (assumed; MODEL 4.9)
#: ln weight of covariates: sex [C-STD-14], smoking, hypertension [US births 2022, docs/model/priors.md], BMI per
#: kg/m2 and gain per kg [C-BMI-01, C-BMI-02: z times 0.12]; another child than the first, +3 % at term
SEX_LN = {"male": 0.018, "female": -0.018, "": 0.0}
SMOKING_LN, HYPERTENSION_LN = -0.065, -0.030
BMI_LN, GAIN_LN, MIDDLE_BMI, LARGEST_BMI = 0.006, 0.0072, 27.0, 45.0
LATER_CHILD_LN, LATER_CHILD_WEEK = 0.03, 34.0
SHARES = {
    "smoking": 0.06,
    "hypertension": 0.10,
    "later_child": 0.60,
}  # so that effects leave the centre alone
BIRTH_LN_SD = 0.02  # [MODEL 2.3]

MEASURES = ("hc_mm", "ac_mm", "fl_mm", "bpd_mm")
#: allometric exponents of weight: nearer a third than MODEL 2.3's 0.24/0.37/0.28/0.26; Hadlock 3 of them moves 1.05
#: for one [C-EFW-08]
EXPONENT = {"hc_mm": 0.26, "ac_mm": 0.37, "fl_mm": 0.31, "bpd_mm": 0.29}
#: extra for weight that glucose made: abdomen more, head less (assumed sign and size; C-BC-05, B-NORM-14)
GLUCOSE_EXPONENT = {"hc_mm": -0.05, "ac_mm": 0.12, "fl_mm": -0.05, "bpd_mm": -0.05}
#: persistent shape deviations, ln SD [MODEL 2.3], drawn from Student's t with 5 degrees of freedom
SHAPE_LN_SD = {"hc_mm": 0.017, "ac_mm": 0.018, "fl_mm": 0.019, "bpd_mm": 0.023}
SHAPE_DF = 5.0


class Fetuses(NamedTuple):
    """Fields (fetus,)."""

    ln_start: Floats  # ln g at START_WEEK
    ln_asymptote: Floats
    rate: Floats  # 1/week
    late_ln: Floats  # ln weight added between LATER_CHILD_WEEK and 40 weeks
    shape: Floats  # (measure, fetus)


class Course(NamedTuple):
    """By the day from START_WEEK, (day, fetus): ln weight in ln g, and the part of it that glucose made."""

    week: Floats
    ln_weight: Floats
    glucose_ln: Floats


def population_ln_weight(week: Floats) -> Floats:
    """ln g of the middle fetus: Richards' curve in closed form."""

    def curve(w: Floats) -> Floats:
        return -np.log1p(SHAPE_NU * np.exp(-RATE * (w - MID_WEEK))) / SHAPE_NU

    return np.log(LEVEL_WEIGHT_G) + curve(np.asarray(week, dtype=float)) - curve(np.array(LEVEL_WEEK))


def population_ln_asymptote() -> float:
    return float(population_ln_weight(np.array(1e3)))


def covariate_ln(
    *, bmi: Floats, gain_kg: Floats, smoking: Floats, hypertension: Floats, sex: list[str]
) -> Floats:
    """ln size of what is known of a woman; gain_kg : over the usual at the same week."""
    return (
        np.array([SEX_LN[s] for s in sex])
        + SMOKING_LN * (smoking - SHARES["smoking"])
        + HYPERTENSION_LN * (hypertension - SHARES["hypertension"])
        + BMI_LN * (np.minimum(bmi, LARGEST_BMI) - MIDDLE_BMI)
        + GAIN_LN * np.clip(gain_kg, -12.0, 15.0)
    )


def fetuses(z: Mapping[str, Floats], covariate: Floats, later_child: Floats, shape: Floats) -> Fetuses:
    """Fetuses from standard normals (size, asymptote, rate), ln covariate size, parity, and shape (measure, fetus)
    in units of its SD."""
    link = ASYMPTOTE_RATE_R
    size = SIZE_LN_SD * z["size"] + covariate
    rate = RATE_LN_SD * (link * z["asymptote"] + np.sqrt(1.0 - link * link) * z["rate"])
    sd = np.array([SHAPE_LN_SD[q] for q in MEASURES])[:, None]
    return Fetuses(
        ln_start=population_ln_weight(np.array(float(START_WEEK))) + size,
        ln_asymptote=population_ln_asymptote() + size + ASYMPTOTE_LN_SD * z["asymptote"],
        rate=RATE * np.exp(rate),
        late_ln=LATER_CHILD_LN * (later_child - SHARES["later_child"]),
        shape=sd * shape,
    )


def deviations(noise: Floats) -> Floats:
    """Growth-rate deviations by the day from standard normals (day, fetus): one stationary autoregression."""
    keep = np.exp(-1.0 / (DAYS * DEVIATION_WEEKS))
    drive = noise * np.sqrt(1.0 - keep * keep)
    drive[0] = noise[0]
    return DEVIATION_SD * lfilter([1.0], [1.0, -keep], drive, axis=0)


def n_days() -> int:
    return DAYS * (END_WEEK - START_WEEK)


def ln_exposure(mean: Floats, fasting: Floats, mean_0: Floats, fasting_0: Floats) -> Floats:
    """x: ln of 24-h mean and fasting glucose over those of the middle woman, all mg/dL and alike in shape."""
    return (1.0 - FASTING_WEIGHT) * np.log(mean / mean_0) + FASTING_WEIGHT * np.log(fasting / fasting_0)


def grow(p: Fetuses, x: Floats, deviation: Floats) -> Course:
    """Weight by the day. x : ln exposure of each day, deviation : of the growth rate, both (day, fetus).

    Midpoint steps of one day; the law is smooth on the scale of weeks.
    """
    n = len(x)
    week = START_WEEK + np.arange(n + 1) / DAYS
    low, high = GLUCOSE_WEEKS

    def pace(y: Floats) -> Floats:
        return p.rate / SHAPE_NU * (1.0 - np.exp(SHAPE_NU * (y - p.ln_asymptote)))

    y, made = p.ln_start, np.zeros_like(p.ln_start)
    ys, mades = [y], [made]
    for i in range(n):
        w = week[i] + 0.5 / DAYS
        gain = GLUCOSE_GAIN * min(max((w - low) / (high - low), 0.0), 1.0) * x[i]
        late = p.late_ln / (40.0 - LATER_CHILD_WEEK) if LATER_CHILD_WEEK <= w < 40.0 else 0.0
        half = y + 0.5 / DAYS * (pace(y) * np.exp(gain + deviation[i]) + late)
        plain = pace(half) * np.exp(deviation[i])
        y = y + (plain * np.exp(gain) + late) / DAYS
        made = made + plain * np.expm1(gain) / DAYS
        ys.append(y)
        mades.append(made)
    return Course(week, np.stack(ys), np.stack(mades))


def at_weeks(course: Course, week: Floats) -> tuple[Floats, Floats]:
    """ln weight and the part glucose made, at one true week per fetus, (fetus,)."""
    position = np.clip((week - START_WEEK) * DAYS, 0.0, len(course.week) - 1.001)
    low = np.floor(position).astype(int)
    part = position - low
    each = np.arange(len(week))

    def read(rows: Floats) -> Floats:
        return rows[low, each] * (1.0 - part) + rows[low + 1, each] * part

    return read(course.ln_weight), read(course.glucose_ln)


def ln_biometry(p: Fetuses, ln_weight: Floats, glucose_ln: Floats, week: Floats) -> Floats:
    """ln mm of MEASURES at true weeks, (measure, fetus): INTERGROWTH-21st's medians belong to its median weight, and
    each measure goes with a power of weight [C-STD-03..06, C-STD-09]."""
    day = DAYS * week
    typical = np.log(
        np.asarray(weight_median_g(np.clip(day, 126.0, 287.0), standard="intergrowth21_hadlock_efw"))
    )
    # outside the published weeks the weight runs on as the population's own curve does
    edge = np.clip(week, 18.0, 41.0)
    typical = typical + population_ln_weight(week) - population_ln_weight(edge)
    rows = []
    for i, q in enumerate(MEASURES):
        median = np.log(np.asarray(biometry_median(q, np.clip(day, 98.0, 280.0), standard="intergrowth21")))
        rows.append(
            median + EXPONENT[q] * (ln_weight - typical) + GLUCOSE_EXPONENT[q] * glucose_ln + p.shape[i]
        )
    return np.stack(rows)
