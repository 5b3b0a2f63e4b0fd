"""Calibrate the twin to one woman: record in, `Posterior` out."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from twin import __version__
from twin.encode import WomanData, encode
from twin.inference import laplace
from twin.inference.arviz_gate import write_posterior
from twin.inference.model import Evaluation, evaluate, readings, replicate
from twin.inference.nuts import sample_nuts
from twin.inference.priors import Latents, Prior, load_prior, unpack_draws
from twin.record import PatientRecord


@dataclass(frozen=True)
class Calibration:
    """Which road was taken and whether it can be trusted (goes into risk.json)."""

    method: str
    ok: bool
    reasons: tuple[str, ...] = ()
    pareto_k: float | None = None
    rhat_max: float | None = None
    ess_min: float | None = None
    fallback: str | None = None
    prior_only: bool = False


@dataclass(frozen=True)
class Posterior:
    """Weighted draws of one woman's latents, with the data they came from."""

    prior: Prior
    data: WomanData
    z: np.ndarray  # (latent, draw)
    weights: np.ndarray  # (draw,), sums to 1
    calibration: Calibration
    evaluation: Evaluation  # the model at the draws
    as_of_day: float
    standard: str
    patient: str
    id: str = field(default="")

    def pick(self, key: jax.Array, n: int) -> np.ndarray:
        """Indices of n draws, resampled by weight."""
        return laplace.resample(key, self.weights, n)

    @functools.cached_property
    def latents(self) -> Latents:
        """Parameters at every draw."""
        return unpack_draws(self.prior, self.data, jnp.asarray(self.z))


def calibrate(
    key: jax.Array,
    record: PatientRecord,
    *,
    as_of_day: float,
    standard: str,
    method: str = "laplace",
    prior: Prior | None = None,
    birth_day: float | None = None,
    draws: int = 1000,
    progress: bool = False,
) -> Posterior:
    """Posterior of one woman as known on `as_of_day`.

    method : "laplace" (adapts its proposal where needed, and says so) or "nuts". birth_day : see `encode`.
    """
    prior = prior or load_prior()
    data = encode(record, as_of_day, standard=standard, birth_day=birth_day)
    if method == "nuts":
        got = sample_nuts(prior, data, key, draws=max(draws // 4, 250), progress=progress)
        z = got.z
        everything = evaluate(prior, data, jnp.asarray(z))
        weights = np.full(z.shape[1], 1.0 / z.shape[1])
        calibration = Calibration(
            "nuts",
            got.ok,
            got.reasons,
            rhat_max=got.rhat_max,
            ess_min=min(got.ess_bulk_min, got.ess_tail_min),
            prior_only=not laplace.has_readings(data),
        )
    else:
        found, _ = laplace.sample(prior, data, key, draws)
        z, weights, everything = found.z, found.weights, found.evaluation
        reasons = [] if found.converged else ["the search for the mode did not finish"]
        if found.pareto_k > laplace.K_LIMIT:  # NaN for draws of the prior
            reasons.append(f"Pareto k {found.pareto_k:.2f} stays above {laplace.K_LIMIT}: use --method nuts")
        if found.ess < 50:
            reasons.append(f"only {found.ess:.0f} effective draws")
        calibration = Calibration(
            "laplace",
            not reasons,
            tuple(reasons),
            pareto_k=None if np.isnan(found.pareto_k) else found.pareto_k,
            ess_min=found.ess,
            fallback="adapted" if found.road == "adapted" else None,
            prior_only=found.road == "prior",
        )
    digest = hashlib.sha256(np.ascontiguousarray(z).tobytes()).hexdigest()[:16]
    return Posterior(
        prior, data, z, weights, calibration, everything, as_of_day, standard, record.pseudonym, digest
    )


def named_parameters(posterior: Posterior) -> dict[str, np.ndarray]:
    """Parameters in their own units, by name, (draw,)."""
    latents = posterior.latents
    m, g, f = latents.maternal, latents.pregnancy, latents.fetus
    values = {
        **{
            n: getattr(m, n)
            for n in ("S_I", "B", "R0", "E_G0", "K_d", "k_e", "k_a", "VG", "n", "p2", "G_s", "U_fp")
        },
        **{n: getattr(g, n) for n in ("d_SI", "w50", "kappa")},
        **{n: getattr(f, n) for n in ("theta", "s_L", "s_F", "fatness")},
        "sensor_gain": latents.sensor_gain,
        "sensor_offset": latents.sensor_offset,
        "cgm_cv": latents.cgm_cv,
        "dating_shift_weeks": latents.dating_shift_weeks,
    }
    return {name: np.asarray(v) for name, v in values.items()}


def save_posterior(posterior: Posterior, path: Path) -> None:
    """posterior.nc: groups posterior, sample_stats, observed_data, posterior_predictive (mg/dL, mm, g)."""
    n = posterior.z.shape[1]
    coords = {"chain": [0], "draw": np.arange(n), "latent": posterior.prior.names(posterior.data)}
    named = named_parameters(posterior)
    group = xr.Dataset(
        {"z": (("chain", "draw", "latent"), posterior.z.T[None])}
        | {k: (("chain", "draw"), v[None]) for k, v in named.items()},
        coords=coords,
        attrs={
            "posterior_id": posterior.id,
            "code_version": __version__,
            "prior_id": posterior.prior.id,
            "growth_standard": posterior.standard,
            "as_of_day": float(posterior.as_of_day),
            "inference": posterior.calibration.method,
        },
    )
    model = posterior.evaluation
    stats = xr.Dataset(
        {
            "lp": (("chain", "draw"), np.asarray(model.log_joint)[None]),
            "weight": (("chain", "draw"), posterior.weights[None]),
        },
        coords={"chain": [0], "draw": np.arange(n)},
    )
    observed: dict[str, tuple] = {}
    predicted: dict[str, tuple] = {}
    drawn = replicate(jax.random.key(int(posterior.id[:7], 16)), model.loc, model.scale)
    for name, block in readings(posterior.data).items():
        keep = np.asarray(block.mask) > 0
        unit = np.exp if block.error.on_ln else np.asarray
        observed[name] = ((f"{name}_reading",), unit(np.asarray(block.value)[keep]))
        predicted[name] = (
            ("chain", "draw", f"{name}_reading"),
            unit(np.asarray(drawn[name])[keep].T[None]).astype(np.float32),
        )
    write_posterior(
        path,
        {
            "posterior": group,
            "sample_stats": stats,
            "observed_data": xr.Dataset(observed),
            "posterior_predictive": xr.Dataset(predicted, coords={"chain": [0], "draw": np.arange(n)}),
        },
    )
