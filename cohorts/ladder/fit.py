"""Learning numbers of the prior from what its virtual women show: Gauss-Newton with common random numbers.

Unknown are steps of the numbers (`numbers.scales`), normal with SD 1 before any evidence. What is compared are the
statistics of designs with their published values; a row's standard error is a quarter of its band, and what the number
of virtual women leaves open. The women are the same at every point, so statistics are smooth in the numbers and
differences are sharp; of a rare group of women they are not, and its row says less. A row counts once, however many
numbers it states: they are of the same women. Residuals beyond the band count
by their size, not their square (pseudo-Huber): a row that no population can meet pulls no harder the further it is. The
covariance at the end is what the evidence leaves open: the prior's own draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cohorts.evidence.rules import Rule
from cohorts.population.numbers import Scale

Statistics = Mapping[str, tuple[float, ...]]
Model = Callable[[Mapping[str, float]], Statistics]
#: numbers, statistics there, and points that differ from them in one number each, by its name: statistics of each
Neighbours = Callable[[Statistics, Mapping[str, Mapping[str, float]]], Sequence[Statistics]]

BEND = 2.0  # standard errors, the edge of the band, from which a residual counts by its size
DIFFERENCE = 0.5  # steps, of the differences that stand for derivatives
LARGEST_STEP = 1.5
RECALLED_WIDER = 2.0  # a recalled figure counts with twice its error,
BARS = "set by the project"  # but not one whose band is the project's own bar


class Fitted(NamedTuple):
    """steps, covariance : of the unknowns. residual : of each compared number, (model - published) / error."""

    steps: np.ndarray
    covariance: np.ndarray
    numbers: dict[str, float]
    residual: dict[str, tuple[float, ...]]
    history: list[float]

    def as_json(self) -> dict[str, Any]:
        return self._asdict() | {"steps": self.steps.tolist(), "covariance": self.covariance.tolist()}

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Fitted:
        residual = {row: tuple(v) for row, v in found["residual"].items()}
        arrays = {k: np.array(found[k]) for k in ("steps", "covariance")}
        return Fitted(**{**found, **arrays, "residual": residual})


def errors(rule: Rule, noise: Sequence[float] = (0.0,)) -> np.ndarray:
    """noise : Monte-Carlo standard errors of the rule's numbers."""
    half = 0.5 * (np.array(rule.high) - np.array(rule.low))
    sure = rule.counted or rule.band_from.startswith(BARS)
    return np.hypot(0.5 * half * (1.0 if sure else RECALLED_WIDER), noise)


def learn(
    model: Model,
    scales: Sequence[Scale],
    rules: Sequence[Rule],
    *,
    noise: Mapping[str, Sequence[float]] | None = None,
    times: Mapping[str, float] | None = None,
    rounds: int = 5,
    begin: np.ndarray | None = None,
    neighbours: Neighbours | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit the numbers to the rules' published values.

    model : numbers to statistics by row. noise : Monte-Carlo standard errors of the rows. times : what a row counts,
    where not once. begin : steps to begin at.
    neighbours : the statistics of points that differ in one number, by a shorter way than the model.
    """
    if neighbours is None:

        def neighbours(_: Statistics, points: Mapping[str, Mapping[str, float]]) -> list[Statistics]:
            return [model(p) for p in points.values()]

    def numbers(steps: np.ndarray) -> dict[str, float]:
        return {s.name: float(s.at(float(x))) for s, x in zip(scales, steps, strict=True)}

    error = {r.row: errors(r, (noise or {}).get(r.row, (0.0,))) for r in rules}

    def residuals(found: Statistics) -> tuple[np.ndarray, dict[str, tuple[float, ...]]]:
        each = {
            r.row: tuple(float(x) for x in (np.array(found[r.row]) - np.array(r.published)) / error[r.row])
            for r in rules
        }
        return np.concatenate([np.array(v) for v in each.values()]), each

    counts = [(times or {}).get(r.row, 1.0) / len(r.published) for r in rules]
    once = np.repeat(counts, [len(r.published) for r in rules])

    def loss(r: np.ndarray, steps: np.ndarray) -> float:
        bent = 2.0 * BEND**2 * (np.sqrt(1.0 + (r / BEND) ** 2) - 1.0)
        return float((once * bent).sum() + steps @ steps)

    steps = np.zeros(len(scales)) if begin is None else begin.copy()
    here = model(numbers(steps))
    r, each = residuals(here)
    history = [loss(r, steps)]
    damping, H = 1e-2, np.eye(len(scales))
    for turn in range(rounds):
        points = {}
        for i, s in enumerate(scales):
            moved = steps.copy()
            moved[i] += DIFFERENCE
            points[s.name] = numbers(moved)
        J = np.stack([(residuals(f)[0] - r) / DIFFERENCE for f in neighbours(here, points)], axis=1)
        weight = once / np.sqrt(1.0 + (r / BEND) ** 2)
        H = (J.T * weight) @ J + np.eye(len(scales))
        gradient = J.T @ (weight * r) + steps
        for _ in range(6):
            move = -np.linalg.solve(H + damping * np.diag(np.diag(H)), gradient)
            move *= min(1.0, LARGEST_STEP / np.abs(move).max())
            there = model(numbers(steps + move))
            new, new_each = residuals(there)
            value = loss(new, steps + move)
            if value < history[-1]:
                steps, here, r, each = steps + move, there, new, new_each
                damping = max(damping / 3.0, 1e-4)
                history.append(value)
                break
            damping = max(4.0 * damping, 0.1)
        else:
            break
        say(f"round {turn + 1}: {history[-2]:.1f} to {history[-1]:.1f}")
        if history[-2] - history[-1] < 0.005 * history[-1]:
            break
    return Fitted(steps, np.linalg.inv(H), numbers(steps), each, history)
