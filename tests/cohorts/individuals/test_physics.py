"""One test on the equations: agreement with the twin's own simulation, rest, balances, closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from cohorts.individuals.latents import LATENTS, latents_for, packaged_middles, pregnancy_ratios, to_params
from cohorts.individuals.physics import Dose, Terms, c_peptide_propagator, c_peptide_rates, run
from twin.physiology.events import DayEvents
from twin.physiology.parameters import SIGMA, MaternalParams
from twin.physiology.simulate import simulate_day

MINUTES = np.array([-10.0, 0.0, 30.0, 60.0, 90.0, 120.0, 180.0])
DRINK = Dose(oral_mg=75_000.0)
N = 40


@pytest.fixture(scope="module")
def people() -> MaternalParams:
    """40 people around the packaged middle."""
    names = tuple(x.name for x in LATENTS)
    z = np.random.default_rng(3).standard_normal((len(names), N))
    theta = packaged_middles(LATENTS)[:, None] + np.array([x.sd for x in LATENTS])[:, None] * z
    return to_params(jnp.asarray(theta), jnp.full(N, 80.0), names)


def rates(n: int) -> tuple:
    return tuple(jnp.full(n, float(r)) for r in c_peptide_rates(45.0))


def test_glucose_is_the_twins_own(people: MaternalParams) -> None:
    """The same step from the same state: equal to rounding at the step edges."""
    h = 3.0
    ours = run(people, DRINK, np.arange(0.0, 181.0, h), h=h)
    theirs = simulate_day(people, DayEvents.of(meals=((0.0, 75.0),), rank=1), n_steps=60, h=h, repeated=False)
    assert float(jnp.max(jnp.abs(ours.G - theirs.G[:61]))) < 1e-8


def test_a_person_who_is_given_nothing_stays_at_rest(people: MaternalParams) -> None:
    terms = Terms(basal=jnp.full(N, 0.4), saturation=jnp.asarray(2.0))
    course = run(people, Dose(), MINUTES, rates=rates(N), terms=terms)
    for values in course:
        assert float(jnp.max(jnp.abs(values / values[:1] - 1.0))) < 1e-7


def test_absent_terms_change_nothing(people: MaternalParams) -> None:
    zero = jnp.zeros(N)
    plain = run(people, DRINK, MINUTES)
    held = run(people, DRINK, MINUTES, terms=Terms(zero, zero, zero, zero, jnp.asarray(0.0)))
    assert float(jnp.max(jnp.abs(plain.G - held.G))) < 1e-8
    assert float(jnp.max(jnp.abs(plain.I - held.I))) < 1e-8


@pytest.mark.parametrize("term", ["decline", "wave"])
def test_emptying_moves_the_drink_in_time_and_loses_none(people: MaternalParams, term: str) -> None:
    """With clearance of glucose proportional to it alone and no insulin action, what was added to the area under
    glucose is dose / clearance, however the stomach empties."""
    p = dataclasses.replace(people, S_I=jnp.zeros(N))
    minutes = np.arange(0.0, 6000.0, 3.0)
    moved = run(p, DRINK, minutes, terms=Terms(**{term: jnp.full(N, 0.6)}))
    plain = run(p, DRINK, minutes)
    area = 3.0 * jnp.sum(moved.G - moved.G[:1], axis=0)
    expected = p.f * DRINK.oral_mg / (p.BW * p.VG) / p.E_G0
    assert float(jnp.max(jnp.abs(area / expected - 1.0))) < 2e-3
    assert float(jnp.max(jnp.abs(moved.G - plain.G))) > 1.0


def test_glucose_insulin_and_c_peptide_against_an_independent_solver(people: MaternalParams) -> None:
    """LSODA on the equations written anew, all terms on: within 0.6 mg/dL, 1.5 % of insulin and of C-peptide."""
    i = 0
    p = {f.name: float(getattr(people, f.name)[i]) for f in dataclasses.fields(people)}
    b, dec, wav, pot, sat = 0.3, -0.5, 0.4, 0.5, 0.8
    k01, k21, k12 = (float(r) for r in c_peptide_rates(45.0))
    terms = Terms(jnp.full(N, b), jnp.full(N, dec), jnp.full(N, wav), jnp.full(N, pot), jnp.asarray(sat))
    ours = run(people, DRINK, MINUTES, rates=rates(N), terms=terms)
    G0, I0 = float(ours.G[0, i]), float(ours.I[0, i])

    def hill(G: float) -> float:
        return p["B"] * SIGMA * G**4 / (p["G_s"] ** 4 + G**4)

    def field(t: float, y: np.ndarray) -> list[float]:
        S1, S2, Q, G, X, Y, I, C1, C2 = y
        u = min(t / 120.0, 1.0)
        k_e = p["k_e"] * np.exp(dec * (1 - 2 * u) + wav * np.cos(2 * np.pi * u))
        dG = (p["R0"] + p["f"] * p["k_a"] * Q / p["BW"]) / p["VG"] - (p["E_G0"] + X) * G
        rise = dG * 0.5 * (1 + np.tanh(dG / 0.1))
        inflow = Y + p["B"] * p["K_d"] * rise + b
        n = p["n"] * (1 + sat * I0 / 100) / (1 + sat * I / 100)
        return [
            -k_e * S1,
            k_e * (S1 - S2),
            k_e * S2 - p["k_a"] * Q,
            dG,
            -p["p2"] * (X - p["S_I"] * I),
            (hill(G) * np.exp(pot * u) - Y) / p["T_s"],
            inflow - n * I,
            inflow - (k01 + k12) * C1 + k21 * C2,
            k12 * C1 - k21 * C2,
        ]

    c1 = p["n"] * I0 / k01
    y0 = [75_000.0, 0, 0, G0, p["S_I"] * I0, hill(G0), I0, c1, c1 * k12 / k21]
    assert np.max(np.abs(field(0.0, [0, 0, 0, *y0[3:]]))) < 1e-6  # rest is rest
    found = solve_ivp(
        field, (0, 180), y0, method="LSODA", t_eval=MINUTES[1:], rtol=1e-8, atol=1e-8, max_step=1.0
    ).y
    assert np.max(np.abs(np.asarray(ours.G[1:, i]) - found[3])) < 0.6
    assert np.max(np.abs(np.asarray(ours.I[1:, i]) / found[6] - 1)) < 0.015
    from cohorts.individuals.physics import NG_ML_PER_UU_ML

    assert np.max(np.abs(np.asarray(ours.C[1:, i]) / (NG_ML_PER_UU_ML * found[7]) - 1)) < 0.015


def test_c_peptide_kinetics_are_the_two_exponentials() -> None:
    """An amount in the first compartment decays as 0.76 exp(-a t) + 0.24 exp(-b t), in 40 steps of 3 minutes."""
    k = c_peptide_propagator(tuple(jnp.asarray(r) for r in c_peptide_rates(45.0)), 3.0)
    C1, C2 = 1.0, 0.0
    for i in range(1, 41):
        C1, C2 = k[0] * C1 + k[1] * C2, k[2] * C1 + k[3] * C2
        fast, slow = np.log(2) / 4.95, np.log(2) / (29.2 + 0.14 * 45)
        assert float(C1) == pytest.approx(
            0.76 * np.exp(-fast * 3 * i) + 0.24 * np.exp(-slow * 3 * i), rel=1e-9
        )


def test_c_peptide_balances() -> None:
    """Constant inflow u ends at u / k01, and that times k01 leaves."""
    r = c_peptide_rates(60.0)
    k = c_peptide_propagator(tuple(jnp.asarray(x) for x in r), 5.0)
    C1, C2 = 0.0, 0.0
    for _ in range(400):
        C1, C2 = k[0] * C1 + k[1] * C2 + k[4] * 2.0, k[2] * C1 + k[3] * C2 + k[5] * 2.0
    assert float(C1) == pytest.approx(2.0 / float(r[0]), rel=1e-9)


def test_an_injection_raises_glucose_by_dose_over_volume(people: MaternalParams) -> None:
    minutes = np.array([0.0, 0.02])
    course = run(people, Dose(bolus_mg_per_kg=300.0), minutes, h=0.01)
    assert float(jnp.max(jnp.abs((course.G[1] - course.G[0]) * people.VG / 300.0 - 1.0))) < 0.01


def test_gradients_are_those_of_differences(people: MaternalParams) -> None:
    def last(ln_S_I: jax.Array) -> jax.Array:
        p = dataclasses.replace(people, S_I=people.S_I * jnp.exp(ln_S_I))
        course = run(p, DRINK, MINUTES, terms=Terms(wave=jnp.full(N, 0.3)))
        return jnp.log(course.G[-1]) + jnp.log(course.I[-1])

    slope = jax.jvp(last, (jnp.zeros(N),), (jnp.ones(N),))[1]
    step = 1e-5
    between = (last(jnp.full(N, step)) - last(jnp.full(N, -step))) / (2 * step)
    assert float(jnp.max(jnp.abs(slope - between))) < 1e-5


def test_outside_pregnancy_sensitivity_is_higher_and_production_lower() -> None:
    ratio = pregnancy_ratios()
    assert ratio["S_I"] == pytest.approx(1.63, abs=0.02)
    assert ratio["B"] < 0.7 and ratio["R0"] == pytest.approx(36 / 43, rel=1e-6)
    assert [x.correlated for x in latents_for(True)] == sorted(
        (x.correlated for x in latents_for(True)), reverse=True
    )
