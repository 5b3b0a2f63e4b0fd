"""How much the four packaged patients' risk moves with choices that could have been made otherwise.

    python -m tests.statistical.prior_sensitivity --out out/checks/sensitivity.jsonl [--docs]

Each choice is changed alone: the growth standard, the newborn reference, the exponent of glucose peaks, the gain from
glucose to growth, what devices read, the prior's own numbers; and her glucose, or all her data, are left out. Seed and
draws are the same. `--docs` writes the table of docs/model/prior_sensitivity.md. Patients are simulated.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from cohorts.docs_page import put
from tests.statistical.store import run_cases

PATIENTS = ("diet", "insulin", "large", "normal")
STANDARDS = ("intergrowth21_hadlock_efw", "who", "nichd", "fmf2018")
REFERENCES = ("hadlock1991", "who")
POWERS = (1, 6)  # of the exposure, beside the packaged 4 [MODEL 2.2: 4 to 6; 1 is the plain mean]
OFFSET_MG_DL = 5.0
DRAWS, SEED = 2000, 5
PAGE = Path(__file__).resolve().parents[2] / "docs" / "model" / "prior_sensitivity.md"
AS_PACKAGED = "as packaged"


def told(result: Any) -> dict[str, Any]:
    """What `as_now` says."""
    scenario = result.risk["scenarios"][0]
    p = {o["outcome"]: o for o in scenario["outcomes"]}
    weight = scenario["birth_weight_g"]
    return {
        "p4000": p["macrosomia_4000"]["probability"],
        "low": p["macrosomia_4000"]["low"],
        "high": p["macrosomia_4000"]["high"],
        "lga": p.get("lga_90", {}).get("probability"),
        "mean_g": weight["mean"],
    }


def patient(name: str) -> Any:
    from twin.fhir import read_source

    packaged = resources.files("scenarios") / "data" / f"demo_{name}.ndjson.gz"
    with resources.as_file(packaged) as path:
        return read_source(path).records[0]


def read_otherwise(record: Any, mg_dl: float) -> Any:
    """Her record had her devices shown so much more; laboratory values stay."""
    glucose = record.glucose.copy()
    home = glucose["kind"].isin(("smbg", "cgm"))
    glucose.loc[home, "value_mg_dl"] += mg_dl
    return dataclasses.replace(record, glucose=glucose)


def moved(prior: Any, name: str, sds: float) -> Any:
    """The prior with a latent's center moved by so many of its own doubts."""

    def of(x: Any) -> Any:
        if x.name != name:
            return x
        step = sds * x.center_sd * x.sd
        return dataclasses.replace(
            x, center=float(x.center * np.exp(step) if x.transform == "ln" else x.center + step)
        )

    return dataclasses.replace(prior, latents=tuple(map(of, prior.latents)))


def work(name: str, change: Callable[[Any, Any, Any], tuple[Any, Any, Any]]) -> dict[str, Any]:
    """change : (record, prior, settings) to those of the run."""
    from scenarios.engine import run_record
    from twin.inference.priors import load_prior
    from twin.settings import SiteSettings

    record, prior, settings = change(patient(name), load_prior(), SiteSettings())
    return told(
        run_record(record, prior=prior, settings=settings, scenarios=("as_now",), draws=DRAWS, seed=SEED)
    )


def with_power(name: str, power: int) -> dict[str, Any]:
    """In a process of its own, whose compiled programs are kept nowhere."""
    with tempfile.TemporaryDirectory() as cache:
        command = [
            sys.executable,
            "-m",
            "tests.statistical.prior_sensitivity",
            "--power",
            str(power),
            "--patient",
            name,
        ]
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def choices() -> dict[str, Callable[[Any, Any, Any], tuple[Any, Any, Any]]]:
    def setting(**values: str) -> Callable[[Any, Any, Any], tuple[Any, Any, Any]]:
        return lambda r, p, s: (r, p, dataclasses.replace(s, **values))

    def center(name: str, sds: float) -> Callable[[Any, Any, Any], tuple[Any, Any, Any]]:
        return lambda r, p, s: (r, moved(p, name, sds), s)

    def without(**tables: Any) -> Callable[[Any, Any, Any], tuple[Any, Any, Any]]:
        return lambda r, p, s: (dataclasses.replace(r, **{k: getattr(r, k).iloc[:0] for k in tables}), p, s)

    found = {AS_PACKAGED: lambda r, p, s: (r, p, s)}
    found |= {f"growth standard {x}": setting(growth_standard=x) for x in STANDARDS}
    found |= {f"newborn reference {x}": setting(lga_reference=x) for x in REFERENCES}
    for sign, word in ((1.0, "higher"), (-1.0, "lower")):
        found[f"gain from glucose to growth, {word} by its doubt"] = center("gain", sign)
        found[f"EFW formulas' bias, {word} by its doubt"] = center("efw_bias", sign)
        found[f"her devices read {OFFSET_MG_DL:g} mg/dL {word}"] = lambda r, p, s, d=sign * OFFSET_MG_DL: (
            read_otherwise(r, d),
            p,
            s,
        )
    found["her glucose left out"] = without(glucose=0, meals=0)
    found["her scans left out"] = without(biometry=0)
    return found


def cases() -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    made: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    for name in PATIENTS:
        made += [
            (f"{name}: {label}", lambda n=name, c=change: work(n, c)) for label, change in choices().items()
        ]
        made += [
            (f"{name}: exponent {m} of glucose peaks", lambda n=name, m=m: with_power(n, m)) for m in POWERS
        ]
    return made


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """P(> 4000 g) and LGA in %, mean g; by choice and patient."""
    labels = dict.fromkeys(case.split(": ", 1)[1] for case in rows)
    lines = ["| choice | " + " | ".join(f"{p}: > 4000 g, LGA %, mean g" for p in PATIENTS) + " |"]
    lines.append("|---|" + "---|" * len(PATIENTS))
    for label in labels:
        cells = []
        for p in PATIENTS:
            r = rows[f"{p}: {label}"]
            lga = "–" if r["lga"] is None else f"{100.0 * r['lga']:.0f}"
            span = f" ({100.0 * r['low']:.0f}-{100.0 * r['high']:.0f})" if label == AS_PACKAGED else ""
            cells.append(f"{100.0 * r['p4000']:.1f}{span}, {lga}, {r['mean_g']}")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out/checks/sensitivity.jsonl"))
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--power", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--patient", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.power:
        from twin.physiology import parameters

        parameters.EXPOSURE_POWER = args.power  # before anything has read it
    from scenarios.cli import start_engine

    start_engine()
    if args.power:
        print(json.dumps(work(args.patient, lambda r, p, s: (r, p, s))))
        return
    rows = {r["case"]: r for r in run_cases(args.out, cases())}
    text = table(rows)
    print(text)
    if args.docs:
        put(PAGE, "measured", text)


if __name__ == "__main__":
    main()
