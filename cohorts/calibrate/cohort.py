"""From records to a population: every woman's posterior, the hierarchy over them, checks, and the new prior."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cohorts.calibrate.hierarchy import Learnt, What, Women, learn
from twin.encode import COVARIATES, encode
from twin.errors import UnusableInput
from twin.fhir import read_source
from twin.inference.diagnostics import Conflict, conflicts
from twin.inference.priors import Effect, Prior
from twin.inference.stream import Entry, calibrate_stream
from twin.record import PatientRecord, RecordIssue

#: learnt where nothing else is said: what glucose records and scans tell of the population
LATENTS = ("S_I", "B", "R0", "k_e", "theta", "fatness")
KEPT_DRAWS = 200
CHECKED = 48  # women refitted under the learnt prior
GROUPS = ("none", "device")
NO_DEVICE = "unknown"


@dataclass
class Read:
    """Records that can be used, and what was left out with its reason."""

    records: list[PatientRecord] = field(default_factory=list)
    issues: list[RecordIssue] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class CohortFit:
    """prior : with the learnt population in place. what : of whom. before, after : pivots of the checked women by kind
    under the prior before and the learnt one: (mean, SD, women); 0 and 1 where the population fits."""

    prior: Prior
    what: What
    groups: tuple[str, ...]
    learnt: Learnt
    women: int
    not_ok: int
    rounds: int
    before: dict[str, tuple[float, float, int]]
    after: dict[str, tuple[float, float, int]]


def read_cohort(source: Path) -> Read:
    """Every woman of a file or folder of FHIR; files of a folder are read one by one."""
    files = sorted(f for f in source.rglob("*") if f.is_file()) if source.is_dir() else [source]
    found = Read()
    for file in files:
        try:
            result = read_source(file)
        except UnusableInput as why:
            found.left_out.append((file.name, str(why)))
            continue
        found.issues += result.issues
        found.left_out += [
            (name, some[0].message if some else "nothing usable") for name, some in result.quarantined.items()
        ]
        found.records += result.records
    if not found.records:
        reason = found.left_out[0][1] if found.left_out else "there was no file"
        raise UnusableInput(
            "nothing-usable", f"no usable record was found in {source.name}: {reason}. Nothing was learnt."
        )
    return found


def last_day(record: PatientRecord) -> float | None:
    """The gestational day after which nothing more is recorded; None where nothing is dated."""
    days = [
        float(t["gestational_day"].max())
        for t in (record.glucose, record.biometry)
        if len(t) and t["gestational_day"].notna().any()
    ]
    return max(days) if days else None


def _group(record: PatientRecord, by: str) -> str:
    if by == "none":
        return ""
    table = record.glucose
    names = table["device"][table["device"].astype(str) != ""] if len(table) else table["device"]
    return str(names.mode().iloc[0]) if len(names) else NO_DEVICE


def calibrate_cohort(
    key: jax.Array,
    records: Sequence[PatientRecord],
    prior: Prior,
    *,
    standard: str = "hadlock1991",
    latents: Sequence[str] = LATENTS,
    covariates: Sequence[str] = (),
    group: str = "none",
    grouped: Sequence[str] = ("sensor_offset",),
    rounds: int = 3,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> CohortFit:
    """Learn the population of these women.

    latents : whose means, SDs and correlations are learnt. covariates : that move S_I and theta, beyond what the prior
    has. group : "device" learns how `grouped` latents differ between devices. rounds : of posteriors made anew under
    the population found.
    Raises : UnusableInput "unknown-latent", "too-few-women".
    """
    unknown = [n for n in (*latents, *grouped) if n not in prior.index] + [
        c for c in covariates if c not in COVARIATES
    ]
    if unknown or group not in GROUPS:
        raise UnusableInput(
            "unknown-latent",
            f"{', '.join(unknown) or group} is not known; expected latents of {prior.id}, covariates of "
            f"{', '.join(COVARIATES)}, group {' or '.join(GROUPS)}. Nothing was learnt.",
        )
    some = [(r, day) for r in sorted(records, key=lambda r: r.pseudonym) if (day := last_day(r)) is not None]
    if len(some) < 2 * len(latents):
        raise UnusableInput(
            "too-few-women",
            f"{len(some)} women with dated readings were found; learning {len(latents)} latents needs at least "
            f"{2 * len(latents)}. Nothing was learnt. Give more women, or fewer latents.",
        )
    names = tuple(dict.fromkeys((*latents, *(grouped if group != "none" else ()))))
    groups = tuple(sorted({_group(r, group) for r, _ in some}))
    what = What(
        names,
        moved=tuple(n for n in ("S_I", "theta") if n in names and covariates),
        covariates=tuple(covariates),
        grouped=tuple(grouped) if group != "none" else (),
        groups=len(groups),
    )
    columns, _ = _standardised(some, covariates, prior, standard)
    index = jnp.asarray([groups.index(_group(r, group)) for r, _ in some])
    current, done = prior, 0
    before: dict[str, tuple[float, float, int]] = {}
    for turn in range(rounds):
        k_fit, k_learn, key = jax.random.split(key, 3)
        draws, ln_w, not_ok = [], [], 0
        pivots: list[Sequence[Conflict]] = []
        at = np.array([current.index[n] for n in names])
        rng = np.random.default_rng(turn)
        for posterior in calibrate_stream(_entries(k_fit, some, standard), current, standard):
            rows = rng.choice(posterior.weights.size, KEPT_DRAWS, p=posterior.weights)
            draws.append(posterior.z[at][:, rows].T)
            ln_w.append(np.full(KEPT_DRAWS, -np.log(KEPT_DRAWS)))
            not_ok += not posterior.calibration.ok
            if len(pivots) < CHECKED:
                pivots.append(conflicts(posterior))
            done += 1
            progress(done, rounds * len(some))
        before = before or _pivots(pivots)
        women = Women(jnp.asarray(np.stack(draws)), jnp.asarray(np.stack(ln_w)), columns, index)
        found = learn(k_learn, what, women)
        moved = float(np.abs(found.draws["mean"].mean(axis=0)).max())
        current = moved_prior(current, what, found)
        if moved < 0.1 and turn:
            break
    k_check, _ = jax.random.split(key)
    again = [
        conflicts(p) for p in calibrate_stream(_entries(k_check, some[:CHECKED], standard), current, standard)
    ]
    return CohortFit(current, what, groups, found, len(some), not_ok, turn + 1, before, _pivots(again))


def _entries(key: jax.Array, some: Sequence[tuple[PatientRecord, float]], standard: str) -> Iterator[Entry]:
    for i, (record, day) in enumerate(some):
        as_of = float(np.floor(day)) + 1.0
        yield Entry(
            record.pseudonym, jax.random.fold_in(key, i), encode(record, as_of, standard=standard), as_of
        )


def _standardised(
    some: Sequence[tuple[PatientRecord, float]], covariates: Sequence[str], prior: Prior, standard: str
) -> tuple[jax.Array, list[str]]:
    """(woman, covariate), in population SDs from the population's mean; 0 where not known."""
    from twin.encode import covariates as of_record

    about = {c.name: (c.mean, c.sd) for c in prior.covariates}
    rows = []
    for record, _ in some:
        her = dict(zip(COVARIATES, of_record(record), strict=True))
        rows.append([np.nan_to_num((her[c] - about[c][0]) / about[c][1]) for c in covariates])
    return jnp.asarray(np.array(rows, dtype=float).reshape(len(some), len(covariates))), list(covariates)


