"""Effective draws per core-second on a small posterior, by a woman's roads: search, whitening, NUTS or weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.apart import timed

DRAWS = 2000  # of four chains of 500 after 500, and of importance sampling


def measure(road: str, repeats: int) -> dict[str, Any]:
    """Medians over repeats with keys of their own; the first call compiles. road : "nuts" | "weights"."""
    once = _once(road)
    first = timed(lambda: once(0))
    calls = [timed(lambda i=i: once(i)) for i in range(1, repeats + 1)]  # type: ignore[misc]
    core, wall = (np.array([c[k] for c in calls]) for k in (0, 1))
    effective = np.array([c.result for c in calls])
    return {
        "first_call_core_s": round(first.core_s, 2),
        "core_s": round(float(np.median(core)), 4),
        "ess": round(float(np.median(effective))),
        "ess_per_core_s": round(float(np.median(effective / core))),
        "ess_per_wall_s": round(float(np.median(effective / wall))),
    }


def _once(road: str) -> Callable[[int], float]:
    """One fit, search and all, to its smallest effective number of draws."""
    import jax
    import jax.numpy as jnp

    from tests.reference.small_posterior import SmallPosterior, make_day, mode_of
    from twin.inference.laplace import Sampler
    from twin.inference.sampler import judge, place_at, run_chains

    density, day = SmallPosterior(), make_day(1)
    weigh = jax.jit(jax.vmap(density, in_axes=(None, 1)))

    def sampled(seed: int) -> float:
        mode = mode_of(density, day)
        ran = run_chains(density, day, place_at(mode.z, mode.factor), jax.random.key(seed))
        return judge({str(i): ran.z[..., i] for i in range(len(mode.z))}, ran).ess_bulk_min

    def weighed(seed: int) -> float:
        sampler = Sampler(mode_of(density, day), jax.random.key(seed), DRAWS)
        while not sampler.done:
            sampler.take(np.asarray(weigh(day, jnp.asarray(sampler.propose()))))
        return float(sampler.draws().ess)

    return {"nuts": sampled, "weights": weighed}[road]
