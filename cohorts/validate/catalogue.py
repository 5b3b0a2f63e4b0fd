"""Which measures an outcome is judged by, what they are called, and what is best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cohorts.validate import measures as m
from cohorts.validate import weight_measures as w
from cohorts.validate.bootstrap import Draws
from cohorts.validate.table import QUANTILES, WEIGHT

THRESHOLDS = (0.05, 0.10, 0.20, 0.30, 0.50)
FALSE_POSITIVE_RATES = (0.05, 0.10, 0.20)
COVERED = {0.50: ("q25", "q75"), 0.80: ("q10", "q90"), 0.90: ("q05", "q95")}
AT_THRESHOLD = ("sensitivity", "specificity", "ppv", "npv")


class Meaning(NamedTuple):
    """best : `higher`, `lower`, the value that is right, or nothing where that depends. scale : what the value is
    multiplied by to be shown."""

    label: str
    best: str | float
    unit: str = ""
    scale: float = 1.0
    digits: int = 2

    def shown(self, value: float, more: int = 0) -> str:
        """Without the unit; more : digits beyond the usual."""
        if not np.isfinite(value):
            return ""
        text = f"{self.scale * value:.{self.digits + more}f}"
        return text.removeprefix("-") if float(text) == 0.0 else text


def _percent(label: str, best: str | float, digits: int = 1) -> Meaning:
    return Meaning(label, best, "%", 100.0, digits)


MEANINGS: dict[str, Meaning] = {
    "auc": Meaning("AUC", "higher", digits=3),
    **{
        f"detection_at_{100 * f:g}": _percent(f"detected at {100 * f:g} % false positives", "higher", 0)
        for f in FALSE_POSITIVE_RATES
    },
    "brier": Meaning("Brier score", "lower", digits=4),
    "scaled_brier": _percent("scaled Brier score", "higher"),
    "observed_expected": Meaning("observed / expected", 1.0),
    "calibration_intercept": Meaning("calibration intercept", 0.0),
    "calibration_slope": Meaning("calibration slope", 1.0),
    "ici": _percent("ICI", "lower"),
    "e50": _percent("E50", "lower"),
    "e90": _percent("E90", "lower"),
    "mean_ln_error": _percent("mean error of ln weight", 0.0),
    "sd_ln_error": _percent("SD of error of ln weight", "lower"),
    "mean_error_g": Meaning("mean error", 0.0, "g", digits=0),
    "slope": Meaning("slope, observed on predicted", 1.0),
    "crps": _percent("CRPS of ln weight", "lower", 2),
    "pinball": _percent("quantile score of ln weight", "lower", 2),
    **{f"coverage_{100 * c:g}": _percent(f"weights in the {100 * c:g} % interval", c, 0) for c in COVERED},
    **{
        f"width_{100 * c:g}": Meaning(f"width of the {100 * c:g} % interval", "", "g", digits=0)
        for c in COVERED
    },
}


def meaning(name: str) -> Meaning:
    """Of a measure, those at a threshold (`sensitivity_at_10`) included."""
    if name in MEANINGS:
        return MEANINGS[name]
    kind, _, at = name.partition("_at_")
    label = kind.upper() if kind in ("ppv", "npv") else kind
    return _percent(f"{label} at {at} %", "higher", 0)


def of_rows(
    rows: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS
) -> Callable[[np.ndarray | None], Draws]:
    """Every measure of one model's rows of one outcome, but those of `of_curve`, as a function of how often each row
    counts: (..., row), or None for once each. rows : used ones of `table.accept`.
    """
    if (rows["outcome"] == WEIGHT).all():
        return _of_weights(rows)
    p, y = rows["p"].to_numpy(), rows["y"].to_numpy()

    def every(times: np.ndarray | None) -> Draws:
        found = {
            "auc": m.auc(p, y, times),
            **{f"detection_at_{100 * f:g}": m.detection_rate(p, y, f, times) for f in FALSE_POSITIVE_RATES},
            "brier": m.brier(p, y, times),
            "scaled_brier": m.scaled_brier(p, y, times),
            "observed_expected": m.observed_expected(p, y, times),
            "calibration_intercept": m.calibration_intercept(p, y, times),
            "calibration_slope": m.calibration_slope(p, y, times),
        }
        for t in thresholds:
            at = m.flagged(p, y, t, times)
            found |= {f"{kind}_at_{100 * t:g}": getattr(at, kind) for kind in AT_THRESHOLD}
        return found

    return every


def of_curve(rows: pd.DataFrame) -> Callable[[np.ndarray | None], Draws]:
    """ICI, E50 and E90 of a yes/no outcome, likewise."""
    p, y = rows["p"].to_numpy(), rows["y"].to_numpy()

    def every(times: np.ndarray | None) -> Draws:
        return dict(zip(("ici", "e50", "e90"), m.calibration_distance(p, y, times), strict=True))

    return every


def _of_weights(rows: pd.DataFrame) -> Callable[[np.ndarray | None], Draws]:
    y, q = rows["y"].to_numpy(), rows[list(QUANTILES)].to_numpy()
    predicted = rows["mean_ln"].to_numpy()
    error = predicted - np.log(y)
    error_g = rows["q50"].to_numpy() - y
    pinball = w.pinball(np.log(y), np.log(q), np.array(list(QUANTILES.values())))
    crps = rows["crps"].to_numpy()
    ends = {c: (rows[low].to_numpy(), rows[high].to_numpy()) for c, (low, high) in COVERED.items()}

    def every(times: np.ndarray | None) -> Draws:
        return {
            "mean_ln_error": m.mean(error, times),
            "sd_ln_error": w.sd(error, times),
            "mean_error_g": m.mean(error_g, times),
            "slope": w.slope(np.log(y), predicted, times),
            "crps": m.mean(crps, times),
            "pinball": m.mean(pinball, times),
            **{f"coverage_{100 * c:g}": w.coverage(y, low, high, times) for c, (low, high) in ends.items()},
            **{f"width_{100 * c:g}": m.mean(high - low, times) for c, (low, high) in ends.items()},
        }

    return every
