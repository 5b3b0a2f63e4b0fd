"""Pictures of a validation: calibration, ROC, decision curves, intervals of weight, groups of women.

The judged model is blue and thick, the best other one orange and dashed, the rest thin and grey: told apart without
colour vision, and in print.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cohorts.validate import curves
from cohorts.validate.catalogue import COVERED, meaning
from cohorts.validate.decisions import ALL, DecisionCurve
from cohorts.validate.evaluate import Case

INK, BLUE, ORANGE, GREY, PALE = "#222222", "#0072B2", "#D55E00", "#7d828a", "#c3c8cf"
SIZE = 9
OUTCOMES = {
    "birth_weight_g": "birth weight",
    "over_4000_g": "birth weight > 4000 g",
    "over_4500_g": "birth weight > 4500 g",
    "lga": "large for gestational age",
    "sga": "small for gestational age",
}
#: what a forest plot shows, for chances and for weights
FOREST = {True: ("auc", "observed_expected"), False: ("mean_ln_error", "coverage_90")}
mpl.rcParams["svg.hashsalt"] = "gdm-twin"


def _figure(width: float, height: float, banner: str) -> Figure:
    """banner : what must be read with every picture, such as that births are simulated."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if banner:
        figure.suptitle(banner, fontsize=SIZE, color=ORANGE, x=0.01, ha="left")
    return figure


def _tidy(axes: Axes, x: str = "", y: str = "", title: str = "") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=SIZE - 1)
    axes.set_xlabel(x, fontsize=SIZE)
    axes.set_ylabel(y, fontsize=SIZE)
    if title:
        axes.set_title(title, fontsize=SIZE, loc="left", color=INK)


def _legend(axes: Axes, where: Any, **more: Any) -> None:
    axes.legend(**{"fontsize": SIZE - 1, "frameon": False, "loc": where, "handlelength": 2.4} | more)


def calibration(case: Case, banner: str = "") -> Figure:
    """Seen against predicted, per cent: curve with band, tenths of the women, and below how the chances of women with
    and without the outcome are spread."""
    found, rows = case.calibration, case.models[case.judged]
    assert found is not None
    p, y = 100.0 * rows["p"].to_numpy(), rows["y"].to_numpy() == 1.0
    top = min(100.0, 10.0 * np.ceil(max(p.max(), *(100.0 * g.high for g in found.groups)) / 10.0))
    figure = _figure(4.4, 5.8, banner)
    axes, *below = figure.subplots(3, 1, sharex=True, height_ratios=(6, 1, 1))
    axes.plot([0, top], [0, top], "-", color=GREY, lw=1, label="perfect")
    at, low, high = 100.0 * found.at, 100.0 * found.low, 100.0 * found.high
    axes.fill_between(at, low, high, color=BLUE, alpha=0.18, lw=0)
    axes.plot(
        at, 100.0 * found.observed, "-", color=BLUE, lw=2.2, label=f"{case.judged}, smoothed, 95 % band"
    )
    x, seen, low, high = (100.0 * np.array([g[i] for g in found.groups]) for i in range(4))
    tenths = "tenths" if len(found.groups) == 10 else "fifths"
    axes.vlines(x, low, high, color=INK, lw=0.9)
    axes.plot(x, seen, "o", color=INK, mfc="white", ms=4.5, label=f"{tenths} of the women, 95 %")
    axes.set(xlim=(0, top), ylim=(0, top))
    _tidy(axes, y=f"seen: {OUTCOMES[case.key['outcome']]}, % of women")
    _legend(axes, "upper left")
    bins = np.linspace(0.0, top, 26)
    for panel, who, colour, label in zip(below, (y, ~y), (BLUE, GREY), ("with", "without"), strict=True):
        share = 100.0 * np.histogram(p[who], bins)[0] / max(1, who.sum())
        panel.bar(bins[:-1], share, np.diff(bins), align="edge", color=colour, edgecolor="white", lw=0.4)
        _tidy(panel, y="%", title=f"the {who.sum()} women {label} the outcome, by predicted chance")
    below[-1].set_xlabel("predicted chance, %", fontsize=SIZE)
    return figure


def _ranked(case: Case, lines: pd.DataFrame, measure: str, *, higher: bool) -> dict[str, float]:
    """The other models' values, best first."""
    found = {m: float(_line(lines, case, m, measure)["value"]) for m in case.models if m != case.judged}
    known = {m: v for m, v in found.items() if np.isfinite(v)}
    return dict(sorted(known.items(), key=lambda item: -item[1] if higher else item[1]))


