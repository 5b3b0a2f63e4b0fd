"""When births happen: a hazard by week, size and diagnosis, fitted to registered births; growth itself is not touched.

Fetuses come from the population as it is. Of each, the chance to be born in each half week follows from the hazard, so
the births of a registered week are a mixture over fetuses, weighted by those chances. What is fitted: how many births
each registered week has, and how heavy they are. A part of the registered weeks is wrong by weeks (weights fall from 41
to 43 weeks); that part and its spread are fitted too.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.optimize import minimize

from cohorts.population.engine import Arm, Lanes, pregnancy
from cohorts.population.population import Arrays, Population, gather
from cohorts.population.women import Women
from twin.forecast.ensemble import BIRTH_RESIDUAL_SD
from twin.physiology.fetus import FIRST_WEEK

STEP = 0.5  # weeks
WEEKS = np.arange(28.0, 44.0, STEP)  # starts of the half weeks in which birth may happen
KNOTS = np.array([28.0, 31.0, 34.0, 36.0, 37.0, 38.0, 39.0, 40.0, 41.0, 42.0, 44.0])
COUNTED = np.arange(28, 44)  # completed weeks whose counts are fitted,
WEIGHED = np.arange(35, 43)  # and whose weights are
TERM = 37.0


class Hazard(NamedTuple):
    """Log odds of birth in a half week. level : at KNOTS. size : per SD of ln weight at that age, before and at term.
    gestational_diabetes, hypertension, parous : added from TERM on; early_hypertension : before. wrong : log odds that
    a registered week is wrong by weeks, ln of the SD of that error, and its mean."""

    level: Array
    size: Array
    gestational_diabetes: Array
    hypertension: Array
    early_hypertension: Array
    parous: Array
    wrong: Array


def start() -> Hazard:
    level = jnp.asarray([-8.5, -7.0, -5.0, -4.0, -3.0, -2.2, -1.0, -0.6, -0.4, 0.0, 1.0])
    zero = jnp.asarray(0.0)
    return Hazard(level, jnp.zeros(2), zero, zero, zero, zero, jnp.asarray([-3.0, 0.0, 3.0]))


def log_odds(h: Hazard, week: Array, z: Array, gdm: Array, hypertension: Array, parous: Array) -> Array:
    """week : (time, woman), true weeks; z : size for age, SD, (time, woman); the others (woman,)."""
    term = jax.nn.sigmoid((week - TERM) / 0.5)
    level = jnp.interp(week, jnp.asarray(KNOTS), h.level)
    late = h.gestational_diabetes * gdm + h.hypertension * hypertension + h.parous * parous
    early = h.early_hypertension * hypertension
    return level + (h.size[0] * (1.0 - term) + h.size[1] * term) * z + term * late + (1.0 - term) * early


def chances(odds: Array) -> Array:
    """Chance to be born in each half week, (time, woman); the last takes who is left."""
    stays = jax.nn.log_sigmoid(-odds).at[-1].set(-jnp.inf)
    before = jnp.concatenate([jnp.zeros((1, odds.shape[1])), jnp.cumsum(stays[:-1], axis=0)])
    born = jnp.log1p(-jnp.exp(stays))
    return jnp.exp(before + born)


class Fetuses(NamedTuple):
    """weight : ln g, (time, woman), at the middle of each registered half week. week : true weeks, likewise."""

    weight: Array
    z: Array
    week: Array
    male: Array
    parous: Array
    hypertension: Array


def fetuses(population: Population, n: int, seed: int = 9) -> Fetuses:
    def look(women: Women, lanes: Lanes) -> Arrays:
        weeks = pregnancy(population.prior, population.numbers, lanes, Arm(), False)
        total = np.asarray(weeks.L + weeks.F)
        at = WEEKS + 0.5 * STEP - FIRST_WEEK
        low = np.minimum(np.floor(at).astype(int), len(total) - 2)
        share = (at - low)[:, None]
        ln = np.log(total[low]) * (1.0 - share) + np.log(total[low + 1]) * share
        dating = [x.name for x in population.prior.latents].index("dating")
        shift = women.z[dating] * float(np.asarray(lanes.data.dating_sd_weeks))
        return {"weight": ln, "week": WEEKS[:, None] + 0.5 * STEP + shift[None]}

    c = gather(population, seed, n, look)
    middle = c["weight"].mean(axis=1, keepdims=True)
    z = (c["weight"] - middle) / c["weight"].std(axis=1, keepdims=True)
    names = ("male", "parity", "hypertension")
    male, parity, high = (jnp.asarray(c[k], dtype=jnp.float32) for k in names)
    weight, size, week = (jnp.asarray(x, dtype=jnp.float32) for x in (c["weight"], z, c["week"]))
    return Fetuses(weight, size, week, male, (parity > 0) * 1.0, high)


class Registered(NamedTuple):
    """Births of one group by completed week: counts over COUNTED; weights over WEIGHED, (sex, week)."""

    number: np.ndarray
    mean: np.ndarray
    se: np.ndarray


def registered(births: pd.DataFrame) -> Registered:
    """births : columns week (completed), weight_g, male."""
    count = np.array([(births["week"] == w).sum() for w in COUNTED], dtype=float)
    mean, se = np.full((2, len(WEIGHED)), np.nan), np.full((2, len(WEIGHED)), np.nan)
    for i, sex in enumerate((0, 1)):
        for j, w in enumerate(WEIGHED):
            x = births[(births["week"] == w) & (births["male"] == sex)]["weight_g"]
            if len(x) >= 20:
                mean[i, j], se[i, j] = x.mean(), x.std() / np.sqrt(len(x))
    return Registered(count, mean, se)


def expected(h: Hazard, f: Fetuses, gdm: float, hypertension: Array) -> tuple[Array, Array]:
    """Share of births in each registered completed week (week,), and mean weight (sex, week), of WEEKS' whole weeks."""
    odds = log_odds(h, f.week, f.z, jnp.asarray(gdm), hypertension, f.parous)
    p = chances(odds)
    whole = np.floor(WEEKS).astype(int)
    weeks = np.unique(whole)
    pick = jnp.asarray((whole[None] == weeks[:, None]).astype(float))
    weight = jnp.exp(f.weight + 0.5 * BIRTH_RESIDUAL_SD**2)
    share, sd = jax.nn.sigmoid(h.wrong[0]), jnp.exp(h.wrong[1])
    off = weeks[:, None] - weeks[None] - h.wrong[2]
    kernel = jnp.exp(-0.5 * (off / sd) ** 2)
    kernel = share * kernel / kernel.sum(axis=0, keepdims=True) + (1.0 - share) * jnp.eye(len(weeks))
    count, mean = [], []
    for sex in (0.0, 1.0):
        mine = p * (f.male == sex)[None]
        n = kernel @ (pick @ mine.sum(axis=1))
        mean.append(kernel @ (pick @ (mine * weight).sum(axis=1)) / n)
        count.append(n)
    total = count[0] + count[1]
    return total / total.sum(), jnp.stack(mean)


