"""A population and what its women do: the prior with its numbers, blocks of women side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from cohorts.population.engine import Lanes, lanes
from cohorts.population.women import EVERYONE, Who, Women, draw
from twin.inference.priors import Prior

Arrays = dict[str, np.ndarray]


class Population(NamedTuple):
    """numbers : what is not the prior's own, by name (`numbers.scales`)."""

    prior: Prior
    numbers: Mapping[str, Any] = {}
    standard: str = "hadlock1991"


def in_blocks(
    population: Population, seed: int, n: int, who: Who = EVERYONE
) -> Iterator[tuple[Women, Lanes]]:
    for women in draw(seed, n, who):
        yield women, lanes(population.prior, women, population.standard)


def gather(
    population: Population,
    seed: int,
    n: int,
    look: Callable[[Women, Lanes], Arrays],
    who: Who = EVERYONE,
) -> Arrays:
    """What `look` finds of every block, the woman as last axis. Covariates come along."""
    found = []
    for women, side_by_side in in_blocks(population, seed, n, who):
        own = {
            k: getattr(women, k)
            for k in (
                "age_y",
                "height_cm",
                "bmi",
                "parity",
                "smoking",
                "hypertension",
                "male",
                "extra_gain_kg",
            )
        }
        found.append(own | {k: np.asarray(v) for k, v in look(women, side_by_side).items()})
    return {k: np.concatenate([f[k] for f in found], axis=-1) for k in found[0]}
