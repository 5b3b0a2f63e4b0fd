"""The reference checks itself before it checks anything else: two integrators, closed forms, balances."""

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from tests.reference import closed_form, maternal_lsoda, maternal_rk4, pregnancy_full
from tests.reference.women import MEDIAN, draw_women, median_day, median_woman


def treated_women(n):
    """Women with insulin, metformin and walks, chosen by what they take; the last two as drawn."""
    drawn = draw_women(400, seed=20)
    full = [w for w in drawn if w[1]["doses"] and w[1]["tablets"] and w[1]["activity"]]
    return full[: n - 2] + drawn[:2]


@pytest.mark.parametrize(("params", "events"), treated_women(5))
def test_two_integrators_agree(params, events):
    fine = maternal_rk4.simulate(params, events, 2880.0)
    other = maternal_lsoda.simulate(params, events, 2880.0)
    for name, tolerance in {"G": 5e-4, "IG": 5e-4, "I": 1e-3, "Q": 1e-3, "C": 1e-4, "E_slow": 1e-7}.items():
        assert np.abs(fine[name] - other[name]).max() < tolerance, name


def test_reference_is_converged():
    """A tenth of the step moves nothing by 1e-6 mg/dL, so 0.1 min is the truth for practical purposes."""
    params, events = treated_women(3)[0]
    coarse = maternal_rk4.simulate(params, events, 1440.0)["G"]
    fine = maternal_rk4.simulate(params, events, 1440.0, step_min=0.01)["G"]
    assert np.abs(coarse - fine).max() < 1e-6


@pytest.mark.parametrize("k_a", [0.025, 0.0250001, 0.02, 0.057, 0.5])
def test_gut_chain_has_its_closed_form(k_a):
    params = median_woman(k_a=k_a)
    run = maternal_rk4.simulate(params, {"meals": [(17.3, 62.0)]}, 900.0, out_every_min=1.0)
    expected = closed_form.glucose_appearance(run["t"] - 17.3, 62.0, params)
    np.testing.assert_allclose(run["Ra"], expected, atol=5e-8)


def test_injected_insulin_has_its_closed_form():
    doses = [(3.7, 6.0, "rapid"), (11.2, 14.0, "glargine"), (200.9, 4.0, "rapid")]
    params = median_woman()
    run = maternal_rk4.simulate(params, {"doses": doses}, 1440.0)
    expected = sum(
        closed_form.subcutaneous_rate(run["t"] - t, u, params["tau"][k], params["F"][k]) for t, u, k in doses
    )
    np.testing.assert_allclose(run["u_sc"], expected, atol=1e-8)


@pytest.mark.parametrize("k_el", [MEDIAN["k_el"], MEDIAN["k_m"]])
def test_metformin_has_its_closed_form(k_el):
    params = median_woman(k_el=k_el)
    run = maternal_rk4.simulate(params, {"tablets": [(40.4, 850.0)]}, 2000.0)
    expected = closed_form.metformin_amount(run["t"] - 40.4, 850.0, params)
    np.testing.assert_allclose(run["C"], expected, atol=1e-7)


def test_interstitial_glucose_follows_a_ramp():
    def right_side(t, y):
        return (90.0 + 0.8 * t - y) / 7.5

    solved = solve_ivp(right_side, (0.0, 60.0), [101.0], rtol=1e-11, atol=1e-11, t_eval=[5.0, 30.0, 60.0])
    expected = closed_form.interstitial_of_ramp(solved.t, 90.0, 0.8, 101.0, 7.5)
    np.testing.assert_allclose(solved.y[0], expected, atol=1e-8)


def test_everything_eaten_and_injected_arrives():
    params, grams, units = median_woman(), 81.0, 9.0
    events = {"meals": [(33.33, grams)], "doses": [(20.2, units, "rapid")]}
    run = maternal_rk4.simulate(params, events, 3000.0, out_every_min=0.1)
    eaten = np.trapezoid(run["Ra"], run["t"]) * params["BW"]
    assert eaten == pytest.approx(params["f"] * 1000.0 * grams, rel=1e-6)
    injected = np.trapezoid(run["u_sc"], run["t"])
    assert injected == pytest.approx(params["F"]["rapid"] * 1000.0 * units, rel=1e-6)


def test_walk_has_its_closed_form():
    params = median_woman()
    run = maternal_rk4.simulate(params, {"activity": [(10.5, 30.5, 1.2)]}, 31.0, out_every_min=0.5)
    during = 1.2 * -np.expm1(-(30.5 - 10.5) / params["tau_ex"])
    assert run["E"][run["t"] == 30.5][0] == pytest.approx(during, rel=1e-10)


def test_fasting_state_is_stationary():
    for params, _ in draw_women(20, seed=3):
        run = maternal_rk4.simulate(params, {}, 1440.0, out_every_min=60.0)
        assert np.ptp(run["G"]) < 1e-9 and np.ptp(run["I"]) < 1e-9


def test_median_woman_meets_hapo():
    """75-g test 80.9/134.1/111.0 mg/dL [A-OGTT-01..03], 81/136/111 in MODEL.md 1.2, within 3 mg/dL."""
    run = maternal_rk4.simulate(median_woman(), {"meals": [(0.0, 75.0)]}, 120.0, out_every_min=60.0)
    np.testing.assert_allclose(run["G"], [81.0, 136.0, 111.0], atol=3.0)


