"""How large the benchmarks are, the simulated women they share, and what each stores."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.benchmarks.apart import apart, cores
from tests.statistical.store import code_version


class Size(NamedTuple):
    """GDM_TWIN_BENCH: `small` only shows that everything runs, `full` has the batch of 256."""

    lanes: tuple[int, ...]
    one_by_one: int  # women of the compiled peer
    accuracy: int  # women whose errors are taken
    lsoda: int
    rounds: int
    together_s: float
    alone: int
    batch: int
    few: int  # women a row of cost against data
    counts: tuple[int, ...]
    draws: tuple[int, ...]
    repeats: int


_DRAWS = (250, 500, 1000, 2000)
SIZES = {
    "small": Size((500, 2000), 100, 50, 2, 3, 1.0, 2, 4, 2, (2, 4), (250, 500), 1),
    "usual": Size((500, 2000, 8000), 500, 400, 5, 7, 5.0, 5, 32, 8, (8, 16, 32, 64), _DRAWS, 3),
    "full": Size((500, 2000, 8000), 500, 2000, 20, 15, 10.0, 16, 256, 16, (8, 16, 32, 64, 128), _DRAWS, 5),
}


@pytest.fixture(scope="session")
def size() -> Size:
    return SIZES[os.environ.get("GDM_TWIN_BENCH", "usual")]


@pytest.fixture(scope="session")
def folder(size: Size, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the simulated women are, and folders of compiled programs beside them."""
    where = tmp_path_factory.mktemp("bench")
    n = max(size.alone, size.batch, size.few, min(size.counts))
    wanted = {"sensor": n, "finger pricks": n}
    apart("women", cache=where / "simulation", wanted=wanted, folder=str(where))
    return where


@pytest.fixture
def store(benchmark: Any) -> Callable[[str, Callable[[], dict[str, Any]]], None]:
    """Run a case once and keep what it found. pytest-benchmark's own time is that of the whole case, its start and its
    compiling included; the figures are in `extra_info`, a row of the table each in `rows`."""

    def run(group: str, work: Callable[[], dict[str, Any]]) -> None:
        benchmark.group = group
        found = benchmark.pedantic(work, rounds=1, iterations=1)
        benchmark.extra_info.update(found)
        benchmark.extra_info.update(code_version=code_version(), one_core_each=bool(cores()))

    return run
