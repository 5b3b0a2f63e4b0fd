"""Pictures of the evidence: every row inside or outside its band, and the studies people know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cohorts.evidence.run import Found

INK, GREY, MODEL, MISS, BAND = "#222222", "#8a8f98", "#1f5fa8", "#c2501e", "#dbe7f3"
SECTIONS = {"A": "mother's physiology", "B": "glucose", "C": "fetal growth", "D": "outcomes and trials"}
FAR = 3.0  # half bands; further ones are drawn at the edge
FASTING = ("< 75", "75-79", "80-84", "85-89", "90-94", "95-99", "≥ 100")
mpl.rcParams["svg.hashsalt"] = "gdm-twin"


def write_plots(lines: pd.DataFrame, found: Mapping[str, Found], folder: Path) -> dict[str, str]:
    """SVG files and what each shows, by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for section, title in SECTIONS.items():
        some = lines[lines["row"].str.startswith(section) & lines["met"].notna()]
        made[f"rows_{section}.svg"] = (f"Every number of {title} against its band", rows_in_bands(some))
    made["hapo.svg"] = ("HAPO: LGA by fasting category, tolerance test", hapo(found))
    made["growth.svg"] = ("Spread of biometry by week", growth(lines))
    made["differences.svg"] = ("Differences between treated, untreated and normal women", differences(lines))
    for name, (_, figure) in made.items():
        figure.savefig(folder / name, metadata={"Date": None})
    return {name: title for name, (title, _) in made.items()}


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)


def rows_in_bands(lines: pd.DataFrame) -> Figure:
    """Each number's distance from the middle of its band, in half bands."""
    entries = []
    for r in lines.itertuples():
        for i, (v, a, b) in enumerate(zip(r.model, r.low, r.high, strict=True)):
            name = r.row if len(r.model) == 1 else f"{r.row} {i + 1}/{len(r.model)}"
            entries.append((name, (v - 0.5 * (a + b)) / (0.5 * (b - a)), r.role, r.counted))
    height = max(2.0, 0.135 * len(entries) + 0.9)
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.subplots()
    y = np.arange(len(entries))[::-1]
    x = np.array([e[1] for e in entries])
    axes.axvspan(-1.0, 1.0, color=BAND, zorder=0)
    axes.axvline(0.0, color=GREY, lw=0.6)
    for at, value, (_, _, role, counted) in zip(y, x, entries, strict=True):
        colour = MODEL if abs(value) <= 1.0 else MISS
        shape = "o" if role == "calibrate" else "D"
        drawn = float(np.clip(value, -FAR, FAR))
        face = colour if counted else "white"
        axes.plot(drawn, at, shape, ms=4, color=colour, mfc=face, mew=0.9)
        if abs(value) > FAR:
            axes.annotate(f"{value:.0f}", (drawn, at), xytext=(6 if value > 0 else -6, 0), textcoords="offset points",
                          ha="left" if value > 0 else "right", va="center", fontsize=6, color=MISS)  # fmt: skip
    axes.set_yticks(y, [e[0] for e in entries], fontsize=6)
    axes.set_xlim(-FAR - 0.6, FAR + 0.6)
    axes.set_ylim(-1.0, len(entries))
    axes.set_xlabel("distance from the middle of the published band, half bands", fontsize=8)
    axes.set_title(
        "● calibrated  ◆ held out  (hollow: recalled, not counted)", fontsize=8, loc="left", color=INK
    )
    _tidy(axes)
    return figure


