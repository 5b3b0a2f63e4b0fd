"""Shared fixtures: 64-bit floats, strict shapes, and the shelf of real data when it is there."""

import os
import zlib
from datetime import date
from pathlib import Path

import jax
import jaxtyping
import pytest

import tests.typechecker  # noqa: F401  (the hook finds it as an attribute)

CACHE = Path(__file__).resolve().parents[1] / ".pytest_cache" / "jax"
#: compiled programs outlive a test process; commands run inside a test use the same folder
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))

jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")


SLOW_PARTS = 4  # a run takes one part of the slow tests, by the day; GDM_TWIN_SLOW=all takes every one


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run a rotating part of the slow tests, unless marks were chosen on the command line."""
    if config.option.markexpr or os.environ.get("GDM_TWIN_SLOW") == "all":
        return
    today = date.today().toordinal() % SLOW_PARTS
    skip = [
        i
        for i in items
        if i.get_closest_marker("slow") and zlib.crc32(i.nodeid.encode()) % SLOW_PARTS != today
    ]
    if skip:
        config.hook.pytest_deselected(items=skip)
        items[:] = [i for i in items if i not in skip]


#: rooms whose annotations are checked at run time. Not physiology: its tests hand in NumPy arrays and scalars where
#: JAX arrays are annotated; not fhir and record: pydantic and table validation check those
CHECKED = ("twin.growth_standards", "twin.observation", "twin.inference", "twin.forecast")
jaxtyping.install_import_hook(CHECKED, "tests.typechecker.checked")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shelf of real data beside the checkout. Absent: skip on a user's machine, fail in CI."""
    shelf = Path(__file__).resolve().parents[2] / "shared"
    if shelf.is_dir():
        return shelf
    message = "the real-data shelf (../shared) is not beside this checkout"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def one_record():
    """The woman of `tests/one_woman.py`."""
    from tests.one_woman import make_record

    return make_record()


@pytest.fixture(scope="session")
def one_posterior(one_record):
    """Her posterior: the most expensive fixture, compiled once."""
    from tests.one_woman import AS_OF_DAY, POSTERIOR_DRAWS, STANDARD
    from twin.inference.calibrate import calibrate

    return calibrate(
        jax.random.key(5), one_record, as_of_day=AS_OF_DAY, standard=STANDARD, draws=POSTERIOR_DRAWS
    )


@pytest.fixture(scope="session")
def one_plans(one_record):
    """Her three strategies, in the order of the engine."""
    from scenarios.engine import DEFAULT_SCENARIOS
    from scenarios.strategies import plan_of
    from tests.one_woman import AS_OF_DAY

    return [plan_of(name, one_record, AS_OF_DAY, None) for name in DEFAULT_SCENARIOS]


@pytest.fixture(scope="session")
def one_forecast(one_record, one_posterior, one_plans):
    from tests.one_woman import FORECAST_DRAWS
    from twin.forecast import run

    return run(jax.random.key(6), one_posterior, one_record, one_plans, draws=FORECAST_DRAWS, seed=6)
