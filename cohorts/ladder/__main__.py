"""Learn the population prior: python -m cohorts.ladder --out twin/inference/data/population-1

Climbs the ladder of docs/model/ladder.md from the hand-set prior, rung by rung, and writes OUT.toml and OUT.json. The
women are the same every time: the same evidence and code give the same prior.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import time
from importlib import resources
from pathlib import Path

START = "evidence-1"
SEED = 20261123


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="path without suffix; its name is the prior's id"
    )
    parser.add_argument("--rounds", type=int, default=12, help="of Gauss-Newton on each rung, at most")
    args = parser.parse_args()
    from scenarios.cli import start_engine

    start_engine()
    from cohorts.ladder.artefact import write
    from cohorts.ladder.steps import climb
    from twin.inference.priors import load_prior

    began = time.monotonic()
    start = load_prior(START)
    found = climb(
        start,
        rounds=args.rounds,
        say=lambda text: print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True),
    )
    prior = dataclasses.replace(found.prior, id=args.out.name)
    rules = (resources.files("cohorts.evidence") / "rules.csv").read_bytes()
    made_of = {"rules.csv": hashlib.sha256(rules).hexdigest()[:16], START: start.sha256}
    write(prior, found.fits, found.numbers, args.out, seed=SEED, made_of=made_of)
    print(f"{prior.id}: {args.out.with_suffix('.toml')}, {args.out.with_suffix('.json')}")


if __name__ == "__main__":
    main()
