"""evidence.csv and evidence.html: one line per published row, scores, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from cohorts.evidence.plots import SECTIONS, write_plots
from cohorts.evidence.rules import Rule
from cohorts.evidence.run import Found, score, source_hash, table
from cohorts.population.population import Population
from twin import __version__


def write(
    found: Mapping[str, Found],
    population: Population,
    out: Path,
    *,
    women: int,
    people: Sequence[Rule] = (),
) -> dict[str, Any]:
    """Write OUT/evidence.csv, .json, .html and OUT/plots; returns what is told of it.

    women : that were simulated. people : rows of real births and scans, which do not count.
    """
    lines = table(found)
    real = table(found, people)
    flat = pd.concat([lines, real.assign(counted=False)]) if len(real) else lines.copy()
    for name in ("published", "low", "high", "model", "error"):
        flat[name] = [" / ".join(_short(x) for x in values) for values in flat[name]]
    flat.to_csv(out / "evidence.csv", index=False)
    titles = write_plots(lines, found, out / "plots")
    scores = {role: score(lines, role) for role in ("calibrate", "validate")}
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        (resources.files("cohorts.evidence") / "evidence.html").read_text(encoding="utf-8")
    )
    page = template.render(
        prior=population.prior.id,
        sha=population.prior.sha256,
        standard=population.standard,
        version=f"{__version__} ({source_hash()})",
        scores={"calibrated": scores["calibrate"], "held out": scores["validate"]},
        figures=[(title, _inline(out / "plots" / name)) for name, title in titles.items()],
        tables=[
            (title.capitalize(), _rows(lines[lines["row"].str.startswith(s)]))
            for s, title in SECTIONS.items()
        ]
        + ([("Real births and scans", _rows(real.assign(counted=False)))] if len(real) else []),
    )
    (out / "evidence.html").write_text(page, encoding="utf-8")
    counted = lines[lines["counted"]]
    told = {
        "schema": "gdm-twin/cohort-evidence/1",
        "prior": population.prior.id,
        "prior_sha256": population.prior.sha256,
        "code": source_hash(),
        "women": women,
        "scores": {role: s._asdict() for role, s in scores.items()},
        "missed": counted[~counted["met"].eq(True)]["row"].tolist(),
        "figures": titles,
        "us_gdm_on_insulin_percent": mix[0] if (mix := _values(found, "_us_gdm_on_insulin")) else None,
        "files": ["evidence.csv", "evidence.json", "evidence.html", *(f"plots/{name}" for name in titles)],
    }
    (out / "evidence.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def _values(found: Mapping[str, Found], row: str) -> tuple[float, ...]:
    return found[row].values if row in found else ()


def _short(x: float) -> str:
    return f"{x:.4g}"


def _inline(path: Path) -> Markup:
    """The picture of a file we have written ourselves."""
    text = path.read_text(encoding="utf-8")
    return Markup(text[text.index("<svg") :])


def _rows(lines: pd.DataFrame) -> list[dict[str, str]]:
    found = []
    for r in lines.itertuples():
        model = " / ".join(f"{_short(v)} ± {2.0 * e:.2g}" for v, e in zip(r.model, r.error, strict=True))
        known = r.met is True or r.met is False
        found.append(
            {
                "row": str(r.row),
                "statistic": str(r.statistic) or "not expressible",
                "design": str(r.design),
                "unit": str(r.unit),
                "published": " / ".join(_short(v) for v in r.published),
                "band": " / ".join(f"{_short(a)} to {_short(b)}" for a, b in zip(r.low, r.high, strict=True)),
                "model": model,
                "verdict": ("inside" if r.met else "outside") if known else "",
                "state": ("met" if r.met else "miss") if known else "",
                "role": str(r.role) + ("" if r.counted or r.role == "inexpressible" else ", not counted"),
                "reason": str(r.reason),
            }
        )
    return found
