"""The fetus alone: its standard, its closed form under a constant exposure, its measures, its energy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from tests.reference.pregnancy_full import fat_fraction, hadlock_1991
from twin.growth_standards import WEIGHT_STANDARDS, efw_g, weight_median_g
from twin.physiology.fetus import (
    FIRST_WEEK,
    MEASURES,
    grow,
    growth_table,
    latent_ln_biometry,
    masses_at,
    reference_masses,
    starting_state,
    table_weight,
)
from twin.physiology.parameters import FetalParams

EDGES = jnp.arange(FIRST_WEEK, 41.0)[:, None]
CELLS = EDGES.shape[0] - 1
STANDARDS = WEIGHT_STANDARDS


@pytest.fixture(scope="module")
def tables():
    return {name: growth_table(name) for name in STANDARDS}


def fetus(**changes):
    return jax.tree.map(lambda x: jnp.asarray(x, float)[None], FetalParams.reference(**changes))


@jax.jit
def grown(p, exposure, deviation, table):
    return grow(p, starting_state(p, EDGES[0], table), EDGES, exposure, deviation, table)


def weight_at_40(p, table, exposure=0.0, deviation=0.0, opened=24):
    x = jnp.where(EDGES[:-1] >= opened, exposure, 0.0)
    states = grown(p, x, jnp.full((CELLS, 1), deviation), table).edges
    return float(states.L[-1, 0] + states.F[-1, 0]), float(states.L[-1, 0]), float(states.F[-1, 0])


def test_undisturbed_fetus_is_theta_times_the_standard(tables):
    for name in STANDARDS:
        growth = grown(fetus(theta=1.07), jnp.zeros((CELLS, 1)), jnp.zeros((CELLS, 1)), tables[name]).edges
        expected = 1.07 * np.asarray(table_weight(tables[name], EDGES))
        np.testing.assert_allclose(growth.L + growth.F, expected, rtol=1e-12)


def test_table_reads_the_standard(tables):
    """Linear in ln between days: below 5e-5 of the published median."""
    weeks = np.linspace(24.0, 39.9, 77)
    for name in STANDARDS:
        published = np.asarray(weight_median_g(7.0 * weeks, standard=name))
        np.testing.assert_allclose(table_weight(tables[name], jnp.asarray(weeks)), published, rtol=1e-4)


def test_fat_at_term_is_its_share(tables):
    """q(40) of 3,619 g by Hadlock 1991 [C-BC-04, MODEL 2.1]."""
    total, _, fat = weight_at_40(fetus(), tables["hadlock1991"])
    assert total == pytest.approx(3619.0, abs=2.0)
    assert fat / total == pytest.approx(float(fat_fraction(40.0)), rel=1e-9)
    assert 0.09 < fat / total < 0.11


def test_constant_exposure_has_its_integral(tables):
    """Fat and lean under x = 0.1 from 24 weeks, by quadrature of the equation; weekly cells within 0.1 %."""
    p = FetalParams.reference()
    tau = float(p.tau_I)

    def mass(share, gain):
        def rate(w):
            h = 1e-4
            slope = (share(w + h) - share(w - h)) / (2 * h)
            acting = 1 / (1 + np.exp(-(w - 24.0)))
            return slope * np.exp(gain * acting * 0.1 * -np.expm1(-(w - 24.0) / tau))

        return share(24.0) + quad(rate, 24.0, 40.0)[0]

    lean = mass(lambda w: (1 - fat_fraction(w)) * hadlock_1991(w), float(p.s_L))
    fat = mass(lambda w: fat_fraction(w) * hadlock_1991(w), float(p.s_F))
    total, L, F = weight_at_40(fetus(), tables["hadlock1991"], 0.1)
    np.testing.assert_allclose([L, F, total], [lean, fat, lean + fat], rtol=1e-3)


def test_elasticity_of_weight(tables):
    """dln weight / dln exposure is 0.36 +- 0.02 at 40 weeks [MODEL 2.2, D-HAPO]; x = 0.1 adds about 130 g and
    16 % of fat, x = 0.2 adds 270 g and 35 %. Glucose is followed from 20 weeks, so that fetal insulin has settled
    when growth begins to listen at 24; beginning at 24 itself costs 1.5 weeks of lag: 0.334, 0.338 at x = 0.1."""
    table = tables["hadlock1991"]
    base, _, fat = weight_at_40(fetus(), table)
    up, down = (weight_at_40(fetus(), table, x, opened=20)[0] for x in (0.05, -0.05))
    assert np.log(up / down) / 0.1 == pytest.approx(0.36, abs=0.02)
    for x, grams, more_fat in ((0.1, 130.0, 0.16), (0.2, 270.0, 0.35)):
        heavier, _, fatter = weight_at_40(fetus(), table, x, opened=20)
        assert np.log(heavier / base) / x == pytest.approx(0.36, abs=0.02)
        assert heavier - base == pytest.approx(grams, rel=0.02)
        assert fatter / fat - 1.0 == pytest.approx(more_fat, abs=0.02)
    late = weight_at_40(fetus(), table, 0.1, opened=24)[0]
    assert np.log(late / base) / 0.1 == pytest.approx(0.338, abs=0.002)


def test_every_push_has_its_sign(tables):
    table = tables["hadlock1991"]
    base = weight_at_40(fetus(), table)
    assert weight_at_40(fetus(), table, deviation=0.1)[0] > base[0]
    assert weight_at_40(fetus(growth_shift=-0.05), table)[0] < base[0]
    late = weight_at_40(fetus(late_shift=0.1), table)[0]
    assert base[0] < late < weight_at_40(fetus(growth_shift=0.1), table)[0]
    fatter = weight_at_40(fetus(fatness=0.2), table)
    assert fatter[1] == base[1] and fatter[2] == pytest.approx(base[2] * np.exp(0.2), rel=1e-9)
    girl = weight_at_40(fetus(q_scale=1.07), table)
    assert girl[2] > base[2] and girl[0] == pytest.approx(base[0], rel=1e-12)


def test_biometry_of_the_reference_fetus_weighs_what_it_weighs(tables):
    """Hadlock 3 of the latent measures equals the standard's weight: 1e-4, every standard."""
    weeks = jnp.asarray(np.arange(15 * 7, 40 * 7 + 1, 3) / 7.0)
    for name in STANDARDS:
        L, F = reference_masses(weeks, jnp.asarray(1.0), tables[name])
        ln = jax.jit(latent_ln_biometry)(L, F, weeks, jnp.asarray(1.0), tables[name])
        mm = dict(zip(MEASURES, np.exp(np.asarray(ln)), strict=True))
        weighed = efw_g("hadlock3", **{q: mm[q] for q in ("hc_mm", "ac_mm", "fl_mm")})
        np.testing.assert_allclose(weighed, L + F, rtol=1e-4, err_msg=name)


