"""The learnt prior on disk: PRIOR.toml for the twin, PRIOR.json with how it was learnt and its own draws."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from cohorts.evidence.rules import Rule
from cohorts.ladder.fit import Fitted
from cohorts.population.population import Population
from twin.errors import UnusableInput
from twin.inference.priors import DEFAULT_PRIOR, Prior, load_prior

DRAWS = 100
SCHEMA = "gdm-twin/population-prior/1"


def learnt_population(name_or_path: str = DEFAULT_PRIOR, standard: str = "hadlock1991") -> Population:
    """A prior with what was learnt beside it, where it was learnt: how clinics treat, how studies measure.

    Raises : UnusableInput for a prior that is neither packaged nor a file, and where the log beside it is of another.
    """
    told = _log_of(name_or_path)
    return Population(load_prior(name_or_path), told["beside"] if told else {}, standard)


def observed_rules(name_or_path: str = DEFAULT_PRIOR) -> list[Rule]:
    """What real births and scans showed when this prior was learnt; none for a prior that was not.

    Raises : as `learnt_population`.
    """
    told = _log_of(name_or_path)
    if told is None:
        return []
    bands = ("published", "low", "high")
    found: list[dict[str, Any]] = told.get("observed", [])
    return [Rule(**{**r, **{k: tuple(r[k]) for k in bands}}) for r in found]


def _log_of(name_or_path: str) -> dict[str, Any] | None:
    """How the prior was learnt on the ladder; None where no such log is beside it."""
    packaged = Path(str(resources.files("twin.inference"))) / "data" / f"{name_or_path}.json"
    path = packaged if packaged.is_file() else Path(name_or_path).with_suffix(".json")
    if not path.is_file():
        return None
    found = dict(json.loads(path.read_text(encoding="utf-8")))
    if found.get("schema") != SCHEMA:
        return None
    prior = load_prior(name_or_path)
    if found["sha256"] != prior.sha256:
        raise UnusableInput(
            "other-log",
            f"{path.name} says how prior {found['id']!r} ({found['sha256']}) was learnt; expected {prior.id!r} "
            f"({prior.sha256}), which is beside it. Nothing was run. Put the log there that was written with this "
            "prior, or take the log away to do without what was learnt beside the prior.",
        )
    return found


def to_toml(prior: Prior, says: str) -> str:
    """The prior as text that `load_prior` reads. says : comment lines at the top."""
    lines = [f"# {line}" for line in says.splitlines()]
    lines += [f"id = {json.dumps(prior.id)}", ""]
    for x in prior.latents:
        lines += _table(f"latent.{x.name}", x, "transform", "center", "sd", "center_sd")
    for c in prior.constants:
        lines += _table(f"constant.{c.name}", c, "value", "sd")
    for e in prior.effects:
        lines += _table(f"effect.{e.target}.{e.covariate}", e, "value", "sd")
    for v in prior.covariates:
        lines += _table(f"covariate.{v.name}", v, "mean", "sd")
    for r in prior.correlations:
        lines += _table(f"correlation.{r.first}.{r.second}", r, "value", "sd")
    return "\n".join(lines) + "\n"


def _table(name: str, row: object, *fields: str) -> list[str]:
    values = {field: getattr(row, field) for field in (*fields, "evidence")}
    return [f"[{name}]", *(f"{k} = {_text(v)}" for k, v in values.items())]


def _text(x: str | float) -> str:
    return json.dumps(x, ensure_ascii=False) if isinstance(x, str) else _number(x)


def _number(x: float) -> str:
    text = f"{float(x):.6g}"
    return text if any(c in text for c in ".en") else f"{text}.0"


def write(
    prior: Prior,
    fits: Mapping[str, Fitted],
    numbers: Mapping[str, float],
    out: Path,
    *,
    seed: int,
    made_of: Mapping[str, str],
    also: Mapping[str, Any] | None = None,
) -> None:
    """Write OUT.toml and OUT.json. made_of : hash of every file the prior was learnt from, by name. also : further
    entries of OUT.json."""
    says = (
        f"Population prior {json.dumps(prior.id)}, learnt by `make prior` (docs/model/ladder.md); not edited by hand.\n"
        'transform "ln": value = center * exp(sd * z); "linear": value = center + sd * z; z standard normal.\n'
        "center_sd: what the evidence leaves open of the center, in units of sd; sd of a constant or effect likewise."
    )
    out.with_suffix(".toml").write_text(to_toml(prior, says), encoding="utf-8")
    load_prior.cache_clear()
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "id": prior.id,
        "sha256": load_prior(str(out.with_suffix(".toml"))).sha256,  # of the numbers as they are written
        "seed": seed,
        "made_of": dict(made_of),
        **(also or {}),
        "beside": {k: v for k, v in numbers.items() if k.startswith(("care.", "measure.", "site."))},
        "rungs": {
            name: {
                "numbers": fit.numbers,
                "steps": dict(zip(fit.numbers, np.round(fit.steps, 4).tolist(), strict=True)),
                "left_open": dict(
                    zip(fit.numbers, np.round(np.sqrt(np.diag(fit.covariance)), 4).tolist(), strict=True)
                ),
                "residual": fit.residual,
                "history": fit.history,
            }
            for name, fit in fits.items()
        },
    }
    last = list(fits)[-1]  # learns every number again
    told["rungs"][last]["draws"] = _draws(fits[last], seed)
    out.with_suffix(".json").write_text(to_json(told), encoding="utf-8")


def to_json(told: Mapping[str, Any]) -> str:
    """Indented, each list of numbers on one line."""
    text = json.dumps(told, indent=1)
    return re.sub(r"\[\n[^][{}\"]*\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", text) + "\n"


def _draws(fit: Fitted, seed: int) -> list[list[float]]:
    """Steps of the rung's numbers that the evidence does not tell apart, (draw, number)."""
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_normal(fit.steps, fit.covariance, DRAWS)
    return [[float(x) for x in row] for row in np.round(drawn, 4)]
