"""Decision curves: whether acting on a forecast does more good than acting on another, on everybody or on nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from cohorts.validate.bootstrap import Resamples, resampled
from cohorts.validate.measures import net_benefit, net_benefit_of_all

ALL, NONE = "everybody", "nobody"


class Decision(NamedTuple):
    """low, high : chances from which a clinician might act, whole percents. outcomes : that the decision is about."""

    name: str
    low: float
    high: float
    outcomes: tuple[str, ...]


#: ranges are our choice: another scan harms little, an early birth more; a planned caesarean is asked for by few
DECISIONS = (
    Decision("scan", 0.05, 0.20, ("over_4000_g", "lga", "sga")),
    Decision("induction discussion", 0.20, 0.50, ("over_4000_g", "lga")),
    Decision("mode of birth, > 4500 g", 0.05, 0.30, ("over_4500_g",)),
)


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit (true positives per woman, less false ones at the threshold's odds) over thresholds, (threshold,).

    net_benefit : by model, with `everybody`; nobody's is 0. best_other : at each threshold, of all but the judged,
    found in these women, which favours it. gain : of the judged over it; its 95 % and 90 % bands are over resamples in
    which it stays the same.
    """

    case: dict[str, str]
    decision: str
    judged: str
    n: int
    events: int
    thresholds: np.ndarray
    net_benefit: dict[str, np.ndarray]
    best_other: list[str]
    gain: np.ndarray
    band_95: np.ndarray
    band_90: np.ndarray


def decision_curves(
    case: dict[str, str],
    models: dict[str, pd.DataFrame],
    resamples: Resamples,
    judged: str,
    decisions: tuple[Decision, ...] = DECISIONS,
) -> list[DecisionCurve]:
    """One per decision that the case's outcome belongs to, on the women that every model has a chance of."""
    wanted = [d for d in decisions if case["outcome"] in d.outcomes]
    if judged not in models or not wanted:
        return []
    women = sorted(set.intersection(*(set(rows["woman"]) for rows in models.values())))
    if not women:
        return []
    p = {name: rows.set_index("woman")["p"].loc[women].to_numpy() for name, rows in models.items()}
    y = models[judged].set_index("woman")["y"].loc[women].to_numpy()
    times = resamples.times(women)
    return [_curve(case, d, judged, p, y, times) for d in wanted]


def _curve(
    case: dict[str, str],
    decision: Decision,
    judged: str,
    p: dict[str, np.ndarray],
    y: np.ndarray,
    times: np.ndarray,
) -> DecisionCurve:
    t = np.arange(round(100 * decision.low), round(100 * decision.high) + 1) / 100.0

    def every(times: np.ndarray | None) -> dict[str, np.ndarray]:
        of_all = net_benefit_of_all(y, t, times)
        return {m: net_benefit(q, y, t, times) for m, q in p.items()} | {ALL: of_all, NONE: 0.0 * of_all}

    found, draws = every(None), resampled(every, times)
    others = [m for m in found if m != judged]
    best = np.argmax([found[m] for m in others], axis=0)
    at = np.arange(len(t))
    gain = found[judged] - np.stack([found[m] for m in others])[best, at]
    spread = draws[judged] - np.stack([draws[m] for m in others])[best, :, at].T
    low_95, low_90, high_90, high_95 = np.nanquantile(spread, [0.025, 0.05, 0.95, 0.975], axis=0)
    return DecisionCurve(
        case=case,
        decision=decision.name,
        judged=judged,
        n=len(y),
        events=int(y.sum()),
        thresholds=t,
        net_benefit={m: v for m, v in found.items() if m != NONE},
        best_other=[others[i] for i in best],
        gain=gain,
        band_95=np.stack([low_95, high_95]),
        band_90=np.stack([low_90, high_90]),
    )
