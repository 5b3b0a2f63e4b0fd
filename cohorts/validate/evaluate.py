"""A table of predictions judged: every measure, comparison, group, decision and curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cohorts.validate import curves, subgroups
from cohorts.validate.bootstrap import RESAMPLES, Resamples
from cohorts.validate.catalogue import THRESHOLDS
from cohorts.validate.decisions import DECISIONS, Decision, DecisionCurve, decision_curves
from cohorts.validate.lines import as_table, of_models
from cohorts.validate.measures import flagged
from cohorts.validate.table import WEIGHT, Accepted, accept, cases
from twin.errors import UnusableInput


@dataclass(frozen=True)
class Settings:
    """judged : the model that the others are compared with. thresholds : at which women are counted. edges : of numeric
    strata, by name; others are cut into thirds. subgroups_of : models, without: the judged alone."""

    judged: str = "twin"
    resamples: int = RESAMPLES
    seed: int = 0
    thresholds: tuple[float, ...] = THRESHOLDS
    minimum: subgroups.Minimum = field(default_factory=subgroups.Minimum)
    edges: Mapping[str, Sequence[float]] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = DECISIONS
    subgroups_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One outcome at one as-of under one estimand. models : rows by model. calibration, pit : of the judged model, if
    it has any rows."""

    key: dict[str, str]
    judged: str
    models: dict[str, pd.DataFrame]
    calibration: curves.Calibration | None
    pit: curves.Pit | None
    decisions: list[DecisionCurve]

    @property
    def yes_no(self) -> bool:
        return self.key["outcome"] != WEIGHT


@dataclass(frozen=True)
class Evaluation:
    """lines : see `lines.COLUMNS`. counted : women by flag and event, a row per case, model and threshold."""

    accepted: Accepted
    settings: Settings
    cases: list[Case]
    lines: pd.DataFrame
    counted: pd.DataFrame


def evaluate(
    predictions: pd.DataFrame,
    settings: Settings | None = None,
    done: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """predictions : as `table` says. done : told of each case when it is judged.

    Raises : UnusableInput where no row can be used, or none is of the judged model.
    """
    settings = settings or Settings()
    accepted = accept(predictions)
    used = subgroups.labelled(accepted.used, accepted.strata, settings.edges)
    if not (used["model"] == settings.judged).any():
        raise UnusableInput(
            "no-judged-model",
            f"no usable row is of the model {settings.judged!r}; there are {', '.join(used['model'].unique())}. "
            "Nothing was judged. Name the model to be judged.",
        )
    resamples = Resamples.of(used["woman"], settings.resamples, settings.seed)
    found, lines, counted = [], [], []
    for key, models in cases(used):
        ours = models.get(settings.judged)
        yes_no = key["outcome"] != WEIGHT
        lines += of_models(key, models, resamples, settings.judged, settings.thresholds)
        for name in settings.subgroups_of or (settings.judged,):
            if name in models:
                lines += subgroups.of_model(
                    key, models[name], resamples, accepted.strata, settings.minimum, settings.thresholds
                )
        if yes_no:
            counted += [c for name, rows in models.items() for c in _counted(key, name, rows, settings)]
        found.append(
            Case(
                key,
                settings.judged,
                models,
                curves.calibration(ours, resamples) if yes_no and ours is not None else None,
                curves.pit(ours) if not yes_no and ours is not None else None,
                decision_curves(key, models, resamples, settings.judged, settings.decisions),
            )
        )
        done(f"{key['outcome']}, {key['as_of']}, {key['estimand']}")
    return Evaluation(accepted, settings, found, as_table(lines), pd.DataFrame(counted))


def _counted(key: dict[str, str], model: str, rows: pd.DataFrame, settings: Settings) -> list[dict[str, Any]]:
    found = []
    for t in settings.thresholds:
        at = flagged(rows["p"].to_numpy(), rows["y"].to_numpy(), t)
        counts = {name: int(n) for name, n in at._asdict().items()}
        found.append({**key, "model": model, "threshold": t, "n": len(rows), **counts})
    return found
