"""A predictor that knows the population: birth weight by regression on the same data of thousands of other women.

It is trained on women of the generator that made the women tested, so it is told what the twin is not: on the other
generator, the right population. Ridge regression of ln birth weight on everything recorded, with squares and products
with the birth day; the 90 % interval is conformal (residuals of women left out of the fit, in folds [Vovk 2015, Ann
Math Artif Intell 74:9]), wider the further off the birth is. If the twin's median interval is more than 1.1 times as
wide, it wastes what the data hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cohorts.synthetic import Truth
from tests.statistical.faithful.women import AS_OF_DAY, KEPT, simulate
from twin.growth_standards import biometry_median
from twin.physiology.fetus import MEASURES
from twin.record import PatientRecord

CHUNK = 128
FOLDS = 8
PENALTIES = 10.0 ** np.arange(-2.0, 4.1, 0.5)
RELATION_MIN = ((430.0, 0), (510.0, 1), (810.0, 2), (1170.0, 3))


class Rows(NamedTuple):
    """Women as the oracle sees them: base (woman, feature), scans (woman, scan, measure), birth day, ln weight."""

    base: np.ndarray
    scans: np.ndarray
    birth_day: np.ndarray
    ln_weight: np.ndarray


def base_features(record: PatientRecord) -> list[float]:
    """Covariates and summaries of glucose."""
    f = record.facts
    weights = record.weights["weight_kg"].to_numpy(dtype=float)
    pre = float(f.weight_pre_kg or 0.0)
    out = [float(f.bmi_pre or 0.0), float(f.height_cm or 0.0), float(f.maternal_age_y or 0.0)]
    out += [float((f.parity or 0) > 0), float(f.smoking or 0), float(f.hypertension or 0)]
    out += [float(f.fetal_sex == "male"), float(weights[-1]) - pre if len(weights) else 0.0]
    table = record.glucose
    ln = np.log(table["value_mg_dl"].to_numpy(dtype=float))
    kind, day = table["kind"].to_numpy(dtype=str), table["gestational_day"].to_numpy(dtype=float)
    clock = 1440.0 * (day % 1.0)
    out += ln[kind == "ogtt"].tolist()
    pricks, middle = kind == "smbg", 7.0 * 32.0
    if pricks.any():
        slot = np.argmin(np.abs(clock[:, None] - np.array([t for t, _ in RELATION_MIN])), axis=1)
        for k in range(len(RELATION_MIN)):
            for half in (day < middle, day >= middle):
                here = pricks & (slot == k) & half
                out.append(float(ln[here].mean()) if here.any() else float(ln[pricks].mean()))
        out.append(float(ln[pricks].std()))
    sensor = kind == "cgm"
    if sensor.any():
        night = sensor & (clock >= 180.0) & (clock < 390.0)
        out += [float(ln[sensor].mean()), float(ln[sensor].std()), float(ln[night].mean())]
        out += np.quantile(ln[sensor], [0.1, 0.9]).tolist()
        out.append(float(record.meals["carbohydrate_g"].sum()) / 1000.0)
    return out


def scan_features(record: PatientRecord, n: int) -> np.ndarray:
    """ln of each measure over the chart's median of its day, (scan, measure), in time order."""
    table = record.biometry.sort_values(["gestational_day"])
    scans = list(dict.fromkeys(table["scan"]))
    assert len(scans) == n
    out = np.zeros((n, len(MEASURES)))
    for row in table.itertuples():
        middle = float(
            biometry_median(row.quantity, float(int(row.gestational_day)), standard="intergrowth21")
        )
        out[scans.index(row.scan), MEASURES.index(row.quantity)] = np.log(row.value / middle)
    return out


def as_seen(record: PatientRecord, truth: Truth, scans: int) -> dict[str, Any]:
    """One woman's row of `Rows`; examinations she does not have stay 0."""
    every = np.zeros((len(KEPT[-1]), len(MEASURES)))
    every[list(KEPT[scans])] = scan_features(record, scans)
    return {
        "base": [round(x, 4) for x in base_features(record)],
        "scans": every.round(5).tolist(),
        "birth_day": truth.delivery_day,
        "ln_weight": round(float(np.log(truth.birth_weight_g)), 5),
    }


