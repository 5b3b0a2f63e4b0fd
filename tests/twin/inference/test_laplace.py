"""The posterior: mode, weights, adaptation, women together, prior only."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm

from tests.one_woman import AS_OF_DAY, FORECAST_DRAWS, POSTERIOR_DRAWS, STANDARD
from twin.inference import calibrate as calibrate_module
from twin.inference import laplace
from twin.inference.calibrate import calibrate, calibrate_many
from twin.inference.linearise import Sweep, stack_women, standard_mass, sweep_many
from twin.inference.model import evaluate


@pytest.fixture(scope="module")
def scans_draws(prior, scans_only):
    return laplace.sample(prior, scans_only, jax.random.key(3), POSTERIOR_DRAWS)


def moments(draws):
    mean = draws.z @ draws.weights
    return mean, np.sqrt(((draws.z - mean[:, None]) ** 2) @ draws.weights)


def test_mode_is_stationary(prior, data, one_posterior):
    """Less than CONVERGED of log density to gain; no draw is above it by more than the coarse step explains."""
    (mode,) = laplace.find_modes(prior, [data])
    assert mode.converged
    found = sweep_many(prior, stack_women([data]), mode.z[None], standard_mass(data)[None])
    gradient, H = np.asarray(found.gradient[0]), np.asarray(found.H[0])
    assert 0.5 * gradient @ np.linalg.solve(H, gradient) < 4.0 * laplace.CONVERGED
    assert mode.log_joint >= np.asarray(one_posterior.evaluation.log_joint).max() - 1.0
    np.testing.assert_allclose(mode.factor @ mode.factor.T, H, rtol=0.02, atol=0.05)
    assert (np.tril(mode.factor, -1) == 0.0).all()


def test_mode_does_not_depend_on_the_start(prior, data):
    size = prior.size(data)
    (a,) = laplace.find_modes(prior, [data])
    (b,) = laplace.find_modes(
        prior, [data], 0.7 * np.asarray(jax.random.normal(jax.random.key(4), (1, size)))
    )
    assert a.log_joint == pytest.approx(b.log_joint, abs=2.0 * laplace.CONVERGED)


def test_women_together_are_women_alone(prior, data, scans_only):
    """Modes and draws of a woman do not depend on who is calibrated beside her: single precision apart."""
    other = eqx.tree_at(lambda d: d.spots.value, data, data.spots.value * 1.1)
    keys = list(jax.random.split(jax.random.key(2), 3))
    women = [data, other, data]
    together = laplace.sample_many(prior, women, keys, 200)
    for woman, key, (draws, mode) in zip(women, keys, together, strict=True):
        alone, own = laplace.sample(prior, woman, key, 200)
        np.testing.assert_allclose(own.z, mode.z, atol=0.02)
        assert abs(own.log_joint - mode.log_joint) < 0.05
        assert abs(np.log(alone.ess / draws.ess)) < 0.5
    assert not np.allclose(together[0][1].z, together[1][1].z, atol=0.02)


def test_alone_and_together_the_probabilities_agree(prior, data, one_record, one_plans):
    """The contract's 0.005, for one woman beside others and alone with the same key; all else of her forecast is
    common."""
    from twin.forecast import run
    from twin.risk.outcomes import exceeds

    other = eqx.tree_at(lambda d: d.spots.value, data, data.spots.value * 1.1)
    keys = list(jax.random.split(jax.random.key(12), 3))
    rest = (prior, [AS_OF_DAY] * 3, STANDARD, ["a", "b", "c"])
    together = calibrate_many(keys, [other, data, other], *rest, draws=FORECAST_DRAWS)[1]
    [alone] = calibrate_many(keys[1:2], [data], prior, [AS_OF_DAY], STANDARD, ["b"], draws=FORECAST_DRAWS)
    p = []
    for posterior in (together, alone):
        found = run(jax.random.key(8), posterior, one_record, one_plans, draws=FORECAST_DRAWS).dataset
        born = found["fetal_weight_g"].sel(gestational_day=found["delivery_day"]).values.astype(float)
        p.append([exceeds(born, g).mean(axis=1) for g in (3500.0, 4000.0, 4500.0)])
    assert np.ptp(p[0]) > 0.1
    np.testing.assert_allclose(p[0], p[1], atol=0.005)


def test_nearly_gaussian_woman_has_good_weights(scans_draws):
    """Scans only: masses are nearly linear in the latents, so the Gaussian at the mode is nearly the posterior."""
    draws, mode = scans_draws
    assert draws.road == "importance" and mode.converged and draws.converged
    assert draws.pareto_k < 0.6
    assert draws.ess > 0.4 * POSTERIOR_DRAWS
    assert draws.weights.sum() == pytest.approx(1.0)


def test_scans_say_nothing_of_meter_and_meals(prior, scans_draws):
    """Latents that no scan depends on keep their prior: 20 means and SDs within Monte-Carlo error (5 SE each:
    false-alarm rate 3e-5)."""
    draws, _ = scans_draws
    mean, sd = moments(draws)
    own = [prior.index[n] for n in ("sensor_gain", "sensor_offset", "cgm_cv", "tau_IG", "E_max", "s_ex")]
    se = 1.0 / np.sqrt(draws.ess)
    assert np.abs(mean[own]).max() < 5 * se
    assert np.abs(sd[own] - 1.0).max() < 5 * se
    fetus = np.r_[prior.index["theta"], len(prior.latents) : len(sd)]  # and the growth deviations
    assert np.log(sd[fetus]).sum() < np.log(0.85), "scans inform the size of the fetus"


def test_glucose_informs_the_mother(prior, one_posterior):
    mean = one_posterior.z @ one_posterior.weights
    sd = np.sqrt(((one_posterior.z - mean[:, None]) ** 2) @ one_posterior.weights)
    assert sd[prior.index["S_I"]] < 0.9
    assert one_posterior.calibration.ok and not one_posterior.calibration.prior_only


def test_systematic_resampling_follows_the_weights():
    """Each count is the floor or the ceiling of n times its weight; over keys the mean is n times the weight
    (2000 keys, 5 SE on 30 counts: false-alarm rate 2e-5; detects a bias of 0.06 of a count)."""
    w = np.random.default_rng(1).gamma(0.4, size=30)
    w /= w.sum()
    n, total = 50, np.zeros(30)
    keys = jax.random.split(jax.random.key(9), 400)
    for key in keys:
        counts = np.bincount(laplace.resample(key, w, n), minlength=30)
        assert counts.sum() == n
        assert (counts >= np.floor(n * w) - 1e-9).all() and (counts <= np.ceil(n * w) + 1e-9).all()
        total += counts
    part = n * w - np.floor(n * w)
    se = np.sqrt(part * (1 - part) / len(keys))
    assert (np.abs(total / len(keys) - n * w) <= 5 * se + 1e-9).all()


def test_adapted_road_agrees_with_importance(monkeypatch, prior, scans_only, scans_draws):
    """All rounds forced on the same posterior. Means of all latents, 5 SE: false-alarm rate 50 * 6e-7; power
    above 0.99 for a mean off by 0.6 SD."""
    monkeypatch.setattr(laplace, "ESS_WANTED", np.inf)
    monkeypatch.setattr(laplace, "K_LIMIT", -np.inf)
    got, _ = laplace.sample(prior, scans_only, jax.random.key(21), POSTERIOR_DRAWS)
    assert got.road == "adapted" and got.converged and got.pareto_k < 0.7
    assert np.ptp(got.weights) == 0.0 and got.ess >= min(2 * scans_draws[0].ess, POSTERIOR_DRAWS)
    (m1, s1), (m2, s2) = moments(scans_draws[0]), moments(got)
    se = np.sqrt(s1**2 / scans_draws[0].ess + s2**2 / min(got.ess, POSTERIOR_DRAWS))
    assert np.abs((m1 - m2) / se).max() < 5.0
    ratio = s2 / s1
    assert ratio.min() > 0.75 and ratio.max() < 1.33


def test_adaptation_recovers_known_moments(monkeypatch):
    """A density known in closed form, N(0.9, 1.4^2) and N(-0.6, 0.8^2) in two of six directions, around a "mode" at 0
    with unit curvature. Ten rounds meet means and variances within 5 SE (false-alarm rate 1e-6 each), with more than
    ten times the effective draws of one round: the center and the scale are learnt."""
    mean, sd = np.array([0.9, -0.6, 0, 0, 0, 0]), np.array([1.4, 0.8, 1, 1, 1, 1])

    def draw(key, n):
        sampler = laplace.Sampler(laplace.Mode(np.zeros(6), np.eye(6), 0.0, 1, True, 6), key, n)
        while not sampler.done:
            z = sampler.propose()
            sampler.take(-0.5 * np.sum(((z - mean[:, None]) / sd[:, None]) ** 2, axis=0))
        return sampler

    monkeypatch.setattr(laplace, "MAX_ROUNDS", 1)
    alone = draw(jax.random.key(3), 1000).ess
    monkeypatch.setattr(laplace, "MAX_ROUNDS", 10)
    monkeypatch.setattr(laplace, "K_LIMIT", -np.inf)
    sampler = draw(jax.random.key(3), 1000)
    got = sampler.draws()
    assert (
        len(sampler.rounds) == 10
        and got.pareto_k < 0.5
        and got.ess > 10 * alone
        and np.ptp(got.weights) == 0.0
    )
    n = min(got.ess, 1000.0)
    np.testing.assert_allclose(got.z.mean(axis=1), mean, atol=5 * 1.4 / np.sqrt(n))
    np.testing.assert_allclose(got.z.var(axis=1) / sd**2, 1.0, atol=5 * np.sqrt(2.0 / n))


def test_single_meals_follow_what_days_share():
    """U'^-1 u has covariance H^-1, and the shared latents depend on the shared u alone."""
    rng = np.random.default_rng(5)
    A = rng.standard_normal((7, 7))
    H = A @ A.T + np.eye(7)
    factor = np.linalg.cholesky(H[::-1, ::-1])[::-1, ::-1]
    mode = laplace.Mode(np.zeros(7), factor, 0.0, 1, True, 4)
    step = mode.at(np.eye(7))
    np.testing.assert_allclose(step @ step.T, np.linalg.inv(H), atol=1e-12)
    assert np.abs(step[:4, 4:]).max() < 1e-15


