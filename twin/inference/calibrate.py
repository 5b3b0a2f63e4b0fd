"""Calibrate the twin to one woman: record in, `Posterior` out."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Hashable, Sequence
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
    as_of_day: float
    standard: str
    patient: str
    id: str = field(default="")

    def pick(self, key: jax.Array, n: int) -> np.ndarray:
        """Indices of n draws, resampled by weight."""
        return laplace.resample(key, self.weights, n)

    def pick_evenly(self, n: int) -> np.ndarray:
        """The same without chance: for summaries that must not depend on a key."""
        at = (np.arange(n) + 0.5) / n
        return np.minimum(np.searchsorted(np.cumsum(self.weights), at), len(self.weights) - 1)

    @functools.cached_property
    def evaluation(self) -> Evaluation:
        """The model at every draw."""
        return evaluate(self.prior, self.data, jnp.asarray(self.z, dtype=jnp.float32))

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
    if method != "nuts":
        return calibrate_many([key], [data], prior, [as_of_day], standard, [record.pseudonym], draws=draws)[0]
    got = sample_nuts(prior, data, key, draws=max(draws // 4, 250), progress=progress)
    calibration = Calibration(
        "nuts",
        got.ok,
        got.reasons,
        rhat_max=got.rhat_max,
        ess_min=min(got.ess_bulk_min, got.ess_tail_min),
        prior_only=not laplace.has_readings(data),
    )
    weights = np.full(got.z.shape[1], 1.0 / got.z.shape[1])
    return _posterior(prior, data, got.z, weights, calibration, as_of_day, standard, record.pseudonym)


def calibrate_many(
    keys: Sequence[jax.Array],
    women: Sequence[WomanData],
    prior: Prior,
    as_of_days: Sequence[float],
    standard: str,
    patients: Sequence[str],
    *,
    draws: int = 1000,
) -> list[Posterior]:
    """Posteriors of many women by `laplace`, those whose arrays have equal shapes together; each has her own key."""
    alike: dict[Hashable, list[int]] = {}
    for i, data in enumerate(women):
        alike.setdefault(shape_of(data), []).append(i)
    found: dict[int, Posterior] = {}
    for group in alike.values():
        drawn = laplace.sample_many(prior, [women[i] for i in group], [keys[i] for i in group], draws)
        for i, (one, _) in zip(group, drawn, strict=True):
            verdict = _verdict(one)
            found[i] = _posterior(
                prior, women[i], one.z, one.weights, verdict, as_of_days[i], standard, patients[i]
            )
    return [found[i] for i in range(len(women))]


def shape_of(data: WomanData) -> Hashable:
    """What women must share to be calibrated in one program."""
    leaves, tree = jax.tree.flatten(data)
    return tree, tuple(np.shape(x) for x in leaves)


def _verdict(drawn: laplace.Draws) -> Calibration:
    reasons = [] if drawn.converged else ["the search for the mode did not finish"]
    if drawn.pareto_k > laplace.K_LIMIT:  # NaN for draws of the prior
        reasons.append(f"Pareto k {drawn.pareto_k:.2f} stays above {laplace.K_LIMIT}: use --method nuts")
    if drawn.ess < 50:
        reasons.append(f"only {drawn.ess:.0f} effective draws")
    return Calibration(
        "laplace",
        not reasons,
        tuple(reasons),
        pareto_k=None if np.isnan(drawn.pareto_k) else drawn.pareto_k,
        ess_min=drawn.ess,
        fallback="adapted" if drawn.road == "adapted" else None,
        prior_only=drawn.road == "prior",
    )


def _posterior(
    prior: Prior,
    data: WomanData,
    z: np.ndarray,
    weights: np.ndarray,
    calibration: Calibration,
    as_of_day: float,
    standard: str,
    patient: str,
) -> Posterior:
    digest = hashlib.sha256(np.ascontiguousarray(z).tobytes()).hexdigest()[:16]
    return Posterior(prior, data, z, weights, calibration, as_of_day, standard, patient, digest)


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
