"""Women of the prior as arrays, simulated once per module that asks."""

import jax
import pytest

from tests.reference.women import draw_women
from tests.statistical.bridge import matched_women, to_twin
from twin.physiology.simulate import simulate_day


@pytest.fixture(autouse=True, scope="package")
def quick_compilation():
    """Much is compiled and run once: compile without optimisation. The full measurements compile as users do."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def women():
    """Twelve women of the prior over two days, insulin, metformin and walks among them."""
    drawn = matched_women(draw_women(60, seed=11))
    treated = [w for w in drawn if w[1]["doses"] and (w[1]["tablets"] or w[1]["activity"])]
    plain = [w for w in drawn if not w[1]["doses"]]
    chosen = treated[:8] + plain[:4]
    assert any(e["tablets"] for _, e in chosen) and any(e["activity"] for _, e in chosen)
    return chosen


@pytest.fixture(scope="session")
def woman_arrays(women):
    """(MaternalParams, DayEvents) of those women."""
    return to_twin(women)


@pytest.fixture(scope="session")
def simulate():
    """`simulate_day`, compiled once per shape."""
    return jax.jit(simulate_day, static_argnames=("n_steps", "h", "repeated"))