def hapo(found: Mapping[str, Found]) -> Figure:
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    if "_lga_by_fasting" in found:
        rate = found["_lga_by_fasting"]
        left.errorbar(
            range(7),
            rate.values,
            yerr=2.0 * np.array(rate.errors),
            fmt="o-",
            color=MODEL,
            ms=4,
            lw=1.2,
            label="model",
        )
        left.plot([0, 6], [5.3, 26.3], "s", color=INK, mfc="white", ms=6, label="HAPO (recalled), ends")
        left.set_xticks(range(7), FASTING, fontsize=7)
        left.set_xlabel("fasting glucose, mg/dL", fontsize=8)
        left.set_ylabel("birth weight > P90, %", fontsize=8)
        left.set_ylim(0, None)
        left.legend(frameon=False, fontsize=8)
        mean, sd = (np.array(found[k].values) for k in ("_ogtt_mean", "_ogtt_sd"))
        minutes = np.array([0.0, 30.0, 60.0, 120.0])
        right.fill_between(minutes, mean - sd, mean + sd, color=BAND)
        right.plot(minutes, mean, "o-", color=MODEL, ms=4, lw=1.2, label="model, mean ± SD")
        right.errorbar([0, 60, 120], [80.9, 134.1, 111.0], yerr=[6.9, 30.9, 23.5], fmt="s", color=INK, mfc="white",
                       ms=6, capsize=3, label="HAPO (means recalled)")  # fmt: skip
        right.set_xlabel("minutes after 75 g", fontsize=8)
        right.set_ylabel("plasma glucose, mg/dL", fontsize=8)
        right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        _tidy(axes)
    return figure


def growth(lines: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(8.4, 2.6), layout="constrained")
    by_row = lines.set_index("row")
    names = {
        "C-STD-03": "head circumference",
        "C-STD-04": "biparietal",
        "C-STD-05": "abdomen",
        "C-STD-06": "femur",
    }
    week = np.array([20.0, 28.0, 32.0, 36.0])
    for axes, (row, name) in zip(figure.subplots(1, 4, sharey=True), names.items(), strict=True):
        r = by_row.loc[row]
        axes.fill_between(week, r["low"], r["high"], color=BAND)
        axes.plot(week, r["published"], "s", color=INK, mfc="white", ms=5)
        if len(r["model"]):
            axes.plot(week, r["model"], "o-", color=MODEL, ms=4, lw=1.2)
        axes.set_title(name, fontsize=8, loc="left")
        axes.set_xlabel("week", fontsize=8)
        _tidy(axes)
    figure.axes[0].set_ylabel("CV of measured size, %", fontsize=8)
    figure.axes[0].set_ylim(0, None)
    return figure


#: row, which of its numbers, unit, what
DIFFERENCES = (
    ("D-ACH-01", 1, "g", "ACHOIS: treated less routine"),
    ("D-EME-05", 1, "g", "EMERGE: metformin less placebo"),
    ("D-MET-02", 0, "g", "MiG: metformin less insulin"),
    ("D-ETH-01", 1, "g", "untreated IADPSG less control"),
    ("D-LPD-01", 0, "g", "late dysglycaemia, obese, no GDM"),
    ("C-BC-06", 1, "g", "treated GDM less normal: weight"),
    ("C-BC-05", 1, "g", "treated GDM less normal: fat"),
    ("C-BC-07", 1, "g", "treated GDM less normal: lean"),
)


def differences(lines: pd.DataFrame) -> Figure:
    by_row = lines.set_index("row")
    figure = Figure(figsize=(7.2, 0.34 * len(DIFFERENCES) + 0.9), layout="constrained")
    axes = figure.subplots()
    y = np.arange(len(DIFFERENCES))[::-1]
    axes.axvline(0.0, color=GREY, lw=0.6)
    for at, (row, i, _, _) in zip(y, DIFFERENCES, strict=True):
        r = by_row.loc[row]
        axes.plot([r["low"][i], r["high"][i]], [at, at], color=BAND, lw=7, solid_capstyle="butt")
        axes.plot(r["published"][i], at, "s", color=INK, mfc="white", ms=6)
        if len(r["model"]):
            inside = r["low"][i] <= r["model"][i] <= r["high"][i]
            axes.errorbar(
                r["model"][i], at, xerr=2.0 * r["error"][i], fmt="o", ms=5, color=MODEL if inside else MISS
            )
    axes.set_yticks(y, [f"{what} ({row})" for row, _, _, what in DIFFERENCES], fontsize=7)
    axes.set_xlabel("birth weight or newborn mass, g (□ published and its band, ● model)", fontsize=8)
    _tidy(axes)
    return figure
