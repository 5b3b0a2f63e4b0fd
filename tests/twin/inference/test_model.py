"""The one model: numpyro's density, the engine's own, and the derivatives agree."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density
from scipy.stats import norm

from tests.one_woman import POSTERIOR_DRAWS
from twin.encode import COVARIATES
from twin.inference.model import evaluate, pregnancy_model, readings
from twin.inference.priors import deviations, shifts, unknown_variance, unpack


@pytest.fixture(scope="module")
def z(prior, data):
    """Draws of the prior, as many as every posterior has, so that the program is shared."""
    return jax.random.normal(jax.random.key(2), (prior.size(data), POSTERIOR_DRAWS))


@pytest.fixture(scope="module")
def everything(prior, data, z):
    return evaluate(prior, data, z)


def test_numpyro_model_is_the_log_joint(prior, data, z, everything):
    """One woman alone under numpyro, against the batch of 1000; 12 random points."""
    one = jax.jit(lambda v: log_density(pregnancy_model, (prior, data), {}, {"z": v})[0])
    got = np.array([float(one(z[:, i])) for i in range(12)])
    np.testing.assert_allclose(got, np.asarray(everything.log_joint)[:12], rtol=1e-8)


def test_log_joint_is_prior_plus_readings(z, everything):
    want = norm.logpdf(np.asarray(z)).sum(axis=0)
    want = want + sum(np.asarray(v).sum(axis=0) for v in everything.log_density.values())
    ok = np.isfinite(np.asarray(everything.log_joint))
    assert ok.mean() > 0.99
    np.testing.assert_allclose(np.asarray(everything.log_joint)[ok], want[ok], rtol=1e-10)


def test_densities_are_those_of_the_error_models(data, everything):
    """By hand from location and scale: Student t for finger pricks and scans, Gaussian for the tolerance test."""
    from scipy.stats import t

    laws = {
        "spot_glucose": lambda m, s: t(4, m, s),
        "biometry": lambda m, s: t(6, m, math.sqrt(2.0 / 3.0) * s),
        "ogtt": lambda m, s: norm(m, s),
    }
    found = readings(data)
    assert set(found) == set(laws)
    for name, law in laws.items():
        mask, value = np.asarray(found[name].mask), np.asarray(found[name].value)
        loc, scale = np.asarray(everything.loc[name])[mask, 0], np.asarray(everything.scale[name])[mask, 0]
        got = np.asarray(everything.log_density[name])[:, 0]
        np.testing.assert_allclose(got[mask], law(loc, scale).logpdf(value[mask]), rtol=1e-9)
        assert (got[~mask] == 0.0).all()


def test_padding_does_not_matter(prior, data, z, everything):
    spoiled = data
    for part, field in (("spots", "value"), ("scans", "ln_value"), ("ogtt", "value")):
        old, mask = getattr(getattr(data, part), field), getattr(data, part).mask
        spoiled = eqx.tree_at(
            lambda d, p=part, f=field: getattr(getattr(d, p), f), spoiled, jnp.where(mask, old, 777.0)
        )
    np.testing.assert_array_equal(evaluate(prior, spoiled, z).log_joint, everything.log_joint)


def test_no_readings_leave_the_prior(prior, nothing, z):
    got = np.asarray(evaluate(prior, nothing, z).log_joint)
    ok = np.isfinite(got)
    np.testing.assert_allclose(got[ok], norm.logpdf(np.asarray(z)).sum(axis=0)[ok], rtol=1e-12)


def test_deviations_have_their_stated_law(prior):
    """The linear map's covariance: SD xi_sd everywhere, correlation exp(-lag / xi_weeks) between pairs of weeks."""
    n = 14
    L = np.asarray(deviations(prior, jnp.eye(n), 2 * n))[::2]
    cov = L @ L.T
    lag = 2.0 * np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    np.testing.assert_allclose(
        cov, prior.constant["xi_sd"] ** 2 * np.exp(-lag / prior.constant["xi_weeks"]), atol=1e-12
    )


def test_unpack_at_zero_is_the_centre(prior, data):
    at = unpack(prior, data, jnp.zeros(prior.size(data)))
    moved = shifts(prior, data)
    for name in ("S_I", "R0", "E_G0", "VG", "U_fp", "tau_rapid"):
        center = prior.latents[prior.index[name]].center * np.exp(float(moved.get(name, 0.0)))
        assert float(getattr(at.maternal, name)) == pytest.approx(center)
    habit = tuple(
        dataclasses.replace(x, center=0.0 if x.name == "carbohydrate" else x.center) for x in prior.latents
    )
    usual = unpack(dataclasses.replace(prior, latents=habit), data, jnp.zeros(prior.size(data)))
    assert np.asarray(usual.meal_factor) == pytest.approx(np.exp(float(moved.get("meals", 0.0))))
    assert float(at.dating_shift_weeks) == 0.0


@pytest.mark.parametrize("covariate", ["smoking", "hypertension", "parous", "male"])
def test_known_averages_to_the_mixture(prior, data, covariate):
    """The share-weighted mean of the two known cases is the unknown case, and what is not known of theta is the
    variance between them: nothing is gained by asking."""
    at = COVARIATES.index(covariate)

    def having(value, known):
        return dataclasses.replace(
            data, covariates=data.covariates.at[at].set(value), known=data.known.at[at].set(known)
        )

    share = {c.name: c.mean for c in prior.covariates}[covariate]
    unknown = having(0.0, False)
    for target, base in shifts(prior, unknown).items():
        yes, no = (float(shifts(prior, having(v, True))[target]) for v in (1.0, 0.0))
        assert share * yes + (1.0 - share) * no == pytest.approx(float(base), abs=1e-12)
        if target == "theta":
            more = unknown_variance(prior, unknown, target) - unknown_variance(
                prior, having(1.0, True), target
            )
            assert float(more) == pytest.approx(share * (1.0 - share) * (yes - no) ** 2, rel=1e-3, abs=1e-12)


def test_covariates_have_the_direction_of_their_sources(prior):
    """Smoking, hypertension and a girl lower weight, BMI and gain raise growth, BMI lowers sensitivity, girls are
    fatter [C-BC-04]."""
    value = {(e.target, e.covariate): e.value for e in prior.effects}
    assert value["theta", "smoking"] < 0 > value["theta", "hypertension"] and value["theta", "male"] > 0
    assert min(value["growth", "bmi"], value["growth", "gain"], value["late_growth", "parous"]) > 0
    assert value["S_I", "bmi"] < 0 > value["fat", "male"]


def test_weight_response_is_one_number(prior, data):
    """`fat_share` moves the response between lean and fat at equal response of the weight."""
    from twin.inference.priors import FAT_WEIGHT_SHARE, fetal_responses

    s_L, s_F = fetal_responses(jnp.full(5, 1.3), jnp.linspace(-1.0, 1.0, 5))
    total = (1 - FAT_WEIGHT_SHARE) * s_L + FAT_WEIGHT_SHARE * s_F
    np.testing.assert_allclose(np.asarray(total), float(total[0]), rtol=1e-12)
    assert (np.diff(np.asarray(s_F)) > 0).all()


def test_prior_file_is_complete(prior):
    """Every latent says where it comes from and how far its centre may be off."""
    for latent in prior.latents:
        assert latent.evidence and latent.sd > 0 and latent.center_sd >= 0, latent.name
        assert latent.transform in ("ln", "linear")
        assert latent.transform == "linear" or latent.center > 0
    assert dataclasses.is_dataclass(prior) and hash(prior) == hash(prior)