def training(generator: str, pattern: str, first: int) -> dict[str, Any]:
    """The stored result of one case: CHUNK other women."""
    made = simulate(generator, pattern, range(first, first + CHUNK), purpose=1)
    rows = [as_seen(record, truth, len(KEPT[-1])) for record, truth in made]
    return {
        "generator": generator,
        "pattern": pattern,
        "women": {name: [r[name] for r in rows] for name in Rows._fields},
    }


def gathered(cases: Sequence[dict[str, Any]]) -> Rows:
    parts = [Rows(*(np.array(c["women"][name], dtype=float) for name in Rows._fields)) for c in cases]
    return Rows(*(np.concatenate([getattr(p, name) for p in parts]) for name in Rows._fields))


def seen(rows: Rows, scans: int) -> np.ndarray:
    """Regressors of women with that many scans: all quantities, their squares, their products with the birth day."""
    kept = list(KEPT[scans])
    x = np.concatenate([rows.base, rows.scans[:, kept].reshape(len(rows.base), -1)], axis=1)
    day = (rows.birth_day[:, None] - 275.0) / 10.0
    return np.concatenate([day, day**2, x, x**2, x * day], axis=1)


class Oracle(NamedTuple):
    """Mean and scale of ln birth weight are linear in standardised regressors; `widen` makes 90 % of it."""

    center: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    widen: float

    def interval(self, rows: Rows, scans: int) -> tuple[np.ndarray, np.ndarray]:
        """90 % interval of birth weight, g."""
        middle, sd = _predict(self, seen(rows, scans), rows.birth_day)
        return np.exp(middle - self.widen * sd), np.exp(middle + self.widen * sd)


def _standardised(x: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(x), 1)), (x - center) / scale], axis=1)


def _spread_regressors(day: np.ndarray) -> np.ndarray:
    """Days from the record's end to birth: the further, the less is known."""
    ahead = (day - AS_OF_DAY) / 10.0
    return np.stack([np.ones_like(ahead), ahead, ahead**2], axis=1)


def _predict(o: Oracle, x: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _standardised(x, o.center, o.scale) @ o.mean, np.exp(_spread_regressors(day) @ o.spread)


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Penalty by generalised cross-validation; the intercept is free (columns are centered)."""
    u, s, vt = np.linalg.svd(x[:, 1:], full_matrices=False)
    along, middle = u.T @ (y - y.mean()), y.mean()
    best: tuple[float, np.ndarray] = (np.inf, np.zeros(x.shape[1]))
    for penalty in PENALTIES:
        shrink = s**2 / (s**2 + penalty)
        residual = y - middle - u @ (shrink * along)
        score = float(np.sum(residual**2) / (1.0 - (1.0 + shrink.sum()) / len(y)) ** 2)
        if score < best[0]:
            best = score, np.concatenate([[middle], vt.T @ (shrink / s * along)])
    return best[1]


def fit(rows: Rows, scans: int) -> Oracle:
    """Mean from all women; spread and width from residuals of women left out of the fit (FOLDS folds)."""
    x, n = seen(rows, scans), len(rows.base)
    off = np.empty(n)
    for k in range(FOLDS):
        out = np.arange(n) % FOLDS == k
        center, scale, mean = _mean(x[~out], rows.ln_weight[~out])
        off[out] = np.abs(rows.ln_weight[out] - _standardised(x[out], center, scale) @ mean)
    of_day = _spread_regressors(rows.birth_day)
    spread, *_ = np.linalg.lstsq(of_day, np.log(np.maximum(off, 1e-4)), rcond=None)
    ratio = np.sort(off / np.exp(of_day @ spread))
    at = min(int(np.ceil(0.9 * (n + 1))), n) - 1
    return Oracle(*_mean(x, rows.ln_weight), spread, float(ratio[at]))


def _mean(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    center, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    return center, scale, _ridge(_standardised(x, center, scale), y)
