"""validation.html, results.json, results.csv, predictions.csv and the pictures, of one evaluation.

Where births are simulated, every table, picture and file says `simulation: no accuracy`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jinja2
import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from cohorts.validate import figures
from cohorts.validate.bootstrap import UNDEFINED
from cohorts.validate.catalogue import MEANINGS, meaning
from cohorts.validate.evaluate import Case, Evaluation
from cohorts.validate.measures import CLIP, SPAN
from cohorts.validate.table import ESTIMANDS
from twin import __version__

SCHEMA = "gdm-twin/validation/1"
LABELS = {"real": "real births", "simulated": "simulation: no accuracy"}
ABOUT = dict(
    zip(
        ESTIMANDS,
        (
            "The day of birth was given to the models. These figures say how well fetal size is read and carried to a "
            "known day; they are no forecast, and are better than any forecast's.",
            "As it would have been told on that day, the day of birth unknown.",
        ),
        strict=True,
    )
)
HEADLINE = {
    True: ("auc", "detection_at_10", "scaled_brier", "observed_expected", "calibration_slope", "ici"),
    False: ("mean_ln_error", "sd_ln_error", "slope", "crps", "pinball", "coverage_90", "width_90"),
}
COMPARED = {
    True: ("auc", "detection_at_10", "brier"),
    False: ("sd_ln_error", "crps", "pinball"),
}
GROUPS = {True: ("auc", "observed_expected"), False: ("mean_ln_error", "coverage_90")}


def write(
    found: Evaluation,
    out: Path,
    *,
    data: str,
    births: Literal["real", "simulated"],
    models: Mapping[str, str] | None = None,
    left_out: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Write all files to the folder `out`; returns what stands in results.json.

    data : which women these are, in words; it must not be empty. models : what each model is. left_out : comparators
    that could not be fitted, of `comparators.Compared`.
    Raises : ValueError where data is empty or births is neither real nor simulated.
    """
    if not data.strip() or births not in LABELS:
        raise ValueError(
            "a validation says which data it is of, and whether births are `real` or `simulated`"
        )
    label = LABELS[births]
    (out / "figures").mkdir(parents=True, exist_ok=True)
    drawn = _draw(found, out / "figures", "" if births == "real" else label)
    told = as_told(found, data=data, births=births, models=models, left_out=left_out)
    found.lines.assign(births=label).to_csv(out / "results.csv", index=False)
    found.accepted.used.assign(births=label).to_csv(out / "predictions.csv", index=False)
    found.accepted.rejected.assign(births=label).to_csv(out / "rejected.csv", index=False)
    (out / "results.json").write_text(json.dumps(told, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string((resources.files("cohorts.validate") / "validation.html").read_text(encoding="utf-8"))
    page = template.render(
        told=told,
        label=label,
        simulated=births == "simulated",
        version=__version__,
        span=SPAN,
        clip=CLIP,
        undefined=100 * UNDEFINED,
        judged=found.settings.judged,
        sections=_sections(found, drawn, out / "figures"),
    )
    (out / "validation.html").write_text(page, encoding="utf-8")
    return told


def as_told(
    found: Evaluation,
    *,
    data: str,
    births: Literal["real", "simulated"],
    models: Mapping[str, str] | None = None,
    left_out: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """results.json: everything, with null where a value is not defined."""
    s, accepted = found.settings, found.accepted
    others = [m for m in accepted.used["model"].unique() if m != s.judged]
    told: dict[str, Any] = {
        "schema": SCHEMA,
        "code_version": __version__,
        "data": data,
        "births": births,
        "label": LABELS[births],
        "judged": s.judged,
        "models": {m: (models or {}).get(m, "") for m in [s.judged, *others]},
        "settings": {
            "resamples": s.resamples,
            "seed": s.seed,
            "thresholds": list(s.thresholds),
            "minimum": asdict(s.minimum),
            "edges": {k: list(v) for k, v in s.edges.items()},
            "clip": CLIP,
            "span": SPAN,
        },
        "counts": {
            "rows": len(accepted.used) + len(accepted.rejected),
            "used": len(accepted.used),
            "rejected": len(accepted.rejected),
            "rejected_by_reason": accepted.counts,
            "women": int(accepted.used["woman"].nunique()),
        },
        "left_out": [] if left_out is None else left_out.to_dict("records"),
        "measures": {k: m._asdict() for k, m in MEANINGS.items()},
        "lines": found.lines.to_dict("records"),
        "thresholds": found.counted.to_dict("records"),
        "decisions": [
            c.case | {k: v for k, v in vars(c).items() if k != "case"}
            for c in (d for x in found.cases for d in x.decisions)
        ],
        "calibration": [c.key | c.calibration._asdict() for c in found.cases if c.calibration],
        "pit": [c.key | c.pit._asdict() for c in found.cases if c.pit],
    }
    return {k: _plain(v) for k, v in told.items()}


def _plain(x: Any) -> Any:
    """As JSON has it: lists for arrays and named tuples by name, null for what is not a number."""
    if isinstance(x, Mapping):
        return {str(k): _plain(v) for k, v in x.items()}
    if hasattr(x, "_asdict"):
        return _plain(x._asdict())
    if isinstance(x, np.ndarray | list | tuple):
        return [_plain(v) for v in x]
    if isinstance(x, np.generic):
        x = x.item()
    if x is pd.NA or (isinstance(x, float) and not math.isfinite(x)):
        return None
    return x


def _draw(found: Evaluation, folder: Path, banner: str) -> dict[int, list[tuple[str, str]]]:
    """Pictures of each case by its place: file name and what it shows."""
    drawn: dict[int, list[tuple[str, str]]] = {}
    for i, case in enumerate(found.cases):
        made: dict[str, tuple[str, Figure]] = {}
        if case.calibration:
            made["calibration"] = ("Calibration", figures.calibration(case, banner))
            made["roc"] = ("Discrimination", figures.roc(case, found.lines, banner))
        if case.decisions:
            made["decisions"] = ("Decision curves", figures.decisions(case, banner))
        if case.pit:
            made["weight"] = ("Intervals of birth weight", figures.weight(case, found.lines, banner))
        if found.accepted.strata and (case.calibration or case.pit):
            made["groups"] = (
                "Groups of women",
                figures.forest(case, found.lines, found.accepted.strata, banner),
            )
        drawn[i] = []
        for kind, (title, figure) in made.items():
            name = f"{i:02d}_{case.key['outcome']}_{kind}.svg"
            with mpl.rc_context(
                {"svg.fonttype": "none"}
            ):  # text stays text: to be searched, and half the size
                figure.savefig(folder / name, metadata={"Date": None})
            drawn[i].append((name, title))
    return drawn


def _sections(
    found: Evaluation, drawn: Mapping[int, list[tuple[str, str]]], folder: Path
) -> list[dict[str, Any]]:
    """By estimand and outcome, each with its as-ofs."""
    sections: dict[tuple[str, str], dict[str, Any]] = {}
    for i, case in enumerate(found.cases):
        key = (case.key["estimand"], case.key["outcome"])
        section = sections.setdefault(
            key,
            {
                "id": f"s{len(sections)}",
                "estimand": key[0],
                "about": ABOUT[key[0]],
                "title": figures.OUTCOMES[key[1]],
                "yes_no": case.yes_no,
                "heads": [_head(m) for m in HEADLINE[case.yes_no]],
                "compared": [_head(m) for m in COMPARED[case.yes_no]],
                "grouped": [_head(m) for m in GROUPS[case.yes_no]],
                "as_ofs": [],
            },
        )
        section["as_ofs"].append(_as_of(found, case, drawn[i], folder))
    order = {e: i for i, e in enumerate(ESTIMANDS[::-1])}  # forecasts first
    return sorted(sections.values(), key=lambda s: order[s["estimand"]])


def _head(measure: str) -> str:
    m = meaning(measure)
    return f"{m.label}, {m.unit}" if m.unit else m.label


def _as_of(found: Evaluation, case: Case, drawn: list[tuple[str, str]], folder: Path) -> dict[str, Any]:
    here = found.lines
    for name, value in case.key.items():
        here = here[here[name] == value]
    everybody = here[here["stratum"] == ""]
    judged = found.settings.judged
    counted = found.counted
    for name, value in {**case.key, "model": judged}.items():
        counted = counted[counted[name] == value] if len(counted) else counted
    groups = here[(here["stratum"] != "") & (here["model"] == judged)]
    names = [judged, *(m for m in case.models if m != judged)]
    return {
        "as_of": case.key["as_of"],
        "models": [_model(everybody[everybody["versus"] == ""], m, case) for m in names if m in case.models],
        "differences": [
            _difference(everybody[everybody["versus"] == m], m, case)
            for m in names[1:]
            if (everybody["versus"] == m).any()
        ],
        "thresholds": [_threshold(r) for r in counted.to_dict("records")],
        "groups": _groups(groups, case),
        "chance": _by_chance(groups[groups["measure"].isin(GROUPS[case.yes_no])]),
        "figures": [(title, _inline(folder / name)) for name, title in drawn],
    }


def _model(lines: pd.DataFrame, model: str, case: Case) -> dict[str, Any]:
    mine = lines[lines["model"] == model].set_index("measure")
    first = mine.iloc[0]
    events = "" if pd.isna(first["events"]) else int(first["events"])
    cells = [_cell(mine.loc[m], m) for m in HEADLINE[case.yes_no]]
    return {"model": model, "n": int(first["n"]), "events": events, "cells": cells}


def _cell(line: Mapping[str, Any], measure: str, more: int = 0) -> str:
    """Value and 95 % interval. more : digits; a difference has one."""
    value, low, high = (meaning(measure).shown(line[k], more) for k in ("value", "low", "high"))
    if not value:
        return "not known"
    return f"{value} ({low} to {high})" if low else value


def _difference(lines: pd.DataFrame, versus: str, case: Case) -> dict[str, Any]:
    by = lines.set_index("measure")
    cells = []
    for measure in COMPARED[case.yes_no]:
        line = by.loc[measure]
        cells.append((_cell(line, measure, 1), verdict(line["low"], line["high"], measure)))
    return {"versus": versus, "n": int(by["n"].iloc[0]), "cells": cells}


def verdict(low: float, high: float, measure: str) -> str:
    """Of a difference by its 95 % interval: better, worse or not told apart; nothing of a measure without a better."""
    best = meaning(measure).best
    if not np.isfinite(low) or best not in ("higher", "lower"):
        return ""
    if low <= 0.0 <= high:
        return "not told apart"
    return "better" if (low > 0.0) == (best == "higher") else "worse"


def _threshold(row: Mapping[str, Any]) -> dict[str, str]:
    tp, fp, fn, tn = (row[k] for k in ("true_positive", "false_positive", "false_negative", "true_negative"))

    def share(a: int, b: int) -> str:
        return f"{100.0 * a / b:.0f}" if b else "-"

    return {
        "threshold": f"{100.0 * row['threshold']:g}",
        "flagged": f"{tp + fp} of {row['n']}",
        **{k: str(v) for k, v in (("tp", tp), ("fp", fp), ("fn", fn), ("tn", tn))},
        "sensitivity": share(tp, tp + fn),
        "specificity": share(tn, tn + fp),
        "ppv": share(tp, tp + fp),
        "npv": share(tn, tn + fn),
        "false_per_true": f"{fp / tp:.1f}" if tp else "-",
    }


def _groups(lines: pd.DataFrame, case: Case) -> list[dict[str, Any]]:
    found = []
    for (stratum, level), here in lines.groupby(["stratum", "level"], sort=False):
        first = here.iloc[0]
        row = {
            "stratum": stratum,
            "level": level,
            "n": int(first["n"]),
            "events": "" if pd.isna(first["events"]) else int(first["events"]),
            "note": first["note"],
            "cells": [],
        }
        if not first["note"]:
            own, gap = (here[here["versus"] == v].set_index("measure") for v in ("", "rest"))
            for m in GROUPS[case.yes_no]:
                row["cells"].append(
                    {
                        "value": _cell(own.loc[m], m),
                        "gap": _cell(gap.loc[m], m, 1) if m in gap.index else "rest too small",
                        "apart": bool(m in gap.index and not gap.loc[m, "low"] <= 0.0 <= gap.loc[m, "high"]),
                        "detectable": meaning(m).shown(gap.loc[m, "detectable"]) if m in gap.index else "",
                    }
                )
        found.append(row)
    return found


def _by_chance(lines: pd.DataFrame) -> dict[str, Any]:
    """How many differences from the rest there are, how many exclude 0, and how many would by chance."""
    gaps = lines[(lines["versus"] == "rest") & lines["low"].notna()]
    apart = int(((gaps["low"] > 0.0) | (gaps["high"] < 0.0)).sum())
    return {"all": len(gaps), "apart": apart, "expected": f"{0.05 * len(gaps):.1f}"}


def _inline(path: Path) -> Markup:
    """The picture of a file we have written ourselves."""
    text = path.read_text(encoding="utf-8")
    return Markup(text[text.index("<svg") :])