def moved_prior(prior: Prior, what: What, found: Learnt) -> Prior:
    """The prior with the learnt means and SDs in place of its own; `center_sd` is what the cohort leaves open."""
    mean, spread = found.draws["mean"], np.exp(found.draws["ln_sd"])
    change = {}
    for i, name in enumerate(what.latents):
        x = prior.latents[prior.index[name]]
        m, s = float(mean[:, i].mean()), float(spread[:, i].mean())
        center = x.center * np.exp(x.sd * m) if x.transform == "ln" else x.center + x.sd * m
        left = float(mean[:, i].std()) / s
        change[name] = dataclasses.replace(x, center=float(center), sd=float(x.sd * s), center_sd=left)
    effects = tuple(_moved_effect(prior, e, what, found) for e in prior.effects)
    known = {(e.target, e.covariate) for e in effects}
    fresh = tuple(
        _moved_effect(prior, Effect(target, c, 0.0, 0.0, "learnt from a cohort"), what, found)
        for target in what.moved
        for c in what.covariates
        if (target, c) not in known
    )
    latents = tuple(change.get(x.name, x) for x in prior.latents)
    return dataclasses.replace(prior, latents=latents, effects=effects + fresh)


def _moved_effect(prior: Prior, e: Effect, what: What, found: Learnt) -> Effect:
    """An effect with what was learnt added: per unit of the covariate, on the ln scale of its latent."""
    if e.target not in what.moved or e.covariate not in what.covariates:
        return e
    drawn = found.draws["effect"][:, what.moved.index(e.target), what.covariates.index(e.covariate)]
    unit = {c.name: c.sd for c in prior.covariates}[e.covariate]
    scale = prior.latents[prior.index[e.target]].sd / unit
    return dataclasses.replace(e, value=e.value + scale * float(drawn.mean()), sd=scale * float(drawn.std()))


def _pivots(found: Sequence[Sequence[Conflict]]) -> dict[str, tuple[float, float, int]]:
    by_kind: dict[str, list[float]] = {}
    for flags in found:
        for f in flags:
            by_kind.setdefault(f"{f.of}, {f.kind}", []).append(f.z)
    return {k: (float(np.mean(v)), float(np.std(v)), len(v)) for k, v in by_kind.items()}
