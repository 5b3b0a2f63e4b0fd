"""What a user waits for: NUTS of a sensor woman, a what-if on a stored posterior, the commands from the shell. Seconds,
on all cores."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.apart import timed


def measure(*, what: str, **options: Any) -> dict[str, Any]:
    return {"nuts": nuts, "what if": what_if, "shell": shell}[what](**options)


def nuts(*, folder: str) -> dict[str, Any]:
    """4 chains of 500 after 500 of the first sensor woman; compiling included, as a woman is sampled once."""
    from scenarios.cli import start_engine

    start_engine()
    from tests.benchmarks.twin_cost import key_of
    from tests.benchmarks.women import STANDARD, load
    from twin.encode import encode
    from twin.inference.calibrate import calibrate_nuts
    from twin.inference.priors import load_prior

    one = load(folder, "14 sensor days")[0]
    data = encode(one.record, one.as_of_day, standard=STANDARD)
    ran = timed(
        lambda: calibrate_nuts(
            key_of(0),
            data,
            load_prior(),
            one.as_of_day,
            STANDARD,
            one.record.pseudonym,
            warmup=500,
            draws=500,
        )
    )
    found = ran.result.calibration
    return {
        "seconds": round(ran.wall_s, 1),
        "core_s": round(ran.core_s, 1),
        "latents": int(ran.result.z.shape[0]),
        "rhat_max": None if found.rhat_max is None else f"{found.rhat_max:.4f}",
        "ess_min": None if found.ess_min is None else round(found.ess_min),
        "divergences": found.divergences,
        "ok": found.ok,
    }


def what_if(*, folder: str, design: str, repeats: int) -> dict[str, Any]:
    """New scenario to new risk on a stored posterior; medians of calls after the first."""
    from scenarios.cli import start_engine

    start_engine()
    from scenarios.engine import open_twin
    from scenarios.engine import what_if as ask
    from tests.benchmarks.twin_cost import key_of, one_calibrated
    from tests.benchmarks.women import load
    from twin.inference.priors import load_prior

    one = load(folder, design)[0]
    posterior = one_calibrated(one, key_of(0), load_prior())
    moment = one.record.facts.lmp_equivalent + timedelta(days=one.as_of_day)
    twin = open_twin(posterior, one.record, as_of=f"{moment}T00:00")
    names = ("untreated", "as_now", "doses_fixed")
    calls = [timed(lambda i=i: ask(twin, [names[i % 3]])) for i in range(repeats + 3)]  # type: ignore[misc]
    wall = np.array([c.wall_s for c in calls[3:]])
    return {
        "first_wall_s": round(calls[0].wall_s, 2),
        "seconds": round(float(np.median(wall)), 3),
        "slowest_s": round(float(wall.max()), 3),
    }


def shell(*, repeats: int) -> dict[str, Any]:
    """`gdm-twin run` of the packaged patient on insulin with programs kept, and `gdm-twin --help`."""
    command = str(Path(sys.executable).parent / "gdm-twin")
    patient = resources.files("scenarios") / "data" / "demo_insulin.ndjson.gz"
    with tempfile.TemporaryDirectory() as folder, resources.as_file(patient) as path:
        environment = os.environ | {"XDG_CACHE_HOME": folder}

        def run() -> None:
            given = [command, "run", str(path), "--out", f"{folder}/out"]
            subprocess.run(given, check=True, capture_output=True, env=environment)

        first = timed(run).wall_s
        later = [timed(run).wall_s for _ in range(repeats)]
        said = []
        for _ in range(3 * repeats):
            began = time.perf_counter()
            subprocess.run([command, "--help"], check=True, capture_output=True, env=environment)
            said.append(time.perf_counter() - began)
    return {
        "run_first_s": round(first, 1),
        "run_s": round(float(np.median(later)), 2),
        "help_s": round(float(np.median(said)), 3),
    }
