"""Conditional probabilities, charts, model range, drivers: closed forms and direct simulation."""

from datetime import date
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import lognorm, norm

from twin.forecast import BIRTH_RESIDUAL_SD
from twin.growth_standards import birthweight_centile
from twin.risk.drivers import drivers
from twin.risk.model_range import logit, probability_range, tilt_effects
from twin.risk.outcomes import (
    MALE_SHARE,
    Z_10,
    Z_90,
    birth_weight_mean,
    birth_weight_quantiles,
    chart_limit_g,
    exceeds,
    large,
    small,
)

REFERENCE = "intergrowth21_newborn"


def test_exceeds_is_the_lognormal_tail():
    weight = np.linspace(2000.0, 6000.0, 50)
    want = lognorm(BIRTH_RESIDUAL_SD, scale=weight).sf(4000.0)
    np.testing.assert_allclose(exceeds(weight, 4000.0), want, rtol=1e-10)


def test_exceeds_is_what_simulation_gives():
    """40 000 births of one fetus; z-test at 4.9 SD: false-alarm rate 1e-6, sees 0.012."""
    rng = np.random.default_rng(1)
    born = 3900.0 * np.exp(BIRTH_RESIDUAL_SD * rng.standard_normal(40_000))
    p = float(exceeds(np.array(3900.0), 4000.0))
    assert abs((born > 4000).mean() - p) < 4.9 * np.sqrt(p * (1 - p) / 40_000)


QUANTILES = [0.001, 0.05, 0.5, 0.95, 0.999]


def test_birth_weight_of_one_draw_is_a_lognormal():
    want = lognorm(BIRTH_RESIDUAL_SD, scale=3500.0)
    np.testing.assert_allclose(
        birth_weight_quantiles(np.array([3500.0]), QUANTILES), want.ppf(QUANTILES), rtol=1e-7
    )
    assert birth_weight_mean(np.array([3500.0])) == pytest.approx(want.mean(), rel=1e-12)


def test_birth_weight_of_lognormal_draws_is_a_wider_lognormal():
    """Draws at the 100 000 mid quantiles of a lognormal: with the residual, ln SD hypot(0.1, residual)."""
    weight = 3500.0 * np.exp(0.1 * norm.ppf((np.arange(100_000) + 0.5) / 100_000))
    want = lognorm(np.hypot(0.1, BIRTH_RESIDUAL_SD), scale=3500.0)
    np.testing.assert_allclose(birth_weight_quantiles(weight, QUANTILES), want.ppf(QUANTILES), rtol=1e-5)
    assert birth_weight_mean(weight) == pytest.approx(want.mean(), rel=1e-5)


def test_quantiles_of_uneven_draws_leave_that_share_below():
    """Far modes, where Newton alone would leave the bracket; (batch, draw)."""
    rng = np.random.default_rng(7)
    near = 3000.0 * np.exp(0.02 * rng.standard_normal((3, 400)))
    far = np.where(rng.random((3, 400)) < 0.04, 5200.0, near)
    weight = np.concatenate([near, far])
    got = birth_weight_quantiles(weight, QUANTILES)
    assert got.shape == (6, 5)
    below = lognorm.cdf(got[..., None], BIRTH_RESIDUAL_SD, scale=weight[:, None]).mean(axis=-1)
    np.testing.assert_allclose(below, np.broadcast_to(QUANTILES, below.shape), atol=1e-6)


@pytest.mark.parametrize("sex, code", [("female", 0), ("male", 1)])
def test_limits_are_the_chart(sex, code):
    """The chart read the other way: the limit's centile is 90 or 10."""
    day = np.array([245, 259, 273, 280])
    for z, centile in ((Z_90, 90.0), (Z_10, 10.0)):
        [(share, limit)] = chart_limit_g(day, z, REFERENCE, sex)
        assert share == 1.0
        got = birthweight_centile(
            jnp.asarray(limit), jnp.asarray(day, float), jnp.full(4, code), standard=REFERENCE
        )
        np.testing.assert_allclose(got, centile, atol=0.05)


def test_unknown_sex_is_a_mixture():
    weight, day = np.array([3300.0, 3900.0]), np.array([273, 280])
    for share_of in (large, small):
        girl, boy, any_ = (share_of(weight, day, REFERENCE, s) for s in ("female", "male", None))
        np.testing.assert_allclose(any_, MALE_SHARE * boy + (1 - MALE_SHARE) * girl, rtol=1e-12)


