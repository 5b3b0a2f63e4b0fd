"""Single people's tolerance tests: the population from one half, hidden values of the other half predicted.

    python -m tests.statistical.individuals --shared ../shared --out out/checks/individuals.jsonl

Real adults, none of them pregnant: Vanderbilt (110, glucose and insulin at 5 times) and Tokyo (12, with C-peptide, at
14 times; spreads and correlations after Vanderbilt). Cases: two folds of each, the populations of all people, one
ablation per structural term, the intravenous curve. Resumable. The bar: the 95 % band over people of the coverage of
nominal 90 % holds 0.90, for glucose and insulin in both.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

from tests.statistical.store import code_version, run_cases, verdict

SEED = 0
POPULATIONS = 400  # draws of the population in the artefacts
#: what is left out in each ablation
ABLATIONS: dict[str, tuple[str, ...]] = {
    "no S_b": ("S_b",),
    "no emptying": ("decline", "wave"),
    "no potentiation": ("potentiation",),
    "no terms": ("S_b", "decline", "wave", "potentiation"),
}
SATURATION = 1.0  # per 100 uU/mL: clearance halves from fasting to about 100 uU/mL


def terms_but(without: tuple[str, ...]) -> tuple[str, ...]:
    from cohorts.individuals.latents import DEFAULT_TERMS

    return tuple(t for t in DEFAULT_TERMS if t not in without)


@functools.cache
def vanderbilt(shared: Path) -> Any:
    """The population of all of Vanderbilt, its mode only: what Tokyo begins from."""
    import jax

    from cohorts.individuals import learn, load

    return learn(jax.random.key(SEED), load(shared, "vanderbilt")[0])


def one_fold(shared: Path, name: str, which: int) -> dict[str, Any]:
    from cohorts.individuals import fold, hyperprior_after, hyperprior_of, load

    tests, issues = load(shared, name)
    after = name == "tokyo"
    rows, _ = fold(
        tests,
        which,
        SEED,
        prior_of=functools.partial(hyperprior_after, vanderbilt(shared)) if after else hyperprior_of,
    )
    return rows | {"rejected": len(issues)}


def everyone(shared: Path, name: str) -> dict[str, Any]:
    import jax

    from cohorts.individuals import as_artefact, hyperprior_after, learn, load

    tests, _ = load(shared, name)
    prior = hyperprior_after(vanderbilt(shared), tests) if name == "tokyo" else None
    learnt = learn(jax.random.key(SEED), tests, prior, populations=POPULATIONS)
    return {"artefact": as_artefact(learnt, tests, SEED, code_version())}


def ablation(shared: Path, without: tuple[str, ...], saturation: float | None = None) -> dict[str, Any]:
    """Log marginal of all Vanderbilt values at the population's mode."""
    import jax

    from cohorts.individuals import hyperprior_of, learn, load

    tests, _ = load(shared, "vanderbilt")
    found = learn(
        jax.random.key(SEED), tests, hyperprior_of(tests, terms_but(without)), saturation=saturation
    )
    return {
        "log_marginal": found.log_marginal,
        "noise_variance": found.diagnostics["log_marginal_noise_variance"],
        "sigma_G": float(found.mode.residual.sigma_G),
        "sigma_I": float(found.mode.residual.sigma_I),
    }


def intravenous(shared: Path) -> dict[str, Any]:
    """The one intravenous curve: a population of one, and its hidden times. The population has seen the curve."""
    import jax
    import numpy as np

    from cohorts.individuals import learn, leave_one_time_out, load
    from cohorts.individuals.scores import inside

    tests, issues = load(shared, "fsigt")
    learnt = learn(jax.random.key(SEED), tests)
    got = leave_one_time_out(jax.random.key(SEED + 1), tests, learnt)
    value = {x.name: float(v) for x, v in zip(learnt.prior.latents, learnt.draws.mode[0], strict=True)}
    p = {k: float(np.exp(value[k])) for k in ("S_I", "E_G0", "VG", "n", "p2", "B", "K_d")}
    fitted = np.median(np.asarray(learnt.draws.ln_f)[0], axis=0).reshape(2, -1)
    return {
        **p,
        "S_G": p["E_G0"] + p["S_I"] * float(np.exp(fitted[1, 0])),
        "covered": np.nansum(inside(got.pit[0]), axis=1).tolist(),
        "values": tests.mask[0].sum(axis=1).tolist(),
        "sigma_G": float(learnt.mode.residual.sigma_G),
        "sigma_I": float(learnt.mode.residual.sigma_I),
        "rejected": [i.code for i in issues],
    }


def summarise(results: dict[str, dict[str, Any]], shared: Path) -> tuple[dict[str, Any], list[str]]:
    from cohorts.individuals import gathered, load

    found: dict[str, Any] = {}
    short = []
    for name in ("vanderbilt", "tokyo"):
        tests, _ = load(shared, name)
        folds = [results[f"{name} fold {i}"] for i in (0, 1)]
        found[name] = gathered(folds, tests.analytes, tests.minute, SEED)
        for analyte in ("glucose", "insulin"):
            low, high = found[name][analyte]["all"]["coverage_band"]
            if not low <= 0.90 <= high:
                short.append(f"{name} {analyte}: band {low:.3f}-{high:.3f} of coverage does not hold 0.90")
    found["ablations"] = {k: v["log_marginal"] for k, v in results.items() if k.startswith("ablation")}
    return found, short


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("out/checks/individuals.jsonl"))
    parser.add_argument("--only", nargs="*", help="cases to run; nothing is judged then")
    parser.add_argument("--figures", type=Path, help="folder for pictures of what is stored")
    args = parser.parse_args()
    import jax

    jax.config.update("jax_enable_x64", True)
    cases = [
        (f"{name} fold {i}", functools.partial(one_fold, args.shared, name, i))
        for name in ("vanderbilt", "tokyo")
        for i in (0, 1)
    ]
    cases += [
        (f"{name} all", functools.partial(everyone, args.shared, name)) for name in ("vanderbilt", "tokyo")
    ]
    cases += [("ablation nothing", functools.partial(ablation, args.shared, ()))]
    cases += [(f"ablation {k}", functools.partial(ablation, args.shared, v)) for k, v in ABLATIONS.items()]
    cases += [("ablation with saturation", functools.partial(ablation, args.shared, (), SATURATION))]
    cases += [("fsigt", functools.partial(intravenous, args.shared))]
    if args.only is not None:
        cases = [c for c in cases if c[0] in args.only]
    done = {r["case"]: r for r in run_cases(args.out, cases, say=lambda text: print(text[:300]))}
    if args.only is None:
        found, short = summarise(done, args.shared)
        if args.figures is not None:
            draw(done, args.shared, args.figures)
        verdict(found, short)


def draw(results: dict[str, dict[str, Any]], shared: Path, folder: Path) -> None:
    """The pictures of docs/model/individuals.md."""
    from cohorts.individuals import figures, load

    for name in ("vanderbilt", "tokyo"):
        tests, _ = load(shared, name)
        folds = [results[f"{name} fold {i}"] for i in (0, 1)]
        figures.save(
            figures.hidden_values(folds, tests.analytes, tests.minute), folder / f"individuals_{name}.png"
        )
    figures.save(figures.middles(results["vanderbilt all"]["artefact"]), folder / "individuals_middles.png")


if __name__ == "__main__":
    main()
