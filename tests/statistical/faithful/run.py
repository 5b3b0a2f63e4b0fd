"""The faithfulness suite, in parts that can be stopped at any moment and taken up again.

    python -m tests.statistical.faithful.run [--part PART]... [--pattern NAME]... [--generator own|other]... [--n 1000]
                                             [--out out/checks/faithful] [--docs]

Parts: calibration (ranks, coverage, flags; both generators), planted (power of the flags), oracle (the population
the sharpness is judged by), nuts and laplace (agreement of the two methods, one by one). Without options all of it,
then the tables. Each part, generator and pattern has a file of its own, so that several processes may share the work
(not the same files). What NUTS found is kept beside this module (`gold`).
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tests.statistical.faithful.women import BATCH, FIRST_WOMAN, GENERATORS, PATTERNS
from tests.statistical.store import run_cases, stored_cases

PARTS = ("calibration", "planted", "oracle", "nuts", "laplace")
WOMEN = 1000  # of a generator and pattern
ORACLE_WOMEN = {"own": 4096, "other": 1024}  # the other generator simulates more slowly
PLANTED_WOMEN = 96
NUTS_WOMEN = 100
OUT = Path("out/checks/faithful")
#: over three core-hours of NUTS, kept with the code; delete a file to have it made again when the density has changed
GOLD = Path(__file__).with_name("gold")

Cases = list[tuple[str, Callable[[], dict[str, Any]]]]


def calibration_cases(generator: str, pattern: str, n: int) -> Cases:
    def work(first: int) -> dict[str, Any]:
        from tests.statistical.faithful.calibration import batch

        return batch(generator, pattern, range(first, first + BATCH))

    start = FIRST_WOMAN.get(pattern, 0)
    return [
        (f"women {i}-{i + BATCH - 1}", functools.partial(work, i)) for i in range(start, start + n, BATCH)
    ]


def oracle_cases(generator: str, pattern: str, n: int) -> Cases:
    def work(first: int) -> dict[str, Any]:
        from tests.statistical.faithful.oracle import training

        return training(generator, pattern, first)

    from tests.statistical.faithful.oracle import CHUNK

    return [(f"women {i}-{i + CHUNK - 1}", functools.partial(work, i)) for i in range(0, n, CHUNK)]


def planted_cases(pattern: str, n: int) -> Cases:
    def work(first: int) -> dict[str, Any]:
        from tests.statistical.faithful.planted import batch

        return batch(pattern, range(first, first + BATCH))

    return [(f"women {i}-{i + BATCH - 1}", functools.partial(work, i)) for i in range(0, n, BATCH)]


def nuts_cases(pattern: str, n: int) -> Cases:
    from tests.statistical.faithful.nuts_agreement import by_nuts, pattern_of

    return [(f"woman {i}", functools.partial(by_nuts, i)) for i in range(n) if pattern_of(i) == pattern]


def laplace_cases(pattern: str, n: int) -> Cases:
    from tests.statistical.faithful.nuts_agreement import by_laplace, pattern_of

    kept = stored_cases(GOLD / f"nuts-own-{pattern}.jsonl")
    day = {case: row["day"] for case, row in kept.items()}
    return [
        (f"woman {i}", functools.partial(by_laplace, i, day=day.get(f"woman {i}")))
        for i in range(n)
        if pattern_of(i) == pattern
    ]


def files(
    out: Path, parts: list[str], generators: list[str], patterns: list[str], n: int | None
) -> Iterator[tuple[Path, Cases]]:
    """Each file with its cases; `n` replaces every part's own number of women."""
    for part in parts:
        for pattern in patterns:
            if part in ("calibration", "oracle"):
                for g in generators:
                    make, usual = {
                        "calibration": (calibration_cases, WOMEN),
                        "oracle": (oracle_cases, ORACLE_WOMEN[g]),
                    }[part]
                    yield out / f"{part}-{g}-{pattern}.jsonl", make(g, pattern, n or usual)
            elif "own" in generators:
                make_own, usual = {
                    "planted": (planted_cases, PLANTED_WOMEN),
                    "nuts": (nuts_cases, NUTS_WOMEN),
                    "laplace": (laplace_cases, NUTS_WOMEN),
                }[part]
                place = GOLD if part == "nuts" else out
                yield place / f"{part}-own-{pattern}.jsonl", make_own(pattern, n or usual)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--pattern", action="append", choices=list(PATTERNS))
    parser.add_argument("--generator", action="append", choices=GENERATORS)
    parser.add_argument(
        "--n",
        type=int,
        help="women of each part (default: 1000; 4096 or 1024 oracle, 96 planted, 100 both methods)",
    )
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument(
        "--docs", action="store_true", help="write the tables and figures of the documentation"
    )
    args = parser.parse_args()
    from scenarios.cli import start_engine

    start_engine()
    planned = list(
        files(
            args.out,
            args.part or list(PARTS),
            args.generator or list(GENERATORS),
            args.pattern or list(PATTERNS),
            args.n,
        )
    )
    columns = (
        TextColumn("{task.description:28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        done = {path: stored_cases(path) for path, _ in planned}
        left = [sum(name not in done[path] for name, _ in cases) for path, cases in planned]
        task = progress.add_task("", total=sum(left))
        for path, cases in planned:
            progress.update(task, description=path.stem)
            run_cases(path, cases, say=lambda _: progress.advance(task))
    from tests.statistical.faithful import summary

    short = summary.report(args.out, write_docs=args.docs)
    part = [name for name in ("part", "pattern", "generator", "n") if getattr(args, name)]
    if part:
        print(f"Only a part was asked for (--{', --'.join(part)}): no verdict on the whole.")
    if short:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
