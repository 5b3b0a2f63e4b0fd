"""Does `gdm-twin cohort calibrate` recover known populations at the nominal rate?

    python -m tests.statistical.cohort_recovery --out out/checks/cohort_recovery.jsonl [--cohorts 20] [--women 500]
    python -m tests.statistical.cohort_recovery --out out/checks/closed_form.jsonl --closed-form [--cohorts 100]

Each cohort's means, SDs, correlations and covariate effects are drawn from the hyperprior, its women simulated from
that population (tolerance test, finger pricks, three scans) and the population learnt from their records alone. With
--closed-form the women are normal data whose posteriors are known without a fit: this shows the hierarchy, the other
the whole road. Simulated women of the model's own equations: nothing is shown about real women.

For each hyperparameter the number of 90 % intervals that hold the truth is binomial over cohorts; bands are exact, at a
false-alarm rate of 0.001 over all hyperparameters together (Bonferroni). The power against a true coverage of 0.75 is
printed with the verdict. Cases may be stopped and resumed.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binom

from scenarios.cli import start_engine
from tests.statistical.store import run_cases, verdict

SEED = 20261123
LEVEL, FALSE_ALARM, WRONG = 0.90, 1e-3, 0.75
LATENTS, COVARIATES = ("S_I", "theta"), ("bmi",)
STANDARD = "hadlock1991"


def named(what: Any, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Hyperparameters by name, from arrays with any leading axis."""
    d, c = len(what.latents), what.correlated
    told = {f"mean.{n}": found["mean"][..., i] for i, n in enumerate(what.latents)}
    told |= {f"ln_sd.{n}": found["ln_sd"][..., i] for i, n in enumerate(what.latents)}
    told |= {
        f"corr.{what.latents[i]}.{what.latents[j]}": found["corr"][..., i, j]
        for j in range(min(c, d))
        for i in range(j)
    }
    if "effect" in found:
        told |= {
            f"effect.{n}.{x}": found["effect"][..., i, j]
            for i, n in enumerate(what.moved)
            for j, x in enumerate(what.covariates)
        }
    if "group" in found:
        told |= {f"group_sd.{n}": found["group_sd"][..., i] for i, n in enumerate(what.grouped)}
        told |= {f"group.0.{n}": found["group"][..., 0, i] for i, n in enumerate(what.grouped)}
    return told


