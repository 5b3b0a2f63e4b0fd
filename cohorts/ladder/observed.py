"""Real women and fetuses on the ladder: what three data sets show, and the same statistics of virtual women.

US births 2022: weight by week and sex. US births 2014: what covariates do to it at equal week. Sydney: how far birth
weight is from the last scan. King's College: spread of the abdominal circumference by week. Rows are rules like those
of the tables, but none of them counts in the score of the evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd

from cohorts.evidence.designs.growth import AT_WEEKS, WEEKS, biometry, efw_ln, one_centre, scanned
from cohorts.evidence.rules import Rule
from cohorts.evidence.statistics import flag_difference
from cohorts.ladder import us_births
from cohorts.population.birth import between, births
from cohorts.population.engine import Arm, Lanes, pregnancy
from cohorts.population.numbers import beside
from cohorts.population.population import Arrays, Population, gather
from cohorts.population.women import Women
from twin.encode import LARGEST_BMI, expected_gain_kg
from twin.physiology.fetus import MEASURES

SYDNEY = "data/sydney_ultrasound_birthweight/scans.csv"
KINGS = "data/kings_abdominal_circumference/abdom.csv"
TERM = (37, 41)  # completed weeks
FITTED_WEEKS, SHOWN_WEEKS = (38, 39, 40), (37, 41)  # the ends hold most of the wrongly registered weeks
MEAN_G, SD_SHARE, STANDARD_ERRORS = 60.0, 0.10, 3.0  # bands of registered weights: dating errors, not chance
COVARIATES = ("male", "parous", "bmi", "height", "age", "smoking", "hypertension", "gain")
#: days from the last scan to birth; heaviest and lightest share of residuals left out of the spread: gross errors
SCANNED_BEFORE = ((0, 7), (8, 21), (22, 42))
TRIMMED = 0.02
SET_ASIDE = 100  # Sydney women, for `tests.statistical.sydney`
WEIGHED_BEFORE = 21  # days, up to which each measure's own say is compared
GROSS = 5.0  # median deviations, beyond which a scan or a birth is left out
FIRST_WEEK_FLAGGED = 28
RESAMPLES = 100
LARGEST_GAIN_KG = 25.0  # from the standard; more is a slip of the pen
KINGS_WEEKS = (16.0, 24.0, 32.0, 40.0)


def rules(shared: Path) -> list[Rule]:
    """What the data show, with bands."""
    found = _weights(b := us_births.load(shared))
    found += _flagged(b)
    found += _effects(us_births.load_2014(shared))
    found += _sydney(without_aside(pd.read_csv(shared / SYDNEY, dtype={"id": str})))
    found += _kings(pd.read_csv(shared / KINGS))
    return found


def _rule(
    row: str,
    study: str,
    statistic: str,
    value: Mapping[str, tuple[float, float]],
    unit: str,
    *,
    role: str = "calibrate",
) -> Rule:
    """value : by what, the number and half its band."""
    published = tuple(v for v, _ in value.values())
    low, high = (tuple(v + s * h for v, h in value.values()) for s in (-1.0, 1.0))
    says = f"{statistic}: {', '.join(value)}"
    return Rule(row, study, says, "people", published, low, high, unit, "data", role, True, "")


def _weights(b: pd.DataFrame) -> list[Rule]:
    b = b[~b["gdm"]]
    study, found = "US births 2022", []
    for suffix, weeks, role in (("", FITTED_WEEKS, "calibrate"), ("-ENDS", SHOWN_WEEKS, "validate")):
        means, sds = {}, {}
        for week in weeks:
            for male, sex in ((0, "girls"), (1, "boys")):
                x = b[(b["week"] == week) & (b["male"] == male)]["weight_g"]
                sd, n = float(x.std()), len(x)
                name = f"{week} weeks {sex}"
                means[name] = (float(x.mean()), max(MEAN_G, STANDARD_ERRORS * sd / n**0.5))
                sds[name] = (sd, max(SD_SHARE * sd, STANDARD_ERRORS * sd / (2 * n) ** 0.5))
        found.append(_rule(f"US-MEAN{suffix}", study, "mean birth weight", means, "g", role=role))
        found.append(_rule(f"US-SD{suffix}", study, "SD of birth weight", sds, "g", role=role))
    return found


def _flagged(b: pd.DataFrame) -> list[Rule]:
    """Birth weight with gestational diabetes, known and treated, less without, adjusted; resampled by birth."""
    c = b[b["bmi"].between(15.0, 60.0) & (b["week"] >= FIRST_WEEK_FLAGGED)].reset_index(drop=True)

    def difference(d: pd.DataFrame) -> float:
        adjust = (d["male"], d["bmi"], d["parous"], d["hypertension"])
        plain = (np.asarray(x, dtype=float) for x in (d["weight_g"], d["week"], d["gdm"], *adjust))
        return flag_difference(*plain)

    again = [difference(c.sample(frac=1.0, replace=True, random_state=i)) for i in range(RESAMPLES)]
    value = {"difference": (difference(c), 2.0 * float(np.std(again)))}
    return [_rule("US-GDM", "US births 2022", "birth weight with gestational diabetes, adjusted", value, "g")]


def _effects(b: pd.DataFrame) -> list[Rule]:
    """Coefficients of ln weight, weeks as they are registered, with two standard errors."""
    c = b[b["week"].between(*TERM) & (b["weight_g"] > 1000.0)]
    c = c[c["bmi"].between(15.0, 60.0) & c["height_cm"].between(140.0, 195.0)]
    gain = c["gain_kg"] - expected_gain_kg(c["week"].to_numpy() + 0.5)
    c = c[gain.abs() < LARGEST_GAIN_KG]
    who = {
        "male": c["male"],
        "parous": c["parous"],
        "bmi": np.minimum(c["bmi"], LARGEST_BMI),
        "height": c["height_cm"],
        "age": c["age_y"],
        "smoking": c["smoking"],
        "hypertension": c["hypertension"],
        "gain": gain[c.index],
    }
    value, se = _regressed(c["weight_g"].to_numpy(), c["week"].to_numpy(), who)
    found = {k: (v, 2.0 * s) for k, v, s in zip(COVARIATES, value, se, strict=True)}
    return [_rule("US-EFFECTS", "US births 2014", "ln birth weight per unit", found, "ln")]


def _regressed(weight: np.ndarray, week: np.ndarray, who: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of COVARIATES and their standard errors, each completed week on its own."""
    columns = [np.asarray(who[k], dtype=float) for k in COVARIATES]
    X = np.column_stack([*columns, *(week == w for w in range(TERM[0], TERM[1] + 1))]).astype(float)
    y = np.log(weight)
    b = np.linalg.lstsq(X, y, rcond=None)[0]
    covariance = np.linalg.pinv(X.T @ X) * ((y - X @ b) ** 2).mean()
    k = len(COVARIATES)
    return b[:k], np.sqrt(np.diag(covariance)[:k])