def test_outside_the_chart_is_nan_not_a_guess():
    assert np.isnan(large(np.array([4000.0]), np.array([150]), REFERENCE, "male")).all()


def gaussian_posterior(n=20_000, seed=2):
    """z ~ N(m, s2), p = P(weight > limit | z): everything known in closed form."""
    z = 0.4 + 0.6 * np.random.default_rng(seed).standard_normal(n)
    return z, norm.cdf((z - 1.0) / 0.5)


def test_tilt_is_the_derivative_of_the_probability():
    """Moving the prior's centre by d multiplies the draws' weights by exp(d z): the slope at d = 0."""
    z, p = gaussian_posterior()
    effect = tilt_effects(
        p, np.stack([z, np.random.default_rng(3).standard_normal(len(z))]), ess=float(len(z))
    )
    d = 1e-3
    w = np.exp(d * z)
    assert effect[0] == pytest.approx((np.sum(w * p) / np.sum(w) - p.mean()) / d, rel=0.01)
    assert abs(effect[1]) < 0.004, "a latent without influence has none"


def test_range_closes_when_nothing_can_move():
    p = np.full(200, 0.3)
    mean, low, high = probability_range(
        p, np.zeros((2, 200)), np.zeros((50, 2)), 200.0, [], np.random.default_rng(0)
    )
    assert mean == low == high == pytest.approx(0.3)


def test_range_holds_the_probability_and_widens():
    z, p = gaussian_posterior(2000)
    z = z[None]
    rng = np.random.default_rng(4)
    some, none = rng.normal(0.0, 0.3, (200, 1)), np.zeros((200, 1))
    width = []
    for shifts, policies in ((none, []), (some, []), (some, [float(p.mean()) * 0.6])):
        mean, low, high = probability_range(p, z, shifts, 2000.0, policies, np.random.default_rng(5))
        assert 0.0 <= low <= mean <= high <= 1.0 and mean == pytest.approx(p.mean())
        width.append(float(logit(high) - logit(low)))
    assert width[0] < width[1] < width[2]


def toy(y, sigma=1.5, n=4000):
    """One scan y of z ~ N(0, 1): the posterior's draws and that scan's density at each."""
    s2 = 1.0 / (1.0 + sigma**-2)
    z = s2 * y / sigma**2 + np.sqrt(s2) * np.random.default_rng(6).standard_normal(n)
    scans = SimpleNamespace(mask=np.array([True]), week=np.array([31.0]), quantity=np.array([1]))
    posterior = SimpleNamespace(
        data=SimpleNamespace(scans=scans),
        evaluation=SimpleNamespace(log_density={"biometry": norm.logpdf(y, z, sigma)[None]}),
    )
    record = SimpleNamespace(facts=SimpleNamespace(lmp_equivalent=date(2026, 3, 2)))
    return posterior, record, np.arange(n), norm.cdf(z - 1.0)


@pytest.mark.parametrize("y", [2.0, -1.5])
def test_driver_is_the_posterior_without_the_scan(y):
    """Closed form: without the scan z ~ N(0, 1), so P = Phi(-1 / sqrt 2); a large abdomen raises the risk, a small one
    lowers it. Monte-Carlo error of 4000 draws below 0.025 at 5 SD."""
    posterior, record, chosen, p = toy(y)
    [row] = drivers(posterior, record, chosen, p)
    assert row["name"] == "abdominal circumference, 2026-10-05"
    want = p.mean() - norm.cdf(-1.0 / np.sqrt(2.0))
    assert row["effect_on_macrosomia_4000"] == pytest.approx(want, abs=0.025)
    assert np.sign(row["effect_on_macrosomia_4000"]) == np.sign(y)


def test_driver_without_trust_is_listed_without_a_number():
    """A scan that alone decides the posterior cannot be taken out by weights: no number, but it is named."""
    [row] = drivers(*toy(2.5, sigma=0.05))
    assert row["name"] == "abdominal circumference, 2026-10-05"
    assert row["effect_on_macrosomia_4000"] is None and row["pareto_k"] > 0.7
