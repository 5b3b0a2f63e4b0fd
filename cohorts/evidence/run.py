"""The evidence, row by row: every design simulated, its statistics beside the published ones."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cohorts.evidence.designs import course, days, direct, growth, hapo, people, tests, trials
from cohorts.evidence.rules import Rule, load_rules
from cohorts.population.population import Arrays, Population
from scenarios.cli import start_engine

Statistics = Mapping[str, tuple[float, ...]]
GROUPS = 5  # of the delete-a-group jackknife that gives Monte-Carlo errors


@dataclass(frozen=True)
class Design:
    """simulate : population and number of women to arrays; statistics : arrays to rows. women : of a full run. cost :
    about how long one takes, to begin with the longest."""

    name: str
    simulate: Callable[[Population, int], Arrays]
    statistics: Callable[[Arrays], Statistics]
    women: int
    cost: float = 1.0


DESIGNS: tuple[Design, ...] = (
    Design("direct", direct.simulate, direct.statistics, 16_384),
    Design("course", course.simulate, course.statistics, 32_768),
    Design("hapo", hapo.simulate, hapo.statistics, 106_496, 5.0),
    Design("tests", tests.simulate, tests.statistics_followed, 65_536, 4.0),
    Design("east-asian", tests.simulate_east_asian, tests.statistics_east_asian, 32_768),
    Design("days", days.simulate, days.statistics, 16_384),
    Design("growth", growth.simulate, growth.statistics, 32_768),
    Design("people", people.simulate, people.statistics, 32_768),
    Design("trials", trials.simulate, trials.statistics, 32_768, 9.0),
)


class Found(NamedTuple):
    """A row's model values and their Monte-Carlo standard errors."""

    values: tuple[float, ...]
    errors: tuple[float, ...]


def evaluate(design: Design, population: Population, women: int) -> dict[str, Found]:
    """The design's rows, with Monte-Carlo errors from leaving out each fifth of the women."""
    arrays = design.simulate(population, women)
    every = design.statistics(arrays)
    n = next(iter(arrays.values())).shape[-1]
    group = np.arange(n) * GROUPS // n
    less = [design.statistics({k: v[..., group != g] for k, v in arrays.items()}) for g in range(GROUPS)]
    found = {}
    for row, values in every.items():
        left_out = np.array([s[row] for s in less])
        spread = (left_out - left_out.mean(axis=0)) ** 2
        errors = np.sqrt((GROUPS - 1) / GROUPS * spread.sum(axis=0))
        found[row] = Found(tuple(map(float, values)), tuple(map(float, errors)))
    return found


def run(
    population: Population,
    out: Path,
    *,
    share: float = 1.0,
    workers: int = 1,
    done: Callable[[str], None] = lambda _: None,
    designs: Sequence[Design] = DESIGNS,
) -> dict[str, Found]:
    """All designs; each is stored when it is done, so that a run that was stopped goes on.

    share : of the women. workers : processes, each with a design at a time; the figures are the same.
    """
    out.mkdir(parents=True, exist_ok=True)
    asked = [(d, population, women_of(d, share), out) for d in designs]
    found: dict[str, dict[str, Found]] = {}
    if workers == 1:
        for a in asked:
            found |= dict([_stored_or_made(a)])
            done(a[0].name)
    else:
        # those that take longest first
        with ProcessPoolExecutor(workers, get_context("spawn"), start_engine) as pool:
            going = [pool.submit(_stored_or_made, a) for a in sorted(asked, key=lambda a: -a[0].cost)]
            for made in as_completed(going):
                found |= dict([made.result()])
                done(made.result()[0])
    return {row: f for d in designs for row, f in found[d.name].items()}


def women_of(design: Design, share: float) -> int:
    return max(2048, round(share * design.women))


def _stored_or_made(asked: tuple[Design, Population, int, Path]) -> tuple[str, dict[str, Found]]:
    design, population, women, out = asked
    key = f"{_identity(population)} {women} {source_hash()}"
    path = out / f"design-{design.name}.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    if stored.get("key") != key:
        rows = evaluate(design, population, women)
        stored = {"key": key, "women": women, "rows": {r: [*f] for r, f in rows.items()}}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(stored))
        part.replace(path)
    return design.name, {r: Found(tuple(v), tuple(e)) for r, (v, e) in stored["rows"].items()}


@functools.cache
def source_hash() -> str:
    """Of the code that makes the figures: a stored design counts for the code that made it."""
    found = hashlib.sha256()
    for package in ("twin", "cohorts"):
        root = Path(str(resources.files(package)))
        for path in sorted(root.rglob("*.py")):
            found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:12]


def _identity(population: Population) -> str:
    numbers = sorted((k, float(v)) for k, v in population.numbers.items())
    return hashlib.sha256(f"{population.prior.sha256} {population.standard} {numbers}".encode()).hexdigest()[
        :16
    ]


def table(found: Mapping[str, Found], rules: Sequence[Rule] | None = None) -> pd.DataFrame:
    """One line per rule, in their order, without others those of the evidence; what no design computes says so."""
    rules = list(load_rules().values()) if rules is None else rules
    return pd.DataFrame([_line(rule, found.get(rule.row)) for rule in rules])


def _line(rule: Rule, found: Found | None) -> dict[str, object]:
    both = found is not None and bool(rule.published)
    met = rule.met(found.values) if both and found is not None else ()
    return {
        "row": rule.row,
        "study": rule.study,
        "statistic": rule.statistic,
        "design": rule.design,
        "unit": rule.unit,
        "published": list(rule.published),
        "low": list(rule.low),
        "high": list(rule.high),
        "model": list(found.values) if found else [],
        "error": list(found.errors) if found else [],
        "met": bool(all(met)) if both else None,
        "role": rule.role,
        "counted": rule.counted,
        "reason": rule.reason
        or ("" if found or rule.role == "inexpressible" or not rule.published else "no design yet"),
    }


class Score(NamedTuple):
    """rows, studies : counted. share : of rows met, every study weighing the same."""

    rows: int
    studies: int
    share: float


def score(lines: pd.DataFrame, role: str) -> Score:
    """Counted rows of a role; one that no design computes is a miss."""
    some = lines[(lines["role"] == role) & lines["counted"]]
    by_study = some.assign(met=some["met"].eq(True)).groupby("study")["met"].mean()
    return Score(len(some), len(by_study), float(by_study.mean()) if len(by_study) else float("nan"))
