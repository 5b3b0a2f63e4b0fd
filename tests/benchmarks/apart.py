"""Each case in a fresh process held to one core: its compiling, its memory and its core-seconds are its own.

XLA's threads spin while they wait, so core-seconds of a process on several cores count waiting; the core is chosen
before JAX is imported. `python -m tests.benchmarks.apart MODULE CORE OPTIONS` calls `MODULE.measure(**OPTIONS)`
(OPTIONS is JSON) and prints what it returns as its last line.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Timed(NamedTuple):
    """One call: core-seconds of all threads, seconds, and what it returned."""

    core_s: float
    wall_s: float
    result: Any


def timed(work: Callable[[], Any]) -> Timed:
    core, wall = time.process_time(), time.perf_counter()
    result = work()
    return Timed(time.process_time() - core, time.perf_counter() - wall, result)


def cores() -> list[int]:
    """Cores this process may use; none where the system cannot say or hold a process to one."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def peak_gib() -> float:
    """Largest resident memory since the start or the last `forget_peak`. On Linux not from `getrusage`, which starts a
    child at the size of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [x for x in status.read_text().splitlines() if x.startswith("VmHWM")]
        return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30  # bytes on macOS


def forget_peak() -> None:
    with suppress(OSError):  # elsewhere the peak goes on counting
        Path("/proc/self/clear_refs").write_text("5")


def _start(module: str, core: int | None, options: dict[str, Any], cache: Path | None) -> subprocess.Popen:
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    if cache is not None:
        environment["XDG_CACHE_HOME"] = str(cache)
    where = "any" if core is None else str(core)
    command = [
        sys.executable, "-m", "tests.benchmarks.apart", f"tests.benchmarks.{module}", where, json.dumps(options),
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def _end(process: subprocess.Popen) -> Any:
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the case stopped with code {process.returncode}; its messages stand above")
    return json.loads(said.splitlines()[-1])


def apart(module: str, *, cache: Path | None = None, one_core: bool = True, **options: Any) -> Any:
    """`measure(**options)` of a module of this folder on the first core, or on all where seconds are what counts.

    cache : folder of compiled programs; where it is empty the case compiles, as on a new machine.
    """
    return _end(_start(module, next(iter(cores()), None) if one_core else None, options, cache))


def at_once(module: str, on: Sequence[int], *, cache: Path | None = None, **options: Any) -> list[Any]:
    """The same on several cores, each process waiting with `wait_for_others` until all are ready."""
    running = [_start(module, core, options, cache) for core in on]
    for process in running:
        while (line := process.stdout.readline()) and line.strip() != "ready":  # type: ignore[union-attr]
            pass
    for process in running:
        process.stdin.write("go\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    return [_end(process) for process in running]


def wait_for_others() -> None:
    """Say that everything is compiled, and wait for the word to start (`at_once`)."""
    print("ready", flush=True)
    sys.stdin.readline()


def main() -> None:
    module, core, options = sys.argv[1:]
    if core != "any":
        os.sched_setaffinity(0, {int(core)})
    print(json.dumps(importlib.import_module(module).measure(**json.loads(options))))


if __name__ == "__main__":
    main()
