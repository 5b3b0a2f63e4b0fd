"""Error models against SciPy and against quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from twin.observation import BirthAge, Block, CgmError, OgttError, ScanError, SpotError, residual
from twin.observation.blocks import (
    SCAN_CORE,
    SCAN_DF,
    STUDENT_DF,
    TERM_SD,
    innovations,
    ogtt_scale,
    spot_cv,
)

VALUE = np.array([40.0, 80.0, 100.0, 101.0, 140.0, 260.0])
LOC, SCALE = np.full(6, 100.0), np.array([8.0, 9.0, 10.0, 11.0, 12.0, 20.0])
ZERO = jnp.zeros(6)


def density(model, value, loc, scale, censor=ZERO):
    return np.asarray(model.log_density(jnp.asarray(value), censor, jnp.asarray(loc), jnp.asarray(scale)))


def test_spot_density_is_student_t():
    want = stats.t(STUDENT_DF, LOC, SCALE).logpdf(VALUE)
    np.testing.assert_allclose(density(SpotError(), VALUE, LOC, SCALE), want, rtol=1e-10)


def test_spot_tails_are_the_distribution_function():
    t = stats.t(STUDENT_DF, LOC, SCALE)
    np.testing.assert_allclose(density(SpotError(), VALUE, LOC, SCALE, ZERO - 1), t.logcdf(VALUE), atol=1e-8)
    np.testing.assert_allclose(density(SpotError(), VALUE, LOC, SCALE, ZERO + 1), t.logsf(VALUE), atol=1e-8)


def test_spot_tail_gradient_is_finite_far_out():
    def tail(loc):
        return jnp.sum(
            SpotError().log_density(jnp.asarray([20.0, 600.0]), jnp.asarray([-1.0, 1.0]), loc, loc * 0.1)
        )

    assert np.isfinite(np.asarray(jax.grad(tail)(jnp.asarray([250.0, 60.0])))).all()


def test_scan_density_is_student_t_in_ln():
    value, loc, sd = np.array([5.60, 5.70]), np.array([5.62, 5.50]), np.array([0.011, 0.02])
    got = ScanError().log_density(*map(jnp.asarray, (value, np.zeros(2), loc, sd)))
    np.testing.assert_allclose(got, stats.t(SCAN_DF, loc, SCAN_CORE * sd).logpdf(value), rtol=1e-10)


@pytest.mark.parametrize("model", [CgmError(), OgttError()])
def test_gaussian_models(model):
    n = stats.norm(LOC, SCALE)
    np.testing.assert_allclose(density(model, VALUE, LOC, SCALE), n.logpdf(VALUE), rtol=1e-10)
    np.testing.assert_allclose(density(model, VALUE[1:5], LOC[1:5], SCALE[1:5], jnp.ones(4)), n.logsf(VALUE)[1:5],
                               rtol=1e-6)  # fmt: skip


@pytest.mark.parametrize("model", [SpotError(), ScanError(), CgmError(), OgttError()])
def test_fisher_information_is_the_expected_squared_score(model):
    """Quadrature of score^2 over the model's own density, for the location and the log scale."""
    loc, scale = 3.0, 0.7

    def log_density(y, at, ln_scale):
        return model.log_density(y, jnp.zeros(()), at, jnp.exp(ln_scale))

    u = np.linspace(-6.0, 6.0, 4001)  # y = loc + scale * sinh(u): dense in the middle, far into the tails
    y, step = loc + scale * np.sinh(u), scale * np.cosh(u)
    args = (jnp.asarray(y), jnp.asarray(loc), jnp.log(scale))
    both = jax.jit(jax.vmap(jax.value_and_grad(log_density, (1, 2)), (0, None, None)))
    ln_p, scores = both(*args)
    p = np.exp(np.asarray(ln_p)) * step
    assert integrate.simpson(p, u) == pytest.approx(1.0, abs=1e-6)
    for score, claimed in zip(scores, model.fisher(jnp.asarray(scale)), strict=True):
        assert integrate.simpson(p * np.asarray(score) ** 2, u) == pytest.approx(float(claimed), rel=1e-4)


def test_birth_age_is_a_density_of_the_age():
    """Integrates to 1 (the logistic edge of the preterm part adds 0.2 %), mode near term, mean preterm share 12 %."""
    age = np.linspace(10.0, 50.0, 40_001)
    zero = jnp.zeros_like(jnp.asarray(age))
    p = np.exp(np.asarray(BirthAge().log_density(zero, zero, jnp.asarray(age), zero + TERM_SD)))
    assert integrate.simpson(p, age) == pytest.approx(1.0, abs=5e-3)
    assert 38.5 < age[p.argmax()] < 40.0
    early = age < 37.0
    assert 0.07 < integrate.simpson(p[early], age[early]) < 0.20


