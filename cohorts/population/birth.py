"""The end of a virtual pregnancy: the day of birth, and the newborn's weight and fat on that day."""

from __future__ import annotations

import numpy as np

from cohorts.population.engine import Weeks
from cohorts.population.waiting import INDUCED, MIDDLE_WEEK, days_of_birth, share_initiated
from cohorts.population.women import Women
from twin.forecast.delivery import POST_TERM_DAY
from twin.forecast.ensemble import BIRTH_RESIDUAL_SD
from twin.forecast.onset import FROM_DAY, Who
from twin.physiology.fetus import FIRST_WEEK


def births(
    women: Women,
    weeks: Weeks,
    standard: str,
    last_day: int | np.ndarray = POST_TERM_DAY,
    *,
    gestational_diabetes: np.ndarray | float = 0.0,
    as_of_day: float = FROM_DAY,
    initiated: bool = False,
) -> dict[str, np.ndarray]:
    """day, birth weight, share of fat and ln fetal insulin at birth, (woman,).

    last_day : by which birth is brought about. gestational_diabetes : 0 or 1, as her clinic knows it. initiated :
    whether births are brought about as in the US in 2022; studies of other times and places say what they did by
    `last_day`.
    """
    lean, fat = (np.asarray(x, dtype=float) for x in (weeks.L, weeks.F))
    who = Who(gestational_diabetes, women.hypertension.astype(float), (women.parity > 0).astype(float))
    day = days_of_birth(
        joined(np.log(lean + fat), FIRST_WEEK, MIDDLE_WEEK), np.asarray(weeks.shift), who, women.onset,
        standard, as_of_day=as_of_day, last_day=last_day, initiated=initiated,
    )  # fmt: skip
    at = day / 7.0
    lean, fat = between(lean, at), between(fat, at)
    return {
        "birth_day": day,
        "birth_weight_g": (lean + fat) * np.exp(BIRTH_RESIDUAL_SD * women.birth),
        "fat_share": fat / (lean + fat),
        "fetal_insulin": between(np.asarray(weeks.J), at),
    }


def induced(women: Women, weeks: Weeks, standard: str, gestational_diabetes: bool) -> np.ndarray:
    """Chance of induction, (woman,), as in US births of 2022. gestational_diabetes : whether her clinic knows of it."""
    ln = np.log(np.asarray(weeks.L, dtype=float) + np.asarray(weeks.F, dtype=float))
    n = len(women)
    who = Who(np.full(n, float(gestational_diabetes)), women.hypertension.astype(float), women.parity > 0)
    at_days = joined(ln, FIRST_WEEK, MIDDLE_WEEK)
    return INDUCED[gestational_diabetes] * share_initiated(at_days, np.asarray(weeks.shift), who, standard)


def joined(edges: np.ndarray, first_week: int, week: np.ndarray) -> np.ndarray:
    """Values at weeks from `first_week` on, (edge, woman), at the same weeks for all, (week, woman)."""
    low = np.clip(np.floor(week).astype(int) - first_week, 0, len(edges) - 2)
    share = (week - first_week - low)[:, None]
    return np.asarray(edges[low] * (1.0 - share) + edges[low + 1] * share)


def between(edges: np.ndarray, week: np.ndarray) -> np.ndarray:
    """Values at the cell edges, (edge, woman), at each woman's own week."""
    edges = np.asarray(edges, dtype=float)
    low = np.clip(np.floor(week).astype(int) - FIRST_WEEK, 0, len(edges) - 2)
    share = np.clip(week - FIRST_WEEK - low, 0.0, 1.0)
    at = np.arange(edges.shape[1])
    return np.asarray(edges[low, at] * (1.0 - share) + edges[low + 1, at] * share)