def test_biometry_follows_weight_and_fat_widens_the_abdomen(tables):
    """10 % more of everything weighs 10 % more by Hadlock 3; more fat alone moves only AC, and the weight with it."""
    table, week, one = tables["hadlock1991"], jnp.asarray([34.0]), jnp.asarray(1.0)
    L, F = reference_masses(week, one, table)
    usual = np.asarray(latent_ln_biometry(L, F, week, one, table))[:, 0]
    for factor in (0.85, 1.1, 1.25):
        mm = dict(zip(MEASURES, np.exp(np.asarray(latent_ln_biometry(factor * L, factor * F, week, one, table))),
                      strict=True))  # fmt: skip
        weighed = efw_g("hadlock3", **{q: mm[q] for q in ("hc_mm", "ac_mm", "fl_mm")})
        np.testing.assert_allclose(weighed / (L + F), factor, rtol=0.02)
    fat = np.asarray(latent_ln_biometry(L, 1.35 * F, week, one, table))[:, 0] - usual
    assert fat[MEASURES.index("ac_mm")] > 0.005
    np.testing.assert_allclose(np.delete(fat, MEASURES.index("ac_mm")), 0.0, atol=1e-12)


def test_mass_between_edges_joins_the_edges(tables):
    table = tables["hadlock1991"]
    p = fetus(theta=1.1, fatness=0.1)
    growth = grown(p, jnp.full((CELLS, 1), 0.1), jnp.full((CELLS, 1), 0.05), table)
    cell = jnp.asarray([12, 12, 12])
    week = EDGES[12:13] + jnp.asarray([0.0, 0.5, 1.0])[:, None]
    L, F = masses_at(p, growth, EDGES, cell, week, table)
    np.testing.assert_allclose(L[np.array([0, 2]), 0], growth.edges.L[12:14, 0], rtol=1e-12)
    np.testing.assert_allclose(F[np.array([0, 2]), 0], growth.edges.F[12:14, 0], rtol=1e-12)
    assert (np.diff(np.asarray(L + F)[:, 0]) > 0).all()