def sensor_days(rng):
    level = np.log(100.0 + 30.0 * np.sin(np.linspace(0, 7, 24))[None] + np.array([[0.0], [8.0]]))
    sd = 0.07 + 0.01 * np.arange(24)[None] + np.zeros((2, 1))
    return level + sd * rng.standard_normal((2, 24)), level, sd


MEMORY = 9.0  # t_a, min


def innovation_density(value, mask, level, sd, memory=MEMORY):
    given = (value, mask, level, sd, np.array(memory), *residual.gains(mask))
    loc, scale = innovations(*(jnp.asarray(x) for x in given))
    return np.where(mask, stats.norm(np.asarray(loc), np.asarray(scale)).logpdf(value), 0.0).sum(axis=1)


def joint_density(value, level, sd, known, memory=MEMORY):
    """The multivariate normal with the residual's correlation, of the readings there are."""
    at = np.flatnonzero(known)
    lag = 15.0 * np.subtract.outer(at, at)
    cov = np.outer(sd[at], sd[at]) * residual.correlation(lag, memory)
    return stats.multivariate_normal(level[at], cov).logpdf(value[at])


@pytest.mark.parametrize("memory", [1.5, 4.0, 13.0, 30.0, 55.0])
def test_innovations_are_the_joint_gaussian(memory):
    """Over the range of t_a: the gains' polynomials cost less than 0.01 of ln likelihood in 24 readings."""
    value, level, sd = sensor_days(np.random.default_rng(3))
    got = innovation_density(value, np.ones((2, 24), bool), level, sd, memory)
    for d in range(2):
        want = joint_density(value[d], level[d], sd[d], np.ones(24), memory)
        assert got[d] == pytest.approx(want, abs=0.01 * max(1.0, abs(want) / 50.0))


def test_gains_at_a_memory_are_the_filters_own():
    """Polynomials against the filter at t_a between their nodes and at both ends, days with gaps."""
    mask = np.random.default_rng(7).random((3, 96)) > 0.2
    mask[1, 20:70] = False
    gain, spread = residual.gains(mask)
    for memory in (*residual.DRIVEN_RANGE_MIN, 2.7, 8.0, 19.0, 37.0):
        K, sd = residual.kalman(mask, np.array([memory]))
        at = jnp.asarray(memory)
        np.testing.assert_allclose(residual.at_memory(jnp.asarray(gain), at), K[0], atol=2e-4)
        np.testing.assert_allclose(np.exp(residual.at_memory(jnp.asarray(spread), at)), sd[0], rtol=2e-4)
    beyond = residual.at_memory(jnp.asarray(spread), jnp.asarray(100.0))
    np.testing.assert_array_equal(
        beyond, residual.at_memory(jnp.asarray(spread), jnp.asarray(residual.DRIVEN_RANGE_MIN[1]))
    )


def test_innovations_remember_across_a_gap():
    value, level, sd = sensor_days(np.random.default_rng(4))
    mask = np.ones((2, 24), bool)
    mask[:, 9:12] = False
    mask[1, 0] = False
    spoiled = np.where(mask, value, 1e4)  # what stands under the mask must not matter
    got = innovation_density(spoiled, mask, level, sd)
    for d in range(2):
        assert got[d] == pytest.approx(joint_density(value[d], level[d], sd[d], mask[d]), rel=1e-3)


def test_residual_correlation_is_that_of_its_dynamics():
    """Stationary covariance and transition against the closed form, steps of 5 and 15 min; unit variance."""
    for step in (5.0, 15.0):
        A, fresh, stationary = residual.dynamics(MEMORY, step)
        np.testing.assert_allclose(A @ stationary @ A.T + fresh, stationary, atol=1e-12)
        assert np.linalg.eigvalsh(fresh).min() > -1e-12
        seen = np.array([1.0, 1.0, 0.0])
        for k in (0, 1, 4, 30):
            got = seen @ np.linalg.matrix_power(A, k) @ stationary @ seen
            assert got == pytest.approx(float(residual.correlation(np.array(k * step), MEMORY)), abs=1e-12)


