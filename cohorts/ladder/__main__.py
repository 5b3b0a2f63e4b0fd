"""Learn the population prior: python -m cohorts.ladder --shared ../shared --out twin/inference/data/population-1

Climbs the ladder of docs/model/ladder.md from the hand-set prior: single people's tolerance tests, then the evidence
rung by rung, then the hazards of birth from registered births. Writes OUT.toml and OUT.json, and the hazards beside the
twin's forecast. Steps are kept under --work; a climb that was stopped goes on. The women are the same every time: the
same evidence, data and code give the same prior.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

SEED = 20261123
PEOPLE = ("vanderbilt", "tokyo")
FETUSES = 4096  # whose births are followed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="path without suffix; its name is the prior's id"
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="shelf of data")
    parser.add_argument("--work", type=Path, default=Path("out/prior"), help="folder of finished steps")
    parser.add_argument("--workers", type=int, default=2, help="processes side by side")
    args = parser.parse_args()
    from scenarios.cli import start_engine

    start_engine()
    from cohorts.ladder import observed, sensors, us_births
    from cohorts.ladder.artefact import write
    from cohorts.ladder.delivery import fetuses, fit
    from cohorts.ladder.people import start_from
    from cohorts.ladder.steps import climb
    from cohorts.population.population import Population
    from twin.forecast.onset import to_table
    from twin.inference.priors import START_PRIOR, load_prior

    began = time.monotonic()
    args.work.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    people = [_people(args.shared, name, args.work, say) for name in PEOPLE]
    start, moved = start_from(load_prior(START_PRIOR), people)
    start, worn = sensors.start_from(start, sensors.people(args.shared))
    moved += worn
    for m in moved:
        say(
            f"{m.name}: center {m.before[0]:.4g} to {m.after[0]:.4g}, SD {m.before[1]:.3g} to {m.after[1]:.3g}"
        )
    real = observed.rules(args.shared)
    found = climb(start, people=real, workers=args.workers, folder=args.work, say=say)
    prior = dataclasses.replace(found.prior, id=args.out.name)
    births = us_births.load(args.shared)
    say(f"hazards of birth: {len(births)} births")
    hazards = fit(fetuses(Population(prior, found.numbers), FETUSES), us_births.groups(births))
    data = (*sensors.FILES, *us_births.FILES, *observed.FILES)
    made_of = {
        "rules.csv": _hash((resources.files("cohorts.evidence") / "rules.csv").read_bytes()),
        START_PRIOR: load_prior(START_PRIOR).sha256,
        **{name: _hash((args.shared / name).read_bytes()) for name in data},
        **{a["data"]: a["data_sha256"] for a in people},
    }
    told = {
        "people": [m._asdict() for m in moved],
        "observed": [dataclasses.asdict(r) for r in real],
        "births": hazards.as_json(),
    }
    write(prior, found.fits, found.numbers, args.out, seed=SEED, made_of=made_of, also=told)
    says = (
        "# Hazards of birth, fitted to registered US births of 2022 by `make prior` (docs/model/delivery.md);\n"
        "# not edited by hand.\n"
    )
    place = Path(str(resources.files("twin.forecast"))) / "data" / "births-2022.toml"
    place.write_text(says + to_table(hazards.hazards), encoding="utf-8")
    say(f"{prior.id}: {args.out.with_suffix('.toml')}, {args.out.with_suffix('.json')}")


def _people(shared: Path, name: str, work: Path, say: Any) -> dict[str, Any]:
    """The population of one data set of single people, learnt in a process of its own, in double precision."""
    from cohorts.evidence.run import source_hash

    kept = work / f"people-{name}-{source_hash()}.json"
    if not kept.exists():
        say(f"tolerance tests of single people: {name}")
        command = [sys.executable, "-m", "twin.cli", "cohort", "individuals", str(shared), name]
        subprocess.run([*command, "--out", str(kept)], check=True, stdout=subprocess.DEVNULL)
    return dict(json.loads(kept.read_text()))


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


if __name__ == "__main__":
    main()
