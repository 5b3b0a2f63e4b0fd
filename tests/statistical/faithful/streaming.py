"""Many women streamed: core-seconds per woman at n and 2n, memory, and each woman alone against in her batch.

    python -m tests.statistical.faithful.streaming --out out/checks/streaming.jsonl --n 128 --alone 16

Finger pricks, OGTT and three scans (design "standard"), as known at 35.8 weeks; 500 draws, posterior and, with
`--forecast`, one scenario to birth. Programs are compiled before anything is timed. Every size runs in a process of its
own, so that its largest memory is its own, taken anew when everything is compiled; women are simulated as they are
read, outside the time taken. Alone is `calibrate`, as `gdm-twin run` does it; half of these women wear a sensor. Bars:
twice the women take twice the time within 10 %, at most 2 GiB and 0.1 GiB above half as many, and alone against in a
batch P(> 4000 g) within 0.005.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jax
import numpy as np

from scenarios.cli import start_engine
from tests.benchmarks.apart import forget_peak, peak_gib
from tests.statistical.store import run_cases, verdict

SEED = 20261204
WEEK = 35.8
DRAWS = 500
STANDARD = "hadlock1991"
TIME_BAR, MEMORY_BAR_GIB, FLAT_GIB, P_BAR = 0.10, 2.0, 0.1, 0.005


class Clock:
    """Core-seconds of what is not simulation."""

    def __init__(self) -> None:
        self.total, self.since = 0.0, time.process_time()

    def pause(self) -> None:
        self.total += time.process_time() - self.since

    def go_on(self) -> None:
        self.since = time.process_time()


def records(n: int, design: str) -> Iterator[Any]:
    """Women as known at WEEK; the first of a larger n are those of a smaller."""
    from cohorts.synthetic import design_named, simulate_cohort
    from twin.fhir import known_at
    from twin.inference.priors import START_PRIOR, load_prior

    for record, _ in simulate_cohort(jax.random.key(SEED), n, design_named(design), load_prior(START_PRIOR)):
        yield known_at(record, record.facts.lmp_equivalent + timedelta(days=int(7 * WEEK)))


def streamed(n: int, forecast: bool, clock: Clock, design: str = "standard") -> Iterator[tuple[Any, Any]]:
    """(record, posterior), and with `forecast` each woman's forecast is made and left."""
    from twin.encode import encode
    from twin.inference.priors import START_PRIOR, load_prior
    from twin.inference.stream import Entry, calibrate_stream

    waiting: list[Any] = []

    def entries() -> Iterator[Entry]:
        women = records(n, design)
        for i in range(n):
            clock.pause()
            record = next(women)
            clock.go_on()
            waiting.append(record)
            data = encode(record, 7.0 * WEEK, standard=STANDARD)
            yield Entry(record.pseudonym, jax.random.fold_in(jax.random.key(SEED + 1), i), data, 7.0 * WEEK)

    for posterior in calibrate_stream(entries(), load_prior(START_PRIOR), STANDARD, draws=DRAWS):
        record = waiting.pop(0)
        if forecast:
            outlook(posterior, record)
        yield record, posterior


def outlook(posterior: Any, record: Any) -> float:
    """P(> 4000 g) under `as_now`."""
    from scenarios.strategies import plan_of
    from twin.forecast import run
    from twin.risk.outcomes import exceeds

    plan = plan_of("as_now", record, posterior.as_of_day, None)
    found = run(jax.random.key(7), posterior, record, [plan], draws=DRAWS).dataset.isel(scenario=0)
    born = found["fetal_weight_g"].sel(gestational_day=found["delivery_day"]).values.astype(float)
    return float(exceeds(born, 4000.0).mean())


def measure(n: int, forecast: bool) -> dict[str, Any]:
    """In this process: compile, then n women."""
    from twin.inference.stream import BATCH

    for _ in streamed(min(BATCH, n), True, Clock()):
        pass
    before = peak_gib()
    forget_peak()
    wall, clock = time.perf_counter(), Clock()
    rounds = sum(p.calibration.fallback == "adapted" for _, p in streamed(n, forecast, clock))
    clock.pause()
    return {
        "women": n,
        "core_s_per_woman": clock.total / n,
        "women_per_s_with_simulation": n / (time.perf_counter() - wall),
        "adapted": rounds,
        "peak_gib_with_compiling": before,
        "peak_gib": peak_gib(),
    }


def apart(n: int, design: str) -> dict[str, Any]:
    """The first n women in their batch against each alone, same keys."""
    from twin.inference.calibrate import calibrate

    found = []
    for i, (record, posterior) in enumerate(streamed(n, False, Clock(), design)):
        key = jax.random.fold_in(jax.random.key(SEED + 1), i)
        alone = calibrate(key, record, as_of_day=7.0 * WEEK, standard=STANDARD, draws=DRAWS)
        found.append(abs(outlook(posterior, record) - outlook(alone, record)))
    return {"women": n, "differences": found}


def elsewhere(*arguments: str) -> dict[str, Any]:
    """One case in a fresh process."""
    command = [sys.executable, "-m", "tests.statistical.faithful.streaming", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/checks/streaming.jsonl"))
    parser.add_argument(
        "--n", type=int, default=128, help="women of the smaller run; the other has twice as many"
    )
    parser.add_argument("--alone", type=int, default=16, help="women compared with themselves alone")
    parser.add_argument("--forecast", action="store_true", help="forecast one scenario of each woman too")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--apart", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--design", default="standard", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure or args.apart:
        start_engine()
        print(
            json.dumps(apart(args.apart, args.design) if args.apart else measure(args.measure, args.forecast))
        )
        return
    also = ["--forecast"] if args.forecast else []
    name = "forecast" if args.forecast else "posterior"
    cases = [
        (f"{name}-{k}", lambda k=k: elsewhere("--measure", str(k), *also)) for k in (args.n, 2 * args.n)
    ] + [
        (
            f"alone-{args.alone // 2}-{design}",
            lambda d=design: elsewhere("--apart", str(args.alone // 2), "--design", d),
        )
        for design in ("standard", "sensor")
    ]
    one, two, *alone = run_cases(args.out, cases)
    ratio = two["core_s_per_woman"] / one["core_s_per_woman"]
    differences = np.array([d for a in alone for d in a["differences"]])
    found = {
        "n": one,
        "2n": two,
        "time_ratio_per_woman": ratio,
        "alone": {"largest": float(differences.max()), "median": float(np.median(differences))},
    }
    short = []
    if abs(ratio - 1.0) > TIME_BAR:
        short.append(
            f"core-seconds per woman change by {ratio:.3f} from n to 2n, accepted 1 within {TIME_BAR}"
        )
    if two["peak_gib"] > MEMORY_BAR_GIB:
        short.append(f"peak memory {two['peak_gib']:.2f} GiB, accepted {MEMORY_BAR_GIB}")
    if two["peak_gib"] - one["peak_gib"] > FLAT_GIB:
        short.append(
            f"peak memory grows from {one['peak_gib']:.2f} to {two['peak_gib']:.2f} GiB, accepted {FLAT_GIB}"
        )
    if differences.max() > P_BAR:
        short.append(f"alone and in a batch differ by {differences.max():.4f}, accepted {P_BAR}")
    verdict(found, short)


if __name__ == "__main__":
    main()