def _residual(ln_weight: np.ndarray, ln_efw: np.ndarray, days: np.ndarray) -> tuple[float, int]:
    """SD of ln birth weight around a line in ln EFW and days, without the ends."""
    X = np.column_stack([np.ones(len(days)), ln_efw, days])
    r = ln_weight - X @ np.linalg.lstsq(X, ln_weight, rcond=None)[0]
    low, high = np.quantile(r, [TRIMMED, 1.0 - TRIMMED])
    return float(r[(r >= low) & (r <= high)].std()), len(r)


def without_aside(d: pd.DataFrame) -> pd.DataFrame:
    """Sydney without the women that forecasts are judged by: smallest SHA-256 of id."""
    order = d["id"].map(lambda i: hashlib.sha256(i.encode()).hexdigest()).argsort()
    return d.iloc[np.sort(order.to_numpy()[SET_ASIDE:])]


def _sydney(d: pd.DataFrame) -> list[Rule]:
    columns = {"hc_mm": "hc_cm", "ac_mm": "ac_cm", "fl_mm": "fl_cm", "bpd_mm": "bpd_cm"}
    ln = np.log(10.0 * np.stack([d[columns[q]].to_numpy(dtype=float) for q in MEASURES]))
    y, x, days = np.log(d["birthweight_g"].to_numpy()), efw_ln(ln), d["days_before_delivery"].to_numpy()
    found = {}
    for first, last in SCANNED_BEFORE:
        here = (days >= first) & (days <= last) & np.isfinite(x)
        sd, n = _residual(y[here], x[here], days[here])
        found[f"{first} to {last} days before"] = (sd, 2.0 * sd / (2 * n) ** 0.5)
    near = (days <= WEIGHED_BEFORE) & np.isfinite(ln).all(axis=0)
    weight, se = _weights_of(y[near], ln[:, near], days[near])
    each = {q: (w, 2.0 * s) for q, w, s in zip(MEASURES, weight, se, strict=True)}
    return [
        _rule("SYDNEY-SCAN", "Sydney", "SD of ln birth weight given the last scan", found, "ln"),
        _rule("SYDNEY-WEIGHTS", "Sydney", "ln birth weight per ln of each measure, together", each, "ln/ln"),
    ]


