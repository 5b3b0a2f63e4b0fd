"""EFW formulas against published calculators, closed-form derivatives and an independent transcription."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin import growth_standards as gs
from twin.errors import UnknownStandard, UnusableInput

TERM = {"bpd_mm": 92.0, "hc_mm": 330.0, "ac_mm": 330.0, "fl_mm": 70.0}


@pytest.mark.parametrize(
    ("hc_cm", "ac_cm", "fl_cm", "grams"),
    [(6, 6, 6, 304.5), (9, 9, 9, 942.8), (12, 12, 12, 2550.1), (6, 9, 12, 2129.7)],
)
def test_hadlock3_gives_the_weights_of_the_srhr_calculator(hc_cm, ac_cm, fl_cm, grams):
    computed = gs.efw_g("hadlock3", hc_mm=10 * hc_cm, ac_mm=10 * ac_cm, fl_mm=10 * fl_cm)
    assert float(computed) == pytest.approx(grams, abs=0.05)


@pytest.mark.shared_data
def test_hadlock3_gives_the_weights_on_the_shelf(shared_data):
    shelf = json.loads((shared_data / "data/growth_standards/test_vectors.json").read_text())
    for hc, ac, fl, grams in shelf["hadlock_1985_hc_ac_fl"]["test_vectors_hc_ac_fl_cm_to_g"]:
        assert float(gs.efw_g("hadlock3", hc_mm=10 * hc, ac_mm=10 * ac, fl_mm=10 * fl)) == pytest.approx(
            grams, abs=0.05
        )


def test_every_formula_is_its_published_expression():
    b, h, a, f = 9.2, 33.0, 33.0, 7.0
    expected = {
        "hadlock1": 10 ** (1.304 + 0.05281 * a + 0.1938 * f - 0.004 * a * f),
        "hadlock2": 10 ** (1.335 - 0.0034 * a * f + 0.0316 * b + 0.0457 * a + 0.1623 * f),
        "hadlock3": 10 ** (1.326 - 0.00326 * a * f + 0.0107 * h + 0.0438 * a + 0.158 * f),
        "hadlock4": 10 ** (1.3596 - 0.00386 * a * f + 0.0064 * h + 0.00061 * b * a + 0.0424 * a + 0.174 * f),
        "shepard": 1000 * 10 ** (-1.7492 + 0.166 * b + 0.046 * a - 2.646 * a * b / 1000),
        "intergrowth21": np.exp(
            5.08482 - 54.06633 * 0.33**3 - 95.80076 * 0.33**3 * np.log(0.33) + 3.13637 * 0.33
        ),
    }
    assert set(expected) == set(gs.FORMULAS)
    for name, grams in expected.items():
        assert float(gs.efw_g(name, **TERM)) == pytest.approx(grams, rel=1e-12), name


def test_all_formulas_weigh_an_average_term_fetus_alike():
    weights = [float(gs.efw_g(name, **TERM)) for name in gs.FORMULAS]
    assert max(weights) / min(weights) < 1.15  # formulas differ by about 10 % at term; a lost term by 30 %


def test_hadlock4_keeps_the_term_that_a_copied_calculator_drops():
    """Without BPD*AC the estimate is about a third low [C-EFW-07]."""
    full = float(gs.efw_g("hadlock4", **TERM))
    dropped = full * 10 ** (-0.00061 * 9.2 * 33)
    assert dropped / full == pytest.approx(0.65, abs=0.02)


def test_elasticities_of_hadlock3_at_term():
    """[C-EFW-08]: 1.59 / 0.81 / 0.81."""

    def log_efw(ac, hc, fl):
        return jnp.log(gs.efw_g("hadlock3", hc_mm=hc, ac_mm=ac, fl_mm=fl))

    slopes = jax.grad(log_efw, argnums=(0, 1, 2))(330.0, 330.0, 70.0)
    elasticity = [float(s) * x for s, x in zip(slopes, (330, 330, 70), strict=True)]
    assert elasticity == pytest.approx([1.59, 0.81, 0.81], abs=0.01)


def test_batches_broadcast_and_keep_single_precision():
    ac = jnp.linspace(200, 380, 5, dtype=jnp.float32)
    weights = gs.efw_g(hc_mm=jnp.float32(320), ac_mm=ac, fl_mm=jnp.float32(70))
    assert weights.dtype == jnp.float32
    loop = [float(gs.efw_g(hc_mm=320.0, ac_mm=float(x), fl_mm=70.0)) for x in ac]
    np.testing.assert_allclose(weights, loop, rtol=2e-6)


def test_a_missing_measurement_is_named():
    with pytest.raises(UnusableInput, match="fl_mm did not arrive") as caught:
        gs.efw_g("hadlock3", hc_mm=320, ac_mm=330)
    assert caught.value.code == "missing-measurement"
    assert gs.formula_needs("hadlock3") == ("hc_mm", "ac_mm", "fl_mm")


def test_an_unknown_formula_lists_the_known_ones():
    with pytest.raises(UnknownStandard, match="hadlock1, hadlock2"):
        gs.efw_g("hadlock9", **TERM)


def test_a_measurement_that_is_not_positive_gives_nan():
    assert np.isnan(gs.efw_g("hadlock1", ac_mm=jnp.array([0.0, -5.0]), fl_mm=70.0)).all()


def test_bpd_conventions_are_inverse():
    """[C-ERR-06]: at 90 mm outer to inner the outer edge adds 3 mm."""
    assert float(gs.bpd_outer_outer_mm(90.0)) == pytest.approx(93.0146, abs=1e-4)
    assert float(gs.bpd_outer_inner_mm(gs.bpd_outer_outer_mm(90.0))) == pytest.approx(90.0, abs=1e-12)
