"""From a matplotlib Figure to inline SVG: text stays text, ids of its own, words for screen readers."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe-Ito colours, chosen to differ in lightness as well; every series also has its own dash or marker.
INK, GREY, FAINT = "#1d2733", "#5f6b7a", "#c9d1da"
BLUE, ORANGE, GREEN, VERMILLION, SKY = "#0a5c99", "#c77700", "#007a5a", "#c2410c", "#8fc1e6"
RANGE_FILL = "#e3f0e6"

_LOCK = threading.Lock()  # matplotlib's settings are global: one rendering at a time
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gdm-twin",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "legend.borderpad": 0.0,
    "figure.dpi": 72.0,
}
_WIDE_PT, _NARROW_PT = 680.0, 290.0


@dataclass(frozen=True)
class Picture:
    """One figure in two shapes of the same content: `wide` for desk and paper, `narrow` for a phone."""

    key: str
    title: str
    description: str
    wide: str
    narrow: str


def picture(
    key: str,
    title: str,
    description: str,
    paint: Callable[[Figure, bool], None],
    *,
    wide_height_pt: float = 300.0,
    narrow_height_pt: float = 300.0,
) -> Picture:
    """Draw a figure twice with `paint(figure, narrow)` and return both as SVG elements without any URL."""
    shapes = {}
    for shape, width, height in (("w", _WIDE_PT, wide_height_pt), ("n", _NARROW_PT, narrow_height_pt)):
        with _LOCK, mpl.rc_context(_SETTINGS):
            figure = Figure(figsize=(width / 72.0, height / 72.0))
            paint(figure, shape == "n")
            stream = io.StringIO()
            figure.savefig(
                stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
            )
        shapes[shape] = _inline(stream.getvalue(), f"{key}-{shape}", title, description)
    return Picture(key, title, description, shapes["w"], shapes["n"])


def _inline(svg: str, prefix: str, title: str, description: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r"<g id=\"[^\"]*\">", "<g>", svg)  # only definitions and clip paths are ever referred to
    svg = re.sub(r"(\d+\.\d)\d{2,}", r"\1", svg)
    view = re.search(r'viewBox="[^"]*"', svg)
    body = svg[svg.index(">") + 1 :]
    head = (
        f'<svg {view.group(0) if view else ""} role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc" preserveAspectRatio="xMidYMid meet">'
        f'<title id="{prefix}-title">{escape(title)}</title>'
        f'<desc id="{prefix}-desc">{escape(description)}</desc>'
    )
    return head + body.strip()


def margins(figure: Figure, *, left: float, right: float, top: float, bottom: float = 34.0) -> None:
    """Fixed margins in points: cheaper than a layout solver, and the same on every run."""
    width, height = figure.get_size_inches() * 72.0
    figure.subplots_adjust(
        left=left / width, right=1.0 - right / width, bottom=bottom / height, top=1.0 - top / height
    )


def legend(figure: Figure, columns: int) -> float:
    """Legend of all axes at the top left; returns the height it takes, in points."""
    width, height = figure.get_size_inches() * 72.0
    handles, labels = [], []
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.append(handle)
            labels.append(label)
    figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(4.0 / width, 1.0 - 2.0 / height), ncols=columns,
        fontsize=8.5, borderaxespad=0.0,
    )  # fmt: skip
    return 4.0 + 13.0 * -(-len(labels) // columns)


def spread(positions: list[float], gap: float) -> list[float]:
    """Label positions at least `gap` apart, in order of value, moved as little as a sweep allows."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    placed = [positions[i] for i in order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    excess = (sum(placed) - sum(positions)) / max(len(placed), 1)
    out = [0.0] * len(positions)
    for i, value in zip(order, placed, strict=True):
        out[i] = value - excess
    return out


def label_ends(
    axes: Axes, ends: list[tuple[float, float, str, str]], gap: float, offset: float = 4.0
) -> None:
    """Write each line's name at its end: (x, y, words, colour), moved apart when they would overlap."""
    heights = spread([y for _, y, _, _ in ends], gap)
    for (x, _, words, colour), height in zip(ends, heights, strict=True):
        axes.annotate(
            words,
            (x, height),
            xytext=(offset, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=8.5,
            annotation_clip=False,
        )
