"""Member-days a core-second of the ensemble's path beside SciPy LSODA and numba Runge-Kutta."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.apart import apart, at_once, cores

ENSEMBLE_LANES = 2000  # 4 scenarios of 500 draws
TWO_CORES_BAR = 300_000.0  # member-days a second


def test_one_day(store, size):
    def work() -> dict[str, Any]:
        return apart(
            "forward",
            sizes=list(size.lanes),
            one_by_one=size.one_by_one,
            accuracy=size.accuracy,
            lsoda=size.lsoda,
            rounds=size.rounds,
        )

    store("One day of one woman, forward", work)


def test_two_cores_at_once(store, size):
    """Two processes, each on a core of its own, both running while both are measured."""

    def work() -> dict[str, Any]:
        on = cores()[:2] or [None]
        found = at_once("forward", on, lanes=ENSEMBLE_LANES, seconds=size.together_s)
        rows = [{"case": f"core {core}", **one} for core, one in zip(on, found, strict=True)]
        both = sum(row["member_days_per_s"] for row in rows)
        rows.append(
            {"case": f"{len(on)} together", "member_days_per_s": both, "bar_member_days_per_s": TWO_CORES_BAR}
        )
        return {"rows": rows}

    store("The ensemble's path on two cores", work)
