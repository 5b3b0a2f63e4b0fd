"""Pictures of what was learnt: predictions of hidden values, PIT histograms, and the population beside the prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

_INK, _BLUE, _ORANGE, _GREY = "#222222", "#0072B2", "#D55E00", "#999999"  # told apart without colour vision


def hidden_values(folds: list[dict[str, Any]], analytes: tuple[str, ...], minute: np.ndarray) -> Figure:
    """Observed against predicted value, each predicted from the person's other times (the darker the earlier); PIT
    histogram beside it."""
    figure = Figure(figsize=(9.0, 3.2 * len(analytes)), layout="constrained")
    axes = figure.subplots(len(analytes), 2, squeeze=False, width_ratios=(2, 1))
    units = {"glucose": "mg/dL", "insulin": "uU/mL", "c_peptide": "ng/mL"}
    for a, name in enumerate(analytes):
        y, mean, pit = (
            np.concatenate([np.asarray(f[k], dtype=float)[:, a] for f in folds])
            for k in ("ln_y", "mean", "pit")
        )
        left, right = axes[a]
        for t, m in enumerate(minute):
            shade = str(0.1 + 0.6 * t / max(1, len(minute) - 1))
            left.plot(np.exp(mean[:, t]), np.exp(y[:, t]), "o", ms=3, color=shade, label=f"{m:g} min")
        ends = np.exp([np.nanmin(y), np.nanmax(y)])
        left.plot(ends, ends, "-", color=_ORANGE, lw=1)
        left.set(xscale="log", yscale="log", xlabel=f"predicted from the other times, {units[name]}")
        left.set_ylabel(f"observed {name}, {units[name]}")
        for axis in (left.xaxis, left.yaxis):
            axis.set_major_formatter(LogFormatter(minor_thresholds=(2.0, 0.5)))
            axis.set_minor_formatter(LogFormatter(minor_thresholds=(2.0, 0.5)))
        if len(minute) < 8:
            left.legend(fontsize=7, frameon=False)
        known = pit[np.isfinite(pit)]
        right.hist(known, bins=10, range=(0.0, 1.0), color=_BLUE, edgecolor="white")
        right.axhline(len(known) / 10, color=_ORANGE, lw=1)
        right.set(xlabel=f"PIT of {name} (flat is calibrated)", ylabel="values")
    return figure


def middles(artefact: dict[str, Any]) -> Figure:
    """Middle and spread of each latent relative to the packaged middle carried outside pregnancy."""
    rows = artefact["latents"]
    figure = Figure(figsize=(7.5, 0.34 * len(rows) + 1.2), layout="constrained")
    axis = figure.subplots()
    for i, row in enumerate(rows):
        at = row["middle"]["mean"] - row["prior_middle"]
        sd = row["sd"]["mean"]
        axis.plot([at - sd, at + sd], [i, i], "-", color=_BLUE, lw=5, alpha=0.35)
        if row["middle"]["se"] is not None:
            se = row["middle"]["se"]
            axis.plot([at - se, at + se], [i, i], "-", color=_INK, lw=2)
        axis.plot(at, i, "o", color=_INK, ms=4)
        if row["packaged_sd"] is not None:
            axis.plot([-row["packaged_sd"], row["packaged_sd"]], [i + 0.28] * 2, "-", color=_GREY, lw=2)
    axis.axvline(0.0, color=_GREY, lw=1)
    axis.set_yticks(range(len(rows)), [r["name"] for r in rows])
    axis.invert_yaxis()
    axis.set_xlabel(
        "ln of learnt over packaged middle outside pregnancy, with SE\ngrey: packaged SD; blue: SD of people"
    )
    return figure


def save(figure: Figure, path: Path) -> None:
    """PNG or SVG by the suffix of the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
