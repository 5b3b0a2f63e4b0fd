"""One woman by NUTS: around her mode, on a cheap density (`nearby`), corrected to the model's by weights.

Gold for `laplace`: nothing is assumed of the posterior's form, and chains judge themselves (`sampler.judge`).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from twin.encode import WomanData
from twin.inference.laplace import K_LIMIT, find_modes, normalised
from twin.inference.linearise import stack_women, standard_mass, sweep_many
from twin.inference.model import Evaluation, evaluate
from twin.inference.nearby import Known, NearJoint, known_at
from twin.inference.priors import Prior, named_values, unpack_draws
from twin.inference.psis import effective_sample_size, pareto_smooth
from twin.inference.sampler import Chains, Place, Progress, Verdict, judge, place_at, run_chains


@dataclass(frozen=True)
class NutsDraws:
    """Draws (latent, chain * draw), chain by chain, their weights, and the verdict.

    pareto_k : of the weights that carry the draws from the density sampled to the model's. share : their effective
    share. evaluation : the model at the draws.
    """

    z: np.ndarray
    weights: np.ndarray
    chains: Chains
    pareto_k: float
    share: float
    verdict: Verdict
    evaluation: Evaluation

    @property
    def ok(self) -> bool:
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        if self.pareto_k <= K_LIMIT:
            return self.verdict.reasons
        return (*self.verdict.reasons, f"Pareto k {self.pareto_k:.2f} of the correction is above {K_LIMIT}")


def around_mode(prior: Prior, data: WomanData) -> tuple[Place, Known]:
    """Where to sample a woman with readings, and the mass that feeds back at her mode."""
    (mode,) = find_modes(prior, [data])
    women, z = stack_women([data]), mode.z[None]
    there = sweep_many(prior, women, z, standard_mass(data)[None])
    return place_at(mode.z, mode.factor), known_at(prior, data, jnp.asarray(mode.z), there.mass[0])


def reported(prior: Prior, data: WomanData, z: np.ndarray, model: Evaluation) -> dict[str, np.ndarray]:
    """What is told of a woman, or made of it, by name, (draw,): parameters in their units, glucose, fetal weight."""
    glucose = np.asarray(model.reference_days).mean(axis=1)  # (week, draw), mg/dL
    weight = np.log(model.fetal_weight_g)
    return named_values(unpack_draws(prior, data, jnp.asarray(z))) | {
        "mean_glucose": glucose.mean(axis=0),
        "mean_glucose_last_week": glucose[-1],
        "ln_fetal_weight_halfway": weight[len(weight) // 2],
        "ln_fetal_weight_last": weight[-1],
        "ln_joint": np.asarray(model.log_joint),
    }


def sample_nuts(
    prior: Prior,
    data: WomanData,
    key: jax.Array,
    *,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 500,
    progress: Progress | None = None,
) -> NutsDraws:
    """Posterior draws of a woman with readings (`laplace.has_readings`). draws, warmup : of each chain."""
    place, known = around_mode(prior, data)
    ran = run_chains(
        NearJoint(prior), known, place, key, chains=chains, warmup=warmup, draws=draws, progress=progress
    )
    z = ran.z.reshape(chains * draws, -1).T
    model = evaluate(prior, data, jnp.asarray(z, dtype=jnp.float32))
    smoothed, k = pareto_smooth(np.asarray(model.log_joint) - ran.ln_density.reshape(-1))
    weights = normalised(smoothed)
    share = effective_sample_size(weights) / len(weights)
    quantities = {n: v.reshape(chains, draws) for n, v in reported(prior, data, z, model).items()}
    return NutsDraws(z, weights, ran, k, share, judge(quantities, ran, share), model)
