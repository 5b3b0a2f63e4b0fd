"""Every kind of intake and reading goes through the fit and the ensemble: traced, shapes and types only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scenarios.strategies import NAMES, plan_of
from tests.one_woman import AS_OF_DAY, STANDARD, at, make_record
from twin.encode import encode
from twin.forecast.ensemble import run_ensemble
from twin.forecast.run import LEVEL_SD, _future, level_error, single
from twin.inference.linearise import standard_mass, sweep
from twin.inference.model import evaluate
from twin.inference.priors import XI_CELLS, load_prior, n_deviations
from twin.physiology.fetus import FIRST_WEEK, LAST_WEEK

DRAWS = 7
METFORMIN = [at(190, "08:00", drug="metformin", dose_mg=500.0, per_day=2.0, source="t")]
WALKS = [at(d, "19:30", duration_min=25.0, intensity=1.0, source=f"w{d}") for d in range(200, 223)]
DOSES = [at(d, "22:00", dose_U=12.0, formulation="nph", source=f"d{d}") for d in range(210, 223)]
MEALS = [
    at(d, c, carbohydrate_g=45.0, source=f"m{d}{c}") for d in (220, 221) for c in ("08:00", "13:00", "19:00")
]
SENSOR = [
    at(d, f"{h:02d}:{m:02d}", value_mg_dl=105.0, kind="cgm", source=f"c{d}{h}{m}")
    for d in (220, 221) for h in range(24) for m in range(0, 60, 15)
]  # fmt: skip

KINDS = {
    "nothing": {"glucose": [], "biometry": [], "insulin": []},
    "metformin": {"medication": METFORMIN},
    "metformin and insulin": {"medication": METFORMIN, "insulin": DOSES},
    "metformin and walks": {"medication": METFORMIN, "activity": WALKS, "insulin": []},
    "all, with sensor and meals": {
        "medication": METFORMIN, "activity": WALKS, "insulin": DOSES, "meals": MEALS, "glucose": SENSOR,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_fit_and_forecast_trace(kind):
    record, prior = make_record(KINDS[kind]), load_prior()
    data = encode(record, AS_OF_DAY, standard=STANDARD)
    size = prior.size(data)
    found = jax.eval_shape(
        lambda z, m: sweep(prior, data, z, m), jnp.zeros(size), jnp.asarray(standard_mass(data))
    )
    assert found.value.shape == () and found.gradient.shape == (size,) and found.H.shape == (size, size)
    for dtype in (np.float64, np.float32):
        every = jax.eval_shape(lambda z: evaluate(prior, data, z), jnp.zeros((size, DRAWS), dtype))
        assert every.log_joint.shape == (DRAWS,)
        assert {x.shape[-1] for x in jax.tree.leaves(every)} == {DRAWS}
        assert {x.dtype for x in jax.tree.leaves(every[1:])} == {np.dtype(dtype)}, "nothing widens the model"
    plans = [plan_of(name, record, AS_OF_DAY, None) for name in NAMES]
    future = single(_future(record, AS_OF_DAY, plans, STANDARD))
    beyond = -(-(LAST_WEEK - FIRST_WEEK) // XI_CELLS) - n_deviations(data)
    out = jax.eval_shape(
        lambda z, past, fresh: run_ensemble(prior, single(data), z, past, fresh, future, (95.0, 140.0)),
        np.zeros((size, DRAWS), np.float32),
        every.past,
        np.zeros((beyond, DRAWS), np.float32),
    )
    assert out.lean_g.shape[:2] == out.daily_insulin_U.shape[:2] == (len(NAMES), DRAWS)
    assert {x.dtype for x in jax.tree.leaves(out)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_sensor_fixes_the_level_closer_than_the_equations_are_right(kind):
    """SD over 4000 draws: within five of its standard errors (false alarm 6e-7)."""
    data = encode(make_record(KINDS[kind]), AS_OF_DAY, standard=STANDARD)
    missed = level_error(jax.random.key(3), data, 4000)
    expected = LEVEL_SD if "sensor" in kind else 0.0
    assert missed.std() == pytest.approx(expected, rel=5.0 / np.sqrt(2 * 4000))
