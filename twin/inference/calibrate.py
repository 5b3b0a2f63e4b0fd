"""Calibrate the twin to one woman: record in, `Posterior` out."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from twin import __version__
from twin.encode import WomanData, encode
from twin.errors import UnusableInput
from twin.inference import laplace
from twin.inference.arviz_gate import read_posterior, write_posterior
from twin.inference.encoded import from_arrays, to_arrays
from twin.inference.model import Evaluation, Past, evaluate, readings, replicate
from twin.inference.nuts import sample_nuts
from twin.inference.priors import Latents, Prior, load_prior, named_values, unpack_draws
from twin.inference.sampler import Progress
from twin.programs import placed
from twin.record import PatientRecord
from twin.schema import POSTERIOR_SCHEMA


@dataclass(frozen=True)
class Calibration:
    """Which road was taken and whether it can be trusted (goes into risk.json).

    From rhat_max to divergences: of `nuts`, the worst over what is reported and over chains. ess_min : effective draws,
    of `nuts` the smaller of bulk and tail.
    """

    method: str
    ok: bool
    reasons: tuple[str, ...] = ()
    pareto_k: float | None = None
    rhat_max: float | None = None
    ess_min: float | None = None
    fallback: str | None = None
    prior_only: bool = False
    ess_bulk_min: float | None = None
    ess_tail_min: float | None = None
    bfmi_min: float | None = None
    divergences: int | None = None


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
    shape: laplace.Shape | None = (
        None  # what an update starts from; None for draws of the prior and of `nuts`
    )
    chains: int = 1  # draws are chain by chain

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
        return evaluate(self.prior, self.data, placed(self.z.astype(np.float32)))

    @functools.cached_property
    def past(self) -> Past:
        """The pregnancy up to now at every draw."""
        return self.evaluation.past

    @functools.cached_property
    def latents(self) -> Latents:
        """Parameters at every draw."""
        return unpack_draws(self.prior, self.data, placed(self.z))


METHODS = ("laplace", "nuts")


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
    progress: Progress | None = None,
) -> Posterior:
    """Posterior of one woman as known on `as_of_day`.

    method : "laplace" (adapts its proposal where needed, and says so) or "nuts". birth_day : see `encode`. draws : of
    `laplace`; `nuts` makes four chains of 500 after as much warm-up, and tells `progress` the transitions done.
    Raises : UnusableInput "unknown-method".
    """
    if method not in METHODS:
        raise UnusableInput(
            "unknown-method",
            f"method {method!r} is not known; expected {' or '.join(METHODS)}. Nothing was calibrated.",
        )
    prior = prior or load_prior()
    data = encode(record, as_of_day, standard=standard, birth_day=birth_day)
    if method != "nuts":
        return _laplace_alone(key, data, prior, as_of_day, standard, record.pseudonym, draws)
    return calibrate_nuts(key, data, prior, as_of_day, standard, record.pseudonym, progress=progress)


def calibrate_nuts(
    key: jax.Array,
    data: WomanData,
    prior: Prior,
    as_of_day: float,
    standard: str,
    patient: str,
    *,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 500,
    progress: Progress | None = None,
) -> Posterior:
    """Posterior of one encoded woman by NUTS; draws, warmup : of each chain. Without readings, draws of the prior."""
    if not laplace.has_readings(data):
        drawn, _ = laplace.sample(prior, data, key, chains * draws)
        told = Calibration("nuts", True, prior_only=True)
        return _posterior(prior, data, drawn.z, drawn.weights, told, as_of_day, standard, patient)
    got = sample_nuts(prior, data, key, chains=chains, warmup=warmup, draws=draws, progress=progress)
    verdict = got.verdict
    told = Calibration(
        "nuts",
        got.ok,
        got.reasons,
        pareto_k=got.pareto_k,
        rhat_max=verdict.rhat_max,
        ess_min=min(verdict.ess_bulk_min, verdict.ess_tail_min),
        ess_bulk_min=verdict.ess_bulk_min,
        ess_tail_min=verdict.ess_tail_min,
        bfmi_min=verdict.bfmi_min,
        divergences=verdict.divergences,
    )
    found = _posterior(prior, data, got.z, got.weights, told, as_of_day, standard, patient)
    return _kept(replace(found, chains=chains), got.evaluation)


def _laplace_alone(
    key: jax.Array,
    data: WomanData,
    prior: Prior,
    as_of_day: float,
    standard: str,
    patient: str,
    draws: int,
) -> Posterior:
    """`calibrate_many` of one woman; what weighs her draws is kept as their `evaluation`."""

    def look(_: Sequence[WomanData], z: np.ndarray) -> tuple[np.ndarray, Evaluation]:
        seen = jax.tree.map(lambda x: np.asarray(x)[None], evaluate(prior, data, placed(z[0])))
        return seen.log_joint, seen

    [(one, _)] = laplace.sample_many(prior, [data], [key], draws, look=look)
    return _of_draws(one, prior, data, as_of_day, standard, patient)


def calibrate_many(
    keys: Sequence[jax.Array],
    women: Sequence[WomanData],
    prior: Prior,
    as_of_days: Sequence[float],
    standard: str,
    patients: Sequence[str],
    *,
    draws: int = 1000,
    starts: Sequence[laplace.Shape | None] | None = None,
) -> list[Posterior]:
    """Posteriors of many women by `laplace`, those whose arrays have equal shapes together; each has her own key.

    starts : what was learnt of each with less data (`update`).
    """
    starts = [None] * len(women) if starts is None else starts
    alike: dict[Hashable, list[int]] = {}
    for i, data in enumerate(women):
        alike.setdefault(shape_of(data), []).append(i)
    found: dict[int, Posterior] = {}
    for group in alike.values():
        drawn = laplace.sample_many(
            prior, [women[i] for i in group], [keys[i] for i in group], draws, [starts[i] for i in group]
        )
        for i, (one, _) in zip(group, drawn, strict=True):
            found[i] = _of_draws(one, prior, women[i], as_of_days[i], standard, patients[i])
    return [found[i] for i in range(len(women))]


def shape_of(data: WomanData) -> Hashable:
    """What women must share to be calibrated in one program."""
    leaves, tree = jax.tree.flatten(data)
    return tree, tuple(np.shape(x) for x in leaves)


def _verdict(drawn: laplace.Draws) -> Calibration:
    reasons = [] if drawn.converged else ["the search for the mode did not finish"]
    if drawn.road != "prior" and not drawn.pareto_k <= laplace.K_LIMIT:  # NaN where no tail could be fitted
        reasons.append(f"Pareto k {drawn.pareto_k:.2f} stays above {laplace.K_LIMIT}: use --method nuts")
    if drawn.road != "prior" and drawn.ess < laplace.LEAST_ESS:
        reasons.append(f"only {drawn.ess:.0f} effective draws")
    return Calibration(
        "laplace",
        not reasons,
        tuple(reasons),
        pareto_k=drawn.pareto_k if np.isfinite(drawn.pareto_k) else None,
        ess_min=drawn.ess,
        fallback="adapted" if drawn.road == "adapted" else None,
        prior_only=drawn.road == "prior",
    )


def _of_draws(
    one: laplace.Draws, prior: Prior, data: WomanData, as_of_day: float, standard: str, patient: str
) -> Posterior:
    verdict = _verdict(one)
    found = _posterior(prior, data, one.z, one.weights, verdict, as_of_day, standard, patient, one.shape)
    return _kept(found, one.seen)


def with_draws_of(posterior: Posterior, **changes: Any) -> Posterior:
    """`dataclasses.replace` that keeps what was computed of the draws."""
    found = replace(posterior, **changes)
    known = ("past", "evaluation", "latents")
    found.__dict__.update({name: posterior.__dict__[name] for name in known if name in posterior.__dict__})
    return found


def _kept(posterior: Posterior, seen: Past | Evaluation | None) -> Posterior:
    """The posterior with what was computed of its draws, where `functools.cached_property` looks for it."""
    if seen is not None:
        posterior.__dict__["past" if isinstance(seen, Past) else "evaluation"] = seen
    return posterior


def _posterior(
    prior: Prior,
    data: WomanData,
    z: np.ndarray,
    weights: np.ndarray,
    calibration: Calibration,
    as_of_day: float,
    standard: str,
    patient: str,
    shape: laplace.Shape | None = None,
) -> Posterior:
    found = hashlib.sha256(f"{patient} {as_of_day!r} {standard} {prior.sha256}".encode())
    for array in (z, weights):
        found.update(np.ascontiguousarray(array).tobytes())
    digest = found.hexdigest()[:16]
    return Posterior(prior, data, z, weights, calibration, as_of_day, standard, patient, digest, shape)


def named_parameters(posterior: Posterior) -> dict[str, np.ndarray]:
    """Parameters in their own units, by name, (draw,)."""
    return named_values(posterior.latents)


def save_posterior(posterior: Posterior, path: Path) -> None:
    """posterior.nc: groups posterior, sample_stats, observed_data, posterior_predictive (mg/dL, mm, g), and in
    constant_data the encoded data, so that `load_posterior` gives it back."""
    chains = posterior.chains
    draws = {"chain": np.arange(chains), "draw": np.arange(posterior.z.shape[1] // chains)}

    def by_chain(x: np.ndarray) -> np.ndarray:
        return x.reshape(chains, -1, *x.shape[1:])

    coords = draws | {"latent": posterior.prior.names(posterior.data)}
    named = named_parameters(posterior)
    group = xr.Dataset(
        {"z": (("chain", "draw", "latent"), by_chain(posterior.z.T))}
        | {k: (("chain", "draw"), by_chain(v)) for k, v in named.items()},
        coords=coords,
        attrs={
            "schema": POSTERIOR_SCHEMA,
            "posterior_id": posterior.id,
            "code_version": __version__,
            "prior_id": posterior.prior.id,
            "prior_sha256": posterior.prior.sha256,
            "growth_standard": posterior.standard,
            "as_of_day": float(posterior.as_of_day),
            "inference": posterior.calibration.method,
            "calibration": json.dumps(asdict(posterior.calibration)),
            "patient": posterior.patient,
        },
    )
    model = posterior.evaluation
    stats = xr.Dataset(
        {
            "lp": (("chain", "draw"), by_chain(np.asarray(model.log_joint))),
            "weight": (("chain", "draw"), by_chain(posterior.weights)),
        },
        coords=draws,
    )
    observed: dict[str, tuple] = {}
    predicted: dict[str, tuple] = {}
    key = jax.random.key_data(jax.random.key(int(posterior.id[:7], 16)))
    drawn = replicate(key, model.loc, model.scale)
    for name, block in readings(posterior.data).items():
        keep = np.asarray(block.mask) > 0
        unit = np.exp if block.error.on_ln else np.asarray
        observed[name] = ((f"{name}_reading",), unit(np.asarray(block.value)[keep]))
        predicted[name] = (
            ("chain", "draw", f"{name}_reading"),
            by_chain(unit(np.asarray(drawn[name])[keep].T)).astype(np.float32),
        )
    write_posterior(
        path,
        {
            "posterior": group,
            "sample_stats": stats,
            "observed_data": xr.Dataset(observed),
            "posterior_predictive": xr.Dataset(predicted, coords=draws),
            "constant_data": _constant_data(posterior),
        },
    )


_LEARNT = "learnt."  # before the names of `Posterior.shape`


def _constant_data(posterior: Posterior) -> xr.Dataset:
    """The encoded data and what sampling learnt, end to end in one variable with its layout: sixty variables would take
    longer to write than all else together. Integers and truth values are exact in double precision."""
    arrays = to_arrays(posterior.data)
    if posterior.shape is not None:
        arrays |= {_LEARNT + name: x for name, x in posterior.shape._asdict().items()}
    layout = [[name, str(x.dtype), list(x.shape)] for name, x in arrays.items()]
    values = np.concatenate([x.ravel().astype(float) for x in arrays.values()])
    return xr.Dataset({"encoded": ("value", values, {"layout": json.dumps(layout)})})


def _arrays(constant: xr.Dataset) -> dict[str, np.ndarray]:
    values, at, found = constant["encoded"].values, 0, {}
    for name, dtype, shape in json.loads(constant["encoded"].attrs["layout"]):
        size = math.prod(shape)
        found[name] = values[at : at + size].astype(dtype).reshape(shape)
        at += size
    return found


def load_posterior(path: Path, prior: Prior | None = None) -> Posterior:
    """The posterior of a posterior.nc, bit by bit: to be forecast, compared and updated.

    prior : the population prior it was made with, by default the packaged one.
    Raises : UnusableInput "not-a-posterior" for another file; "other-version" where another version of the software
        or of the format wrote it; "other-prior" where it was made with another prior.
    """
    prior = prior or load_prior()
    try:
        groups = read_posterior(path)
        drawn, stats, constant = (groups[n] for n in ("posterior", "sample_stats", "constant_data"))
        made = drawn.attrs
        wrote = (made["schema"], made["code_version"])
    except (OSError, KeyError, ValueError) as why:
        raise UnusableInput(
            "not-a-posterior",
            f"{path.name} is no posterior that can be read back ({why}); expected a posterior.nc of "
            f"{POSTERIOR_SCHEMA}. Nothing was forecast. Calibrate her again.",
        ) from why
    if wrote != (POSTERIOR_SCHEMA, __version__):
        raise _other_version(path, f"{wrote[0]} by version {wrote[1]}")
    if (made["prior_id"], made["prior_sha256"]) != (prior.id, prior.sha256):
        raise UnusableInput(
            "other-prior",
            f"{path.name} was made with prior {made['prior_id']!r} ({made['prior_sha256']}); expected {prior.id!r} "
            f"({prior.sha256}). Nothing was forecast. Give that prior, or calibrate her again.",
        )
    standard = str(made["growth_standard"])
    arrays = _arrays(constant)
    data = from_arrays(arrays, standard)
    if list(drawn["latent"].values) != prior.names(data):
        raise _other_version(path, "other latents")
    told = json.loads(made["calibration"])
    learnt = {n: arrays[_LEARNT + n] for n in laplace.Shape._fields if _LEARNT + n in arrays}
    return Posterior(
        prior,
        data,
        np.ascontiguousarray(drawn["z"].values.reshape(-1, drawn.sizes["latent"]).T),
        stats["weight"].values.reshape(-1),
        Calibration(**told | {"reasons": tuple(told["reasons"])}),
        float(made["as_of_day"]),
        standard,
        str(made["patient"]),
        str(made["posterior_id"]),
        laplace.Shape(**learnt) if learnt else None,
        drawn.sizes["chain"],
    )


def _other_version(path: Path, what: str) -> UnusableInput:
    return UnusableInput(
        "other-version",
        f"{path.name} was written as {what}; expected {POSTERIOR_SCHEMA} by version {__version__}: its draws may mean "
        "something else now. Nothing was forecast. Calibrate her again.",
    )
