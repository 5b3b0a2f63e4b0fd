"""Real women and fetuses on the ladder: what US births, Sydney's and King's College's scans show.

Virtual women are compared by `cohorts.evidence.designs.people`. Rows are rules like those of the tables, but none of
them counts in the score of the evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cohorts.evidence.designs.growth import efw_ln
from cohorts.evidence.designs.people import (
    COVARIATES,
    FITTED_WEEKS,
    KINGS_WEEKS,
    SCANNED_BEFORE,
    SHOWN_WEEKS,
    TERM,
    WEIGHED_BEFORE,
    covariates,
    regressed,
    residual,
    weights_of,
)
from cohorts.evidence.rules import Rule
from cohorts.evidence.statistics import flag_difference
from cohorts.ladder import us_births
from twin.encode import expected_gain_kg
from twin.physiology.fetus import MEASURES

SYDNEY = "data/sydney_ultrasound_birthweight/scans.csv"
KINGS = "data/kings_abdominal_circumference/abdom.csv"
FILES = (SYDNEY, KINGS)  # beside those of `us_births`
MEAN_G, SD_SHARE, STANDARD_ERRORS = 60.0, 0.10, 3.0  # bands of registered weights: dating errors, not chance
SET_ASIDE = 100  # Sydney women, for `tests.statistical.sydney`
FIRST_WEEK_FLAGGED = 28
RESAMPLES = 100
LARGEST_GAIN_KG = 25.0  # from the standard; more is a slip of the pen


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
    who = covariates(c, gain[c.index])
    value, se = regressed(c["weight_g"].to_numpy(), c["week"].to_numpy(), who)
    found = {k: (v, 2.0 * s) for k, v, s in zip(COVARIATES, value, se, strict=True)}
    return [_rule("US-EFFECTS", "US births 2014", "ln birth weight per unit", found, "ln")]


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
        sd, n = residual(y[here], x[here], days[here])
        found[f"{first} to {last} days before"] = (sd, 2.0 * sd / (2 * n) ** 0.5)
    near = (days <= WEIGHED_BEFORE) & np.isfinite(ln).all(axis=0)
    weight, se = weights_of(y[near], ln[:, near], days[near])
    each = {q: (w, 2.0 * s) for q, w, s in zip(MEASURES, weight, se, strict=True)}
    return [
        _rule("SYDNEY-SCAN", "Sydney", "SD of ln birth weight given the last scan", found, "ln"),
        _rule("SYDNEY-WEIGHTS", "Sydney", "ln birth weight per ln of each measure, together", each, "ln/ln"),
    ]


def _kings(d: pd.DataFrame) -> list[Rule]:
    """Spread of ln AC about a smooth curve, within 4 weeks of KINGS_WEEKS."""
    week, ln = d["ga_weeks"].to_numpy(), np.log(d["ac_mm"].to_numpy(dtype=float))
    r = ln - np.polynomial.Polynomial.fit(week, ln, 5)(week)
    found = {}
    for w in KINGS_WEEKS:
        x = r[np.abs(week - w) <= 4.0]
        found[f"{w:g} weeks"] = (float(x.std()), 2.0 * float(x.std()) / (2 * len(x)) ** 0.5)
    return [_rule("KINGS-AC", "King's College", "SD of ln abdominal circumference", found, "ln")]
