"""Women in closed form: normal latents, each read once with normal error, so that posteriors and the population's
likelihood are known without any fit."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cohorts.calibrate.hierarchy import What, Women, locations

NOISE = (0.5, 0.8, 1.3)  # of one reading of each latent: posterior variance 0.2, 0.39, 0.63 of N(0, 1)


class Cohort(NamedTuple):
    """readings : (woman, latent)."""

    readings: np.ndarray
    covariates: np.ndarray
    group: np.ndarray


def draw_truth(key: jax.Array, what: What) -> dict[str, np.ndarray]:
    """Hyperparameters from the hyperprior."""
    priors = what.priors()
    keys = jax.random.split(key, len(priors))
    found = {name: np.asarray(prior.sample(k)) for k, (name, prior) in zip(keys, priors.items(), strict=True)}
    found["corr"] = found["factor"] @ found["factor"].T if "factor" in found else np.eye(1)
    if "group_z" in found:
        found["group"] = found["group_z"] * found["group_sd"]
    return found


def covariance(what: What, of: dict[str, np.ndarray]) -> np.ndarray:
    corr = np.eye(len(what.latents))
    c = what.correlated
    if "corr" in of:
        corr[:c, :c] = of["corr"][:c, :c]
    sd = np.exp(of["ln_sd"])
    return corr * np.outer(sd, sd)


def read(rng: np.random.Generator, what: What, truth: dict[str, np.ndarray], n: int) -> Cohort:
    x = rng.standard_normal((n, len(what.covariates)))
    group = rng.integers(what.groups, size=n)
    d = len(what.latents)
    center = np.asarray(locations(what, jax.tree.map(jnp.asarray, truth), jnp.asarray(x), jnp.asarray(group)))
    z = center + rng.multivariate_normal(np.zeros(d), covariance(what, truth), n)
    return Cohort(z + np.array(NOISE[:d]) * rng.standard_normal((n, d)), x, group)


def posteriors(
    rng: np.random.Generator,
    what: What,
    cohort: Cohort,
    draws: int,
    under: dict[str, np.ndarray] | None = None,
) -> Women:
    """Draws of each woman's posterior under N(0, 1), or under the population `under` without its groups."""
    n, d = cohort.readings.shape
    x, none = jnp.asarray(cohort.covariates), jnp.zeros(n, dtype=int)
    if under is None:
        prior, center = np.eye(d), np.zeros((n, d))
    else:
        bare = {k: jnp.asarray(v) for k, v in under.items() if k != "group_z"}
        prior, center = covariance(what, under), np.asarray(locations(what, bare, x, none))
    precision, noise = np.linalg.inv(prior), np.diag(1.0 / np.square(NOISE[:d]))
    posterior = np.linalg.inv(precision + noise)
    mean = (center @ precision + cohort.readings @ noise) @ posterior
    z = mean[:, None] + rng.standard_normal((n, draws, d)) @ np.linalg.cholesky(posterior).T
    apart = z - center[:, None]
    ln_prior = -0.5 * np.einsum("ndi,ij,ndj->nd", apart, precision, apart)
    ln_prior -= 0.5 * np.linalg.slogdet(2.0 * np.pi * prior)[1]
    even = jnp.full((n, draws), -np.log(draws))
    return Women(jnp.asarray(z), even, jnp.asarray(ln_prior), x, jnp.asarray(cohort.group))


def middle(draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: v.mean(axis=0) for k, v in draws.items()}
