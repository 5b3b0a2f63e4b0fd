"""The learnt population as a small JSON file: names, middles, spreads, correlations, residuals, their errors, draws."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from cohorts.individuals.data import COVARIATE_SCALE, COVARIATES, PeopleTests
from cohorts.individuals.latents import packaged_middles, pregnancy_ratios
from cohorts.individuals.population import DRIVEN, Learnt
from cohorts.individuals.residual import WITH_C_PEPTIDE
from twin import __version__
from twin.errors import UnusableInput
from twin.inference.priors import START_PRIOR, load_prior

SCHEMA = "gdm-twin/population-of-individuals/1"
KEPT_DRAWS = 100


def _told(mode: Any, draws: Any) -> dict[str, Any]:
    """Mean and SD of draws; the mode where there are none. Lists for arrays."""
    if draws is None:
        return {"mean": np.asarray(mode).tolist(), "se": None}
    x = np.asarray(draws)
    return {"mean": x.mean(axis=0).tolist(), "se": x.std(axis=0, ddof=1).tolist()}


def as_artefact(
    learnt: Learnt, tests: PeopleTests, seed: int, code_version: str = __version__
) -> dict[str, Any]:
    """Everything another program needs of a learnt population, as plain numbers.

    Middles and spreads are of ln values unless a latent says linear, of people who are not pregnant, with between-day
    differences of one test inside the spread. `to_28_weeks` is added to an ln middle to carry it to 28 weeks.
    """
    mode, draws = learnt.mode, learnt.hyper_draws
    names = [x.name for x in learnt.prior.latents]
    k = np.asarray(mode.corr).shape[-1]
    packaged = {x.name: x for x in load_prior(START_PRIOR).latents}
    before = packaged_middles(learnt.prior.latents)
    ratio = pregnancy_ratios()
    middle, sd = (_told(getattr(mode, f), draws and getattr(draws, f)) for f in ("middle", "sd"))

    def at(found: dict[str, Any], i: int) -> dict[str, Any]:
        return {key: None if value is None else value[i] for key, value in found.items()}

    correlations = None if draws is None else np.einsum("dij,dkj->dik", draws.corr, draws.corr)
    one = np.asarray(mode.corr) @ np.asarray(mode.corr).T
    measured = "c_peptide" in tests.analytes
    residual = {
        name: _told(getattr(mode.residual, name), None if draws is None else getattr(draws.residual, name))
        for name in mode.residual._fields
        if measured or name not in WITH_C_PEPTIDE
    }
    latents = []
    for i, x in enumerate(learnt.prior.latents):
        row = {
            "name": x.name,
            "scale": "linear" if x.linear else "ln",
            "middle": at(middle, i),
            "sd": at(sd, i),
            "informed": float(np.median(learnt.draws.reduction[:, i])),
            "to_28_weeks": -math.log(ratio.get(x.name, 1.0)),
            "prior_middle": float(before[i]),
            "packaged_sd": packaged[x.name].sd if x.name in packaged else None,
            "evidence": x.evidence,
        }
        latents.append(row)
    kept = None
    if draws is not None:
        pick = np.linspace(0, draws.middle.shape[0] - 1, KEPT_DRAWS).astype(int)
        kept = {
            f: np.round(np.asarray(getattr(draws, f))[pick], 6).tolist()
            for f in ("middle", "sd", "corr", "slope")
        }
    return {
        "schema": SCHEMA,
        "state": "not pregnant",
        "data": tests.name,
        "data_sha256": tests.sha256,
        "people": len(tests),
        "values": int(tests.mask.sum()),
        "code_version": code_version,
        "seed": seed,
        "prior_id": START_PRIOR,
        "latents": latents,
        "correlations": {"names": names[:k], "learnt": learnt.prior.corr is None, **_told(one, correlations)},
        "slopes": {
            "learnt": learnt.prior.slopes,
            "covariates": {c: list(COVARIATE_SCALE[c]) for c in COVARIATES},
            "latents": list(DRIVEN),
            **_told(mode.slope, draws and draws.slope),
        },
        "residual": residual,
        "log_marginal": learnt.log_marginal,
        "diagnostics": learnt.diagnostics,
        "draws": kept,
    }


def write_artefact(found: dict[str, Any], path: Path) -> None:
    """Write atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(found, indent=1) + "\n")
    part.replace(path)


def read_artefact(path: Path) -> dict[str, Any]:
    """Raises : UnusableInput "no-such-file" or "bad-population"."""
    if not path.is_file():
        raise UnusableInput("no-such-file", f"{path.name!r} is not a file. Nothing was read.")
    try:
        found = json.loads(path.read_text())
        schema = found["schema"]
    except (ValueError, KeyError, TypeError) as why:
        raise UnusableInput(
            "bad-population", f"{path.name} is not a population: {why}. Nothing was read."
        ) from why
    if schema != SCHEMA:
        raise UnusableInput("bad-population", f"{path.name} has schema {schema!r}; expected {SCHEMA!r}.")
    return dict(found)
