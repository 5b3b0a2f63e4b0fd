"""Member-days a second of the ensemble's hot path, beside a numba RK4 that runs one woman after another.

    make bench

Ratios within one run are what counts; machines are noisy. Both simulate the same 512 women for one day.
"""

import jax
import jax.numpy as jnp
import pytest

from tests.reference.maternal_rk4 import simulate
from tests.reference.women import median_day, median_woman
from twin.physiology.events import DayEvents
from twin.physiology.parameters import MaternalParams
from twin.physiology.simulate import simulate_day

WOMEN = 512
MEALS = ((210.0, 45.0), (360.0, 20.0), (510.0, 55.0), (690.0, 20.0), (870.0, 60.0), (1020.0, 20.0))


@pytest.mark.benchmark(group="one day, 512 women")
def test_staggered_scan_float32(benchmark):
    p = jax.tree.map(lambda x: jnp.full((WOMEN,), x, dtype=jnp.float32), MaternalParams.reference())
    events = jax.tree.map(lambda x: x.astype(jnp.float32), DayEvents.of(meals=MEALS, rank=1))
    run = jax.jit(lambda a, b: simulate_day(a, b).G.mean(axis=0))
    run(p, events).block_until_ready()
    benchmark(lambda: run(p, events).block_until_ready())
    benchmark.extra_info["member_days"] = WOMEN


@pytest.mark.benchmark(group="one day, 512 women")
def test_numba_rk4_one_after_another(benchmark):
    woman, day = median_woman(), median_day()
    simulate(woman, day, 1440.0, step_min=2.5)
    benchmark.pedantic(
        lambda: [simulate(woman, day, 1440.0, step_min=2.5) for _ in range(WOMEN)], rounds=3, iterations=1
    )
    benchmark.extra_info["member_days"] = WOMEN
