"""Births and scans of virtual women, seen as those of real women: US births, Sydney, King's College.

US births 2022: weight by week and sex. US births 2014: what covariates do to it at equal week. Sydney: how far birth
weight is from the last scan. King's College: spread of the abdominal circumference by week. What the data themselves
show is read by `cohorts.ladder.observed`, with the same regressions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from cohorts.evidence.designs.growth import AT_WEEKS, WEEKS, biometry, efw_ln, one_centre, scanned
from cohorts.population.birth import between, births
from cohorts.population.engine import Arm, Lanes, pregnancy
from cohorts.population.numbers import beside
from cohorts.population.population import Arrays, Population, gather
from cohorts.population.women import Women
from twin.encode import LARGEST_BMI
from twin.physiology.fetus import MEASURES

TERM = (37, 41)  # completed weeks
FITTED_WEEKS, SHOWN_WEEKS = (38, 39, 40), (37, 41)  # the ends hold most of the wrongly registered weeks
COVARIATES = ("male", "parous", "bmi", "height", "age", "smoking", "hypertension", "gain")
#: days from the last scan to birth; heaviest and lightest share of residuals left out of the spread: gross errors
SCANNED_BEFORE = ((0, 7), (8, 21), (22, 42))
TRIMMED = 0.02
WEIGHED_BEFORE = 21  # days, up to which each measure's own say is compared
GROSS = 5.0  # median deviations, beyond which a scan or a birth is left out
KINGS_WEEKS = (16.0, 24.0, 32.0, 40.0)


def simulate(population: Population, n: int, seed: int = 12) -> Arrays:
    """Births as registered, of women untreated."""
    prior, numbers = population.prior, population.numbers
    habits = {**numbers, **one_centre(population)}
    observers = float(beside(numbers, "measure.observers"))

    def look(women: Women, lanes: Lanes) -> Arrays:
        weeks = pregnancy(prior, numbers, lanes, Arm(), False)
        born = births(women, weeks, population.standard, initiated=True)
        day = born["birth_day"]
        found: Arrays = {"parous": women.parity > 0, **born}
        edges = [np.stack([between(x, np.full(len(women), w)) for w in WEEKS]) for x in (weeks.L, weeks.F)]
        L, F = (jnp.asarray(x, jnp.float32) for x in edges)
        scan = scanned(women, np.asarray(biometry(prior, habits, lanes, L, F, AT_WEEKS)[0]), 3, observers)
        found["ln_ac"] = scan[MEASURES.index("ac_mm")]
        for i, (first, last) in enumerate(SCANNED_BEFORE):
            before = first + (last - first) * women.reading[20 + i].argsort().argsort() / len(women)
            at = (day - before) / 7.0
            L, F = (jnp.asarray(between(x, at), jnp.float32)[None] for x in (weeks.L, weeks.F))
            ln = np.asarray(biometry(prior, habits, lanes, L, F, jnp.asarray(at, jnp.float32)[None])[0])
            seen = scanned(women, ln, 4 + i, observers)[:, 0]
            found |= {f"before_{first}": before, f"efw_{first}": efw_ln(seen), f"seen_{first}": seen}
        return found

    return gather(population, seed, n, look)


def statistics(c: Arrays) -> dict[str, tuple[float, ...]]:
    week = np.floor(c["birth_day"] / 7.0).astype(int)
    weight = c["birth_weight_g"]

    def cells(weeks: tuple[int, ...]) -> list[np.ndarray]:
        return [weight[(week == w) & (c["male"] == m)] for w in weeks for m in (False, True)]

    term = (week >= TERM[0]) & (week <= TERM[1])
    who = covariates(c, c["extra_gain_kg"] * c["birth_day"] / 280.0)
    effects = regressed(weight[term], week[term], {k: v[term] for k, v in who.items()})[0]
    ln, late = np.log(weight), c["birth_day"] >= 33 * 7
    apart = []
    for first, _ in SCANNED_BEFORE:
        x, before = c[f"efw_{first}"], c[f"before_{first}"]
        apart.append(residual(ln[late], x[late], before[late])[0])
    at = [WEEKS.index(w) for w in KINGS_WEEKS]
    return {
        "US-MEAN": tuple(float(x.mean()) for x in cells(FITTED_WEEKS)),
        "US-SD": tuple(float(x.std()) for x in cells(FITTED_WEEKS)),
        "US-MEAN-ENDS": tuple(float(x.mean()) for x in cells(SHOWN_WEEKS)),
        "US-SD-ENDS": tuple(float(x.std()) for x in cells(SHOWN_WEEKS)),
        "US-EFFECTS": tuple(map(float, effects)),
        "SYDNEY-SCAN": tuple(apart),
        "SYDNEY-WEIGHTS": tuple(map(float, weights_of(*_near(c, ln, late))[0])),
        "KINGS-AC": tuple(float(c["ln_ac"][i].std()) for i in at),
    }


def _near(c: Arrays, ln: np.ndarray, late: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Births from 33 weeks with a scan up to three weeks before: a half by either group of days."""
    half = np.arange(len(ln)) % 2 == 0
    first, second = (f for f, last in SCANNED_BEFORE if last <= WEIGHED_BEFORE)
    seen = np.where(half[None], c[f"seen_{first}"], c[f"seen_{second}"])
    before = np.where(half, c[f"before_{first}"], c[f"before_{second}"])
    return ln[late], seen[:, late], before[late]


