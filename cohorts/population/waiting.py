"""When a virtual pregnancy ends: the twin's hazards of birth on arrays of women."""

from __future__ import annotations

import numpy as np

from twin.forecast.delivery import POST_TERM_DAY
from twin.forecast.onset import FROM_DAY, TO_DAY, Who, ln_waiting, load_hazards, onset_days
from twin.growth_standards import reference_weight_g

MIDDLE_WEEK = (np.arange(FROM_DAY, TO_DAY) + 0.5) / 7.0  # of the days on which birth may come
LANES = 128


def days_of_birth(
    ln_weight: np.ndarray,
    shift_weeks: np.ndarray,
    who: Who,
    uniform: np.ndarray,
    standard: str,
    *,
    as_of_day: float = FROM_DAY,
    last_day: int | np.ndarray = POST_TERM_DAY,
    initiated: bool = True,
) -> np.ndarray:
    """Whole recorded day of birth, (woman,). ln_weight : at MIDDLE_WEEK, (day, woman). uniform : the quantile."""
    usual = np.log(np.asarray(reference_weight_g(7.0 * MIDDLE_WEEK, standard=standard)))
    ratio = (ln_weight - usual[:, None]).astype(np.float32)
    n = ratio.shape[1]
    here = np.minimum(np.arange(-(-n // LANES) * LANES), n - 1)  # one program for all numbers of women nearby

    def padded(x: np.ndarray | float) -> np.ndarray:
        return np.broadcast_to(np.asarray(x, dtype=np.float32), (n,))[here]

    of = Who(*(padded(np.asarray(x)) for x in who))
    waiting = ln_waiting(load_hazards(), ratio[:, here], FROM_DAY, padded(shift_weeks), of, initiated)
    day = np.asarray(onset_days(padded(uniform), waiting, FROM_DAY, as_of_day))[:n]
    return np.asarray(np.minimum(day, last_day))
