"""The sampler on densities known in closed form, and the verdict on chains made to fail."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from twin.inference.sampler import BLOCK, Chains, judge, place_at, run_chains

MEAN = np.array([2.0, -1.0, 0.5, 0.0])
SD = np.array([0.5, 2.0, 1.0, 0.2])


@dataclass(frozen=True)
class Known:
    """Normal around `data` in all directions, correlation 0.9 between the first two, and of the last the exponential
    is normal: its own density has the Jacobian."""

    def __call__(self, data, z):
        u = (z - data) / jnp.asarray(SD)
        pair = -0.5 * (u[0] ** 2 + u[1] ** 2 - 1.8 * u[0] * u[1]) / (1.0 - 0.81)
        skew = jnp.exp(u[3])
        return pair - 0.5 * u[2] ** 2 - 0.5 * (skew - 3.0) ** 2 + u[3]


@pytest.fixture(scope="module")
def ran():
    """Sampled from a place that knows neither the center nor the correlation, and two scales wrong."""
    place = place_at(MEAN + np.array([0.3, 0.5, 0.0, 0.2]), np.diag(1.0 / np.array([0.5, 1.0, 1.5, 0.1])))
    told = []
    chains = run_chains(
        Known(),
        jnp.asarray(MEAN),
        place,
        jax.random.key(3),
        chains=4,
        warmup=300,
        draws=500,
        progress=lambda done, of: told.append((done, of)),
    )
    return chains, told


def test_moments_of_a_known_density(ran):
    """Means within 5 SE and SDs within 5 SE by the chains' own effective sizes: false-alarm rate 5e-6; a mean off by
    0.2 SD is seen with power above 0.99."""
    chains, _ = ran
    assert chains.z.shape == (4, 500, 4) and chains.ln_density.shape == (4, 500)
    z = chains.z.reshape(-1, 4)
    verdict = judge({str(i): chains.z[..., i] for i in range(4)}, chains)
    assert verdict.ok, verdict.reasons
    u = (z - MEAN) / SD
    se = 1.0 / np.sqrt(verdict.ess_bulk_min)
    assert np.abs(u[:, :3].mean(axis=0)).max() < 5 * se
    assert np.abs(u[:, :3].std(axis=0) - 1.0).max() < 5 * se
    assert np.corrcoef(u[:, 0], u[:, 1])[0, 1] == pytest.approx(0.9, abs=5 * 0.19 * se)
    skew = np.exp(u[:, 3])  # positive: a normal cut at 0, where 1 in 740 lies
    assert abs(skew.mean() - (3.0 + norm.pdf(3.0) / norm.cdf(3.0))) < 5 * se
    np.testing.assert_allclose(
        chains.ln_density[0, :5], [float(Known()(jnp.asarray(MEAN), jnp.asarray(x))) for x in chains.z[0, :5]]
    )


def test_every_draw_of_every_chain_is_its_own(ran):
    chains, told = ran
    assert len({x.tobytes() for x in chains.z.mean(axis=1)}) == 4
    assert [d for d, _ in told] == sorted(d for d, _ in told) and told[-1] == (3200, 3200)
    assert len(told) == 2 * 800 // BLOCK, "each half of the chains tells each block"


def made(rng, energy_step=1.0):
    """Independent draws, and energies that move by `energy_step` of their own width."""
    energy = rng.standard_normal((4, 500))
    for t in range(1, 500):
        energy[:, t] = np.sqrt(1 - energy_step**2) * energy[:, t - 1] + energy_step * energy[:, t]
    zero = np.zeros((4, 500))
    return Chains(rng.standard_normal((4, 500, 1)), zero, energy, zero > 0, zero, np.ones(4))


def test_verdict_names_what_failed():
    """Each fault alone fails, and is told; independent draws pass. E-BFMI of the slow energies is 2 (1 - r), r their
    correlation: 0.1 here."""
    rng = np.random.default_rng(8)
    good = made(rng)
    fine = good.z[..., 0]
    assert judge({"a": fine, "constant": np.ones((4, 500))}, good).ok
    apart = judge({"a": fine, "b": fine + np.arange(4)[:, None]}, good)
    assert (
        not apart.ok and apart.rhat_max > 1.5 and "R-hat" in apart.reasons[0] and "of b" in apart.reasons[0]
    )
    walk = np.cumsum(rng.standard_normal((4, 500)), axis=1)
    assert any("effective sample size (bulk)" in r for r in judge({"walk": walk}, good).reasons)
    weighted = judge({"a": fine}, good, share=0.1)
    assert weighted.ess_bulk_min < 300 and not weighted.ok
    slow = judge({"a": fine}, made(rng, np.sqrt(1 - 0.95**2)))
    assert slow.bfmi_min == pytest.approx(0.1, abs=0.06) and "E-BFMI" in slow.reasons[0]
    split = good._replace(diverging=np.arange(2000).reshape(4, 500) < 3)
    assert judge({"a": fine}, split).divergences == 3 and not judge({"a": fine}, split).ok
    stuck = judge({"a": np.where(fine > 9, fine, np.nan)}, good)
    assert not stuck.ok, "what cannot be judged is not ok"