def _weights_of(ln_weight: np.ndarray, ln: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def _kings(d: pd.DataFrame) -> list[Rule]:
    """Spread of ln AC about a smooth curve, within 4 weeks of KINGS_WEEKS."""
    week, ln = d["ga_weeks"].to_numpy(), np.log(d["ac_mm"].to_numpy(dtype=float))
    r = ln - np.polynomial.Polynomial.fit(week, ln, 5)(week)
    found = {}
    for w in KINGS_WEEKS:
        x = r[np.abs(week - w) <= 4.0]
        found[f"{w:g} weeks"] = (float(x.std()), 2.0 * float(x.std()) / (2 * len(x)) ** 0.5)
    return [_rule("KINGS-AC", "King's College", "SD of ln abdominal circumference", found, "ln")]


def _near(c: Arrays, ln: np.ndarray, late: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Births from 33 weeks with a scan up to three weeks before: a half by either group of days."""
    half = np.arange(len(ln)) % 2 == 0
    first, second = (f for f, last in SCANNED_BEFORE if last <= WEIGHED_BEFORE)
    seen = np.where(half[None], c[f"seen_{first}"], c[f"seen_{second}"])
    before = np.where(half, c[f"before_{first}"], c[f"before_{second}"])
    return ln[late], seen[:, late], before[late]


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
    who = {
        "male": c["male"],
        "parous": c["parous"],
        "bmi": np.minimum(c["bmi"], LARGEST_BMI),
        "height": c["height_cm"],
        "age": c["age_y"],
        "smoking": c["smoking"],
        "hypertension": c["hypertension"],
        "gain": c["extra_gain_kg"] * c["birth_day"] / 280.0,
    }
    effects = _regressed(weight[term], week[term], {k: v[term] for k, v in who.items()})[0]
    ln, late = np.log(weight), c["birth_day"] >= 33 * 7
    apart = []
    for first, _ in SCANNED_BEFORE:
        x, before = c[f"efw_{first}"], c[f"before_{first}"]
        apart.append(_residual(ln[late], x[late], before[late])[0])
    at = [WEEKS.index(w) for w in KINGS_WEEKS]
    return {
        "US-MEAN": tuple(float(x.mean()) for x in cells(FITTED_WEEKS)),
        "US-SD": tuple(float(x.std()) for x in cells(FITTED_WEEKS)),
        "US-MEAN-ENDS": tuple(float(x.mean()) for x in cells(SHOWN_WEEKS)),
        "US-SD-ENDS": tuple(float(x.std()) for x in cells(SHOWN_WEEKS)),
        "US-EFFECTS": tuple(map(float, effects)),
        "SYDNEY-SCAN": tuple(apart),
        "SYDNEY-WEIGHTS": tuple(map(float, _weights_of(*_near(c, ln, late))[0])),
        "KINGS-AC": tuple(float(c["ln_ac"][i].std()) for i in at),
    }