def roc(case: Case, lines: pd.DataFrame, banner: str = "") -> Figure:
    figure = _figure(4.4, 4.4, banner)
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], "-", color=GREY, lw=0.8)
    area = _line(lines, case, case.judged, "auc")["value"]
    x, d = curves.roc(case.models[case.judged])
    axes.plot(100 * x, 100 * d, "-", color=BLUE, lw=2.2, label=f"{case.judged}: AUC {area:.3f}", zorder=4)
    others = _ranked(case, lines, "auc", higher=True)
    for i, (name, value) in enumerate(others.items()):
        x, d = curves.roc(case.models[name])
        if i == 0:
            label = f"best other, {name}: AUC {value:.3f}"
            axes.plot(100 * x, 100 * d, "--", color=ORANGE, lw=1.6, zorder=3, label=label)
        else:
            label = f"{len(others) - 1} others: AUC {min(others.values()):.3f} and up" if i == 1 else ""
            axes.plot(100 * x, 100 * d, "-", color=PALE, lw=1.0, label=label)
    axes.axvline(10.0, color=INK, lw=0.6, ls=":")
    axes.annotate("10 % false\npositives", (11.0, 1.0), fontsize=SIZE - 2, color=INK)
    axes.set(xlim=(0, 100), ylim=(0, 101), aspect="equal")
    _tidy(
        axes,
        "flagged of the women without it, % (false positives)",
        "flagged of the women with it, % (detected)",
    )
    _legend(axes, "lower right", bbox_to_anchor=(1.0, 0.1), fontsize=SIZE - 1.5)
    return figure


def decisions(case: Case, banner: str = "") -> Figure:
    """For each decision above net benefit, below the judged model's gain over the best other choice with its band; both
    in true positives per 100 women."""
    found = case.decisions
    figure = _figure(4.2 * len(found), 5.0, banner)
    panels = figure.subplots(2, len(found), squeeze=False, sharex="col", height_ratios=(3, 2))
    for i, curve in enumerate(found):
        _net_benefit(panels[0, i], curve)
        _gain(panels[1, i], curve)
    return figure


def _net_benefit(axes: Axes, curve: DecisionCurve) -> None:
    t = 100.0 * curve.thresholds
    value = {k: 100.0 * v for k, v in curve.net_benefit.items()}
    ours, best = value[curve.judged], value[curve.judged] - 100.0 * curve.gain
    others = [v for k, v in value.items() if k not in (ALL, curve.judged)]
    axes.plot(t, ours, "-", color=BLUE, lw=2.2, label=curve.judged, zorder=4)
    axes.plot(t, best, "--", color=ORANGE, lw=1.6, label="best other choice", zorder=3)
    axes.plot(t, value[ALL], ":", color=INK, lw=1.4, label="act on everybody")
    axes.axhline(0.0, color=INK, lw=1.0, label="act on nobody")
    for i, other in enumerate(others):
        axes.plot(t, other, "-", color=PALE, lw=1.0, label="" if i else f"{len(others)} other models")
    shown = np.concatenate([ours, best, *others, [0.0]])
    top = 1.4 * max(float(shown.max()), 0.1)
    axes.set_ylim(max(float(shown.min()) - 0.05 * top, -0.35 * top), top)
    _tidy(axes, y="net benefit: true positives\nper 100 women", title=curve.decision)
    _legend(axes, "upper right", ncols=2, fontsize=SIZE - 2)


def _gain(axes: Axes, curve: DecisionCurve) -> None:
    t = 100.0 * curve.thresholds
    axes.axhline(0.0, color=ORANGE, lw=1.6, ls="--")
    for band, alpha in ((curve.band_95, 0.15), (curve.band_90, 0.2)):
        axes.fill_between(t, 100.0 * band[0], 100.0 * band[1], color=BLUE, alpha=alpha, lw=0)
    axes.plot(t, 100.0 * curve.gain, "-", color=BLUE, lw=2.2)
    axes.set_xlim(t[0], t[-1])
    _tidy(axes, "chance from which one would act, %", "gain over best other,\n90 and 95 % band")


def weight(case: Case, lines: pd.DataFrame, banner: str = "") -> Figure:
    """Left: how many weights lie in the intervals, the judged and the best other model; right: PIT histogram."""
    figure = _figure(7.6, 3.6, banner)
    left, right = figure.subplots(1, 2)
    left.plot([40, 100], [40, 100], "-", color=GREY, lw=1)
    others = list(_ranked(case, lines, "pinball", higher=False))
    for name, colour, marker, shift in zip(
        (case.judged, *others[:1]), (BLUE, ORANGE), "os", (-0.9, 0.9), strict=False
    ):
        found = [_line(lines, case, name, f"coverage_{100 * c:g}") for c in COVERED]
        value, low, high = (100.0 * np.array([f[k] for f in found]) for k in ("value", "low", "high"))
        x = 100.0 * np.array(list(COVERED)) + shift
        left.vlines(x, low, high, color=colour, lw=1.2)
        left.plot(x, value, marker, color=colour, mfc="white", ms=5, label=name)
    left.set(xlim=(42, 98), ylim=(38, 101), xticks=[100 * c for c in COVERED])
    _tidy(left, "interval, %", "weights inside, % (95 % interval)", "Coverage; on the line is right")
    _legend(left, "upper left")
    _pit(right, case)
    return figure


