"""Pictures of the evidence: every row inside or outside its band, and the studies people know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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


def save(figure: Figure, path: Path) -> None:
    """Write an SVG file: the same every time, text as text, at half the size of its outlines."""
    with mpl.rc_context({"svg.hashsalt": "gdm-twin", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


def write_plots(lines: pd.DataFrame, found: Mapping[str, Found], folder: Path) -> dict[str, str]:
    """SVG files and what each shows, by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for section, title in SECTIONS.items():
        some = lines[lines["row"].str.startswith(section) & lines["met"].notna()]
        made[f"rows_{section}.svg"] = (f"Every number of {title} against its band", rows_in_bands(some))
    made["hapo.svg"] = ("HAPO: LGA by fasting category, tolerance test", hapo(found))
    made["growth.svg"] = ("Spread of biometry by week", growth(lines))
    for name, title, unit, shown in LISTS:
        made[name] = (title, numbers(lines, shown, unit))
    for name, (_, figure) in made.items():
        save(figure, folder / name)
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


class Shown(NamedTuple):
    """One number of a row, and what it is in words."""

    row: str
    number: int
    what: str


#: file name, title, what the axis says, numbers
LISTS: tuple[tuple[str, str, str, tuple[Shown, ...]], ...] = (
    (
        "differences.svg",
        "Birth weight and newborn mass: differences between groups of women",
        "g",
        (
            Shown("D-ACH-01", 1, "ACHOIS: treated less routine"),
            Shown("D-EME-05", 1, "EMERGE: metformin less placebo"),
            Shown("D-MET-02", 0, "MiG: metformin less insulin"),
            Shown("D-ETH-01", 1, "untreated IADPSG less control"),
            Shown("D-LPD-01", 0, "late dysglycaemia, obese, no GDM"),
            Shown("C-BC-06", 1, "treated GDM less normal: weight"),
            Shown("C-BC-05", 1, "treated GDM less normal: fat"),
            Shown("C-BC-07", 1, "treated GDM less normal: lean"),
        ),
    ),
    (
        "trials.svg",
        "Treatment trials: large births",
        "% of births",
        (
            Shown("D-ACH-02", 0, "ACHOIS: LGA, treated"),
            Shown("D-ACH-02", 1, "ACHOIS: LGA, routine care"),
            Shown("D-ACH-02", 2, "ACHOIS: >= 4000 g, treated"),
            Shown("D-ACH-02", 3, "ACHOIS: >= 4000 g, routine care"),
            Shown("D-EME-05", 2, "EMERGE: > 4000 g, metformin"),
            Shown("D-EME-05", 3, "EMERGE: > 4000 g, placebo"),
            Shown("D-MET-02", 1, "MiG: > P90, metformin"),
            Shown("D-MET-02", 2, "MiG: > P90, insulin"),
            Shown("D-KJO-01", 2, "Kjos: > P90, insulin for all"),
            Shown("D-BER-01", 2, "Berggren: LGA, treated"),
            Shown("D-PRE-01", 0, "Hernandez: >= 4000 g, untreated"),
        ),
    ),
    (
        "composition.svg",
        "Fat and lean of the newborn without diabetes",
        "g",
        (
            Shown("C-BC-01", 0, "fat, boys, 38 weeks"),
            Shown("C-BC-02", 0, "fat, girls, 38 weeks"),
            Shown("C-BC-01", 1, "fat, boys, 40 weeks"),
            Shown("C-BC-02", 1, "fat, girls, 40 weeks"),
            Shown("C-BC-01", 3, "fat, boys, 40 weeks: P90 - P10"),
            Shown("C-BC-02", 3, "fat, girls, 40 weeks: P90 - P10"),
            Shown("C-BC-05", 0, "fat, births at term (Catalano)"),
            Shown("C-BC-03", 4, "lean, boys: P90 - P10"),
            Shown("C-BC-03", 5, "lean, girls: P90 - P10"),
        ),
    ),
    (
        "devices.svg",
        "Days of women without diabetes, by device",
        "mg/dL",
        (
            Shown("B-NORM-01", 0, "studies together: fasting"),
            Shown("B-NORM-02", 0, "studies together: 1 h after meals"),
            Shown("B-NORM-03", 0, "studies together: 2 h after meals"),
            Shown("B-NORM-04", 0, "studies together: 24-h mean"),
            Shown("B-NORM-06", 0, "sensor: mean"),
            Shown("B-NORM-06", 1, "sensor: SD of the mean between women"),
            Shown("B-NORM-09", 0, "sensor: peak after meals"),
            Shown("B-NORM-09", 1, "sensor: rise after meals"),
            Shown("B-NORM-12", 0, "meter of 2001: daily mean"),
            Shown("B-NORM-12", 1, "meter of 2001: SD between women"),
        ),
    ),
)


def numbers(lines: pd.DataFrame, shown: Sequence[Shown], unit: str) -> Figure:
    """Published values with their bands, and the model's with two Monte-Carlo errors."""
    by_row = lines.set_index("row")
    figure = Figure(figsize=(7.2, 0.30 * len(shown) + 0.9), layout="constrained")
    axes = figure.subplots()
    y = np.arange(len(shown))[::-1]
    if any(by_row.loc[s.row, "low"][s.number] < 0.0 for s in shown):
        axes.axvline(0.0, color=GREY, lw=0.6)
    for at, (row, i, _) in zip(y, shown, strict=True):
        r = by_row.loc[row]
        axes.plot([r["low"][i], r["high"][i]], [at, at], color=BAND, lw=8, solid_capstyle="butt")
        axes.plot(r["published"][i], at, "s", color=INK, mfc="white", ms=6)
        if len(r["model"]):
            inside = r["low"][i] <= r["model"][i] <= r["high"][i]
            axes.errorbar(
                r["model"][i], at, xerr=2.0 * r["error"][i], fmt="o", ms=5, color=MODEL if inside else MISS
            )
    axes.set_yticks(y, [f"{s.what} ({s.row})" for s in shown], fontsize=7)
    axes.set_xlabel(f"{unit} (□ published and its band, ● model)", fontsize=8)
    _tidy(axes)
    return figure
