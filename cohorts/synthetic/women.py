"""Who she is: age, height, weight, parity, habits, dating; independent of her physiology, as in the prior.

Distributions: singleton US births 2022, public-use sample (computed), except where marked assumed. What her covariates
do to her physiology and to the fetus is the prior's (`effect`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from scipy.special import ndtr, ndtri

from cohorts.synthetic.design import Design
from twin.encode import expected_gain_kg
from twin.record import Statement
from twin.timeline import DatingStatement

AGE_Y = (29.9, 5.9, 18.0, 46.0)  # mean, SD, bounds
HEIGHT_CM = (162.3, 7.3, 142.0, 190.0)
LN_BMI = (3.288, 0.229)  # mean, SD: median 26.8 kg/m2
PARITY = (0.342, 0.286, 0.174, 0.098, 0.100)  # 0, 1, 2, 3, 4 earlier births
MALE_SHARE = 0.512
SMOKING_SHARE, HYPERTENSION_SHARE = 0.06, 0.10
GAIN_PER_BMI, GAIN_REFERENCE_BMI = -0.30, 26.2  # kg at term per kg/m2
GAIN_SD_KG = 5.5  # 6.8 on birth certificates, less their reporting error (assumed)
SCALE_SD_KG = 0.3  # clothing and scale, assumed
FIRST_LMP, LMP_DAYS = date(2025, 1, 1), 365  # assumed: a year of conceptions
BOOKING_DAY, DATING_SCAN_DAY, ANOMALY_SCAN_DAY = 63, 84, 140  # assumed, usual care


@dataclass(frozen=True)
class Woman:
    """Covariates as recorded, which are also the true ones, and weights at visits."""

    lmp_equivalent: date
    age_y: float
    height_cm: float
    weight_pre_kg: float
    parity: int
    smoking: bool
    hypertension: bool
    fetal_sex: str
    weights: tuple[tuple[int, float], ...]  # (gestational day, kg)

    @property
    def bmi(self) -> float:
        return self.weight_pre_kg / (self.height_cm / 100.0) ** 2

    def statements(self) -> list[Statement]:
        """What is known of her, with the days it became known."""

        def on(day: int) -> date:
            return self.lmp_equivalent + timedelta(days=day)

        dated = DatingStatement(self.lmp_equivalent, "ultrasound", True, on(DATING_SCAN_DAY))
        at_booking: list[tuple[str, object]] = [
            ("maternal_age_y", self.age_y),
            ("height_cm", self.height_cm),
            ("weight_pre_kg", self.weight_pre_kg),
            ("parity", self.parity),
            ("smoking", self.smoking),
            ("hypertension", self.hypertension),
            ("diabetes_before_pregnancy", False),
            ("bariatric_surgery", False),
        ]
        return [
            Statement("dating", dated, dated.stated_on),
            *(Statement(name, value, on(BOOKING_DAY)) for name, value in at_booking),
            Statement("fetal_number", 1, on(DATING_SCAN_DAY)),
            Statement("fetal_sex", self.fetal_sex, on(ANOMALY_SCAN_DAY)),
        ]


def draw_woman(rng: np.random.Generator, design: Design) -> Woman:
    """One woman. Every quantity takes a fixed number of draws, so that designs share women."""

    def truncated(mean: float, sd: float, low: float, high: float) -> float:
        first, last = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
        return mean + sd * float(ndtri(first + rng.uniform() * (last - first)))

    age, height = truncated(*AGE_Y), truncated(*HEIGHT_CM)
    bmi = float(np.exp(truncated(*LN_BMI, *np.log(design.bmi))))
    parity = int(np.searchsorted(np.cumsum(PARITY), rng.uniform(), side="right"))
    smoking, hypertension = rng.uniform() < SMOKING_SHARE, rng.uniform() < HYPERTENSION_SHARE
    sex = "male" if rng.uniform() < MALE_SHARE else "female"
    lmp = FIRST_LMP + timedelta(days=int(rng.integers(LMP_DAYS)))
    height = round(height)
    # to 0.1 kg, inwards, so that the recorded index keeps the design's bounds
    weight = float(np.clip(round(bmi * (height / 100.0) ** 2, 1), 35.0, 190.0))
    weight = _inside(weight, height, design.bmi)
    extra = GAIN_PER_BMI * (bmi - GAIN_REFERENCE_BMI) + GAIN_SD_KG * rng.standard_normal()
    noise = rng.standard_normal(4)
    visits = (BOOKING_DAY + 7, ANOMALY_SCAN_DAY, 196, design.as_of_day - 4)
    kept = [(d, e) for d, e in zip(visits, noise, strict=True) if d < design.as_of_day]
    weights = tuple(
        (
            d,
            round(
                weight + float(expected_gain_kg(np.array(d / 7.0))) + extra * d / 280.0 + SCALE_SD_KG * e, 1
            ),
        )
        for d, e in kept
    )
    return Woman(
        lmp, round(age, 1), height, weight, min(parity, 4), bool(smoking), bool(hypertension), sex, weights
    )


def _inside(weight: float, height: float, bmi: tuple[float, float]) -> float:
    per = (height / 100.0) ** 2
    if weight / per < bmi[0]:
        return round(np.ceil(10.0 * bmi[0] * per) / 10.0, 1)
    if weight / per >= bmi[1]:
        return round(np.floor(10.0 * bmi[1] * per) / 10.0, 1)
    return weight
