"""What moved the number: the same probability with one piece of data taken out of the posterior.

Leaving a piece out reweights the draws by one over its likelihood, smoothed (PSIS); where the weights are too
uneven to trust, the piece is listed without a number.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from twin.encode import BIOMETRY
from twin.inference.calibrate import Posterior
from twin.inference.psis import pareto_smooth
from twin.record import PatientRecord

WORDS = {
    "hc_mm": "head circumference",
    "ac_mm": "abdominal circumference",
    "fl_mm": "femur length",
    "bpd_mm": "biparietal diameter",
    "efw_g": "estimated fetal weight",
}
K_TRUSTED = (
    0.7  # above it a smoothed mean is biased, here towards no effect [Vehtari et al. 2024, JMLR 25:72]
)
MOST = 8


def _pieces(posterior: Posterior, record: PatientRecord) -> dict[str, np.ndarray]:
    """Name -> log density of that piece of data at every posterior draw."""
    density = {k: np.asarray(v) for k, v in posterior.evaluation.log_density.items()}
    data, out = posterior.data, {}
    lmp = record.facts.lmp_equivalent
    if "biometry" in density and lmp is not None:
        week, quantity = np.asarray(data.scans.week), np.asarray(data.scans.quantity)
        for i in np.flatnonzero(np.asarray(data.scans.mask)):
            day = lmp + timedelta(days=int(float(week[i]) * 7.0))
            out[f"{WORDS[BIOMETRY[int(quantity[i])]]}, {day.isoformat()}"] = density["biometry"][i]
    if "spot_glucose" in density:
        n = int(np.asarray(data.spots.mask).sum())
        out[f"finger-prick and laboratory glucose, {n} readings"] = density["spot_glucose"].sum(axis=0)
    if "cgm" in density:
        n = int(np.asarray(data.cgm.mask).any(axis=1).sum())
        out[f"sensor glucose, {n} days"] = density["cgm"].sum(axis=0)
    if "ogtt" in density:
        out["glucose tolerance test"] = density["ogtt"].sum(axis=0)
    return out


def drivers(
    posterior: Posterior, record: PatientRecord, chosen: np.ndarray, p: np.ndarray
) -> list[dict[str, object]]:
    """Largest effects first; then, with effect None, pieces too influential to be left out by reweighting.

    chosen : posterior index of each forecast draw; p : (draw,) P(> 4000 g) of each.
    Returns : rows {"name", "effect_on_macrosomia_4000" (probability, or None), "pareto_k"}, at most 8 of each kind.
    """
    full = float(p.mean())
    rows: list[dict[str, object]] = []
    untold: list[dict[str, object]] = []
    for name, density in _pieces(posterior, record).items():
        smoothed, k = pareto_smooth(-density[chosen])
        if not k <= K_TRUSTED:
            shown = round(k, 2) if np.isfinite(k) else None
            untold.append({"name": name, "effect_on_macrosomia_4000": None, "pareto_k": shown})
            continue
        w = np.exp(smoothed - smoothed.max())
        without = float(np.sum(w * p) / np.sum(w))
        rows.append(
            {"name": name, "effect_on_macrosomia_4000": round(full - without, 4), "pareto_k": round(k, 2)}
        )
    rows.sort(key=lambda r: -abs(float(r["effect_on_macrosomia_4000"])))  # type: ignore[arg-type]
    untold.sort(key=lambda r: -float(r["pareto_k"] or "inf"))  # type: ignore[arg-type]
    return rows[:MOST] + untold[:MOST]
