"""The evidence as docs/model/evidence.md shows it: python -m cohorts.evidence.page out/evidence

Scores, pictures, and every counted row outside its band with what is known of the reason (misses.csv). Text outside the
page's marks is left alone. Fails where a miss is not discussed, and, with the page written, where misses.csv discusses
what the run does not miss.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from cohorts.docs_page import put

PAGE = Path("docs/model/evidence.md")


def discussed() -> dict[str, str]:
    """Why a row is outside its band, by row."""
    text = (resources.files("cohorts.evidence") / "misses.csv").read_text(encoding="utf-8")
    return {r["row"]: r["why"] for r in csv.DictReader(text.splitlines())}


def told_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "evidence.json").read_text(encoding="utf-8")))


def written(folder: Path) -> str:
    """What stands between the marks."""
    told = told_of(folder)
    lines = pd.read_csv(folder / "evidence.csv", keep_default_na=False)
    why = discussed()
    parts = [
        f"Prior `{told['prior']}` ({told['prior_sha256']}), {told['women']} women of a full run.",
        "| | rows counted | studies | inside, studies alike |\n|---|---|---|---|\n"
        + "\n".join(
            f"| {name} | {s['rows']} | {s['studies']} | {100.0 * s['share']:.0f} % |"
            for name, s in (
                ("calibrated on", told["scores"]["calibrate"]),
                ("held out", told["scores"]["validate"]),
            )
        ),
    ]
    for name, title in told["figures"].items():
        parts.append(f"![{title}](../images/evidence_{name})\n\n*{title}.*")
    parts.append(_hapo(lines))
    real = lines[lines["design"] == "people"]
    if len(real):
        rows = [
            f"| {r.row} | {r.study}: {r.statistic} | {r.published} {r.unit} | {r.low} to {r.high} | {r.model} | "
            f"{'inside' if r.met == 'True' else 'outside'} |"
            for r in real.itertuples()
        ]
        head = "| row | what | seen | band | model | |\n|---|---|---|---|---|---|\n"
        mix = f"Women with GDM are treated, {told['us_gdm_on_insulin_percent']:.0f} % with insulin, others by diet."
        parts.append(
            "### Real births and scans\n\nNot counted above. " + mix + "\n\n" + head + "\n".join(rows)
        )
    missed = lines[lines["row"].isin(told["missed"])]
    silent = [row for row in missed["row"] if row not in why]
    if silent:
        raise SystemExit(f"outside their band and not discussed in misses.csv: {', '.join(silent)}")
    for role, title in (("calibrate", "calibrated on"), ("validate", "held out")):
        rows = [
            f"| {r.row} | {r.study}: {r.statistic} | {r.published} {r.unit} | {r.model or 'none'} | {why[r.row]} |"
            for r in missed[missed["role"] == role].itertuples()
        ]
        head = "| row | what | published | model | why |\n|---|---|---|---|---|\n"
        parts.append(f"### Outside, {title}\n\n{head}" + "\n".join(rows))
    return "\n\n".join(parts)


def _hapo(lines: pd.DataFrame) -> str:
    """The study everybody knows: its test and its odds ratios."""
    by = lines.set_index("row")
    names = {
        "A-OGTT-01": "fasting, mg/dL: mean, SD",
        "A-OGTT-02": "1 h: mean, SD",
        "A-OGTT-03": "2 h: mean, SD",
        "B-DX-04": "meet IADPSG, %",
        "D-HAPO-01": "odds of a large birth per SD of fasting glucose, adjusted",
        "D-HAPO-03": "the same, 1 h",
        "D-HAPO-05": "the same, 2 h",
        "D-HAPO-07": "large births, lowest and highest fasting category, unadjusted, %",
    }
    head = "| | published | band | model |\n|---|---|---|---|\n"
    rows = []
    for row, what in names.items():
        published, low, high, model = by.loc[row, ["published", "low", "high", "model"]]
        rows.append(f"| {what} ({row}) | {published} | {low} to {high} | {model} |")
    return "### HAPO\n\n" + head + "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of a full run of `gdm-twin cohort evidence`")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    put(args.page, "evidence", written(args.folder))
    images = args.page.parents[1] / "images"
    for path in (args.folder / "plots").glob("*.svg"):
        shutil.copyfile(path, images / f"evidence_{path.name}")
    missed = told_of(args.folder)["missed"]
    if stale := [row for row in discussed() if row not in missed]:
        raise SystemExit(
            f"{args.page} is written, but misses.csv discusses {len(stale)} rows that this run has not outside their "
            f"band: {', '.join(stale)}. Take them out of misses.csv, and mend what refers to them."
        )


if __name__ == "__main__":
    main()
