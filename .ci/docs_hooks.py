"""Documentation build: equations as MathML (no script, no network), numbers and tables read from the code.

In a page, `{{ value twin.encode.SMOKING_LN }}` is that constant (`:KEY` picks from a mapping), and
`{{ table NAME }}` one of the tables below. A name that does not exist stops the build, so a page cannot drift
from the code.
"""

from __future__ import annotations

import html
import importlib
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

ROOT = Path(__file__).resolve().parents[1]
_MARK = re.compile(r"\{\{ (value|table) ([\w.:-]+) \}\}")
_MATH = re.compile(
    r'<(span|div) class="arithmatex">(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<block>.*?)\\\])</\1>', re.DOTALL
)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    def replace(match: re.Match[str]) -> str:
        kind, name = match.groups()
        try:
            return _value(name) if kind == "value" else _table(name)
        except (ImportError, AttributeError, KeyError, OSError) as why:
            raise PluginError(f"{page.file.src_path}: {match.group(0)}: {why!r}") from why

    return _MARK.sub(replace, markdown)


def on_page_content(content: str, page: Any, **_: Any) -> str:
    def replace(match: re.Match[str]) -> str:
        block = match["block"] is not None
        latex = html.unescape(match["block"] if block else match["inline"]).strip()
        try:
            return convert(latex, display="block" if block else "inline")
        except Exception as why:
            raise PluginError(f"{page.file.src_path}: equation {latex!r} is not understood: {why!r}") from why

    return _MATH.sub(replace, content)


def _lookup(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    if (
        str(ROOT) not in sys.path
    ):  # pages quote the figures of the checks, too; the path of loading is not that of building
        sys.path.append(str(ROOT))
    return getattr(importlib.import_module(module), attribute)


def _value(name: str) -> str:
    name, _, key = name.partition(":")
    value = _lookup(name)[key] if key else _lookup(name)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    return str(value)


def _rows(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(str(c).replace("|", "\\|") for c in line) + " |" for line in lines)


def _table(name: str) -> str:
    kind, _, argument = name.partition(":")
    return {
        "prior": _prior,
        "constants": _constants,
        "effects": _effects,
        "covariates": _covariates,
        "series": _series,
        "columns": _columns,
        "symbols": _symbols,
        "map": _map,
    }[kind](argument)


def _artefact(prior: str) -> dict[str, Any]:
    source = ROOT / "twin" / "inference" / "data" / f"{prior}.toml"
    return tomllib.loads(source.read_text(encoding="utf-8"))


def _constants(prior: str) -> str:
    rows = [
        (f"`{k}`", f"{v['value']:g}", f"{v['sd']:g}", v["evidence"])
        for k, v in _artefact(prior)["constant"].items()
    ]
    return _rows(("constant", "value", "sd", "evidence"), rows)


def _effects(prior: str) -> str:
    rows = [
        (f"`{target}`", f"`{covariate}`", f"{v['value']:g}", f"{v['sd']:g}", v["evidence"])
        for target, each in _artefact(prior)["effect"].items()
        for covariate, v in each.items()
    ]
    return _rows(("on", "of", "value", "sd", "evidence"), rows)


def _covariates(prior: str) -> str:
    rows = [
        (f"`{k}`", f"{v['mean']:g}", f"{v['sd']:g}", v["evidence"])
        for k, v in _artefact(prior)["covariate"].items()
    ]
    return _rows(("covariate", "mean or share", "SD", "evidence"), rows)


def _prior(prior: str) -> str:
    """Every latent of a packaged prior."""
    latents = _artefact(prior)["latent"]
    rows = [
        (
            f"`{key}`",
            "ln-normal" if row["transform"] == "ln" else "normal",
            f"{row['center']:g}",
            f"{row['sd']:g}",
            f"{row['center_sd']:g}",
            row["evidence"],
        )
        for key, row in latents.items()
    ]
    return _rows(("latent", "shape", "center", "sd", "center_sd", "evidence"), rows)


def _series(attribute: str) -> str:
    """Variables of a dataset: name, unit, long name."""
    table = _lookup(f"twin.schema.{attribute}")
    return _rows(
        ("variable", "unit", "long name"), [(f"`{k}`", unit, text) for k, (unit, text) in table.items()]
    )


def _columns(_: str) -> str:
    """The tables of a record with their columns."""
    columns = _lookup("twin.record.COLUMNS")
    return _rows(
        ("table", "columns"),
        [(f"`{t}.parquet`", ", ".join(f"`{c}`" for c in cs)) for t, cs in columns.items()],
    )


def _symbols(name: str) -> str:
    """Fields of a parameter class with unit, meaning, median and source."""
    rows = []
    for key, field in _lookup(name).__dataclass_fields__.items():
        m = field.metadata
        rows.append((f"`{key}`", m["meaning"], f"{m['median']:g}", m["unit"], m["source"]))
    return _rows(("symbol", "meaning", "median", "unit", "source"), rows)


def _map(name: str) -> str:
    """A mapping of names to numbers."""
    return _rows(("name", "value"), [(f"`{k}`", f"{v:g}") for k, v in _lookup(name).items()])
