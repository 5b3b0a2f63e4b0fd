"""When a virtual pregnancy ends: the twin's hazards of birth on arrays of women."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array

from twin.forecast.delivery import POST_TERM_DAY
from twin.forecast.onset import FROM_DAY, TO_DAY, Who, ln_waiting, load_hazards, onset_days
from twin.growth_standards import reference_weight_g

MIDDLE_WEEK = (np.arange(FROM_DAY, TO_DAY) + 0.5) / 7.0  # of the days on which birth may come
LANES = 128
INDUCED = {
    False: 0.563,
    True: 0.589,
}  # of initiated births from 34 weeks, without and with GDM (US births 2022)


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
    waiting, here = _waiting(ln_weight, shift_weeks, who, standard, initiated)
    day = np.asarray(onset_days(_padded(uniform, here), waiting, FROM_DAY, as_of_day))
    return np.asarray(np.minimum(day[: ln_weight.shape[1]], last_day))


def share_initiated(ln_weight: np.ndarray, shift_weeks: np.ndarray, who: Who, standard: str) -> np.ndarray:
    """Chance that a birth is brought about, (woman,), as where the hazards were fitted. ln_weight : as above."""
    both, alone = (np.asarray(_waiting(ln_weight, shift_weeks, who, standard, i)[0]) for i in (True, False))
    start = np.concatenate([np.zeros((1, both.shape[1])), both[:-1]])
    leaves = np.exp(start) - np.exp(both)
    odds_on, own = (np.diff(x, axis=0, prepend=0.0) for x in (both, alone))
    share = 1.0 - own / odds_on  # hazards of a day are small: they share its births
    return np.asarray((leaves * share).sum(axis=0)[: ln_weight.shape[1]])


def _waiting(
    ln_weight: np.ndarray, shift_weeks: np.ndarray, who: Who, standard: str, initiated: bool
) -> tuple[Array, np.ndarray]:
    """`ln_waiting` of women padded to a multiple of LANES, so that one program serves many; their places."""
    usual = np.log(np.asarray(reference_weight_g(7.0 * MIDDLE_WEEK, standard=standard)))
    ratio = (ln_weight - usual[:, None]).astype(np.float32)
    n = ratio.shape[1]
    here = np.minimum(np.arange(-(-n // LANES) * LANES), n - 1)
    of = Who(*(_padded(np.broadcast_to(np.asarray(x), (n,)), here) for x in who))
    shift = _padded(np.broadcast_to(np.asarray(shift_weeks), (n,)), here)
    return ln_waiting(load_hazards(), ratio[:, here], FROM_DAY, shift, of, initiated), here


def _padded(x: np.ndarray, here: np.ndarray) -> np.ndarray:
    return np.asarray(x, dtype=np.float32)[here]
