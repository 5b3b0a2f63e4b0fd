"""The first rung: tolerance tests of single people with insulin, learnt by `cohorts.individuals`, move the start.

Taken over are the parameters of absorption and secretion that a test with insulin informs and that pregnancy, age and
weight are not known to move: their spreads between people as learnt, their centers with room for how one population
differs from another.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from twin.inference.priors import Latent, Prior

TAKEN = ("k_e", "K_d", "G_s")
LEAST_INFORMED = 0.2  # of the spread between people that one test removes
SPREAD_LN_SD = 0.25  # a spread's own doubt, as `numbers.SD_LN_SD`
POPULATION_SD = 0.15  # ln, by which these centers differ between populations (assumed)


class Moved(NamedTuple):
    """A latent before and after: center, SD, and how far the center may be off, in SDs."""

    name: str
    before: tuple[float, float, float]
    after: tuple[float, float, float]


def start_from(prior: Prior, artefacts: Sequence[Mapping[str, Any]]) -> tuple[Prior, list[Moved]]:
    """The prior with what single people taught; artefacts : of `cohorts.individuals`, weighed by precision."""
    moved, latents = [], list(prior.latents)
    for name in TAKEN:
        rows = [r for a in artefacts for r in a["latents"] if r["name"] == name]
        rows = [r for r in rows if r["informed"] >= LEAST_INFORMED and r["middle"]["se"] is not None]
        if not rows:
            continue
        at = prior.index[name]
        found = combined(latents[at], [_row(r) for r in rows], POPULATION_SD)
        old, latents[at] = latents[at], found
        moved.append(
            Moved(
                name, (old.center, old.sd, old.center_sd), (found.center, round(found.sd, 4), found.center_sd)
            )
        )
    return dataclasses.replace(prior, latents=tuple(latents)), moved


def _row(r: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Mean of ln and its error, SD and its error, of one population."""
    middle, sd = r["middle"], r["sd"]
    return middle["mean"] + r["to_28_weeks"], middle["se"], sd["mean"], sd["se"]


def combined(
    latent: Latent, rows: Sequence[tuple[float, float, float, float]], population_sd: float
) -> Latent:
    """Precision-weighted ln centers, the prior's own among them; spreads by their own errors. rows : `_row`."""
    assert latent.transform == "ln", latent.name
    own = max(latent.center_sd * latent.sd, population_sd)
    values = [(math.log(latent.center), own**-2)]
    spreads = [(math.log(latent.sd), SPREAD_LN_SD**-2)]
    for mean, se, sd, sd_se in rows:
        values.append((mean, 1.0 / (se**2 + population_sd**2)))
        spreads.append((math.log(sd), 1.0 / ((sd_se / sd) ** 2 + SPREAD_LN_SD**2)))

    def weighted(pairs: list[tuple[float, float]]) -> float:
        return sum(v * w for v, w in pairs) / sum(w for _, w in pairs)

    spread = math.exp(weighted(spreads))
    left = sum(w for _, w in values) ** -0.5
    return dataclasses.replace(latent, center=math.exp(weighted(values)), sd=spread, center_sd=left / spread)
