"""Sensor forecasts of people with meals recorded, day by day; one case per person and day, resumable.

    python -m tests.statistical.real_cgm.run --shared ../shared --out out/checks/real_cgm.jsonl

(a) a target day as a whole, from the days before and the day's meals, against the person's climatology;
(b) 1, 2 and 4 h ahead of nine origins a day, against a ridge regression on the person's days before.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path

from tests.statistical.real_cgm.people import LOADERS, load_people
from tests.statistical.real_cgm.protocol import score_case, target_days
from tests.statistical.real_cgm.summary import shortfalls, summarise
from tests.statistical.store import run_cases, verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("out/checks/real_cgm.jsonl"))
    parser.add_argument("--people", type=int, default=0, help="people of each data set (default: all)")
    parser.add_argument("--dataset", choices=sorted(LOADERS), help="one data set (default: all)")
    parser.add_argument("--baselines-only", action="store_true", help="without the twin")
    args = parser.parse_args()
    if not args.baselines_only:
        import jax

        from scenarios.cli import start_engine

        start_engine()
        jax.config.update("jax_numpy_rank_promotion", "allow")
    cases = []
    for dataset in [args.dataset] if args.dataset else LOADERS:
        for person in load_people(args.shared, dataset)[: args.people or None]:
            for day in target_days(person.values):
                name = f"{dataset} {person.name} day {day}" + (" baselines" if args.baselines_only else "")
                work = functools.partial(score_case, person, day, baselines_only=args.baselines_only)
                cases.append((name, work))
    found = summarise(run_cases(args.out, cases))
    if args.baselines_only or args.dataset or args.people:
        print(json.dumps(found, indent=1))
    else:
        verdict(found, shortfalls(found))


if __name__ == "__main__":
    main()
