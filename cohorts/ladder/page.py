"""What the ladder learnt, as docs/model/ladder.md shows it: python -m cohorts.ladder.page PRIOR.json

A table of numbers and a picture of rows for each rung; the hazards of birth against registered births. Text outside the
page's marks is left alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cohorts.docs_page import put
from cohorts.evidence.plots import BAND, FAR, GREY, INK, MISS, MODEL, save
from cohorts.evidence.rules import load_rules

PAGE = Path("docs/model/ladder.md")
QUARTER = 0.5  # a residual's unit is a quarter of the band, half of half of it


def number_table(rung: Mapping[str, Any]) -> str:
    """start steps : how far each number moved, in what the evidence let it be off, and what is left open of it."""
    lines = ["| number | learnt | moved, SD | left open, SD |", "|---|---|---|---|"]
    for name, value in rung["numbers"].items():
        lines.append(
            f"| `{name}` | {value:.4g} | {rung['steps'][name]:+.1f} | {rung['left_open'][name]:.2f} |"
        )
    return "\n".join(lines)


def rows_picture(residual: Mapping[str, Sequence[float]]) -> Figure:
    """Distance of each number from the middle of its band, in half bands."""
    rules = load_rules()
    entries = [
        (
            row if len(values) == 1 else f"{row} {i + 1}/{len(values)}",
            QUARTER * v,
            row not in rules or rules[row].counted,
        )
        for row, values in residual.items()
        for i, v in enumerate(values)
    ]
    figure = Figure(figsize=(7.2, max(2.0, 0.135 * len(entries) + 0.9)), layout="constrained")
    axes = figure.subplots()
    y = np.arange(len(entries))[::-1]
    axes.axvspan(-1.0, 1.0, color=BAND, zorder=0)
    axes.axvline(0.0, color=GREY, lw=0.6)
    for at, (_, value, counted) in zip(y, entries, strict=True):
        colour = MODEL if abs(value) <= 1.0 else MISS
        drawn = float(np.clip(value, -FAR, FAR))
        face = colour if counted else "white"
        axes.plot(drawn, at, "o", ms=4.0, mec=colour, mfc=face, mew=0.9)
        if abs(value) > FAR:
            axes.annotate(f"{value:+.0f}", (drawn, at), xytext=(5 * np.sign(value), -2), textcoords="offset points",
                          fontsize=6, color=colour, ha="left" if value > 0 else "right")  # fmt: skip
    axes.set_yticks(y, [e[0] for e in entries], fontsize=6)
    axes.set_xlim(-FAR - 0.6, FAR + 0.6)
    axes.set_ylim(-1, len(entries))
    axes.set_xlabel(
        "model less published, in half bands (hollow: recalled, not counted)", fontsize=8, color=INK
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=7)
    return figure


def births_picture(births: Mapping[str, Any]) -> Figure:
    """Registered and expected births by completed week, and mean weights of women without either condition."""
    weeks = births["weeks"]
    groups = births["groups"]
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    grid = figure.subplots(3, 2, sharex=True)
    for axes, (name, g) in zip(grid.T.ravel(), groups.items(), strict=True):
        for way, colour, words in ((0, MODEL, "spontaneous"), (1, MISS, "brought about")):
            axes.plot(
                weeks,
                100.0 * np.array(g["share"][way]),
                "o",
                ms=3,
                color=colour,
                label=f"{words}, registered",
            )
            axes.plot(
                weeks, 100.0 * np.array(g["expected_share"][way]), "-", lw=1.2, color=colour, label="model"
            )
        axes.set_title(f"{name} ({g['births']})", fontsize=8, color=INK, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=7)
        axes.set_ylabel("% of births", fontsize=7)
    grid[0, 0].legend(fontsize=6, frameon=False)
    for axes in grid[-1]:
        axes.set_xlabel("completed weeks as registered", fontsize=7)
    return figure


def weights_table(births: Mapping[str, Any]) -> str:
    """Mean birth weight, g, by sex and week of the groups that were compared."""
    lines = ["| women | sex | " + " | ".join(str(w) for w in births["weighed"]) + " |"]
    lines.append("|---|---|" + "---|" * len(births["weighed"]))
    for name, g in births["groups"].items():
        for sex, seen, se, said in zip(
            ("girls", "boys"), g["weight_g"], g["weight_se_g"], g["expected_weight_g"], strict=True
        ):
            if all(x is None for x in seen):
                continue
            cells = [
                "" if a is None else f"{a:.0f} ± {b:.0f}, {m:.0f}"
                for a, b, m in zip(seen, se, said, strict=True)
            ]
            lines.append(f"| {name} | {sex} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(told: Mapping[str, Any], page: Path) -> None:
    images = page.parents[1] / "images"
    parts = [
        f"Prior `{told['id']}` ({told['sha256']}), seed {told['seed']}. Learnt from: "
        + ", ".join(f"{k} {v[:8]}" for k, v in told["made_of"].items())
        + "."
    ]
    if told.get("people"):
        lines = [
            "### Single people",
            "",
            "| latent | center before | after | SD before | after |",
            "|---|---|---|---|---|",
        ]
        for m in told["people"]:
            (a, b, _), (c, d, _) = m["before"], m["after"]
            lines.append(f"| `{m['name']}` | {a:.4g} | {c:.4g} | {b:.3g} | {d:.3g} |")
        parts.append("\n".join(lines))
    for i, (name, rung) in enumerate(told["rungs"].items()):
        save(rows_picture(rung["residual"]), images / f"ladder_{i + 1}.svg")
        met = [all(abs(QUARTER * v) <= 1.0 for v in values) for values in rung["residual"].values()]
        parts.append(
            f"### {name[0].upper()}{name[1:]}\n\n{sum(met)} of {len(met)} rows inside their band, with the women "
            f"of the fit.\n\n![Rows of {name}](../images/ladder_{i + 1}.svg)\n\n{number_table(rung)}"
        )
    if "births" in told:
        save(births_picture(told["births"]), images / "ladder_births.svg")
        parts.append(
            "### Births\n\n![Births by week and way](../images/ladder_births.svg)\n\nMean weight, g: registered ± "
            f"standard error, model.\n\n{weights_table(told['births'])}"
        )
    put(page, "learnt", "\n\n".join(parts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prior", type=Path, help="PRIOR.json")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    write(json.loads(args.prior.read_text(encoding="utf-8")), args.page)


if __name__ == "__main__":
    main()
