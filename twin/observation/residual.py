"""What the sensor shows beside the model's glucose: a process with memory, filtered reading by reading.

The residual of ln glucose, in units of its SD, is a level that holds for the day plus a first-order process driven by
another one (correlation (t_b exp(-s/t_b) - t_a exp(-s/t_a)) / (t_b - t_a)): smooth over minutes, gone after hours. How
much a reading says of each depends only on which readings there are, so the Kalman gains are made once, outside the
model; inside it a scan along the day gives each reading's mean given those before it.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize
from jaxtyping import Array

CGM_STEP_MIN = 15.0
#: from people's own days (docs/model/observation.md): the level of the day, its share of the variance and its memory by
#: the likelihood of whole series; (t_a, t_b) of (3, 55) and (15, 56) min in two cohorts without insulin
DAY_SHARE = 0.30
DRIVEN_MIN, DRIVING_MIN = 12.0, 56.0
DAY_MEMORY_DAYS = 6.0  # of the level of the day, from one day to the next
DAY_MIN = 1440.0
DRIVEN_RANGE_MIN = (2.0, 50.0)  # of t_a, as data sets differ


_State = tuple[Array, Array, Array]


@functools.cache
def dynamics(step_min: float = CGM_STEP_MIN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transition over a step, noise of the step, and stationary covariance, (state, state) each.

    States: level of the day, driven process, driving process; the residual is the sum of the first two, variance 1.
    """
    ta, tb = DRIVEN_MIN, DRIVING_MIN
    drift = np.array([[0.0, 0.0, 0.0], [0.0, -1.0 / ta, 1.0 / ta], [0.0, 0.0, -1.0 / tb]])
    A = scipy.linalg.expm(step_min * drift)
    moving = scipy.linalg.solve_continuous_lyapunov(drift[1:, 1:], -np.diag([0.0, 1.0]))
    stationary = np.zeros((3, 3))
    stationary[0, 0] = DAY_SHARE
    stationary[1:, 1:] = (1.0 - DAY_SHARE) * moving / moving[0, 0]
    return A, stationary - A @ stationary @ A.T, stationary


def correlation(
    lag_min: np.ndarray, days_apart: np.ndarray | float = 0.0, driven_min: float = DRIVEN_MIN
) -> np.ndarray:
    """Correlation of the residual over a lag, of readings of one day or of days so many apart."""
    lag, ta, tb = np.abs(lag_min), driven_min, DRIVING_MIN
    moving = (tb * np.exp(-lag / tb) - ta * np.exp(-lag / ta)) / (tb - ta)
    level = np.exp(-np.abs(days_apart) / DAY_MEMORY_DAYS)
    return np.asarray(DAY_SHARE * level + (1.0 - DAY_SHARE) * moving)


def gains(mask: np.ndarray, step_min: float = CGM_STEP_MIN) -> tuple[np.ndarray, np.ndarray]:
    """Kalman gains and the SD of each reading given those before it, residual of unit variance.

    mask : (series, time), which readings there are. Returns (state, series, time), 0 where there is none, and
    (series, time).
    """
    A, fresh, stationary = dynamics(step_min)
    seen = np.array([1.0, 1.0, 0.0])
    P = np.broadcast_to(stationary, (mask.shape[0], 3, 3)).copy()
    K, sd = np.zeros((3, *mask.shape)), np.zeros(mask.shape)
    for t in range(mask.shape[1]):
        if t:
            P = A @ P @ A.T + fresh
        with_reading = P @ seen  # (series, state)
        total = with_reading @ seen
        sd[:, t] = np.sqrt(total)
        gain = np.where(mask[:, t, None], with_reading / total[:, None], 0.0)
        K[:, :, t] = gain.T
        P = P - gain[:, :, None] * with_reading[:, None, :]
    return K, sd


def filtered(residual: Array, mask: Array, gain: Array, step_min: float = CGM_STEP_MIN) -> Array:
    """Mean of each standardised residual given those before it, (series, time, *batch).

    residual, mask : (series, time, *batch or ones); gain : (state, series, time).
    """
    rank = residual.ndim - 2
    A = dynamics(step_min)[0].astype(residual.dtype)
    K = jnp.moveaxis(gain, 2, 0).astype(residual.dtype)
    K = K.reshape(K.shape + (1,) * rank)

    def advance(state: _State, now: _State) -> tuple[_State, Array]:
        r, known, k = now
        day, driven, driving = state
        driven = A[1, 1] * driven + A[1, 2] * driving
        driving = A[2, 2] * driving
        mean = day + driven
        news = jnp.where(known, r - mean, 0.0)
        return (day + k[0] * news, driven + k[1] * news, driving + k[2] * news), mean

    zero = jnp.zeros((residual.shape[0], *residual.shape[2:]), dtype=residual.dtype)
    along = (jnp.moveaxis(residual, 1, 0), jnp.moveaxis(jnp.broadcast_to(mask, residual.shape), 1, 0), K)
    _, mean = jax.lax.scan(advance, (zero, zero, zero), along)
    return jnp.moveaxis(mean, 0, 1)


def residuals(innovation: np.ndarray, mask: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The residuals whose differences from their `filtered` means these are; 0 where there is no reading.

    innovation : (series, time, draw), of unit variance of the residual; mask : (series, time); gain : `gains`.
    """
    A = dynamics()[0]
    out = np.zeros(innovation.shape)
    state = np.zeros((3, innovation.shape[0], innovation.shape[2]))
    for t in range(mask.shape[1]):
        if t:
            state = np.einsum("ij,jsd->isd", A, state)
        known = mask[:, t, None]
        news = np.where(known, innovation[:, t], 0.0)
        out[:, t] = np.where(known, news + state[0] + state[1], 0.0)
        state = state + gain[:, :, t, None] * news[None]
    return out


def surprise(driven_min: float = DRIVEN_MIN) -> float:
    """Variance of a reading given those of the hours before it, of a residual of unit variance."""
    at = CGM_STEP_MIN * np.arange(13)
    C = correlation(np.subtract.outer(at, at), 0.0, driven_min)
    return float(C[0, 0] - C[0, 1:] @ np.linalg.solve(C[1:, 1:], C[1:, 0]))


def memory_of(variance: float) -> float:
    """t_a, min, of a residual of this variance that surprises from reading to reading as the model's of variance 1."""
    rough, smooth = DRIVEN_RANGE_MIN
    wanted = surprise() / variance
    if surprise(rough) <= wanted:
        return rough
    if surprise(smooth) >= wanted:
        return smooth
    return float(scipy.optimize.brentq(lambda t: surprise(t) - wanted, rough, smooth, xtol=0.01))


def given_days_before(
    residual: np.ndarray, mask: np.ndarray, days_before: np.ndarray, driven_min: float = DRIVEN_MIN
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (time, draw) and correlation (time, time) of a day's residual given those of earlier days.

    residual : (day, time, draw); mask : (day, time); days_before : (day,), how long before, 1 for the eve.
    """
    n_time = mask.shape[1]
    day, time = np.nonzero(mask)
    at = CGM_STEP_MIN * np.concatenate([time, np.arange(n_time)])
    back = np.concatenate([days_before[day], np.zeros(n_time)])
    apart = np.subtract.outer(back, back)
    C = correlation(np.subtract.outer(at, at) - DAY_MIN * apart, apart, driven_min)
    seen, ahead = slice(len(day)), slice(len(day), None)
    weight = scipy.linalg.solve(C[seen, seen], C[seen, ahead], assume_a="pos").T
    return weight @ residual[day, time], C[ahead, ahead] - weight @ C[seen, ahead]
