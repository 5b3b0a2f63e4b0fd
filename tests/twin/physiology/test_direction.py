"""Which way things go, over women of the prior: carbohydrate, sensitivity, insulin, metformin, walks, overdose."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.women import draw_women
from tests.statistical.bridge import cast, matched_women, to_events, to_params
from twin.physiology.simulate import STEP_MIN

LANES = 48
SLOTS = {"meals": 6, "doses": 4, "tablets": 2, "activity": 3}


class Women(list):
    """A list that a failing example does not print."""

    def __repr__(self):
        return f"{len(self)} women"


@pytest.fixture(scope="module")
def untreated():
    """48 women on an untreated day of their own."""
    drawn = matched_women(draw_women(LANES, seed=77))
    return Women((p, {"meals": [m for m in e["meals"] if m[0] < 1440.0]}) for p, e in drawn)


@pytest.fixture(scope="module")
def mean_glucose(untreated, simulate):
    """Mean glucose of one day from rest, (woman,), with changed parameters or further events."""
    plain = to_params([p for p, _ in untreated])

    def mean(change=lambda p: p, **events):
        day = to_events([(p, e | {k: rows(e) for k, rows in events.items()}) for p, e in untreated], SLOTS)
        run = simulate(change(plain), day, repeated=False)
        assert run.ok.all()
        return np.asarray(run.G[:-1].mean(axis=0))

    return mean


def _mains(events):
    return [events["meals"][k] for k in (0, 2, 4)]


def test_more_carbohydrate_raises_glucose(mean_glucose):
    usual = mean_glucose()
    for factor in (1.05, 1.3, 2.0):
        more = mean_glucose(meals=lambda e, f=factor: [(t, f * g) for t, g in e["meals"]])
        assert (more > usual).all()
        usual = more


def test_lower_sensitivity_raises_glucose(mean_glucose):
    usual = mean_glucose()
    for factor in (0.9, 0.6, 0.3):
        less = mean_glucose(lambda p, f=factor: dataclasses.replace(p, S_I=p.S_I * f))
        assert (less > usual).all()
        usual = less


def test_treatments_lower_glucose(mean_glucose):
    usual = mean_glucose()
    treatments = {
        "mealtime insulin": {"doses": lambda e: [(max(t - 10.3, 0.0), 4.0, "rapid") for t, _ in _mains(e)]},
        "basal insulin": {"doses": lambda e: [(30.7, 10.0, "nph")]},
        "metformin": {"tablets": lambda e: [(t, 850.0) for t, _ in _mains(e)[:2]]},
        "walks": {"activity": lambda e: [(t + 20.4, t + 40.4, 1.0) for t, _ in _mains(e)]},
    }
    for name, change in treatments.items():
        assert (mean_glucose(**change) < usual).all(), name


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    units=st.floats(20.0, 3000.0),
    minute=st.floats(0.0, 1439.0),
    kind=st.sampled_from(["rapid", "nph", "glargine"]),
    precision=st.sampled_from([jnp.float32, jnp.float64]),
)
def test_too_much_insulin_is_low_glucose_never_negative(untreated, simulate, units, minute, kind, precision):
    """There is no counter-regulation, so the depth means nothing; its sign and the day's mean do."""
    day = to_events([(p, e | {"doses": [(minute, units, kind)]}) for p, e in untreated], SLOTS)
    p = to_params([p for p, _ in untreated])
    means = {}
    for name, events in (("dosed", day), ("plain", dataclasses.replace(day, dose_mU=day.dose_mU * 0))):
        run = simulate(cast(p, precision), cast(events, precision), repeated=False)
        assert run.ok.all() and run.G.dtype == precision
        for values in (np.asarray(run.G), np.asarray(run.IG)):
            assert np.isfinite(values).all() and (values > 0.0).all()
        means[name] = np.asarray(run.G, float).mean(axis=0)
    # on average over the day; not at every minute, since glucose rebounds once the insulin has gone
    assert (means["dosed"] <= means["plain"] + 1e-3).all()


def test_a_massive_overdose_is_time_below_63(untreated, simulate):
    """100 U of rapid insulin for everybody at 08:00: hours of low glucose, in both precisions."""
    day = to_events([(p, e | {"doses": [(240.0, 100.0, "rapid")]}) for p, e in untreated], SLOTS)
    p = to_params([p for p, _ in untreated])
    for precision in (jnp.float64, jnp.float32):
        G = np.asarray(simulate(cast(p, precision), cast(day, precision), repeated=False).G)
        assert (G > 0).all() and np.isfinite(G).all()
        assert np.median((G < 63.0).sum(axis=0) * STEP_MIN) > 60.0


def test_no_fasting_state_is_reported_not_hidden(simulate, untreated):
    """Uptake beyond production has no fasting state: that lane says so, is finite, and disturbs no other."""
    p = to_params([q for q, _ in untreated])
    broken = dataclasses.replace(p, U_fp=p.U_fp.at[3].set(9.0))
    day = to_events(untreated, SLOTS)
    run, usual = simulate(broken, day, repeated=False), simulate(p, day, repeated=False)
    ok = np.asarray(run.ok)
    assert not ok[3] and ok.sum() == LANES - 1
    assert np.isfinite(np.asarray(run.G)).all()
    np.testing.assert_array_equal(
        np.delete(np.asarray(run.G), 3, axis=1), np.delete(np.asarray(usual.G), 3, axis=1)
    )