def covariates(c: Mapping[str, Any], gain_kg: Any) -> dict[str, Any]:
    """COVARIATES of births, (birth,) each. gain_kg : of the mother, beyond the expected."""
    return {
        "male": c["male"],
        "parous": c["parous"],
        "bmi": np.minimum(c["bmi"], LARGEST_BMI),
        "height": c["height_cm"],
        "age": c["age_y"],
        "smoking": c["smoking"],
        "hypertension": c["hypertension"],
        "gain": gain_kg,
    }


def regressed(weight: np.ndarray, week: np.ndarray, who: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of COVARIATES and their standard errors, each completed week on its own."""
    columns = [np.asarray(who[k], dtype=float) for k in COVARIATES]
    X = np.column_stack([*columns, *(week == w for w in range(TERM[0], TERM[1] + 1))]).astype(float)
    y = np.log(weight)
    b = np.linalg.lstsq(X, y, rcond=None)[0]
    covariance = np.linalg.pinv(X.T @ X) * ((y - X @ b) ** 2).mean()
    k = len(COVARIATES)
    return b[:k], np.sqrt(np.diag(covariance)[:k])


def residual(ln_weight: np.ndarray, ln_efw: np.ndarray, days: np.ndarray) -> tuple[float, int]:
    """SD of ln birth weight around a line in ln EFW and days, without the ends."""
    X = np.column_stack([np.ones(len(days)), ln_efw, days])
    r = ln_weight - X @ np.linalg.lstsq(X, ln_weight, rcond=None)[0]
    low, high = np.quantile(r, [TRIMMED, 1.0 - TRIMMED])
    return float(r[(r >= low) & (r <= high)].std()), len(r)


def weights_of(ln_weight: np.ndarray, ln: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of the four measures, (measure, woman), beside the days to birth; gross errors left out."""
    X = np.column_stack([*ln, np.ones(len(days)), days])
    keep = np.ones(len(days), bool)
    for _ in range(2):
        b = np.linalg.lstsq(X[keep], ln_weight[keep], rcond=None)[0]
        r = ln_weight - X @ b
        keep = np.abs(r - np.median(r)) < GROSS * np.median(np.abs(r - np.median(r)))
    s2 = float((r[keep] ** 2).mean())
    covariance = np.linalg.pinv(X[keep].T @ X[keep]) * s2
    return b[: len(ln)], np.sqrt(np.diag(covariance)[: len(ln)])
