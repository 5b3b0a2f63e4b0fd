"""Recovery of simulated women (finger pricks, OGTT, three scans): does the 90 % interval of birth weight at the
true birth day cover, and how wide is it against the interval without her data?

    python -m tests.statistical.recovery --out out/checks/recovery.jsonl --n 200

Simulated women of the model's own prior: this shows that inference is right for its model, nothing about real women.
With 200 women and true coverage 0.90 the count lies in 168-191 with probability 0.997 (exact binomial); a true
coverage of 0.80 is found with probability 0.92.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jax
import numpy as np

from scenarios.cli import start_engine
from tests.statistical.store import run_cases, verdict

SEED = 20261122
ACCEPTED = (168, 191)  # of 200
WIDTH_LIMIT = 0.60


def interval(record: Any, birth_day: int, as_of: str) -> tuple[float, float, Any]:
    """90 % interval of birth weight if born on `birth_day`, and the calibration."""
    from scenarios.engine import run_record

    result = run_record(
        record,
        as_of=as_of,
        birth_day=f"{birth_day // 7}+{birth_day % 7}",
        scenarios=("as_now",),
        draws=500,
        seed=1,
    )
    assert result.forecast is not None and result.posterior is not None, result.risk["scope"]
    low, high = np.quantile(result.forecast.dataset["birth_weight_g"].values, [0.05, 0.95])
    return float(low), float(high), result.posterior.calibration


def one(record: Any, truth: Any) -> dict[str, Any]:
    as_of = (record.facts.lmp_equivalent + timedelta(days=truth.as_of_day)).isoformat()
    low, high, calibration = interval(record, truth.delivery_day, as_of)
    bare = replace(
        record,
        glucose=record.glucose.iloc[:0],
        biometry=record.biometry.iloc[:0],
        meals=record.meals.iloc[:0],
    )
    prior_low, prior_high, _ = interval(bare, truth.delivery_day, as_of)
    return {
        "truth": truth.birth_weight_g,
        "q05": low,
        "q95": high,
        "prior_width": prior_high - prior_low,
        "covered": bool(low <= truth.birth_weight_g <= high),
        "ok": calibration.ok,
        "pareto_k": calibration.pareto_k,
        "fallback": calibration.fallback,
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    width = np.array([r["q95"] - r["q05"] for r in rows])
    prior = np.array([r["prior_width"] for r in rows])
    return {
        "women": len(rows),
        "covered": sum(r["covered"] for r in rows),
        "accepted_of_200": ACCEPTED,
        "mean_width_g": float(width.mean()),
        "mean_prior_width_g": float(prior.mean()),
        "ratio": float(width.mean() / prior.mean()),
        "not_ok": sum(not r["ok"] for r in rows),
        "adapted": sum(r["fallback"] == "adapted" for r in rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/checks/recovery.jsonl"))
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="leave out the women before this one")
    parser.add_argument(
        "--scan-weeks", type=float, nargs="+", help="weeks of the scans, else the design's own"
    )
    args = parser.parse_args()
    start_engine()
    from cohorts.synthetic import design_named, simulate_cohort
    from twin.inference.priors import load_prior

    design = design_named("standard")
    if args.scan_weeks:  # the record ends two days after the last scan
        as_of = max(args.scan_weeks) + 2.0 / 7.0
        design = replace(design, scan_weeks=tuple(args.scan_weeks), as_of_week=as_of)
    women = simulate_cohort(jax.random.key(SEED), args.n, design, load_prior())
    cases = [(f"woman-{i}", lambda r=r, t=t: one(r, t)) for i, (r, t) in enumerate(women)]
    found = summarise(run_cases(args.out, cases[args.first :]))
    short = []
    if found["women"] == 200 and not ACCEPTED[0] <= found["covered"] <= ACCEPTED[1]:
        short.append(f"covered {found['covered']}, accepted {ACCEPTED}")
    if found["ratio"] > WIDTH_LIMIT:
        short.append(f"width ratio {found['ratio']:.3f}, accepted {WIDTH_LIMIT}")
    verdict(found, short)


if __name__ == "__main__":
    main()
