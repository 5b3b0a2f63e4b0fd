"""Sampled values put into a schedule: meters, laboratory, sensor and ultrasound as they would be recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np

from cohorts.synthetic.design import Design
from cohorts.synthetic.schedule import DAY_START_MIN, Doses, Schedule, at, intake_rows, sensor_days
from twin.observation.residual import CGM_STEP_MIN, dynamics
from twin.record import Statement

Row = dict[str, Any]

#: one-step thresholds, mg/dL at 0, 60, 120 min; one is enough [B-DX-01]
IADPSG_MG_DL = (92.0, 180.0, 153.0)
METER_RANGE, SENSOR_RANGE = (20.0, 600.0), (40.0, 400.0)  # outside, devices say "low" or "high"
SENSOR_STEP_MIN = 5.0
# Assumed: the sensor is put on at 10:00; signal is lost now and then
SENSOR_ON_MIN = 600.0
GAPS_PER_DAY, GAP_MEAN_MIN = 0.25, 70.0


def meets_iadpsg(values: Sequence[float]) -> bool:
    """75 g test, 0/60/120 min, mg/dL as reported."""
    return any(v >= limit for v, limit in zip(values, IADPSG_MG_DL, strict=True))


def with_limits(row: Row, value: float, limits: tuple[float, float], whole: bool = True) -> Row:
    """The row with its value, to 1 mg/dL where `whole`, or the device's limit."""
    low, high = limits
    if value < low:
        return row | {"value_mg_dl": low, "censor": "low"}
    if value > high:
        return row | {"value_mg_dl": high, "censor": "high"}
    return row | {"value_mg_dl": float(round(value)) if whole else value}


def sensor_values(
    rng: np.random.Generator, level: np.ndarray, sd: np.ndarray, driven_min: float
) -> tuple[np.ndarray, np.ndarray]:
    """(minutes since the first 04:00, value) every 5 min. level, mg/dL, and sd, of ln, on the encoder's grid, days in
    order; driven_min : the residual's t_a.

    The residual is the error model's (`residual.dynamics`) at the sensor's own step. But for the level of the day it
    runs on through 04:00, where the model starts afresh.
    """
    coarse = np.arange(level.size) * CGM_STEP_MIN
    fine = np.arange(level.size * CGM_STEP_MIN / SENSOR_STEP_MIN) * SENSOR_STEP_MIN
    A, fresh, stationary = dynamics(driven_min, SENSOR_STEP_MIN)
    start, step = (np.linalg.cholesky(c + 1e-15 * np.eye(3)) for c in (stationary, fresh))
    noise = rng.standard_normal((fine.size, 3))
    state = start @ noise[0]
    residual = np.empty(fine.size)
    per_day = round(1440.0 / SENSOR_STEP_MIN)
    for i in range(fine.size):
        if i:
            state = A @ state + step @ noise[i]
        if i and i % per_day == 0:
            state[0] = start[0, 0] * noise[i, 0]  # the level of a new day
        residual[i] = state[0] + state[1]
    value = np.exp(np.interp(fine, coarse, np.log(level)) + np.interp(fine, coarse, sd) * residual)
    worn = fine >= SENSOR_ON_MIN - DAY_START_MIN
    days = level.size * CGM_STEP_MIN / 1440.0
    for _ in range(rng.poisson(GAPS_PER_DAY * days)):
        start, length = rng.uniform(0.0, fine[-1]), rng.exponential(GAP_MEAN_MIN)
        worn &= (fine < start) | (fine > start + length)
    return fine[worn], value[worn]


def sensor_rows(plan: Schedule, minutes: np.ndarray, values: np.ndarray) -> list[Row]:
    assert plan.cgm is not None
    first = sensor_days(plan.cgm)[0]
    rows = []
    for minute, value in zip(minutes, values, strict=True):
        row = at(plan.woman.lmp_equivalent, first, DAY_START_MIN + float(minute)) | {
            "kind": "cgm",
            "device": "sensor",
        }
        rows.append(with_limits(row, float(value), SENSOR_RANGE, plan.cgm.whole_mg_dl))
    return rows


def as_it_stands(
    plan: Schedule,
    design: Design,
    measurements: Mapping[str, list[Row]],
    doses: Doses | None,
    gdm: bool | None,
    cared_for: bool,
) -> tuple[dict[str, list[Row]], list[Statement]]:
    """Tables and statements as they stand at noon of the as-of day: what was measured, and what was taken in and told.

    gdm : what her tolerance test said, None without one. cared_for : whether she is treated and keeps a diary.
    """
    tables = intake_rows(plan, design, doses, recorded=True, treated=cared_for) | dict(measurements)
    if not cared_for:
        tables["meals"] = []
    statements = plan.woman.statements()
    if gdm is not None and plan.ogtt_day is not None:
        known = plan.woman.lmp_equivalent + timedelta(days=plan.ogtt_day)
        statements.append(Statement("gdm", gdm, known, about=known if gdm else None))
    return {name: _until(r, plan, design.as_of_day) for name, r in tables.items()}, statements


def _until(rows: Sequence[Row], plan: Schedule, as_of_day: int) -> list[Row]:
    """Rows up to noon of a gestational day."""
    end = datetime.combine(plan.woman.lmp_equivalent, time()) + timedelta(days=as_of_day, hours=12)
    return [r for r in rows if r["time_local"] < end]