def test_without_readings_the_posterior_is_the_prior(monkeypatch, one_record, nothing):
    """`calibrate` says so. 50 latents by Kolmogorov-Smirnov at 1e-6 each: false-alarm rate 5e-5; a shift of 0.25 SD
    is seen with power above 0.99."""
    monkeypatch.setattr(calibrate_module, "encode", lambda *a, **k: nothing)
    got = calibrate(jax.random.key(7), one_record, as_of_day=AS_OF_DAY, standard=STANDARD)
    assert got.calibration.prior_only and got.calibration.ok and got.calibration.pareto_k is None
    assert np.ptp(got.weights) == 0.0
    for row in got.z:
        assert kstest(row, norm.cdf).pvalue > 1e-6


def test_many_women_keep_their_places(prior, data, nothing, one_posterior):
    """In the order given, each with her own key: one as when alone, the one without readings prior only."""
    keys = [jax.random.key(1), jax.random.key(5)]
    found = calibrate_many(
        keys, [nothing, data], prior, [200.0, AS_OF_DAY], STANDARD, ["p-none", "p-one"], draws=POSTERIOR_DRAWS
    )
    assert [p.patient for p in found] == ["p-none", "p-one"] and [p.as_of_day for p in found] == [
        200.0,
        AS_OF_DAY,
    ]
    assert [p.calibration.prior_only for p in found] == [True, False]
    np.testing.assert_allclose(found[1].z, one_posterior.z, atol=1e-3)  # weighed by another program


