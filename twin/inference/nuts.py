"""NUTS on the same model: started at the mode, preconditioned by the Laplace covariance, with diagnostics."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

from twin.encode import WomanData
from twin.inference.arviz_gate import rhat_and_ess
from twin.inference.laplace import find_modes, has_readings
from twin.inference.model import observe, predict
from twin.inference.priors import Prior

RHAT_LIMIT = 1.01
ESS_LIMIT = 400.0


@dataclass(frozen=True)
class NutsDraws:
    """Draws (latent, chain * draw) and the verdict."""

    z: np.ndarray
    chains: int
    rhat_max: float
    ess_bulk_min: float
    ess_tail_min: float
    divergences: int
    ok: bool
    reasons: tuple[str, ...]


def sample_nuts(
    prior: Prior,
    data: WomanData,
    key: jax.Array,
    *,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 500,
    progress: bool = False,
) -> NutsDraws:
    """Sample in the coordinates in which the Laplace approximation is standard normal.

    There z = mode + U'^-1 u: an affine change of `pregnancy_model`, whose Jacobian is constant.
    """
    size = prior.size(data)
    if has_readings(data):
        (mode,) = find_modes(prior, [data])
        center, factor = jnp.asarray(mode.z), jnp.asarray(mode.factor)
    else:
        center, factor = jnp.zeros(size), jnp.eye(size)

    def model() -> None:
        u = numpyro.sample("u", dist.ImproperUniform(dist.constraints.real_vector, (), (size,)))
        z = center + jax.scipy.linalg.solve_triangular(factor, u, trans=1, lower=False)
        numpyro.factor("prior", jnp.sum(dist.Normal(0.0, 1.0).log_prob(z)))
        observe(predict(prior, data, z))

    k_start, k_run = jax.random.split(key)
    start = 0.3 * jax.random.normal(k_start, (chains, size))
    kernel = NUTS(model, target_accept_prob=0.85, max_tree_depth=8, init_strategy=numpyro.infer.init_to_value)
    mcmc = MCMC(
        kernel,
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method="sequential",
        progress_bar=progress,
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # numpyro hints at parallel devices; chains run in sequence on purpose
        mcmc.run(
            k_run, init_params={"u": start} if chains > 1 else {"u": start[0]}, extra_fields=("diverging",)
        )
    u = np.asarray(mcmc.get_samples(group_by_chain=True)["u"])
    flat = u.reshape(-1, size).T
    z = np.asarray(
        center[:, None] + jax.scipy.linalg.solve_triangular(factor, jnp.asarray(flat), trans=1, lower=False)
    )
    by_chain = z.reshape(size, chains, draws)
    rhat, bulk, tail = rhat_and_ess({f"z{i}": by_chain[i] for i in range(size)})
    divergences = int(np.sum(np.asarray(mcmc.get_extra_fields()["diverging"])))
    worst, least, least_tail = max(rhat.values()), min(bulk.values()), min(tail.values())
    reasons = []
    if worst > RHAT_LIMIT:
        reasons.append(f"R-hat {worst:.3f} is above {RHAT_LIMIT}")
    if least < ESS_LIMIT:
        reasons.append(f"effective sample size {least:.0f} is below {ESS_LIMIT:.0f}")
    if divergences:
        reasons.append(f"{divergences} divergent transitions")
    return NutsDraws(z, chains, worst, least, least_tail, divergences, not reasons, tuple(reasons))
