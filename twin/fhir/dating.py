"""Dating from fetal size when no EDD, LMP or stated age is there, with its uncertainty."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pandas as pd

from twin.record import PatientRecord, as_of, build_record
from twin.timeline import lmp_from_gestational_age

#: candidate gestational days of the scan: from the standard's first day to 42+0
FIRST_DAY, LAST_DAY = 98, 294
_STANDARD_LAST = 280  # the standard ends at 40+0; later days keep its last values
#: chance of being still pregnant on a day: logistic about 39+2, SD 10 days (design choice; births by week in
#: the United States have this median). It only matters near term, where size no longer tells the day.
_BIRTH_MEDIAN, _BIRTH_SCALE = 275.0, 5.5
#: AC follows maternal glucose and fat, so it dates only when nothing else was measured
_QUANTITIES = ("hc_mm", "fl_mm", "bpd_mm")
#: a measurement this many SD from what the others say of one fetus does not date
_DISCORDANT_SD = 4.0


def date_from_biometry(record: PatientRecord) -> tuple[date, float] | None:
    """LMP-equivalent date and its SD (days) from the earliest examination with HC, FL or BPD (else AC).

    Each candidate day is weighed by the INTERGROWTH-21st mean and SD of its measurements [C-STD-03..06] and by
    the chance of being still pregnant. The measurements of one fetus share its size, so n of them count as one
    (their log likelihoods are averaged): the SD does not shrink with n. In mid range this is the delta method,
    SD_size / (d mean / d day): about 4 days at 20 weeks, 9 at 32. Of three measurements, one that contradicts
    the other two by more than 4 SD does not date. A later row of the record cannot lie beyond 43+0.
    Returns : None without a usable measurement.
    """
    table = record.biometry
    usable = table[table["quantity"].isin(_QUANTITIES)]
    if usable.empty:
        usable = table[table["quantity"] == "ac_mm"]
    if usable.empty:
        return None
    scan = usable[usable["scan"] == usable["scan"].min()]
    on = scan["time_local"].iloc[0].date()
    days = np.arange(FIRST_DAY, LAST_DAY + 1)
    z, log_like = _scores(scan, days)
    if len(scan) > 2:
        middle = int(np.median(np.argmin(np.abs(z), axis=1)))
        agree = np.abs(z[:, middle]) <= _DISCORDANT_SD
        log_like = log_like[agree] if agree.any() else log_like
    score = log_like.mean(axis=0) - np.log1p(np.exp((days - _BIRTH_MEDIAN) / _BIRTH_SCALE))
    score[days > _latest_day(record, on)] = -np.inf
    weight = np.exp(score - score.max())
    weight /= weight.sum()
    centre = float(weight @ days)
    spread = float(np.sqrt(weight @ (days - centre) ** 2))
    return lmp_from_gestational_age(on, centre), max(spread, 1.0)


def _scores(scan: pd.DataFrame, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(measurement, day) z-scores and log likelihoods."""
    import jax.numpy as jnp

    from twin.growth_standards import biometry_from_z, bpd_outer_outer_mm

    at = jnp.asarray(np.minimum(days, _STANDARD_LAST), dtype=float)
    scores, likelihoods = [], []
    for quantity, value, method in scan[["quantity", "value", "method"]].itertuples(index=False):
        mm = float(bpd_outer_outer_mm(value)) if (quantity, method) == ("bpd_mm", "outer-inner") else value
        mean = np.asarray(biometry_from_z(quantity, 0.0, at))
        sd = np.asarray(biometry_from_z(quantity, 1.0, at)) - mean
        scores.append((mm - mean) / sd)
        likelihoods.append(-0.5 * scores[-1] ** 2 - np.log(sd))
    return np.array(scores), np.array(likelihoods)


def _latest_day(record: PatientRecord, on: date) -> int:
    """The scan cannot be so late that newer rows of the record would lie beyond 43+0."""
    tables = (record.glucose, record.biometry, record.weights, record.meals, record.insulin)
    newest = max((t["time_local"].max() for t in tables if len(t)), default=None)
    after = max((newest.date() - on).days, 0) if isinstance(newest, datetime) else 0
    return max(301 - after, FIRST_DAY)


def with_dating(record: PatientRecord) -> PatientRecord:
    """The record, dated from biometry (`dating_method` "biometry") if nothing else dates it."""
    if record.facts.lmp_equivalent is not None:
        return record
    found = date_from_biometry(record)
    if found is None:
        return record
    lmp, sd = found
    facts = replace(record.facts, lmp_equivalent=lmp, dating_method="biometry", dating_sd_days=sd)
    tables = {
        name: getattr(record, name)
        for name in ("glucose", "meals", "insulin", "medication", "activity", "biometry", "weights")
    }
    return build_record(
        record.pseudonym,
        tables,
        record.history,
        record.issues,
        facts=facts,
        input_sha256=record.input_sha256,
    )


def known_at(record: PatientRecord, when: date | datetime) -> PatientRecord:
    """`record.as_of`, dated again from the scans known then if biometry dates it."""
    return with_dating(as_of(record, when))
