"""Between priors and what the hierarchy learns: SDs of a start prior from its centers, whatever prior is in between.

The start's units hold in every round, so that the hyperprior is used once. Effects that her covariates have under the
start prior are not part of a latent's deviate, nor is what ln S_I says of ln B (`coupling`): the hierarchy learns what
is beyond.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from cohorts.calibrate.hierarchy import What
from twin.encode import COVARIATES
from twin.inference.priors import Correlation, Effect, Prior

#: latents that covariates may move: targets of the prior's effects that are latents, each on the ln scale
MOVED = ("S_I", "R0", "theta")
Middle = Mapping[str, np.ndarray]


def _sd(prior: Prior, names: tuple[str, ...]) -> np.ndarray:
    return np.array([prior.latents[prior.index[n]].sd for n in names])


def _origin(prior: Prior, name: str) -> float:
    """Center on the scale on which the latent is normal; of B, at the start of S_I's own scale."""
    x = prior.latents[prior.index[name]]
    at = math.log(x.center) if x.transform == "ln" else x.center
    return at - prior.constant["coupling"] * _origin(prior, "S_I") if name == "B" else at


def standardised(prior: Prior, covariates: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(woman, covariate) of `names`, in population SDs from the population's mean, 0 where not known; of
    (woman, COVARIATES)."""
    about = {c.name: (c.mean, c.sd) for c in prior.covariates}
    at = [COVARIATES.index(n) for n in names]
    mean, sd = (np.array([about[n][i] for n in names]) for i in (0, 1))
    return np.nan_to_num((covariates[:, at] - mean) / sd)


def _effects(prior: Prior, what: What) -> np.ndarray:
    """(latent, covariate): of one SD of the covariate, on the scale of the latent."""
    sd = {c.name: c.sd for c in prior.covariates}
    found = np.zeros((len(what.latents), len(what.covariates)))
    for e in prior.effects:
        if e.target in what.moved and e.covariate in what.covariates:
            at = what.latents.index(e.target), what.covariates.index(e.covariate)
            found[at] = e.value * sd[e.covariate]
    return found


def _factor(prior: Prior, names: tuple[str, ...]) -> np.ndarray:
    """Cholesky factor of the correlations of these latents."""
    matrix = np.eye(len(names))
    for c in prior.correlations:
        if c.first in names and c.second in names:
            i, j = names.index(c.first), names.index(c.second)
            matrix[i, j] = matrix[j, i] = c.value
    return np.linalg.cholesky(matrix)


def in_start_units(
    start: Prior, now: Prior, what: What, deviates: np.ndarray, covariates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(draws, their log density under `now`) of one woman.

    deviates : (latent of what, draw), in SDs of `now` from its centers. covariates : (covariate of what,),
    standardised. Returns : (draw, latent), (draw,).
    """
    names = what.latents
    sd = _sd(start, names)
    ratio = _sd(now, names) / sd
    apart = np.array([_origin(now, n) - _origin(start, n) for n in names])
    apart = (apart + (_effects(now, what) - _effects(start, what)) @ covariates) / sd
    draws = apart + ratio * deviates.T
    factor = _factor(now, names)
    z = solve_triangular(factor, deviates, lower=True)
    ln_density = -0.5 * np.sum(z**2, axis=0) - 0.5 * len(names) * math.log(2.0 * math.pi)
    return draws, ln_density - np.sum(np.log(ratio)) - np.sum(np.log(np.diag(factor)))


def moved_prior(
    start: Prior, what: What, draws: Middle, *, id: str, evidence: str, group: int | None = None
) -> Prior:
    """The start prior with the learnt population in place of its own. draws : (draw, ...) of each hyperparameter.

    Of a latent that differs between groups the SD holds the groups' spread, for a woman of a group not seen; with
    `group` it is that group's own population. `center_sd`, and `sd` of effects and correlations, are what the cohort
    leaves open.
    """
    names = what.latents
    mean, spread = draws["mean"].copy(), np.exp(draws["ln_sd"])
    if "group" in draws:
        at = [names.index(n) for n in what.grouped]
        if group is None:
            spread = spread.copy()
            spread[:, at] = np.hypot(spread[:, at], draws["group_sd"])
        else:
            mean[:, at] += draws["group"][:, group]
    s = spread.mean(axis=0)
    change: dict[str, dict[str, Any]] = {}
    origin = {n: _origin(start, n) for n in start.index}
    for i, name in enumerate(names):
        x = start.latents[start.index[name]]
        origin[name] += x.sd * float(mean[:, i].mean())
        change[name] = {"sd": x.sd * float(s[i]), "center_sd": float((mean[:, i] / s[i]).std())}
    if "S_I" in names:
        change.setdefault("B", {})
    for name in change:
        x = start.latents[start.index[name]]
        at_center = origin[name] + (start.constant["coupling"] * origin["S_I"] if name == "B" else 0.0)
        change[name]["center"] = math.exp(at_center) if x.transform == "ln" else at_center
    for row in change.values():
        row |= {k: _rounded(v) for k, v in row.items()}
    for name in names:
        change[name]["evidence"] = evidence
    latents = tuple(dataclasses.replace(x, **change.get(x.name, {})) for x in start.latents)
    return dataclasses.replace(
        start,
        id=id,
        latents=latents,
        effects=_moved_effects(start, what, draws, evidence),
        correlations=_correlations(start, what, draws, evidence),
    )


def _rounded(x: float) -> float:
    """As it is written to TOML, so that a prior and its file are one."""
    return float(f"{x:.6g}")


def _moved_effects(start: Prior, what: What, draws: Middle, evidence: str) -> tuple[Effect, ...]:
    """Per unit of the covariate, on the ln scale of its latent."""
    if "effect" not in draws:
        return start.effects
    unit = {c.name: c.sd for c in start.covariates}
    new = {}
    for i, target in enumerate(what.moved):
        for j, covariate in enumerate(what.covariates):
            old = [e.value for e in start.effects if (e.target, e.covariate) == (target, covariate)]
            drawn = draws["effect"][:, i, j] * start.latents[start.index[target]].sd / unit[covariate]
            value, sd = sum(old) + float(drawn.mean()), float(drawn.std())
            new[target, covariate] = Effect(target, covariate, _rounded(value), _rounded(sd), evidence)
    kept = [new.pop((e.target, e.covariate), e) for e in start.effects]
    every = [*kept, *new.values()]
    targets = list(dict.fromkeys(e.target for e in every))  # as a file has them: one table for each target
    return tuple(sorted(every, key=lambda e: targets.index(e.target)))


def _correlations(start: Prior, what: What, draws: Middle, evidence: str) -> tuple[Correlation, ...]:
    c = what.correlated
    own = what.latents[:c]
    kept = tuple(x for x in start.correlations if x.first not in own and x.second not in own)
    mean, sd = draws["corr"].mean(axis=0), draws["corr"].std(axis=0)
    fresh = tuple(
        Correlation(own[i], own[j], _rounded(float(mean[j, i])), _rounded(float(sd[j, i])), evidence)
        for i in range(c)
        for j in range(i + 1, c)
    )
    return kept + fresh
