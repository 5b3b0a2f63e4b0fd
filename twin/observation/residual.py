"""What the sensor shows beside the model's glucose: a process with memory, filtered reading by reading.

The residual of ln glucose, in units of its SD, is a level that holds for the day plus a first-order process driven by
another one (correlation (t_b exp(-s/t_b) - t_a exp(-s/t_a)) / (t_b - t_a)): smooth over minutes, gone after hours. How
smooth differs from sensor to sensor: t_a is a latent. How much a reading says of each part depends on which readings
there are and on t_a alone, so the Kalman gains are made once, outside the model, as polynomials in ln t_a; inside it a
scan along the day gives each reading's mean given those before it. From day to day the level is remembered, and a part
of what moves comes back at its time of the day.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array

CGM_STEP_MIN = 15.0
#: from people's own days, by the likelihood of whole series (docs/model/observation.md): the share of the level of the
#: day in the variance and its memory, and t_b
DAY_SHARE = 0.30
DRIVING_MIN = 60.0
DAY_MEMORY_DAYS = 6.0  # of the level of the day, and of what recurs, from one day to the next
#: share of what moves within a day that comes back at the same time of other days (docs/model/observation.md)
RECURRING_SHARE = 0.20
DAY_MIN = 1440.0
DRIVEN_RANGE_MIN = (1.5, 55.0)  # of t_a
#: Chebyshev terms in ln t_a of the gains: within 1e-4 of the filter's own over the range
TERMS = 10
_SEEN = np.array([1.0, 1.0, 0.0])  # what of the states a reading shows

_State = tuple[Array, Array, Array]


def dynamics(driven_min: float, step_min: float = CGM_STEP_MIN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transition over a step, noise of the step, and stationary covariance, (state, state) each.

    States: level of the day, driven process, driving process; the residual is the sum of the first two, variance 1.
    """
    ta, tb = driven_min, DRIVING_MIN
    drift = np.array([[0.0, 0.0, 0.0], [0.0, -1.0 / ta, 1.0 / ta], [0.0, 0.0, -1.0 / tb]])
    A = scipy.linalg.expm(step_min * drift)
    moving = scipy.linalg.solve_continuous_lyapunov(drift[1:, 1:], -np.diag([0.0, 1.0]))
    stationary = np.zeros((3, 3))
    stationary[0, 0] = DAY_SHARE
    stationary[1:, 1:] = (1.0 - DAY_SHARE) * moving / moving[0, 0]
    return A, stationary - A @ stationary @ A.T, stationary


def correlation(clock_min: np.ndarray, driven_min: float, days_apart: np.ndarray | float = 0.0) -> np.ndarray:
    """Correlation of the residual of readings so far apart on the clock, of one day or of days so many apart."""
    ta, tb = driven_min, DRIVING_MIN

    def moving(lag: np.ndarray | float) -> np.ndarray:
        return np.asarray((tb * np.exp(-np.abs(lag) / tb) - ta * np.exp(-np.abs(lag) / ta)) / (tb - ta))

    remembered = np.exp(-np.abs(days_apart) / DAY_MEMORY_DAYS)
    passing = (1.0 - RECURRING_SHARE) * moving(clock_min + DAY_MIN * days_apart)
    recurring = RECURRING_SHARE * remembered * moving(clock_min)
    return np.asarray(DAY_SHARE * remembered + (1.0 - DAY_SHARE) * (passing + recurring))


