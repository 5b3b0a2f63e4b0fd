"""What must hold whatever the numbers: inverses, monotone tails, ranges, precision, batching, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin import growth_standards as gs
from twin.errors import UnknownStandard, UnusableInput

WEIGHTS = gs.BIRTHWEIGHT_STANDARDS
BIOMETRY = [("intergrowth21", q) for q in gs.BIOMETRY_STANDARDS["intergrowth21"]]
BIOMETRY += [("who", "hc_mm"), ("who", "hl_mm"), ("nichd", "fl_mm")]  # one code path for the others
FAMILIES = ["who", "nichd", "intergrowth21_efw", "intergrowth21_newborn"]
Z_GRID = np.linspace(-5, 5, 41)


def from_z(standard, z, day, sex=None):
    return gs.birthweight_from_z(z, day, sex, standard=standard)


@pytest.mark.parametrize("standard", WEIGHTS)
def test_z_and_weight_are_inverse_and_monotone_in_range_and_nan_outside(standard):
    first, last = gs.range_days(standard)
    inside = np.linspace(first, last, 23)
    day = np.concatenate([inside, [first - 0.01, last + 0.01, -30.0, 1e6]])[:, None, None]
    sex = np.array([0, 1, -1])[:, None]
    weight = np.asarray(from_z(standard, Z_GRID[None, None], day, sex))
    assert np.isfinite(weight[:23]).all()
    assert (np.diff(weight[:23], axis=-1) > 0).all()
    assert np.isnan(weight[23:]).all()  # outside its days a standard says nothing
    z = np.asarray(gs.birthweight_z(np.where(np.isnan(weight), 2000.0, weight), day, sex, standard=standard))
    np.testing.assert_allclose(z[:23], np.broadcast_to(Z_GRID, z[:23].shape), atol=1e-9)
    assert np.isnan(z[23:]).all()


@pytest.mark.parametrize(("standard", "quantity"), BIOMETRY)
def test_biometry_z_is_the_inverse(standard, quantity):
    day = np.arange(98, 281, 13)[:, None]
    value = np.asarray(gs.biometry_from_z(quantity, Z_GRID[None], day, standard=standard))
    assert (np.diff(value, axis=-1) > 0).all()
    z = gs.biometry_z(quantity, value, day, standard=standard)
    inside = value > 1
    assert inside[:, 4:].all()  # everything from z = -4
    np.testing.assert_allclose(z[inside], np.broadcast_to(Z_GRID, z.shape)[inside], atol=1e-9)
    median = gs.biometry_median(quantity, day[:, 0], standard=standard)
    np.testing.assert_allclose(median, value[:, 20], rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    centile=st.floats(0.01, 99.99),
    day=st.floats(168, 280),
    sex=st.sampled_from(["female", "male", "unknown"]),
    standard=st.sampled_from(FAMILIES),
)
def test_centile_of_the_weight_at_a_centile(centile, day, sex, standard):
    weight = from_z(standard, gs.z_of_centile(centile), day, sex)
    assert float(gs.birthweight_centile(weight, day, sex, standard=standard)) == pytest.approx(
        centile, rel=1e-7
    )


def test_weight_functions_agree_with_each_other():
    day = np.arange(160, 281, 30)
    for standard in gs.WEIGHT_STANDARDS:
        w90 = gs.weight_from_centile(90.0, day, standard=standard)
        np.testing.assert_allclose(gs.weight_centile(w90, day, standard=standard), 90, atol=1e-8)
        np.testing.assert_allclose(gs.weight_z(w90, day, standard=standard), 1.2815515655446004, atol=1e-9)
        np.testing.assert_array_equal(
            gs.weight_median_g(day, standard=standard), gs.weight_from_z(0.0, day, standard=standard)
        )


def test_values_and_codes_without_meaning_give_nan():
    weights = np.array([0.0, -100.0, np.nan])
    assert np.isnan(gs.weight_z(weights, 250, standard="hadlock1991")).all()
    assert np.isnan(gs.birthweight_z(3000.0, 270, np.array([2, -2, 7]))).all()
    assert np.isnan(gs.weight_from_centile(np.array([0.0, 100.0, -1.0]), 250, standard="who")).all()


@pytest.mark.parametrize("standard", FAMILIES)
def test_single_precision_is_enough(standard):
    """Within 0.01 of a z unit and 0.05 % of weight, all days: far below the error of any scan."""
    first, last = gs.range_days(standard)
    day = np.linspace(first, last, 23)[:, None]
    z = np.linspace(-3, 3, 13)[None]
    exact = np.asarray(from_z(standard, z, day, 1))
    single = from_z(standard, jnp.asarray(z, jnp.float32), jnp.asarray(day, jnp.float32), 1)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, rtol=5e-4)
    back = gs.birthweight_z(single, jnp.asarray(day, jnp.float32), 1, standard=standard)
    np.testing.assert_allclose(back, np.broadcast_to(z, back.shape), atol=0.01)


@pytest.mark.parametrize("standard", FAMILIES)
def test_vmap_equals_a_loop_and_jit_changes_nothing(standard):
    day = jnp.array([180.0, 222.5, 251.0, 279.9])
    weight = jnp.array([900.0, 1700.0, 2500.0, 3900.0])
    sex = jnp.array([0, 1, -1, 1])

    def z(w, d, s):
        return gs.birthweight_z(w, d, s, standard=standard)

    batch = z(weight, day, sex)
    loop = [float(z(w, d, s)) for w, d, s in zip(weight, day, sex, strict=True)]
    np.testing.assert_allclose(batch, loop, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(z))(weight, day, sex), batch, rtol=1e-12)


@pytest.mark.parametrize("standard", FAMILIES)
def test_gradients_match_finite_differences(standard):
    step = 1e-4

    def z(weight, day):
        return gs.birthweight_z(weight, day, 0, standard=standard)

    slopes = jax.jit(jax.grad(z, argnums=(0, 1)))
    for weight, day in ((900.0, 190.3), (3300.0, 270.4)):
        by_weight, by_day = slopes(weight, day)
        slope_weight = (z(weight + step, day) - z(weight - step, day)) / (2 * step)
        slope_day = (z(weight, day + step) - z(weight, day - step)) / (2 * step)
        assert float(by_weight) == pytest.approx(float(slope_weight), rel=1e-4)
        assert float(by_day) == pytest.approx(float(slope_day), rel=1e-4)


def test_gradients_stay_finite_beside_masked_entries():
    def loss(weight):
        z = gs.weight_z(weight, jnp.array([100.0, 250.0, 400.0]), standard="intergrowth21_efw")
        return jnp.nansum(z)

    slopes = np.asarray(jax.grad(loss)(jnp.array([500.0, 2500.0, 0.0])))
    assert np.isfinite(slopes).all()
    assert slopes[1] > 0
    assert slopes[0] == slopes[2] == 0


def test_sex_words_and_codes_are_the_same():
    words = gs.birthweight_from_z(1.0, 275, ["female", "male", "unknown"])
    codes = gs.birthweight_from_z(1.0, 275, jnp.array([0, 1, -1]))
    np.testing.assert_array_equal(words, codes)
    assert words[0] < words[2] < words[1]
    assert float(words[2]) == pytest.approx(float(np.sqrt(words[0] * words[1])), rel=1e-12)
    assert float(gs.birthweight_from_z(1.0, 275, None)) == float(words[2])
    with pytest.raises(UnusableInput, match="'boy' is not known"):
        gs.birthweight_z(3000, 275, "boy")


def test_newborn_length_and_head():
    """Z back from value; medians at 40+0 are near 49.3 cm and 34 cm."""
    for quantity, low, high in (("length_cm", 48.5, 50.5), ("head_cm", 33.3, 34.8)):
        value = gs.newborn_from_z(quantity, Z_GRID[4:-4], 280, "male")
        np.testing.assert_allclose(gs.newborn_z(quantity, value, 280, "male"), Z_GRID[4:-4], atol=1e-9)
        assert low < float(gs.newborn_from_z(quantity, 0.0, 280, "unknown")) < high


def test_nichd_default_is_the_geometric_mean_of_the_four_groups():
    groups = [
        np.log(gs.weight_from_z(1.3, np.array([100, 200, 290]), standard="nichd", group=g))
        for g in ("asian", "black", "hispanic", "white")
    ]
    default = gs.weight_from_z(1.3, np.array([100, 200, 290]), standard="nichd")
    np.testing.assert_allclose(np.log(default), np.mean(groups, axis=0), rtol=1e-12)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UnknownStandard, match=r"hadlock1991, .*fmf2018"):
        gs.weight_z(3000, 270, standard="hadlock")
    with pytest.raises(UnknownStandard, match="intergrowth21_newborn, hadlock1991"):
        gs.birthweight_z(3000, 270, "male", standard="fenton")
    with pytest.raises(UnknownStandard, match="hc_mm, ac_mm, fl_mm, bpd_mm, ofd_mm"):
        gs.biometry_z("hl_mm", 60, 250)
    with pytest.raises(UnknownStandard, match="intergrowth21, who, nichd"):
        gs.biometry_z("hc_mm", 300, 250, standard="hadlock1991")
    with pytest.raises(UnknownStandard, match="mean, asian, black, hispanic, white"):
        gs.weight_z(3000, 270, standard="nichd", group="other")
    with pytest.raises(UnknownStandard, match="has no groups"):
        gs.weight_z(3000, 270, standard="who", group="asian")
    assert set(gs.available()) == {
        "weight",
        "biometry",
        "birthweight",
        "newborn",
        "nichd_group",
        "efw_formula",
    }


def test_differences_between_standards_at_40_weeks():
    """The table of the docs page; the first two are [C-STD-10]."""
    medians = {name: round(float(gs.weight_median_g(280, standard=name))) for name in gs.WEIGHT_STANDARDS}
    assert medians == {
        "hadlock1991": 3619,
        "intergrowth21_hadlock_efw": 3409,
        "intergrowth21_efw": 3338,
        "who": 3617,
        "nichd": 3533,
        "fmf2018": 3459,
    }
