"""When births happen: hazards by week, size and health, fitted to registered births; growth itself is not touched.

Fetuses come from the population as it is. Of each, the chance to be born on each day in each way follows from the
hazards, so the births of a registered week are a mixture over fetuses, weighted by those chances. What is fitted: how
many births each registered week has, of each way and group of women, and how heavy those of women without gestational
diabetes are. A part of the registered weeks is wrong by weeks (weights fall from 41 to 43 weeks); that part, its mean
and its spread are fitted too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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
from twin.forecast.onset import KNOTS_WEEK, Cause, Hazards, Who, log_odds
from twin.growth_standards import reference_weight_g
from twin.physiology.fetus import FIRST_WEEK

STEP_DAYS = 3.5  # of the fit; hazards are of one day
WEEK = np.arange(26.0, 44.0, STEP_DAYS / 7.0) + STEP_DAYS / 14.0  # middles of the steps, recorded weeks
WEEKS = np.arange(26, 44)  # completed weeks
COUNTED = np.arange(28, 44)  # whose counts are fitted,
WEIGHED = np.arange(35, 43)  # and whose weights are
LEAST_BIRTHS = 20  # of a cell whose mean weight is compared
SHARE_FLOOR = 0.02  # of each share: what the hazards' shape cannot follow
WAYS = ("spontaneous", "initiated")
#: before any birth is seen, SD: of an effect; of a second difference of the level between knots (assumed)
EFFECT_SD, BEND_SD = 0.5, 0.5
WRONG, WRONG_SD = (
    (-3.0, 0.0, 0.0),
    (0.3, 0.5, 1.0),
)  # log odds, ln SD (weeks), mean (weeks): prior of wrong weeks


class Free(NamedTuple):
    """What is fitted. wrong : log odds that a registered week is wrong by weeks, ln SD of that error, and its mean."""

    spontaneous: Cause
    initiated: Cause
    wrong: Array


class Group(NamedTuple):
    """Women of one kind and their births by completed week: counts over (way, COUNTED); weights over (sex, WEIGHED).

    who : 0 or 1 each; of gestational diabetes all fetuses stand in, so its weights are not compared.
    """

    name: str
    who: Who
    number: np.ndarray
    mean: np.ndarray
    se: np.ndarray


class Fetuses(NamedTuple):
    """ln weight, its z among all, and true weeks, at WEEK, (time, woman); covariates (woman,). ratio, sd : of
    `Hazards`."""

    ln_weight: Array
    z: Array
    week: Array
    male: Array
    parous: Array
    hypertension: Array
    ratio: np.ndarray
    sd: np.ndarray


def fetuses(population: Population, n: int, seed: int = 9) -> Fetuses:
    """Of untreated women."""

    def look(women: Women, lanes: Lanes) -> Arrays:
        weeks = pregnancy(population.prior, population.numbers, lanes, Arm(), False)
        return {"ln": jnp.log(weeks.L + weeks.F), "shift": weeks.shift}

    c = gather(population, seed, n, look)
    edge = FIRST_WEEK + np.arange(len(c["ln"]))
    knots = np.array(KNOTS_WEEK)

    def at(week: np.ndarray) -> np.ndarray:
        low = np.clip(np.floor(week - FIRST_WEEK).astype(int), 0, len(edge) - 2)
        share = (week - edge[low])[:, None]
        return np.asarray(c["ln"][low] * (1.0 - share) + c["ln"][low + 1] * share)

    standard = np.log(np.asarray(reference_weight_g(7.0 * knots, standard=population.standard)))
    there = at(knots)
    ratio, sd = there.mean(axis=1) - standard, there.std(axis=1)
    ln = at(WEEK)
    z = (ln - ln.mean(axis=1, keepdims=True)) / ln.std(axis=1, keepdims=True)
    week = WEEK[:, None] + c["shift"][None]
    covariates = (c["male"], c["parity"] > 0, c["hypertension"])
    arrays = [jnp.asarray(x, dtype=jnp.float32) for x in (ln, z, week, *covariates)]
    ln_weight, size, true_week, male, parous, high = arrays
    return Fetuses(ln_weight, size, true_week, male, parous, high, np.asarray(ratio), np.asarray(sd))


def group(name: str, who: Who, births: pd.DataFrame) -> Group:
    """births : columns week (completed), weight_g, male, initiated."""
    number = np.array(
        [[((births["week"] == w) & (births["initiated"] == i)).sum() for w in COUNTED] for i in (0, 1)]
    )
    mean, se = np.full((2, 2, len(WEIGHED)), np.nan)
    for i, sex in enumerate((0, 1)):
        for j, w in enumerate(WEIGHED):
            x = births[(births["week"] == w) & (births["male"] == sex)]["weight_g"]
            if len(x) >= LEAST_BIRTHS:
                mean[i, j], se[i, j] = x.mean(), x.std() / np.sqrt(len(x))
    if who.gestational_diabetes:
        mean[:] = np.nan
    return Group(name, who, number.astype(float), mean, se)


def chances(h: Free, f: Fetuses, who: Who) -> Array:
    """Chance to be born in each step and way, (way, time, woman); the last step takes who is left."""
    recorded = jnp.asarray(WEEK[:, None], dtype=f.week.dtype)
    odds = [log_odds(h.spontaneous, f.week, f.z, who), log_odds(h.initiated, recorded, f.z, who)]
    daily = jnp.stack([jax.nn.sigmoid(o) for o in odds])
    stays = STEP_DAYS * (jax.nn.log_sigmoid(-odds[0]) + jax.nn.log_sigmoid(-odds[1]))
    stays = stays.at[-1].set(-jnp.inf)
    before = jnp.concatenate([jnp.zeros((1, stays.shape[1])), jnp.cumsum(stays[:-1], axis=0)])
    born = jnp.exp(before) * -jnp.expm1(stays)
    return born[None] * daily / daily.sum(axis=0)[None]


def expected(h: Free, f: Fetuses, who: Who) -> tuple[Array, Array]:
    """Of fetuses of such women: share of births by way and registered completed week, (way, WEEKS), and mean weight,
    (sex, WEEKS)."""
    alike = (f.parous == who.parous) & (f.hypertension == who.hypertension)
    p = chances(h, f, who) * alike[None, None]
    pick = jnp.asarray((np.floor(WEEK).astype(int)[None] == WEEKS[:, None]).astype(np.float32))
    weight = jnp.exp(f.ln_weight + 0.5 * BIRTH_RESIDUAL_SD**2)
    share, sd = jax.nn.sigmoid(h.wrong[0]), jnp.exp(h.wrong[1])
    off = jnp.asarray(WEEKS[:, None] - WEEKS[None]) - h.wrong[2]
    kernel = jnp.exp(-0.5 * (off / sd) ** 2)
    kernel = share * kernel / kernel.sum(axis=0, keepdims=True) + (1.0 - share) * jnp.eye(len(WEEKS))
    by_way = (kernel @ (pick @ p.sum(axis=2).T)).T
    mean = []
    for sex in (0.0, 1.0):
        mine = p.sum(axis=0) * (f.male == sex)[None]
        mean.append(kernel @ (pick @ (mine * weight).sum(axis=1)) / (kernel @ (pick @ mine.sum(axis=1))))
    return by_way / by_way.sum(), jnp.stack(mean)


def start() -> Free:
    def cause(level: Sequence[float]) -> Cause:
        return Cause(jnp.asarray(level), *(jnp.zeros(2) for _ in range(4)))

    return Free(
        cause([-10.0, -9.0, -8.0, -6.5, -5.2, -4.3, -3.6, -3.0, -2.8, -2.2, -1.9, -1.7, -1.5]),
        cause([-10.0, -9.0, -8.0, -6.5, -5.5, -4.5, -4.0, -3.5, -3.0, -2.8, -2.2, -1.7, -1.5]),
        jnp.asarray(WRONG),
    )


def _before_births(h: Free) -> Array:
    """- ln of the prior density."""
    found = 0.5 * jnp.sum(((h.wrong - jnp.asarray(WRONG)) / jnp.asarray(WRONG_SD)) ** 2)
    for c in (h.spontaneous, h.initiated):
        found += 0.5 * sum(jnp.sum(x**2) for x in c[1:]) / EFFECT_SD**2
        found += 0.5 * jnp.sum(jnp.diff(c.level, 2) ** 2) / BEND_SD**2
    return found


class FittedHazards(NamedTuple):
    """hazards : for the twin. free : with the wrong weeks. loss : at the end. told : share (way, COUNTED) and weight
    (sex, WEIGHED) of each group."""

    hazards: Hazards
    free: Free
    loss: float
    told: dict[str, tuple[np.ndarray, np.ndarray]]
    groups: Sequence[Group]

    def as_json(self) -> dict[str, Any]:
        """Registered and expected counts and weights of each group, and the part of wrong weeks."""

        def plain(x: np.ndarray) -> list:
            return [[None if np.isnan(v) else round(float(v), 5) for v in row] for row in np.asarray(x)]

        return {
            "loss": self.loss,
            "wrong": np.asarray(self.free.wrong).tolist(),
            "weeks": COUNTED.tolist(),
            "weighed": WEIGHED.tolist(),
            "groups": {
                g.name: {
                    "births": int(g.number.sum()),
                    "share": plain(g.number / g.number.sum()),
                    "expected_share": plain(self.told[g.name][0]),
                    "weight_g": plain(g.mean),
                    "weight_se_g": plain(g.se),
                    "expected_weight_g": plain(self.told[g.name][1]),
                }
                for g in self.groups
            },
        }


def fit(f: Fetuses, groups: Sequence[Group]) -> FittedHazards:
    """Counts are multinomial with SHARE_FLOOR, mean weights normal; of the groups that have them."""
    counted, weighed = np.searchsorted(WEEKS, COUNTED), np.searchsorted(WEEKS, WEIGHED)
    flat, back = ravel_pytree(start())

    def loss(x: Array) -> Array:
        h = back(x)
        total = _before_births(h)
        for g in groups:
            share, mean = expected(h, f, g.who)
            share = share[:, counted] / share[:, counted].sum()
            n = g.number.sum()
            seen = g.number / n
            var = (seen * (1.0 - seen) + 0.5 / n) / n + (SHARE_FLOOR * seen) ** 2
            total = total + 0.5 * jnp.sum((share - seen) ** 2 / var)
            known = np.isfinite(g.mean)
            apart = (mean[:, weighed] - np.nan_to_num(g.mean)) / np.where(known, g.se, 1.0)
            total = total + 0.5 * jnp.sum(jnp.where(known, apart, 0.0) ** 2)
        return total

    both = jax.jit(jax.value_and_grad(loss))

    def step(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = both(jnp.asarray(x, dtype=flat.dtype))
        return float(value), np.asarray(slope, dtype=float)

    found = minimize(
        step, np.asarray(flat, dtype=float), jac=True, method="L-BFGS-B", options={"maxiter": 600}
    )
    h = back(jnp.asarray(found.x, dtype=flat.dtype))
    told = {}
    for g in groups:
        share, mean = (np.asarray(x) for x in expected(h, f, g.who))
        told[g.name] = (share[:, counted], mean[:, weighed])
    hazards = Hazards(h.spontaneous, h.initiated, f.ratio, f.sd)
    return FittedHazards(hazards, h, float(found.fun), told, groups)
