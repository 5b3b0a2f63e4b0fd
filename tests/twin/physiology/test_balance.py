"""Rest, mass balance, and no event skipped: closed forms and properties, any fractional minute."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import closed_form, maternal_rk4
from tests.reference.women import median_woman
from tests.statistical.bridge import matched, to_events, to_params
from twin.physiology.coupled import REFERENCE_MEALS, power_mean, since_day_start
from twin.physiology.events import DayEvents
from twin.physiology.maternal import MaternalState, StepCoefficients, StepDrive, fasting_state, step
from twin.physiology.parameters import INSULIN_F, INSULIN_TAU_MIN, MaternalParams
from twin.physiology.simulate import DAY_STEPS, STEP_MIN, simulate_day

LANES = 64
#: where a dose is most easily lost: edges, their neighbours in floating point, first and last step
AWKWARD = [0.0, np.nextafter(0.0, 1.0), 1e-9, 1.5, 3.0, np.nextafter(3.0, 0.0), np.nextafter(3.0, 9.0), 7.5,
           719.999999, 720.0, 1437.4999, 1437.5, 1438.749, 1439.0, 1439.999999, np.nextafter(1440.0, 0.0)]  # fmt: skip


def test_basal_state_is_stationary(women, simulate):
    """Nothing eaten, nothing injected: a day changes glucose by less than 1e-9 mg/dL."""
    p = to_params([q for q, _ in women])
    run = simulate(p, to_events([(q, {}) for q, _ in women], slots={}))
    assert run.ok.all()
    assert np.ptp(np.asarray(run.G), axis=0).max() < 1e-9
    assert np.ptp(np.asarray(run.IG), axis=0).max() < 1e-9
    expected = [closed_form.fasting_steady_state(q) for q, _ in women]
    for ours, theirs in zip(
        (run.end.G, run.end.X, run.end.Y, run.end.I), np.transpose(expected), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_rest_under_standing_insulin_and_metformin_is_stationary(women):
    """With a constant insulin infusion and metformin effect the fasting state is still a fixed point."""
    p = jax.tree.map(jnp.asarray, to_params([q for q, _ in women]))
    u_sc, E_met = jnp.linspace(0.0, 30.0, len(women)), jnp.linspace(0.0, 0.1, len(women))
    drive = StepDrive(None, u_sc, E_met, (0.0, 0.0), 1.0)

    @jax.jit
    def day(p):
        c, y0 = StepCoefficients.of(p, STEP_MIN), fasting_state(p, E_met, u_sc)
        end = jax.lax.fori_loop(0, DAY_STEPS, lambda _, s: step(p, c, s, drive), y0)
        return y0, end, fasting_state(p, 0 * E_met, 0 * u_sc)

    y0, end, untreated = day(p)
    for first, last in zip(y0, end, strict=True):
        np.testing.assert_allclose(last, first, atol=1e-9)
    assert (np.asarray(y0.G)[1:] < np.asarray(untreated.G)[1:]).all()


def test_reference_tolerance_test():
    """75 g: 81/136/111 mg/dL at 0/60/120 min within 3 [A-OGTT-01..03, MODEL 1.2]."""
    drink = DayEvents.of(meals=((0.0, 75.0),))
    at = np.round(np.array([0.0, 60.0, 120.0]) / STEP_MIN).astype(int)
    run = jax.jit(lambda p: simulate_day(p, drink, n_steps=at[-1], repeated=False))(
        MaternalParams.reference()
    )
    np.testing.assert_allclose(run.G[at], [81.0, 136.0, 111.0], atol=3.0)


def test_reference_day():
    """Six meals, 220 g: mean 94 mg/dL [MODEL 1.2], exposure M_4 97.7 [MODEL 2.2], within 1."""
    events = DayEvents.of(meals=tuple((float(since_day_start(t)), g) for t, g in REFERENCE_MEALS))
    G = np.asarray(jax.jit(lambda p: simulate_day(p, events).G)(MaternalParams.reference()))
    assert sum(g for _, g in REFERENCE_MEALS) == 220.0
    np.testing.assert_allclose([G[:-1].mean(), power_mean(G)], [94.0, 97.7], atol=1.0)


def _inert(**changes):
    """A woman who neither clears nor secretes: what enters plasma stays there to be counted."""
    calm = {"S_I": 0.0, "E_G0": 1e-12, "B": 0.0, "n": 1e-12, "R0": 0.12, "U_fp": 0.12}
    return jax.tree.map(lambda x: jnp.full(LANES, x), MaternalParams.reference(**(calm | changes)))


def _empty():
    zero = jnp.zeros(LANES)
    return MaternalState(zero, zero, zero, zero, zero, zero, zero, zero)


def _column(*rows):
    return jnp.stack([jnp.broadcast_to(jnp.asarray(r, dtype=float), (LANES,)) for r in rows])


def _events(meals, doses):
    """Two meals and two doses in every lane: rows of minutes and masses."""
    none = DayEvents.of(rank=1)
    blank = {name: jnp.zeros((0, LANES)) for name in none.__dataclass_fields__}
    rapid, slow = INSULIN_TAU_MIN["rapid"], INSULIN_TAU_MIN["glargine"]
    return DayEvents(
        **blank
        | {
            "meal_min": _column(*meals[0]),
            "meal_mg": _column(*meals[1]),
            "dose_min": _column(*doses[0]),
            "dose_mU": _column(*doses[1]),
            "dose_tau": _column(rapid, slow),
            "dose_F": _column(INSULIN_F["rapid"], INSULIN_F["glargine"]),
        }
    )


@jax.jit
def _day_of(p, events):
    return simulate_day(p, events, repeated=False, start=_empty()).end


def _balance(at, second, grams=45.0, units=8.0):
    """Both balances of lanes with events at `at` and `second`: (given - arrived - remaining) / given."""
    p = _inert()
    at, second = (np.resize(np.asarray(x, float), LANES) for x in (at, second))
    events = _events(
        ((at, second), (1000 * grams, 500 * grams)), ((at, second), (1000 * units, 1000 * units))
    )
    end = jax.tree.map(np.asarray, _day_of(p, events))
    kg, dl = np.asarray(p.BW), np.asarray(p.BW * p.VG)
    f, k_e, k_a = (np.asarray(x) for x in (p.f, p.k_e, p.k_a))
    left = [
        sum(closed_form.gut_states(1440.0 - t, g, k_e, k_a)) for t, g in ((at, grams), (second, grams / 2))
    ]
    np.testing.assert_allclose(end.S1 + end.S2 + end.Q, sum(left), atol=1e-6 * 1000 * grams)
    carbohydrate = 1.0 - (end.G * dl / f + sum(left)) / (1500.0 * grams)
    due, remaining = 0.0, 0.0
    for t, kind in ((at, "rapid"), (second, "glargine")):
        u = (
            np.maximum(1440.0 + STEP_MIN / 2 - t, 0.0) / INSULIN_TAU_MIN[kind]
        )  # plasma insulin is half a step ahead
        mass = INSULIN_F[kind] * 1000 * units
        due, remaining = due + mass, remaining + mass * np.exp(-u) * (1 + u)
    insulin = 1.0 - (end.I * np.asarray(p.V_I) * kg + remaining) / due
    return carbohydrate, insulin


def test_mass_balance_closes_at_awkward_minutes():
    """Carbohydrate and insulin: given = arrived in plasma + remaining, to 1e-6, remaining by closed form."""
    for shift in (0, 5):
        carbohydrate, insulin = _balance(AWKWARD, np.roll(AWKWARD, shift))  # 0: two doses at one minute
        assert np.abs(carbohydrate).max() < 1e-6
        assert np.abs(insulin).max() < 1e-6


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(0.0, 1440.0, exclude_max=True), min_size=LANES, max_size=LANES), st.floats(0.0, 1439.9)
)
def test_no_dose_is_ever_skipped(minutes, second):
    carbohydrate, insulin = _balance(minutes, second)
    assert np.abs(carbohydrate).max() < 1e-6
    assert np.abs(insulin).max() < 1e-6


def _same_meal_at(minutes):
    """The reference woman, one 60 g meal per lane."""
    lanes = np.shape(minutes)
    one = DayEvents.of(meals=((0.0, 60.0),), rank=1)
    events = jax.tree.map(lambda x: jnp.broadcast_to(x, (x.shape[0], *lanes)), one)
    p = jax.tree.map(lambda x: jnp.full(lanes, x), MaternalParams.reference())
    return p, dataclasses.replace(events, meal_min=jnp.asarray(minutes)[None])


def test_what_is_eaten_before_or_after_the_day_is_not_in_it(simulate):
    """From rest, a meal outside the day changes nothing: it is not counted from the other end."""
    minutes = [-1440.0, -1.0, -0.001, 1440.0, 2000.0, 4.0, 1430.0, 0.0]
    moved = np.ptp(np.asarray(simulate(*_same_meal_at(minutes), repeated=False).G), axis=0)
    assert (moved[:5] < 1e-9).all() and (moved[5:] > 1e-3).all()


def test_a_repeated_day_absorbs_a_whole_meal(simulate):
    """A late meal is finished in the morning of the same repeated day; a day earlier or later it is the same."""
    minutes = np.array([0.3, 600.7, 1320.4, 1438.9])
    runs = [simulate(*_same_meal_at(np.tile(minutes + shift, 2))) for shift in (0.0, -1440.0, 1440.0)]
    for other in runs[1:]:
        np.testing.assert_allclose(other.G, runs[0].G, atol=1e-8)
    # in the gut at the end of the day: what was there at its start
    left = [sum(closed_form.gut_states(1440.0 - minutes + 1440.0 * d, 60.0, 0.025, 0.057)) for d in (0, 1)]
    end = runs[0].end
    np.testing.assert_allclose((end.S1 + end.S2 + end.Q)[:4], left[0] + left[1], atol=1e-6)


@pytest.mark.parametrize(
    "treatment",
    [
        {"doses": [(1080.7, 12.0, "nph")]},
        {"doses": [(1080.7, 12.0, "glargine")]},
        {"tablets": [(210.3, 850.0), (870.9, 850.0)]},
        {"activity": [(230.4, 250.4, 1.0), (890.1, 910.1, 1.3)]},
    ],
)
def test_a_repeated_day_carries_what_earlier_days_left(treatment, simulate):
    """Without meals, against the day after thirty equal days by the reference: insulin, tablets, activity linger.
    The day starts from rest under what they do at 04:00, which forgets how they changed in the hours before."""
    params = matched(median_woman(B=0.7))
    long = {
        kind: [
            (1440.0 * d + row[0], *([1440.0 * d + row[1]] if kind == "activity" else row[1:2]), *row[2:])
            for d in range(31)
            for row in rows
        ]
        for kind, rows in treatment.items()
    }
    exact = maternal_rk4.simulate(params, long, 31 * 1440.0, out_every_min=STEP_MIN, step_min=1.0)["G"]
    exact = exact[-(DAY_STEPS + 1) :]
    slots = {"meals": 0, "doses": 2, "tablets": 2, "activity": 2}
    ours = simulate(to_params([params]), to_events([(params, treatment)], slots)).G[:, 0]
    untreated = closed_form.fasting_steady_state(params)[0]
    assert exact.min() < untreated - 0.5
    error = np.abs(np.asarray(ours) - exact)
    assert error.max() < 1.5
    assert error[round(180.0 / STEP_MIN) :].max() < 0.1  # from 07:00
