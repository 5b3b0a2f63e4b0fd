"""Days from 04:00 to 04:00 on the 15-min grid of the twin."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

STEP_MIN = 15
N_TIME = 96
DAY_START_MIN = 240
HALF_STEP_MIN = STEP_MIN / 2


def day_and_minute(time_local: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Day number (days since 1970 of the date the day began on) and minutes since its 04:00."""
    minutes = (pd.to_datetime(time_local) - pd.Timestamp(0)) / pd.Timedelta(minutes=1) - DAY_START_MIN
    day = np.floor(minutes / 1440.0).to_numpy(dtype=int)
    return day, minutes.to_numpy(dtype=float) - 1440.0 * day


def date_of(day: int) -> date:
    """Calendar date of a day number."""
    return date.fromordinal(date(1970, 1, 1).toordinal() + day)


def on_grid(day: np.ndarray, minute: np.ndarray, value: np.ndarray, first: int, n_days: int) -> np.ndarray:
    """(day, 96): the reading nearest each grid point, at most half a step away; NaN where there is none."""
    index = np.round(minute / STEP_MIN).astype(int)
    gap = np.abs(minute - STEP_MIN * index)
    keep = np.flatnonzero(
        (index < N_TIME)
        & (gap <= HALF_STEP_MIN)
        & np.isfinite(value)
        & (day >= first)
        & (day < first + n_days)
    )
    keep = keep[np.argsort(-gap[keep], kind="stable")]  # the nearest is written last
    out = np.full((n_days, N_TIME), np.nan)
    out[day[keep] - first, index[keep]] = value[keep]
    return out