def kalman(mask: np.ndarray, driven_min: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kalman gains and the SD of each reading given those before it, residual of unit variance, at each t_a.

    mask : (series, time), which readings there are; driven_min : (memory,). Returns (memory, state, series, time), 0
    where there is no reading, and (memory, series, time).
    """
    A, fresh, stationary = (np.array(x)[:, None] for x in zip(*map(dynamics, driven_min), strict=True))
    P = np.broadcast_to(stationary, (len(driven_min), len(mask), 3, 3))
    K, sd = np.zeros((len(driven_min), 3, *mask.shape)), np.zeros((len(driven_min), *mask.shape))
    for t in range(mask.shape[1]):
        if t:
            P = A @ P @ np.swapaxes(A, -1, -2) + fresh
        with_reading = P @ _SEEN  # (memory, series, state)
        total = with_reading @ _SEEN
        sd[:, :, t] = np.sqrt(total)
        gain = np.where(mask[:, t, None], with_reading / total[..., None], 0.0)
        K[..., t] = np.swapaxes(gain, 1, 2)
        P = P - gain[..., :, None] * with_reading[..., None, :]
    return K, sd


def gains(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`kalman` as polynomials of ln t_a, for `at_memory`: coefficients of the gains, (term, state, series, time), and
    of the logarithm of the SD, (term, series, time)."""
    if not len(mask):
        return np.zeros((TERMS, 3, *mask.shape)), np.zeros((TERMS, *mask.shape))
    low, high = np.log(DRIVEN_RANGE_MIN)
    node = np.polynomial.chebyshev.chebpts1(TERMS)
    K, sd = kalman(mask, np.exp(low + 0.5 * (high - low) * (node + 1.0)))
    basis = np.linalg.inv(np.polynomial.chebyshev.chebvander(node, TERMS - 1))
    return np.tensordot(basis, K, axes=1), np.tensordot(basis, np.log(sd), axes=1)


def at_memory(coefficients: Array, driven_min: Array) -> Array:
    """Polynomials of ln t_a at t_a, min: (term, ...) and (*batch) to (..., *batch). Beyond its range t_a is its end."""
    low, high = map(math.log, DRIVEN_RANGE_MIN)
    at = jnp.clip(2.0 * (jnp.log(driven_min) - low) / (high - low) - 1.0, -1.0, 1.0)
    terms = [jnp.ones_like(at), at]
    while len(terms) < coefficients.shape[0]:
        terms.append(2.0 * at * terms[-1] - terms[-2])
    return jnp.tensordot(jnp.moveaxis(coefficients.astype(at.dtype), 0, -1), jnp.stack(terms), axes=1)


def _steps(driven_min: Array) -> tuple[Array, Array, Array]:
    """What of the driven process stays over a step, what comes to it from the driving one, and what of that stays."""
    ta, tb = jnp.clip(driven_min, *DRIVEN_RANGE_MIN)[None], DRIVING_MIN
    stays, goes_on = jnp.exp(-CGM_STEP_MIN / ta), float(np.exp(-CGM_STEP_MIN / tb))
    return stays, tb / (tb - ta) * (goes_on - stays), jnp.full_like(stays, goes_on)


def _means(
    series: Array, mask: Array, gain: Array, driven_min: Array, news_of: Callable[[Array, Array], Array]
) -> Array:
    """The filter along the day: mean of each residual given those before it, (series, time, *batch).

    news_of : innovation of a reading, of its entry in `series` and its mean.
    """
    stays, comes, goes_on = _steps(driven_min)

    def advance(state: _State, now: _State) -> tuple[_State, Array]:
        r, known, k = now
        day, driven, driving = state
        driven = stays * driven + comes * driving
        driving = goes_on * driving
        mean = day + driven
        news = jnp.where(known, news_of(r, mean), 0.0)
        return (day + k[0] * news, driven + k[1] * news, driving + k[2] * news), mean

    zero = jnp.zeros((series.shape[0], *driven_min.shape), dtype=series.dtype)
    readings = jnp.moveaxis(series, 1, 0), jnp.moveaxis(mask, 1, 0), jnp.moveaxis(gain, 2, 0)
    _, mean = jax.lax.scan(advance, (zero, zero, zero), readings)
    return jnp.moveaxis(mean, 0, 1)


def filtered(residual: Array, mask: Array, gain: Array, driven_min: Array) -> Array:
    """Mean of each standardised residual given those before it, (series, time, *batch).

    residual, mask : (series, time, *batch or ones); gain : (state, series, time, *batch) at t_a; driven_min : (*batch).
    """
    return _means(residual, mask, gain, driven_min, jnp.subtract)


@jax.jit
def residuals(innovation: Array, mask: Array, gain: Array, driven_min: Array) -> Array:
    """The residuals whose differences from their `filtered` means these are; 0 where there is no reading.

    innovation : (series, time, *batch), of unit variance of the residual; the others as `filtered` has them.
    """
    mean = _means(innovation, mask, gain, driven_min, lambda news, _: news)
    return jnp.where(mask, innovation + mean, 0.0)


def given_days_before(
    residual: np.ndarray, mask: np.ndarray, days_before: np.ndarray, driven_min: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (time, draw) and correlation (time, time) of a day's residual given those of earlier days.

    residual : (day, time, draw); mask : (day, time); days_before : (day,), how long before, 1 for the eve.
    """
    n_time = mask.shape[1]
    day, time = np.nonzero(mask)
    at = CGM_STEP_MIN * np.concatenate([time, np.arange(n_time)])
    on = -np.concatenate([days_before[day], np.zeros(n_time)])
    C = correlation(np.subtract.outer(at, at), driven_min, np.subtract.outer(on, on))
    seen, ahead = slice(len(day)), slice(len(day), None)
    weight = scipy.linalg.solve(C[seen, seen], C[seen, ahead], assume_a="pos").T
    return weight @ residual[day, time], C[ahead, ahead] - weight @ C[seen, ahead]