class FittedHazard(NamedTuple):
    hazard: Hazard
    loss: float
    groups: dict[str, tuple[Registered, np.ndarray, np.ndarray]]


def fit(f: Fetuses, groups: dict[str, tuple[float, float, Registered]]) -> FittedHazard:
    """groups : (gestational diabetes, hypertension, births) by name. Counts are multinomial, with a floor of 2 % on
    each share for what the hazard's shape cannot follow; mean weights normal."""
    weeks = np.unique(np.floor(WEEKS).astype(int))
    counted, weighed = np.searchsorted(weeks, COUNTED), np.searchsorted(weeks, WEIGHED)
    first = start()
    flat, back = ravel_pytree(first)

    def loss(x: Array) -> Array:
        h = back(x)
        # before any birth is seen: no effect of size, few wrong weeks, a smooth level
        total = (
            0.5 * jnp.sum(h.size**2)
            + 0.5 * ((h.wrong[0] + 3.0) / 0.5) ** 2
            + 0.5 * jnp.sum(jnp.diff(h.level, 2) ** 2) / 4.0
        )
        for gdm, high, births in groups.values():
            share, mean = expected(h, f, gdm, jnp.full(f.male.shape, high))
            share = share[counted] / share[counted].sum()
            n = births.number.sum()
            seen = births.number / n
            var = seen * (1.0 - seen) / n + (0.02 * seen) ** 2 + 1e-8
            total = total + 0.5 * jnp.sum((share - seen) ** 2 / var)
            known = np.isfinite(births.mean)
            r = jnp.where(
                known, (mean[:, weighed] - np.nan_to_num(births.mean)) / np.where(known, births.se, 1.0), 0.0
            )
            total = total + 0.5 * jnp.sum(r**2)
        return total

    both = jax.jit(jax.value_and_grad(loss))

    def step(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = both(jnp.asarray(x, dtype=flat.dtype))
        return float(value), np.asarray(slope, dtype=float)

    found = minimize(
        step, np.asarray(flat, dtype=float), jac=True, method="L-BFGS-B", options={"maxiter": 400}
    )
    h = back(jnp.asarray(found.x, dtype=flat.dtype))
    told = {}
    for name, (gdm, high, births) in groups.items():
        share, mean = expected(h, f, gdm, jnp.full(f.male.shape, high))
        told[name] = (births, np.asarray(share)[counted], np.asarray(mean)[:, weighed])
    return FittedHazard(h, float(found.fun), told)
