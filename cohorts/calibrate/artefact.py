"""The learnt population on disk: PRIOR.toml for the twin, PRIOR.json with how it was learnt, PRIOR.html to look at."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cohorts.calibrate.cohort import CohortFit, Pivot
from cohorts.calibrate.read import HER_OWN, LeftOut, Source
from cohorts.ladder.artefact import to_toml
from twin import __version__
from twin.errors import UnusableInput
from twin.inference.priors import Prior
from twin.report.files import write_atomically

SCHEMA = "gdm-twin/cohort-calibrate/1"
DRAWS = 200  # of the hyperparameters, in the file


def stem_of(out: Path) -> Path:
    """OUT without .toml; its neighbours take other endings.

    Raises : UnusableInput "bad-out".
    """
    if out.suffix in (".json", ".html"):
        raise UnusableInput(
            "bad-out", f"--out is {out.name!r}; expected a file of the form PRIOR.toml. Nothing was learnt."
        )
    return out.with_suffix("") if out.suffix == ".toml" else out


def beside(out: Path, ending: str) -> Path:
    stem = stem_of(out)
    return stem.with_name(stem.name + ending)


def id_of(source_sha256: str, start: Prior, options: Sequence[object]) -> str:
    """The learnt prior's id: the same records, start, seed and options give the same."""
    text = repr((source_sha256, start.sha256, *options, __version__))
    return f"cohort-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def hyperparameters(fit: CohortFit) -> dict[str, np.ndarray]:
    """Draws by the names they are told under, in SDs of the start prior, (draw,)."""
    what, d = fit.what, fit.learnt.draws
    names = what.latents
    told = {f"mean.{n}": d["mean"][:, i] for i, n in enumerate(names)}
    told |= {f"sd.{n}": np.exp(d["ln_sd"][:, i]) for i, n in enumerate(names)}
    told |= {
        f"correlation.{names[i]}.{names[j]}": d["corr"][:, j, i]
        for j in range(what.correlated)
        for i in range(j)
    }
    if "effect" in d:
        told |= {
            f"effect.{n}.{c}": d["effect"][:, i, j]
            for i, n in enumerate(what.moved)
            for j, c in enumerate(what.covariates)
        }
    if "group" in d:
        told |= {f"group_sd.{n}": d["group_sd"][:, i] for i, n in enumerate(what.grouped)}
        told |= {
            f"group.{g}.{n}": d["group"][:, k, i]
            for i, n in enumerate(what.grouped)
            for k, g in enumerate(fit.groups)
        }
    return told


def in_part(left_out: Sequence[LeftOut]) -> bool:
    """Whether whole women or files were lost: exit code 3."""
    return any(x.code not in HER_OWN for x in left_out)


def as_told(
    fit: CohortFit, source: Source, left_out: Sequence[LeftOut], seed: int, standard: str
) -> dict[str, Any]:
    """PRIOR.json. left_out : before any fit; who dropped out of one is the fit's own."""
    every = [*left_out, *fit.left_out]
    learnt = fit.learnt
    return {
        "schema": SCHEMA,
        "id": fit.prior.id,
        "sha256": fit.prior.sha256,
        "start_id": fit.start.id,
        "start_sha256": fit.start.sha256,
        "source_sha256": source.sha256,
        "code_version": __version__,
        "seed": seed,
        "growth_standard": standard,
        "women": fit.women,
        "women_whose_fit_is_not_ok": fit.not_ok,
        "left_out": [asdict(x) for x in every],
        "left_out_by_reason": dict(sorted(Counter(x.code for x in every).items())),
        "issues": dict(sorted(Counter(i.code for i in _issues(source)).items())),
        "learnt": {
            "latents": list(fit.what.latents),
            "correlated": list(fit.what.latents[: fit.what.correlated]),
            "covariates": fit.known,
            "grouped": list(fit.what.grouped),
            "groups": list(fit.groups),
        },
        "ok": not fit.reasons,
        "reasons": list(fit.reasons),
        "sampler": {"road": learnt.road, **{k: _plain(v) for k, v in learnt.told.items()}},
        "rounds": [{"largest_mean": round(m, 4), "share": round(s, 4)} for m, s in fit.history],
        "unit": "SDs of the start prior from its centers; effects per SD of the covariate",
        "hyperparameters": {
            name: {
                "mean": _digits(x.mean()),
                "sd": _digits(x.std()),
                "q05": _digits(np.quantile(x, 0.05)),
                "q95": _digits(np.quantile(x, 0.95)),
                "draws": [_digits(v) for v in x[np.linspace(0, len(x) - 1, min(DRAWS, len(x))).astype(int)]],
            }
            for name, x in hyperparameters(fit).items()
        },
        "predictive_checks": {
            "meaning": "functions of a woman's readings and latents, standard normal where model and population hold",
            "before": {k: _pivot(p) for k, p in fit.before.items()},
            "after": {k: _pivot(p) for k, p in fit.after.items()},
        },
    }


def _issues(source: Source) -> list[Any]:
    return [*source.issues, *(i for record, _ in source.records for i in record.issues)]


def _digits(x: float) -> float:
    return float(f"{float(x):.5g}")


def _plain(x: float | int | None) -> float | int | None:
    return _digits(x) if isinstance(x, float) else x


def _pivot(p: Pivot) -> dict[str, float | int]:
    return {"mean": _digits(p.mean), "sd": _digits(p.sd), "women": p.women, "p": _digits(p.p)}


def write(fit: CohortFit, told: dict[str, Any], out: Path) -> list[Path]:
    """PRIOR.toml, PRIOR.json, PRIOR.html, and PRIOR.GROUP.toml of each group; returns what was written."""
    from cohorts.calibrate.page import page

    out.parent.mkdir(parents=True, exist_ok=True)
    trusted = "" if told["ok"] else f"NOT TO BE TRUSTED: {'; '.join(told['reasons'])}\n"
    says = (
        f"Population prior {fit.prior.id!r}, learnt by `gdm-twin cohort calibrate` from {fit.women} women, starting at "
        f"{fit.start.id!r}; not edited by hand.\n{trusted}"
        'transform "ln": value = center * exp(sd * u); "linear": value = center + sd * u; u standard normal, with the\n'
        "correlations at the end. How it was learnt: the JSON file beside this one."
    )
    written = {out: to_toml(fit.prior, says)}
    written |= {
        beside(out, f".{_file_name(name)}.toml"): to_toml(prior, f"Of {name} alone.\n{says}")
        for name, prior in fit.of_group.items()
    }
    written |= {
        beside(out, ".json"): json.dumps(told, indent=1) + "\n",
        beside(out, ".html"): page(fit, told),
    }
    for path, text in written.items():
        write_atomically(path, text)
    return list(written)


def _file_name(group: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in group)
