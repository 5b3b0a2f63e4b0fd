"""NUTS on a woman: its density against the model's, its draws against `laplace`, and what is kept of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.one_woman import AS_OF_DAY, STANDARD
from twin.inference.arviz_gate import read_posterior
from twin.inference.calibrate import calibrate_nuts, save_posterior
from twin.inference.nearby import NearJoint, known_at
from twin.inference.nuts import around_mode


def test_nearby_density_differs_by_nearly_a_constant(prior, data, one_posterior):
    """Over draws of the posterior: what is left after the constant carries the draws over with hardly a loss."""
    _, known = around_mode(prior, data)
    z = jnp.asarray(one_posterior.z[:, :200].T)
    near = jax.jit(jax.vmap(lambda x: NearJoint(prior)(known, x)))(z)
    left = np.asarray(one_posterior.evaluation.log_joint)[:200] - np.asarray(near)
    assert left.std() < 0.25
    w = np.exp(left - left.mean())
    assert w.sum() ** 2 / (w**2).sum() > 0.95 * 200
    weeks = known.mass_ratio.shape[0]
    far = known_at(prior, data, z[0], 1.2 * jnp.ones(weeks))
    assert far.mass_ratio.shape == (weeks,) and not np.allclose(far.mass_ratio, known.mass_ratio)


def test_chains_are_kept_apart_on_disk(tmp_path, one_posterior):
    four = dataclasses.replace(one_posterior, chains=4)
    four.__dict__["evaluation"] = one_posterior.evaluation
    save_posterior(four, tmp_path / "p.nc")
    groups = read_posterior(tmp_path / "p.nc")
    n = one_posterior.z.shape[1] // 4
    assert groups["posterior"]["S_I"].shape == (4, n)
    np.testing.assert_array_equal(groups["posterior"]["z"].values[1].T, one_posterior.z[:, n : 2 * n])
    np.testing.assert_array_equal(groups["sample_stats"]["weight"].values.reshape(-1), one_posterior.weights)
    assert groups["posterior_predictive"]["spot_glucose"].shape[:2] == (4, n)


def test_without_readings_nothing_is_sampled(prior, nothing):
    got = calibrate_nuts(jax.random.key(0), nothing, prior, AS_OF_DAY, STANDARD, "p", chains=2, draws=50)
    assert got.calibration.prior_only and got.calibration.ok and got.calibration.method == "nuts"
    assert got.z.shape[1] == 100


@pytest.mark.slow
def test_nuts_agrees_with_laplace(prior, data, one_posterior):
    """Short chains on the woman's own readings. Means of all latents within 6 SE of both (effective sizes from the
    chains and the weights): false-alarm rate below 1e-6; a mean off by half an SD is seen with power above 0.9. SDs
    within a quarter."""
    got = calibrate_nuts(
        jax.random.key(1), data, prior, AS_OF_DAY, STANDARD, "p", chains=4, warmup=200, draws=250
    )
    told = got.calibration
    assert got.z.shape == (prior.size(data), 1000) and got.chains == 4
    assert told.rhat_max < 1.05 and told.divergences <= 5 and told.bfmi_min > 0.3 and told.pareto_k < 0.7
    assert told.ok == (not told.reasons)

    def moments(p):
        mean = p.z @ p.weights
        return mean, np.sqrt(((p.z - mean[:, None]) ** 2) @ p.weights)

    (m1, s1), (m2, s2) = moments(one_posterior), moments(got)
    se = np.sqrt(s1**2 / one_posterior.calibration.ess_min + s2**2 / told.ess_min)
    assert np.abs((m1 - m2) / se).max() < 6.0
    assert np.abs(np.log(s2 / s1)).max() < 0.35
