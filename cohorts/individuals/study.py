"""Cross-fitted leave-one-time-out: the population from one half of the people, predictions for the other half."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cohorts.individuals import scores
from cohorts.individuals.data import PeopleTests
from cohorts.individuals.hidden import leave_one_time_out
from cohorts.individuals.population import Hyperprior, Learnt, hyperprior_of, learn

#: fasting and 2-h glucose from which a person has impaired fasting glucose or tolerance, or diabetes, mg/dL: ADA limits
#: for adults who are not pregnant (recalled). They sort results only; they are no covariate, being the test itself.
IMPAIRED, DIABETES = (100.0, 140.0), (126.0, 200.0)
CLASSES = ("normal", "impaired", "diabetes")


def halves(tests: PeopleTests) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the people, by the SHA-256 of their ids."""
    order = sorted(range(len(tests)), key=lambda i: hashlib.sha256(tests.ids[i].encode()).hexdigest())
    return np.sort(order[::2]), np.sort(order[1::2])


def tolerance_class(tests: PeopleTests) -> np.ndarray:
    """Index into `CLASSES` of each person, from glucose fasting and at 120 min."""
    G = np.exp(tests.ln_y[:, tests.analytes.index("glucose")])
    fasting, two_hours = G[:, tests.minute == 0.0][:, 0], G[:, tests.minute == 120.0][:, 0]
    at_least = [(fasting >= low[0]) | (two_hours >= low[1]) for low in (IMPAIRED, DIABETES)]
    return np.sum(at_least, axis=0)


def fold(
    tests: PeopleTests,
    which: int,
    seed: int,
    *,
    prior_of: Callable[[PeopleTests], Hyperprior] = hyperprior_of,
    populations: int = 64,
    draws: int = 400,
    saturation: float | None = None,
) -> tuple[dict[str, Any], Learnt]:
    """Learn from one half, predict the other.

    which : the half predicted. Returns : rows as plain lists, (person, analyte, time) each, with both baselines fitted
    on the half learnt from; and the population.
    """
    predicted, learnt_from = (halves(tests)[which], halves(tests)[1 - which])
    train, test = tests.people(learnt_from), tests.people(predicted)
    key = jax.random.fold_in(jax.random.key(seed), which)
    learnt = learn(key, train, prior_of(train), draws=draws, populations=populations, saturation=saturation)
    found = leave_one_time_out(jax.random.fold_in(key, 1), test, learnt, saturation=saturation)
    rows: dict[str, Any] = {
        "people": [int(i) for i in predicted],
        "ln_y": found.ln_y,
        "pit": found.pit,
        "crps": scores.crps_draws(found.ln_y, found.draws),
        "mean": found.draws.mean(axis=-1),
        "sd": found.draws.std(axis=-1),
        "ess": found.ess,
        "class": tolerance_class(test),
    }
    for name, baseline in (("interpolation", scores.interpolation), ("regression", scores.regression)):
        rows[f"{name}_mean"], rows[f"{name}_sd"] = baseline(train, test)
    plain = {k: np.round(v, 5).tolist() if isinstance(v, np.ndarray) else v for k, v in rows.items()}
    kept = ("seconds_mode", "seconds_population", "ess_min", "ess_median", "log_marginal_noise_variance")
    plain |= {"log_marginal": learnt.log_marginal}
    plain |= {k: learnt.diagnostics[k] for k in kept if k in learnt.diagnostics}
    return plain, learnt


def gathered(
    folds: list[dict[str, Any]], analytes: tuple[str, ...], minute: np.ndarray, seed: int
) -> dict[str, Any]:
    """Coverage and CRPS of the folds together, by analyte, time and tolerance class, with bands over people."""

    def both(name: str) -> np.ndarray:
        return np.concatenate([np.asarray(f[name], dtype=float) for f in folds])

    ln_y, pit, crps, of_class = both("ln_y"), both("pit"), both("crps"), both("class")
    baselines = {n: (both(f"{n}_mean"), both(f"{n}_sd")) for n in ("interpolation", "regression")}

    def score(people: np.ndarray, a: int, times: slice | int) -> dict[str, Any]:
        at = (people, a, times)
        theirs = {n: (m[at], s[at]) for n, (m, s) in baselines.items()}
        return scores.summary(ln_y[at], pit[at], crps[at], theirs, seed)

    out: dict[str, Any] = {
        "ess_of_hidden_min": float(both("ess").min()),
        "ess_of_hidden_median": float(np.median(both("ess"))),
    }
    everyone = np.arange(len(ln_y))
    for a, name in enumerate(analytes):
        of = {"all": score(everyone, a, slice(None))}
        of["pit_histogram"] = np.histogram(pit[:, a][np.isfinite(pit[:, a])], 10, (0.0, 1.0))[0].tolist()
        for t, m in enumerate(minute):
            of[f"{m:g} min"] = score(everyone, a, t)
        for c, label in enumerate(CLASSES):
            if np.sum(of_class == c) > 1:
                of[label] = score(np.flatnonzero(of_class == c), a, slice(None))
        out[name] = of
    return out