def test_same_key_same_bits(one_record, one_posterior):
    again = calibrate(jax.random.key(5), one_record, as_of_day=AS_OF_DAY, standard=STANDARD)
    assert again.id == one_posterior.id
    np.testing.assert_array_equal(again.z, one_posterior.z)
    np.testing.assert_array_equal(again.weights, one_posterior.weights)


def test_what_weighed_the_draws_is_kept_as_their_evaluation(monkeypatch, one_record):
    """Three rounds, resampled: each draw's own densities, as the model gives them again; single precision apart."""
    monkeypatch.setattr(laplace, "K_LIMIT", -np.inf)
    monkeypatch.setattr(laplace, "MAX_ROUNDS", 3)
    got = calibrate(jax.random.key(5), one_record, as_of_day=AS_OF_DAY, standard=STANDARD)
    assert got.calibration.fallback == "adapted" and "evaluation" in vars(got)
    again = evaluate(got.prior, got.data, jnp.asarray(got.z, dtype=jnp.float32))
    kept = jax.tree.leaves(got.evaluation)
    for a, b in zip(kept, jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_an_empty_record_is_prior_only():
    """No row at all, zero-length axes: still a posterior, and it says what it is."""
    from tests.one_woman import make_record

    got = calibrate(jax.random.key(7), make_record({}), as_of_day=AS_OF_DAY, standard=STANDARD, draws=200)
    assert got.calibration.prior_only
    assert np.abs(got.z.mean(axis=1)).max() < 5.5 / np.sqrt(200)


def test_a_woman_nowhere_possible_does_not_stop_the_others(prior, data):
    """A scan without error has no likelihood anywhere: her result is not ok, the other's is as alone."""
    wrong = eqx.tree_at(lambda d: d.scans.sd, data, jnp.zeros_like(data.scans.sd))
    keys = list(jax.random.split(jax.random.key(4), 2))
    rest = (prior, [AS_OF_DAY] * 2, STANDARD, ["a", "b"])
    bad, good = calibrate_many(keys, [wrong, data], *rest, draws=POSTERIOR_DRAWS)
    assert not bad.calibration.ok and bad.calibration.reasons and np.isfinite(bad.z).all()
    assert good.calibration.ok


@pytest.mark.parametrize("broken", [np.full((2, 2), 1e40), np.diag([1.0, -1.0]), np.full((2, 2), np.nan)])
@pytest.mark.parametrize("from_the_start", [False, True])
def test_a_curvature_that_is_none_stops_nobody(broken, from_the_start):
    """Two normal densities with their modes at 3; the second has no curvature beyond 1 (or nowhere)."""

    def look(who, z, mass):
        H = np.tile(np.eye(2), (len(z), 1, 1))
        for j, i in enumerate(who):
            if i == 1 and (from_the_start or z[j, 0] > 1.0):
                H[j] = broken
        return Sweep(-0.5 * np.sum((z - 3.0) ** 2, axis=1), 3.0 - z, H, mass)

    good, bad = laplace.climb(look, np.zeros((2, 2)), np.zeros((2, 0)), 2)
    assert good.converged
    np.testing.assert_allclose(good.z, 3.0, atol=0.1)
    assert not bad.converged
    assert np.isfinite(bad.z).all()
    assert np.isfinite(bad.factor).all()


def test_the_past_of_a_batch_is_the_models(monkeypatch, prior, data):
    """What `weigh` keeps of each draw, in several rounds and in a group that is not full; single precision."""
    monkeypatch.setattr(laplace, "K_LIMIT", -np.inf)
    monkeypatch.setattr(laplace, "MAX_ROUNDS", 3)
    other = eqx.tree_at(lambda d: d.spots.value, data, data.spots.value * 1.1)
    women = [data, other, data, other, other]
    keys = list(jax.random.split(jax.random.key(13), len(women)))
    rest = (prior, [AS_OF_DAY] * len(women), STANDARD, ["a"] * len(women))
    found = calibrate_many(keys, women, *rest, draws=FORECAST_DRAWS)
    for posterior in found[1::2]:
        again = evaluate(prior, posterior.data, jnp.asarray(posterior.z, dtype=jnp.float32)).past
        for a, b in zip(jax.tree.leaves(posterior.past), jax.tree.leaves(again), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=0.3)  # a quarter of an hour may change sides


@pytest.mark.parametrize("n", [20, 101])
def test_as_many_draws_as_asked_for_and_no_more_effective_ones(n):
    """A standard normal posterior and its own proposal: the weights of the t are nearly equal."""
    mode = laplace.Mode(np.zeros(3), np.eye(3), 0.0, 1, True, 3)
    sampler = laplace.Sampler(mode, jax.random.key(n), n)
    while not sampler.done:
        sampler.take(-0.5 * np.sum(sampler.propose() ** 2, axis=0))
    got = sampler.draws()
    assert got.z.shape == (3, n) and got.weights.sum() == pytest.approx(1.0) and got.ess <= n
    assert len(sampler.rounds) == (6 if n == 20 else laplace.ROUNDS)  # to 50 effective draws, in rounds of 10
