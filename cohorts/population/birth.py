"""The end of a virtual pregnancy: the day of birth, and the newborn's weight and fat on that day."""

from __future__ import annotations

import numpy as np

from cohorts.population.engine import Weeks
from cohorts.population.women import Women
from twin.forecast.delivery import POST_TERM_DAY, DeliveryPolicy, delivery_days
from twin.forecast.ensemble import BIRTH_RESIDUAL_SD
from twin.physiology.fetus import FIRST_WEEK

FIRST_BIRTH_DAY = 168.0  # followed from 24 weeks on


def births(women: Women, weeks: Weeks, last_day: int | np.ndarray = POST_TERM_DAY) -> dict[str, np.ndarray]:
    """day, birth weight, fat and ln fetal insulin at birth, (woman,). last_day : by which birth is brought about."""
    limit = np.broadcast_to(last_day, women.onset.shape)
    day = np.empty(women.onset.shape)
    for latest in np.unique(limit):
        here = limit == latest
        policy = DeliveryPolicy(last_day=int(latest))
        day[here] = delivery_days(women.onset[here], policy, FIRST_BIRTH_DAY)
    lean, fat = (between(np.asarray(x), day / 7.0) for x in (weeks.L, weeks.F))
    return {
        "birth_day": day,
        "birth_weight_g": (lean + fat) * np.exp(BIRTH_RESIDUAL_SD * women.birth),
        "fat_share": fat / (lean + fat),
        "fetal_insulin": between(np.asarray(weeks.J), day / 7.0),
    }


def between(edges: np.ndarray, week: np.ndarray) -> np.ndarray:
    """Values at the cell edges, (edge, woman), at each woman's own week."""
    edges = np.asarray(edges, dtype=float)
    low = np.clip(np.floor(week).astype(int) - FIRST_WEEK, 0, len(edges) - 2)
    share = np.clip(week - FIRST_WEEK - low, 0.0, 1.0)
    at = np.arange(edges.shape[1])
    return np.asarray(edges[low, at] * (1.0 - share) + edges[low + 1, at] * share)