def scored(what: Any, draws: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> dict[str, Any]:
    tail = 0.5 * (1.0 - LEVEL)
    true = named(what, truth)
    rows = {}
    for name, x in named(what, draws).items():
        low, high = np.quantile(x, [tail, 1.0 - tail])
        rows[name] = {
            "inside": bool(low <= true[name] <= high),
            "truth": float(true[name]),
            "z": float((x.mean() - true[name]) / x.std()),
            "width": float(high - low),
        }
    return rows


def closed_form(i: int, women: int, draws: int, groups: int) -> dict[str, Any]:
    """One cohort of normal data, in rounds as `calibrate_cohort` makes them."""
    from cohorts.calibrate.cohort import ENOUGH, WORST
    from cohorts.calibrate.hierarchy import What, learn
    from tests.cohorts.calibrate.conjugate import draw_truth, middle, posteriors, read

    what = What(("a", "b", "c"), moved=("b",), covariates=("x",))
    if groups > 1:
        what = What(("a", "b", "c"), 1, ("a",), ("x",), ("c",), groups)
    k_truth, k_first, k_second = jax.random.split(jax.random.fold_in(jax.random.key(SEED), i), 3)
    rng = np.random.default_rng([SEED, i])
    truth = draw_truth(k_truth, what)
    cohort = read(rng, what, truth, women)
    drawn = posteriors(rng, what, cohort, draws)
    for turn in range(2):
        rough = learn(jax.random.fold_in(k_first, turn), what, drawn, roughly=True)
        if float(np.quantile(rough.share, WORST)) >= ENOUGH:
            break
        drawn = posteriors(rng, what, cohort, draws, middle(rough.draws))
    found = learn(k_second, what, drawn)
    return {"road": found.road, "ok": found.ok, "told": found.told, "rows": scored(what, found.draws, truth)}


def whole_road(i: int, women: int, folder: Path) -> dict[str, Any]:
    """One cohort of simulated women: population drawn, records simulated, population learnt."""
    from cohorts.calibrate.cohort import calibrate_cohort, what_of
    from cohorts.calibrate.read import candidates
    from cohorts.calibrate.store import Store
    from cohorts.calibrate.units import moved_prior
    from cohorts.synthetic import design_named, simulate_cohort
    from tests.cohorts.calibrate.conjugate import draw_truth
    from twin.inference.priors import load_prior

    prior = load_prior()
    what = what_of(prior, LATENTS, COVARIATES, "none", ())
    k_truth, k_women, k_fit = jax.random.split(jax.random.fold_in(jax.random.key(SEED), i), 3)
    truth = draw_truth(k_truth, what)
    one = {name: np.asarray(x)[None] for name, x in truth.items()}
    there = moved_prior(prior, what, one, id=f"true-{i}", evidence="drawn from the hyperprior")
    records = [(r, "") for r, _ in simulate_cohort(k_women, women, design_named("standard"), there)]
    ready, left_out = candidates(records, STANDARD, "none")
    fit = calibrate_cohort(
        k_fit,
        ready,
        prior,
        standard=STANDARD,
        id=f"learnt-{i}",
        latents=LATENTS,
        covariates=COVARIATES,
        store=Store(folder / f"cohort-{i}"),
    )
    return {
        "road": fit.learnt.road,
        "ok": not fit.reasons,
        "told": fit.learnt.told,
        "women": fit.women,
        "left_out": len(left_out) + len(fit.left_out),
        "not_ok": fit.not_ok,
        "history": fit.history,
        "rows": scored(what, fit.learnt.draws, truth),
    }


def summarise(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    names = list(rows[0]["rows"])
    n, alarm = len(rows), FALSE_ALARM / len(names)
    low, high = (int(x) for x in binom.ppf([alarm / 2, 1 - alarm / 2], n, LEVEL))
    inside = {name: sum(r["rows"][name]["inside"] for r in rows) for name in names}
    z = {name: np.array([r["rows"][name]["z"] for r in rows]) for name in names}
    missed = 1.0 - (binom.cdf(low - 1, n, WRONG) + binom.sf(high, n, WRONG))
    share = sum(inside.values()) / (n * len(names))
    by_cohort = np.array([np.mean([r["rows"][name]["inside"] for name in names]) for r in rows])
    found = {
        "cohorts": n,
        "inside": inside,
        "accepted_each": [low, high],
        "power_each_at_0.75": round(1.0 - missed, 3),
        "share_of_all": round(share, 4),
        "se_of_share": round(float(by_cohort.std(ddof=1)) / math.sqrt(n), 4) if n > 1 else None,
        "z_mean": {name: round(float(x.mean()), 2) for name, x in z.items()},
        "z_sd": {name: round(float(x.std()), 2) for name, x in z.items()},
        "roads": {road: sum(r["road"] == road for r in rows) for road in ("nuts", "importance")},
        "not_ok": sum(not r["ok"] for r in rows),
    }
    short = [
        f"{name}: {k} of {n} inside, accepted {low}-{high}"
        for name, k in inside.items()
        if not low <= k <= high
    ]
    return found, short


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/checks/cohort_recovery.jsonl"))
    parser.add_argument("--cohorts", type=int, default=20)
    parser.add_argument("--women", type=int, default=500)
    parser.add_argument("--draws", type=int, default=200, help="of each woman, with --closed-form")
    parser.add_argument("--groups", type=int, default=1, help="sites, with --closed-form")
    parser.add_argument("--closed-form", action="store_true")
    args = parser.parse_args()
    start_engine()
    jnp.zeros(())  # the backend is up before the first case is timed
    if args.closed_form:
        cases = [
            (
                f"closed-{args.women}-{args.draws}-{args.groups}-{i}",
                lambda i=i: closed_form(i, args.women, args.draws, args.groups),
            )
            for i in range(args.cohorts)
        ]
    else:
        folder = args.out.with_suffix(".posteriors")
        cases = [
            (f"cohort-{args.women}-{i}", lambda i=i: whole_road(i, args.women, folder))
            for i in range(args.cohorts)
        ]
    verdict(*summarise(run_cases(args.out, cases, say=lambda text: print(text[:160]))))


if __name__ == "__main__":
    main()
