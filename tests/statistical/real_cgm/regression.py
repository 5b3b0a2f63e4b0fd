"""Ridge regression of ln glucose some hours ahead on readings, time of day, meals and insulin, from a person's days.

The penalty is chosen by leaving out one day at a time: ordinary generalised cross-validation takes neighbouring
readings for independent, chooses too small a penalty, and forecasts worse. Lags, harmonics, meal kernels, the cap on a
meal and the fading weights of days were chosen with the scores of all three data sets in view, in favour of this
comparator. Insulin is here because the twin has it too; its kernels follow the twin's own times and were not chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.statistical.real_cgm.grid import N_TIME, STEP_MIN
from tests.statistical.real_cgm.intake import Dose, Meal

LAGS = (0, 1, 2, 3, 4, 6, 8)  # steps of 15 min: the last two hours
HARMONICS = (2, 4)  # of the day; the mean of the fits is the forecast
MEAL_TAU_MIN = (30.0, 60.0)  # peak times of the kernels t exp(-t) of a meal
INSULIN_TAU_MIN = {
    "rapid": 75.0,
    "regular": 150.0,
}  # peak times; others, long-acting ones among them, OTHER_TAU_MIN
OTHER_TAU_MIN = 360.0
MEAL_CAP_G = 60.0  # response to carbohydrate levels off
HALF_LIFE_DAYS = 5.0
SD_POOL_MIN = 120.0  # the residual's SD follows the time of day, drawn to its mean over the day
SD_LOCAL_SHARE = 0.75
SD_INFLATION = 1.1  # what fitting the coefficients to few days adds; left-out days show most of it
PENALTIES = np.logspace(-1.0, 5.0, 25)


def carried_forward(ln: np.ndarray) -> np.ndarray:
    """The newest known value at each time; NaN before the first."""
    newest = np.maximum.accumulate(np.where(np.isfinite(ln), np.arange(len(ln)), -1))
    return np.where(newest >= 0, ln[np.maximum(newest, 0)], np.nan)


def regressors(
    ln: np.ndarray, meals: list[Meal], doses: list[Dose], origin: np.ndarray, ahead: int, harmonics: int
) -> np.ndarray:
    """(origin, feature). ln : carried forward, one long series; meals, doses : minutes since its start; ahead : steps.

    What was eaten or injected up to the origin and what is still to come before the target (the plan, known) have
    coefficients of their own.
    """
    target = origin + ahead
    columns = [ln[origin - lag] for lag in LAGS]
    phase = 2.0 * np.pi * (target % N_TIME) / N_TIME
    for k in range(1, harmonics + 1):
        columns += [np.sin(k * phase), np.cos(k * phase)]
    minute = np.array([m for m, _ in meals])
    grams = np.minimum([g for _, g in meals], MEAL_CAP_G)
    age = STEP_MIN * target[:, None] - minute
    eaten = minute <= STEP_MIN * origin[:, None]
    for tau in MEAL_TAU_MIN:
        t = np.maximum(age, 0.0) / tau
        response = t * np.exp(1.0 - t) * grams
        columns += [np.sum(response * eaten, axis=1), np.sum(response * ~eaten, axis=1)]
    if doses:
        minute = np.array([m for m, _, _ in doses])
        tau = np.array([INSULIN_TAU_MIN.get(f, OTHER_TAU_MIN) for _, _, f in doses])
        t = np.maximum(STEP_MIN * target[:, None] - minute, 0.0) / tau
        response = t * np.exp(1.0 - t) * np.array([u for _, u, _ in doses])
        given = minute <= STEP_MIN * origin[:, None]
        columns += [np.sum(response * given, axis=1), np.sum(response * ~given, axis=1)]
    return np.column_stack(columns)


@dataclass(frozen=True)
class Ridge:
    """A weighted ridge fit with its residuals on days left out."""

    centre: np.ndarray
    scale: np.ndarray
    slope: np.ndarray
    intercept: float
    residual: np.ndarray

    def mean(self, X: np.ndarray) -> np.ndarray:
        return self.intercept + ((X - self.centre) / self.scale) @ self.slope


def fit_ridge(X: np.ndarray, y: np.ndarray, weight: np.ndarray, day: np.ndarray) -> Ridge:
    """The penalty with the smallest weighted squared error on days left out."""
    centre = np.average(X, axis=0, weights=weight)
    scale = np.sqrt(np.average((X - centre) ** 2, axis=0, weights=weight))
    scale = np.where(scale > 1e-9, scale, 1.0)
    Z, intercept = (X - centre) / scale, float(np.average(y, weights=weight))
    v = y - intercept
    gram, moment = Z.T @ (Z * weight[:, None]), Z.T @ (weight * v)
    left_out = np.empty((len(PENALTIES), len(y)))
    for d in np.unique(day):
        own = day == d
        part = Z[own] * weight[own, None]
        eigen, basis = np.linalg.eigh(gram - Z[own].T @ part)
        along = basis.T @ (moment - part.T @ v[own])
        shrunk = along / (np.maximum(eigen, 0.0) + PENALTIES[:, None])
        left_out[:, own] = shrunk @ (Z[own] @ basis).T
    best = int(np.argmin(np.average((v - left_out) ** 2, axis=1, weights=weight)))
    slope = np.linalg.solve(gram + PENALTIES[best] * np.eye(X.shape[1]), moment)
    return Ridge(centre, scale, slope, intercept, v - left_out[best])


def forecast(
    days: np.ndarray,
    meals: Sequence[Sequence[Meal]],
    origins: np.ndarray,
    ahead: int,
    doses: Sequence[Sequence[Dose]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD of ln glucose `ahead` steps after each origin of the last day.

    days : (day, 96); of the last day only the readings up to each origin are read. meals, doses : per day.
    """
    n_before = len(days) - 1
    ln = carried_forward(np.log(days).ravel())
    raw = np.log(days).ravel()
    flat = [(1440.0 * d + minute, grams) for d, own in enumerate(meals) for minute, grams in own]
    given = [(1440.0 * d + minute, units, f) for d, own in enumerate(doses) for minute, units, f in own]
    origin = np.arange(max(LAGS), n_before * N_TIME - ahead)
    target = origin + ahead
    usable = np.isfinite(raw[target]) & np.isfinite(raw[origin]) & np.isfinite(ln[origin - max(LAGS)])
    origin, target = origin[usable], target[usable]
    day = target // N_TIME
    weight = 0.5 ** ((n_before - day) / HALF_LIFE_DAYS)
    now = n_before * N_TIME + origins
    mean, residual = np.zeros(len(now)), np.zeros(len(origin))
    for n in HARMONICS:
        fit = fit_ridge(regressors(ln, flat, given, origin, ahead, n), raw[target], weight, day)
        mean += fit.mean(regressors(ln, flat, given, now, ahead, n)) / len(HARMONICS)
        residual += fit.residual / len(HARMONICS)
    apart = np.abs(np.subtract.outer((now + ahead) % N_TIME, target % N_TIME))
    near = np.exp(-0.5 * (STEP_MIN * np.minimum(apart, N_TIME - apart) / SD_POOL_MIN) ** 2) * weight
    local = (near @ residual**2) / near.sum(axis=1)
    whole = np.average(residual**2, weights=weight)
    return mean, SD_INFLATION * np.sqrt(SD_LOCAL_SHARE * local + (1.0 - SD_LOCAL_SHARE) * whole)