def test_residuals_come_back_from_their_innovations():
    rng = np.random.default_rng(5)
    r, mask = jnp.asarray(rng.standard_normal((2, 24, 3))), rng.random((2, 24, 1)) > 0.3
    memory = jnp.asarray([3.0, 9.0, 27.0])
    gain = residual.at_memory(jnp.asarray(residual.gains(mask[..., 0])[0]), memory)
    mean = residual.filtered(r, jnp.asarray(mask), gain, memory)
    got = residual.residuals(jnp.where(mask, r - mean, 1e4), jnp.asarray(mask), gain, memory)
    np.testing.assert_allclose(got, np.where(mask, r, 0.0), atol=1e-12)


def test_a_day_given_those_before_is_the_conditional_gaussian():
    """Against the other form of it, by the joint precision, with the three parts of the residual as processes of their
    own; the eve says more than the day before it."""
    rng = np.random.default_rng(6)
    mask, before = rng.random((2, 20)) > 0.3, np.array([1.0, 4.0])
    r = rng.standard_normal((2, 20, 3))
    mean, C = residual.given_days_before(r, mask, before, MEMORY)
    day, time = np.nonzero(np.concatenate([mask, np.ones((1, 20), bool)]))
    back = np.append(before, 0.0)[day]
    remembered = np.exp(-np.abs(np.subtract.outer(back, back)) / residual.DAY_MEMORY_DAYS)

    def moving(at):
        same_day = residual.correlation(np.subtract.outer(at, at), MEMORY)
        return (same_day - residual.DAY_SHARE) / (1.0 - residual.DAY_SHARE)

    passing = (1.0 - residual.RECURRING_SHARE) * moving(15.0 * time - 1440.0 * back)
    recurring = residual.RECURRING_SHARE * remembered * moving(15.0 * time)
    whole = residual.DAY_SHARE * remembered + (1.0 - residual.DAY_SHARE) * (passing + recurring)
    assert np.linalg.eigvalsh(whole).min() > 0.0
    P = np.linalg.inv(whole)
    new, n = slice(mask.sum(), None), mask.sum()
    np.testing.assert_allclose(C, np.linalg.inv(P[new, new]), atol=1e-8)
    np.testing.assert_allclose(mean, -C @ P[new, :n] @ r[day[:n], time[:n]], atol=1e-8)
    one = np.ones((1, 20), bool)
    eve, earlier = (
        residual.given_days_before(np.ones((1, 20, 1)), one, np.array([d]), MEMORY)[0] for d in (1.0, 3.0)
    )
    assert (eve > earlier).all() and (earlier > 0.0).all()


def test_a_bump_comes_back_at_its_time_of_day():
    """A residual of an hour around noon on each of a week's days is expected there on the next, and nowhere else."""
    mask, before = np.ones((7, 96), bool), np.arange(1.0, 8.0)
    bump = np.zeros((7, 96, 1))
    bump[:, 30:34] = 1.0
    flat, one_day = bump.copy(), bump.copy()
    one_day[1:] = 0.0
    mean, C = residual.given_days_before(flat, mask, before, MEMORY)
    assert 0.1 < mean[31, 0] < 1.0 and np.abs(mean[60:90]).max() < 0.1
    assert mean[31, 0] > 2.0 * residual.given_days_before(one_day, mask, before, MEMORY)[0][31, 0]
    assert np.linalg.eigvalsh(C).min() > 0.0


def test_spot_cv_is_meter_and_day():
    """The meter's SD is the larger of 3 mg/dL and 5 % [A-SMBG-03]; the smooth maximum is within 0.25 mg/dL."""
    G = np.linspace(20.0, 400.0, 200)
    meter = G * np.asarray(spot_cv(jnp.asarray(G), jnp.zeros(200)))
    exact = np.maximum(3.0, 0.05 * G)
    assert (meter >= exact - 1e-12).all() and (meter - exact).max() <= 0.25 + 1e-12
    both = G * np.asarray(spot_cv(jnp.asarray(G), jnp.full(200, 0.13)))
    np.testing.assert_allclose(both, np.hypot(meter, 0.13 * G), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(ogtt_scale(jnp.asarray(G))) / G, np.hypot(0.02, 0.03), rtol=1e-12)


def test_padding_adds_nothing():
    mask = jnp.asarray([True, True, False, False, True, False])
    block = Block(SpotError(), jnp.asarray(VALUE), ZERO, mask, jnp.asarray(LOC), jnp.asarray(SCALE))
    each = np.asarray(block.pointwise())
    assert (each[~np.asarray(mask)] == 0.0).all()
    want = stats.t(STUDENT_DF, LOC, SCALE).logpdf(VALUE)[np.asarray(mask)].sum()
    assert float(block.log_likelihood()) == pytest.approx(want)
