"""Simulated women of the benchmarks, made in a process of their own and kept in a file.

Two designs are simulated; what has less data leaves some of it out. In a batch stand women whose arrays have one shape,
as `calibrate_many` buckets them: of the women simulated the commonest shape is kept.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import jax

from cohorts.synthetic import CgmPlan, SmbgPlan, design_named, simulate_cohort
from tests.statistical.faithful.women import with_scans
from twin.fhir import known_at
from twin.record import PatientRecord

SEED = 20261221
STANDARD = "hadlock1991"
SENSOR_WEEK = 31.0

DESIGNS = {
    # 14 sensor days with meals, tolerance test, three scans; known at 36 weeks
    "sensor": replace(design_named("sensor"), cgm=CgmPlan(SENSOR_WEEK, 14), smbg=None, as_of_week=36.0),
    # four finger pricks a day over six weeks, nine of ten taken; four scans; known at 34 weeks
    "finger pricks": replace(
        design_named("standard"),
        smbg=SmbgPlan(28.0, 0.9),
        ogtt_week=None,
        scan_weeks=(20.0, 28.0, 31.0, 33.0),
        as_of_week=34.0,
    ),
}


class Subject(NamedTuple):
    """A woman as the product gets her."""

    record: PatientRecord
    as_of_day: float


def _scans(*kept: int) -> Callable[[Subject], Subject]:
    return lambda one: one._replace(record=with_scans(one.record, kept))


def _sensor_days(n: int) -> Callable[[Subject], Subject]:
    def fewer(one: Subject) -> Subject:
        last = 7.0 * SENSOR_WEEK + n
        glucose, meals = one.record.glucose, one.record.meals
        late = (glucose["kind"] == "cgm") & (glucose["gestational_day"] >= last)
        return one._replace(
            record=replace(
                one.record,
                glucose=glucose[~late].reset_index(drop=True),
                meals=meals[meals["gestational_day"] < last].reset_index(drop=True),
            )
        )

    return fewer


def _at_33_weeks(one: Subject) -> Subject:
    when = one.record.facts.lmp_equivalent + timedelta(days=7 * 33)
    return Subject(known_at(one.record, when), 7.0 * 33)


#: what is measured: the design it is of, and what is left out
VARIANTS: dict[str, tuple[str, Callable[[Subject], Subject]]] = {
    "14 sensor days": ("sensor", lambda one: one),
    "7 sensor days": ("sensor", _sensor_days(7)),
    "3 sensor days": ("sensor", _sensor_days(3)),
    "finger pricks": ("finger pricks", _scans()),
    "finger pricks, 1 scan": ("finger pricks", _scans(3)),
    "finger pricks, 4 scans": ("finger pricks", lambda one: one),
    "finger pricks at 33 weeks": ("finger pricks", _at_33_weeks),
}


def measure(*, wanted: dict[str, int], folder: str) -> dict[str, Any]:
    """Simulate women of each design into `folder`, one file a design. Returns how many of how many have the shape."""
    from scenarios.cli import start_engine
    from twin.inference.priors import load_prior

    start_engine()
    made = {}
    for number, (name, n) in enumerate(wanted.items()):
        key = jax.random.fold_in(jax.random.key(SEED), number)
        drawn = simulate_cohort(key, 2 * n + 8, DESIGNS[name], load_prior())
        by_shape: dict[Any, list[Subject]] = {}
        for record, truth in drawn:
            one = Subject(record, float(truth.as_of_day))
            by_shape.setdefault(shape(one), []).append(one)
        commonest = max(by_shape.values(), key=len)
        if len(commonest) < n:
            raise RuntimeError(f"{name}: {len(commonest)} women of one shape, wanted {n}")
        file(folder, name).write_bytes(pickle.dumps(commonest[:n]))
        made[name] = [len(commonest), sum(len(v) for v in by_shape.values())]
    return made


def shape(one: Subject) -> Any:
    from twin.encode import encode
    from twin.inference.calibrate import shape_of

    return shape_of(encode(one.record, one.as_of_day, standard=STANDARD))


def file(folder: str, design: str) -> Path:
    return Path(folder) / f"{design}.pickle"


def load(folder: str, variant: str) -> list[Subject]:
    design, leave_out = VARIANTS[variant]
    return [leave_out(one) for one in pickle.loads(file(folder, design).read_bytes())]
