"""Many virtual women as arrays: covariates, and the normal numbers their physiology, readings and births are made of.

Block i of a seed holds the same women whatever their number, and the same numbers under any prior: populations are
compared woman by woman.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import ndtr, ndtri

from cohorts.synthetic import women as one_by_one
from twin.encode import COVARIATES, GAIN_RANGE_KG, LARGEST_BMI, expected_gain_kg

BLOCK = 2048
MOST_LATENTS = 80  # normal numbers drawn for a woman's latents, more than any prior has
GAIN_WEEK = 36.0  # the gain that counts is that of this week, against the standard


@dataclass(frozen=True)
class Who:
    """Which women: bounds of the pre-pregnancy BMI, and what of the general population differs."""

    bmi: tuple[float, float] = (17.0, 50.0)
    ln_bmi: tuple[float, float] = one_by_one.LN_BMI
    age_y: tuple[float, float] = one_by_one.AGE_Y[:2]
    nulliparous: float = one_by_one.PARITY[0]
    smoking: float = one_by_one.SMOKING_SHARE
    hypertension: float = one_by_one.HYPERTENSION_SHARE


EVERYONE = Who()


@dataclass(frozen=True)
class Women:
    """Arrays with the woman as last axis."""

    age_y: np.ndarray
    height_cm: np.ndarray
    bmi: np.ndarray
    parity: np.ndarray
    smoking: np.ndarray
    hypertension: np.ndarray
    male: np.ndarray
    extra_gain_kg: np.ndarray  # at 40 weeks, above the standard's median
    z: np.ndarray  # (MOST_LATENTS, woman)
    test_day: np.ndarray  # (test, 3, woman)
    reading: np.ndarray  # (reading, woman), standard normal, for what a study measures
    birth: np.ndarray
    onset: np.ndarray  # uniform

    def __len__(self) -> int:
        return len(self.bmi)

    @property
    def weight_pre_kg(self) -> np.ndarray:
        return self.bmi * (self.height_cm / 100.0) ** 2

    def weight_kg(self, week: np.ndarray) -> np.ndarray:
        """(week, woman)."""
        gained = expected_gain_kg(week)[:, None] + self.extra_gain_kg[None] * week[:, None] / 40.0
        return self.weight_pre_kg[None] + np.where(week[:, None] > 0.0, gained, 0.0)

    @staticmethod
    def places(here: np.ndarray, size: int) -> np.ndarray:
        """Indices of the women marked, the last repeated up to a multiple of `size`."""
        index = np.flatnonzero(here)
        index = index if len(index) else np.array([0])
        return np.concatenate([index, np.repeat(index[-1:], -len(index) % size)])

    def some(self, here: np.ndarray, size: int) -> Women:
        """The women marked, padded (`places`)."""
        at = self.places(here, size)
        return Women(**{f.name: getattr(self, f.name)[..., at] for f in fields(self)})

    def covariates(self) -> np.ndarray:
        """(covariate, woman), as the twin's encoder gives them."""
        found = {
            "bmi": np.minimum(self.bmi, LARGEST_BMI),
            "gain": np.clip(self.extra_gain_kg * GAIN_WEEK / 40.0, *GAIN_RANGE_KG),
            "smoking": self.smoking,
            "hypertension": self.hypertension,
            "parous": self.parity > 0,
            "male": self.male,
            "height": self.height_cm,
            "age": self.age_y,
        }
        return np.stack([np.asarray(found[name], dtype=float) for name in COVARIATES])


def draw(seed: int, n: int, who: Who = EVERYONE) -> Iterator[Women]:
    """n women in blocks of at most BLOCK."""
    for block, first in enumerate(range(0, n, BLOCK)):
        yield _block(np.random.default_rng([seed, block]), min(BLOCK, n - first), who)


def _block(rng: np.random.Generator, n: int, who: Who) -> Women:
    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal((*shape, BLOCK))[..., :n]

    def uniform() -> np.ndarray:
        return rng.uniform(1e-9, 1.0 - 1e-9, BLOCK)[:n]

    def truncated(mean: float, sd: float, low: float, high: float) -> np.ndarray:
        first, last = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
        return np.asarray(mean + sd * ndtri(first + uniform() * (last - first)))

    later = np.array(one_by_one.PARITY[1:]) / sum(one_by_one.PARITY[1:])
    shares = np.concatenate([[who.nulliparous], (1.0 - who.nulliparous) * later])
    bmi = np.exp(truncated(*who.ln_bmi, *np.log(who.bmi)))
    return Women(
        age_y=truncated(*who.age_y, *one_by_one.AGE_Y[2:]),
        height_cm=truncated(*one_by_one.HEIGHT_CM),
        bmi=bmi,
        parity=np.searchsorted(np.cumsum(shares), uniform(), side="right").clip(0, 4),
        smoking=uniform() < who.smoking,
        hypertension=uniform() < who.hypertension,
        male=uniform() < one_by_one.MALE_SHARE,
        extra_gain_kg=one_by_one.GAIN_PER_BMI * (bmi - one_by_one.GAIN_REFERENCE_BMI)
        + one_by_one.GAIN_SD_KG * normal(),
        z=normal(MOST_LATENTS),
        test_day=normal(3, 3),
        reading=normal(64),
        birth=normal(),
        onset=uniform(),
    )