def test_run_continues_from_its_end():
    params, events = treated_women(3)[0]
    whole = maternal_rk4.simulate(params, events, 600.0)
    half = maternal_rk4.simulate(params, events, 300.0)
    rest = {
        "meals": [(t - 300.0, g) for t, g in events["meals"] if t >= 300.0],
        "doses": [(t - 300.0, u, k) for t, u, k in events["doses"] if t >= 300.0],
        "tablets": [(t - 300.0, mg) for t, mg in events["tablets"] if t >= 300.0],
        "activity": [(max(s - 300.0, 0.0), e - 300.0, a) for s, e, a in events["activity"] if e > 300.0],
    }
    after = maternal_rk4.simulate(params, rest, 300.0, y0=half["y_end"])
    assert np.abs(whole["y_end"] - after["y_end"]).max() < 1e-6


def test_event_before_the_start_is_refused():
    with pytest.raises(ValueError, match="before minute 0"):
        maternal_rk4.simulate(median_woman(), {"meals": [(-1.0, 30.0)]}, 60.0)


def test_pregnancy_without_glucose_gain_is_the_standard():
    run = pregnancy_full.run(median_woman(), median_day(), 30.0, 32.0, fetus={"s_L": 0.0, "s_F": 0.0})
    np.testing.assert_allclose(run["weight"], pregnancy_full.hadlock_1991(run["w"]), rtol=1e-10)


def test_pregnancy_at_constant_glucose_has_its_integral():
    """No meals and no uptake: x is constant, I_f relaxes exponentially, fat is one quadrature."""
    params = median_woman(U_fp=0.0)
    g = closed_form.fasting_steady_state(params)[0]
    fetus = pregnancy_full.MEDIAN_FETUS | {"M_star": 75.0}
    run = pregnancy_full.run(params, {}, 28.0, 32.0, fetus=fetus, I_f0=0.0, growth_exponent=0.03)
    x = np.log(g / 75.0)
    risen = -np.expm1(-(run["w"] - 28.0) / fetus["tau_I"])
    np.testing.assert_allclose(run["I_f"], fetus["eta"] * x * risen, rtol=1e-6)

    def reference_fat(w):
        return pregnancy_full.fat_fraction(w) * pregnancy_full.hadlock_1991(w)

    def fat_rate(w):
        slope = (reference_fat(w + 1e-4) - reference_fat(w - 1e-4)) / 2e-4
        drive = pregnancy_full.fetus_acts(w) * x * -np.expm1(-(w - 28.0) / fetus["tau_I"])
        return slope * np.exp(fetus["s_F"] * drive + 0.03)

    expected = reference_fat(28.0) + quad(fat_rate, 28.0, 32.0)[0]
    assert run["F"][-1] == pytest.approx(expected, rel=1e-6)


def test_pregnancy_day_is_the_reference_day():
    """Its one-minute steps against 0.1 min, doses off the grid, after the same three days."""
    params = median_woman()
    day = median_day() | {
        "doses": [(441.37, 5.0, "rapid"), (1320.61, 9.0, "nph")],
        "activity": [(480.9, 500.9, 1.0)],
    }
    long = {
        name: [
            (1440.0 * d + row[0], *([1440.0 * d + row[1]] if name == "activity" else row[1:2]), *row[2:])
            for d in range(4)
            for row in rows
        ]
        for name, rows in day.items()
    }
    slow_fetus = {"s_L": 0.0, "s_F": 0.0}
    run = pregnancy_full.run(params, day, 30.0, 30.0 + 1 / 7, fetus=slow_fetus)
    fine = maternal_rk4.simulate(params, long, 4 * 1440.0, out_every_min=1.0)
    last = (fine["t"] > 3 * 1440.0) & (fine["t"] <= 4 * 1440.0)
    assert np.abs(run["G_last_day"] - fine["G"][last]).max() < 1e-4
    power = np.mean(fine["G"][last] ** 5) ** 0.2
    assert run["M"][0] == pytest.approx(power, rel=1e-4)


def test_a_changed_treatment_starts_in_its_week():
    params, day = median_woman(), median_day()
    treated = day | {"doses": [(445.0, 6.0, "rapid")]}
    one = pregnancy_full.run(params, [(28.0, day), (29.0, treated)], 28.0, 30.0)
    other = pregnancy_full.run(params, day, 28.0, 30.0)
    before = one["day_w"] < 29.0 - 1e-9
    np.testing.assert_allclose(one["M"][before], other["M"][before], rtol=1e-9)
    assert (one["M"][~before] < other["M"][~before] - 0.3).all()


def test_drawn_women_are_distinct_repeatable_and_off_the_grid():
    women = draw_women(60, seed=5)
    assert women == draw_women(60, seed=5) and women[:10] == draw_women(10, seed=5)
    assert len({p["SI"] for p, _ in women}) == 60
    minutes = [t for _, e in women for rows in e.values() for t, *_ in rows]
    assert min(minutes) >= 0.0 and max(minutes) < 2880.0
    assert sum(abs(t * 2 - round(t * 2)) < 1e-9 for t in minutes) < 0.02 * len(minutes)
    assert all(len(e["meals"]) == 12 for _, e in women)
    assert any(e["doses"] for _, e in women) and any(e["tablets"] for _, e in women)
