"""How births come about: spontaneously, or brought about by care. Two hazards by week, size and health.

Fitted to registered births (`cohorts.ladder.delivery`, docs/model/delivery.md), stored with the size of fetuses that
the hazards are of. The growth of the fetus is not touched by when it is born.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

KNOTS_WEEK = (
    24.0,
    28.0,
    31.0,
    34.0,
    36.0,
    37.0,
    38.0,
    38.9,
    39.1,
    40.0,
    41.0,
    42.0,
    44.0,
)  # 39+0: a limit of care
TERM_WEEK, TERM_WIDTH = 37.0, 0.5  # effects before and at term, and how fast one passes into the other
FROM_DAY, TO_DAY = 168, 308  # 24+0 and 44+0


class Cause(NamedTuple):
    """Log odds of birth on one day. level : at KNOTS_WEEK; the others are added to it, each before and at term.

    size : per SD of ln weight at that age. gestational_diabetes, hypertension, parous : of women with it.
    """

    level: ArrayLike
    size: ArrayLike
    gestational_diabetes: ArrayLike
    hypertension: ArrayLike
    parous: ArrayLike


class Hazards(NamedTuple):
    """spontaneous, initiated : the two ways, by true weeks and, as care knows no others, by recorded weeks.

    ratio, sd : mean and SD of ln weight over the standard's, at KNOTS_WEEK.
    """

    spontaneous: Cause
    initiated: Cause
    ratio: ArrayLike
    sd: ArrayLike


class Who(NamedTuple):
    """Shares where not known: 0 to 1, (*batch) or numbers."""

    gestational_diabetes: ArrayLike = 0.0
    hypertension: ArrayLike = 0.0
    parous: ArrayLike = 0.0


def log_odds(cause: Cause, week: Array, z: Array, who: Who) -> Array:
    """Of birth on a day. week : its middle; z : size for age, SDs; all broadcast to (day, *batch)."""
    term = jax.nn.sigmoid((week - TERM_WEEK) / TERM_WIDTH)

    def both(pair: ArrayLike) -> Array:
        pair = jnp.asarray(pair)
        return pair[0] + (pair[1] - pair[0]) * term

    def hers(value: ArrayLike) -> Array:
        return jnp.broadcast_to(jnp.asarray(value, dtype=z.dtype), z.shape[1:])[None]

    return (
        at_week(cause.level, week)
        + both(cause.size) * z
        + both(cause.gestational_diabetes) * hers(who.gestational_diabetes)
        + both(cause.hypertension) * hers(who.hypertension)
        + both(cause.parous) * hers(who.parous)
    )


def at_week(values: ArrayLike, week: Array) -> Array:
    """Values at KNOTS_WEEK, joined by straight lines."""
    return jnp.interp(week, jnp.asarray(KNOTS_WEEK, dtype=week.dtype), jnp.asarray(values, dtype=week.dtype))


def size_for_age(hazards: Hazards, ln_ratio: Array, week: Array) -> Array:
    """SDs above the population's mean. ln_ratio : ln of weight over the growth standard's at the same age."""
    return (ln_ratio - at_week(hazards.ratio, week)) / at_week(hazards.sd, week)


@functools.partial(jax.jit, static_argnames=("first_day", "initiated"))
def ln_waiting(
    hazards: Hazards,
    ln_ratio: ArrayLike,
    first_day: int,
    shift_weeks: ArrayLike,
    who: Who,
    initiated: bool = True,
) -> Array:
    """ln of the chance that birth has not happened by the end of each day, (day, *batch), given that it has not by the
    start of `first_day`.

    ln_ratio : ln of weight over the growth standard's on each day from `first_day` on, (day, *batch). shift_weeks :
    (*batch), true less recorded. initiated : whether births are brought about as where the hazards were fitted.
    """
    ln_ratio = jnp.asarray(ln_ratio)
    day = first_day + 0.5 + jnp.arange(ln_ratio.shape[0], dtype=ln_ratio.dtype)
    recorded = day.reshape(-1, *(1,) * (ln_ratio.ndim - 1)) / 7.0
    week = recorded + jnp.broadcast_to(shift_weeks, ln_ratio.shape[1:])[None]
    z = size_for_age(hazards, ln_ratio, week)
    stays = jax.nn.log_sigmoid(-log_odds(hazards.spontaneous, week, z, who))
    if initiated:
        stays = stays + jax.nn.log_sigmoid(-log_odds(hazards.initiated, recorded, z, who))
    return jnp.cumsum(stays, axis=0)


def onset_days(uniform: ArrayLike, waiting: ArrayLike, first_day: int, as_of_day: float) -> Array:
    """Whole day on which the wait ends, (*batch), at the quantile `uniform`, given that it has not by `as_of_day`.

    uniform : (*batch). waiting : `ln_waiting` from `first_day` on. The day after the last where it ends on none.
    """
    waiting = jnp.asarray(waiting)
    today = int(as_of_day) - first_day
    if today > 0:
        waiting = waiting - waiting[today - 1][None]
    left = jnp.log1p(-jnp.asarray(uniform, dtype=waiting.dtype))
    return first_day + jnp.sum(waiting >= left[None], axis=0)


@functools.cache
def load_hazards() -> Hazards:
    """The packaged hazards, float64."""
    text = (resources.files("twin.forecast") / "data" / "births-2022.toml").read_text(encoding="utf-8")
    return from_table(tomllib.loads(text))


def from_table(table: dict) -> Hazards:
    def cause(name: str) -> Cause:
        row = table[name]
        return Cause(*(np.asarray(row[field], dtype=float) for field in Cause._fields))

    size = table["size"]
    return Hazards(
        cause("spontaneous"), cause("initiated"), np.asarray(size["ln_ratio"]), np.asarray(size["ln_sd"])
    )


def to_table(hazards: Hazards) -> str:
    """TOML that `from_table` reads."""

    def row(values: ArrayLike) -> str:
        return "[" + ", ".join(f"{float(v):.5g}" for v in np.asarray(values)) + "]"

    lines = [f"weeks = {list(KNOTS_WEEK)}", "", "[size]"]
    lines += [f"ln_ratio = {row(hazards.ratio)}", f"ln_sd = {row(hazards.sd)}"]
    for name in ("spontaneous", "initiated"):
        lines += ["", f"[{name}]"]
        lines += [f"{field} = {row(getattr(getattr(hazards, name), field))}" for field in Cause._fields]
    return "\n".join(lines) + "\n"