def _pit(axes: Axes, case: Case) -> None:
    found = case.pit
    assert found is not None
    edges, height = 100.0 * found.edges, found.share / found.expected
    axes.bar(
        edges[:-1], height, np.diff(edges), align="edge", color=BLUE, alpha=0.55, edgecolor="white", lw=0.8
    )
    for ends, label in ((found.low, "chance alone, 95 %"), (found.high, "")):
        axes.stairs(ends / found.expected, edges, baseline=None, color=INK, ls=":", lw=1.1, label=label)
    axes.axhline(1.0, color=INK, lw=1)
    axes.set(xlim=(0, 100), xticks=[5, 25, 50, 75, 95], ylim=(0, max(1.7, 1.15 * float(height.max()))))
    _tidy(
        axes, "centile of her own forecast", "weights there / expected", f"PIT of {case.judged}; 1 is right"
    )
    _legend(axes, "upper center")


def _of(lines: pd.DataFrame, case: Case, model: str) -> pd.DataFrame:
    """Lines of one case and model that are no differences."""
    here = lines[(lines["model"] == model) & (lines["versus"] == "")]
    for name, value in case.key.items():
        here = here[here[name] == value]
    return here


def _line(lines: pd.DataFrame, case: Case, model: str, measure: str) -> pd.Series:
    here = _of(lines, case, model)
    return here[(here["measure"] == measure) & (here["stratum"] == "")].iloc[0]


def forest(case: Case, lines: pd.DataFrame, strata: Sequence[str], banner: str = "") -> Figure:
    """Two measures of the judged model by group, with everybody's as a line and band; too small a group says so."""
    here = _of(lines, case, case.judged)
    entries: list[tuple[str, pd.DataFrame | None]] = []
    for stratum in strata:
        of = here[here["stratum"] == stratum]
        entries.append((stratum, None))
        entries += [(level, of[of["level"] == level]) for level in of["level"].unique()]
    figure = _figure(8.6, 1.0 + 0.23 * len(entries), banner)
    panels = figure.subplots(1, 2, sharey=True)
    y = np.arange(len(entries))[::-1]
    for axes, measure in zip(panels, FOREST[case.yes_no], strict=True):
        what, whole = meaning(measure), _line(lines, case, case.judged, measure)
        axes.axvspan(what.scale * whole["low"], what.scale * whole["high"], color=PALE, alpha=0.5, lw=0)
        axes.axvline(what.scale * whole["value"], color=GREY, lw=1)
        if isinstance(what.best, float):
            axes.axvline(what.scale * what.best, color=INK, lw=0.8, ls=":")
        for at, (_, rows) in zip(y, entries, strict=True):
            if rows is not None:
                _interval(axes, float(at), rows[rows["measure"] == measure], what.scale)
        dotted = "; dotted: right" if isinstance(what.best, float) else ""
        unit = f", {what.unit}" if what.unit else ""
        _tidy(axes, f"{what.label}{unit} (95 % interval)", title=f"grey: all women{dotted}")
    names = [name if rows is None else f"{name}  ({_size(rows)})" for name, rows in entries]
    panels[0].set_yticks(y, names)
    for text, (_, rows) in zip(panels[0].get_yticklabels(), entries, strict=True):
        text.set_fontweight("bold" if rows is None else "normal")
    panels[0].set_ylabel("group (events of women)" if case.yes_no else "group (women)", fontsize=SIZE)
    panels[0].set_ylim(-0.8, len(entries) - 0.2)
    return figure


def _interval(axes: Axes, at: float, rows: pd.DataFrame, scale: float) -> None:
    if len(rows):
        value, low, high = (scale * float(rows[k].iloc[0]) for k in ("value", "low", "high"))
        axes.hlines(at, low, high, color=BLUE, lw=1.3)
        axes.plot(value, at, "o", color=BLUE, ms=4.5)
    else:
        axes.annotate("too small", (0.02, at), xycoords=("axes fraction", "data"), va="center", fontsize=SIZE - 2,
                      color=GREY)  # fmt: skip


def _size(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return f"{first['n']}" if pd.isna(first["events"]) else f"{first['events']} of {first['n']}"
