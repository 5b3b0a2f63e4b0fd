"""The calibration ladder [MODEL 5]: what is learnt on each rung, from which designs; what was learnt before stays."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from cohorts.evidence.designs import course, days, growth, hapo, people, tests, trials
from cohorts.evidence.rules import Rule, load_rules
from cohorts.evidence.run import Design, Statistics, evaluate, source_hash
from cohorts.ladder.fit import Fitted, learn
from cohorts.population.numbers import POSITIVE_CONSTANTS, scales
from cohorts.population.population import Population
from scenarios.cli import start_engine
from twin.inference.priors import Latent, Prior


@dataclass(frozen=True)
class Rung:
    """names : numbers learnt. designs : what they are learnt from, with few women. skip : rows these designs give that
    belong to another rung. rounds : of Gauss-Newton, at most."""

    name: str
    names: tuple[str, ...]
    designs: tuple[Design, ...]
    skip: tuple[str, ...] = ()
    rounds: int = 4


def _of(kind: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{kind}.{name}" for name in names)


MOTHER = Rung(
    "tolerance tests and the course of pregnancy",
    (
        *_of(
            "center",
            "S_I",
            "R0",
            "E_G0",
            "K_d",
            "k_e",
            "k_a",
            "G_s",
            "p2",
            "n",
            "U_fp",
            "d_SI",
            "w50",
            "kappa",
        ),
        *_of("sd", "S_I", "B", "R0", "E_G0", "K_d", "k_e", "VG", "n", "G_s", "p2"),
        *_of(
            "constant",
            "coupling",
            "test_S_I",
            "test_B",
            "test_k_e",
            "early_S_I",
            "early_B",
            "production_rise",
        ),
        *_of("effect", "S_I.bmi", "R0.bmi"),
        "measure.load_emptying",
        "measure.held_back",
        "measure.routine_plasma",
        "site.east_asia_B",
    ),
    (
        Design("course", course.simulate, course.statistics, 8192),
        Design("hapo tests", hapo.simulate_tests, hapo.statistics_tests, 16_384),
        Design("tests", tests.simulate_tests, tests.statistics, 16_384),
        Design("east-asian", tests.simulate_east_asian, tests.statistics_east_asian, 8192),
    ),
)
DAYS = Rung(
    "days",
    (
        *_of("center", "carbohydrate", "sensor_offset", "cgm_cv", "s_ex"),
        *_of("sd", "sensor_offset", "carbohydrate"),
        *_of("effect", "meals.bmi"),
        "measure.old_meter",
    ),
    (Design("days", days.simulate, days.statistics, 4096),),
)
FETUS = Rung(
    "growth without diabetes",
    (
        *_of("center", "fatness"),
        *_of("sd", "theta", "fatness", "head", "shape_hc_mm", "shape_ac_mm", "shape_fl_mm", "shape_bpd_mm"),
        *_of("constant", "xi_sd", "xi_weeks", "weight_39_g"),
        *_of("effect", "theta.male", "fat.male", "theta.smoking", "theta.hypertension", "late_growth.parous"),
        *_of("effect", "growth.height", "growth.age", "growth.bmi", "growth.gain"),
        "measure.observers",
    ),
    (
        Design("growth", growth.simulate, growth.statistics, 8192),
        Design("people", people.simulate, people.statistics, 8192),
    ),
)
BIRTHS = Rung(
    "glucose and birth weight",
    (
        *_of("center", "gain", "fat_share"),
        *_of("measure", "cord_gain", "cord_ln_sd"),
    ),
    (Design("hapo", hapo.simulate, hapo.statistics, 16_384),),
    skip=("A-OGTT-01", "A-OGTT-02", "A-OGTT-03", "B-DX-04"),
)
CARE = Rung(
    "treatment",
    (*_of("center", "E_max"), *_of("care", "diet", "diet_gain_kg", "metformin_gain_kg")),
    (Design("trials", trials.simulate, trials.statistics, 16_384),),
)
APART = (MOTHER, DAYS, FETUS, BIRTHS, CARE)
#: every number again, from where its rung left it, by all rows at once: a row of one rung says something of another's
TOGETHER = Rung(
    "all together",
    tuple(name for rung in APART for name in rung.names),
    (
        Design("course", course.simulate, course.statistics, 16_384),
        Design("hapo", hapo.simulate, hapo.statistics, 16_384),
        Design("tests", tests.simulate_tests, tests.statistics, 16_384),
        Design("east-asian", tests.simulate_east_asian, tests.statistics_east_asian, 16_384),
        Design("days", days.simulate, days.statistics, 4096),
        Design("growth", growth.simulate, growth.statistics, 8192),
        Design("people", people.simulate, people.statistics, 8192),
        Design("trials", trials.simulate, trials.statistics, 16_384),
    ),
    rounds=6,
)
LADDER = (*APART, TOGETHER)

#: rows on the way from glucose to birth weight, which a forecast rests on more than on any other: HAPO's test and its
#: odds ratios, weight by week and with a diagnosis in US births
HEADLINE = (
    *("A-OGTT-01", "A-OGTT-02", "A-OGTT-03", "D-HAPO-01", "D-HAPO-03", "D-HAPO-05"),
    *("US-MEAN", "US-SD", "US-GDM"),
)
HEADLINE_TIMES = 3.0

_FETAL = ("hapo", "growth", "people", "trials")
#: designs that a number matters to; of the others, all
MATTERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((*FETUS.names, *BIRTHS.names), _FETAL),
    **{name: ("growth", "people") for name in FETUS.names if "shape" in name or "head" in name},
    **dict.fromkeys(("center.sensor_offset", "sd.sensor_offset", "center.cgm_cv"), ("days",)),
    **dict.fromkeys(("center.s_ex", "measure.old_meter"), ("days",)),
    **dict.fromkeys(("measure.held_back", "measure.routine_plasma"), ("course",)),
    **dict.fromkeys(CARE.names, ("trials",)),
    "care.diet": ("days", "trials"),
    "measure.load_emptying": ("tests", "east-asian", "trials"),
    "measure.cord_gain": ("hapo", "trials"),
    "measure.cord_ln_sd": ("hapo",),
    "measure.observers": ("growth", "people"),
    "site.east_asia_B": ("east-asian",),
}


class Climbed(NamedTuple):
    """The prior with what was learnt in place, numbers beside it, and each rung's fit by name."""

    prior: Prior
    numbers: dict[str, float]
    fits: dict[str, Fitted]


def rules_of(rung: Rung, rows: Container[str], people: Sequence[Rule] = ()) -> list[Rule]:
    """Rows to calibrate on that the rung's designs give. people : rows of real data, beside the evidence."""
    every = {**load_rules(), **{r.row: r for r in people}}
    return [
        r
        for row, r in every.items()
        if r.role == "calibrate" and r.published and row in rows and row not in rung.skip
    ]


def climb(
    prior: Prior,
    *,
    standard: str = "hadlock1991",
    ladder: Sequence[Rung] = LADDER,
    people: Sequence[Rule] = (),
    workers: int = 1,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Climbed:
    """Learn rung by rung.

    people : rows of real data. workers : processes that try numbers side by side. folder : keeps each rung's fit, so
    that a climb that was stopped goes on.
    """
    numbers: dict[str, float] = {}
    fits: dict[str, Fitted] = {}
    steps: dict[str, float] = {}
    own = hashlib.sha256(
        repr((people, [(r.names, r.rounds, [d.women for d in r.designs]) for r in ladder])).encode()
    )
    for i, rung in enumerate(ladder):
        key = f"{source_hash()} {prior.sha256} {standard} {own.hexdigest()} {sorted(numbers.items())}"
        kept = folder / f"rung-{i + 1}.json" if folder else None
        stored = _stored(kept, key) if kept else None
        if stored:
            say(f"{rung.name}: as stored")
        start = scales(prior, rung.names)
        known = {k: v for k, v in numbers.items() if k not in rung.names}
        model = functools.partial(shown, prior, standard, rung, known)
        if not stored:
            say(f"{rung.name}: {len(start)} numbers")
            begin = np.array([steps.get(s.name, 0.0) for s in start])
            now = {s.name: s.at(float(x)) for s, x in zip(start, begin, strict=True)}
            population = _population(prior, standard, known, now)
            rows = {row: f for d in rung.designs for row, f in evaluate(d, population, d.women).items()}
            rules = rules_of(rung, rows, people)
            with _Nearby(prior, standard, rung, known, workers) as nearby:
                stored = learn(
                    model,
                    start,
                    rules,
                    times=dict.fromkeys(HEADLINE, HEADLINE_TIMES),
                    noise={row: f.errors for row, f in rows.items()},
                    rounds=rung.rounds,
                    begin=begin,
                    neighbours=nearby,
                    say=say,
                )
        fits[rung.name] = stored
        numbers |= stored.numbers
        steps |= dict(zip(stored.numbers, stored.steps, strict=True))
        if kept:
            part = kept.with_suffix(".part")
            part.write_text(json.dumps({"key": key, **stored.as_json()}))
            part.replace(kept)
    return Climbed(learnt(prior, numbers, fits), numbers, fits)


def _stored(path: Path, key: str) -> Fitted | None:
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    return Fitted.from_json(found) if found.pop("key") == key else None


def shown(
    prior: Prior,
    standard: str,
    rung: Rung,
    known: Mapping[str, float],
    tried: Mapping[str, float],
    moved: str | None = None,
) -> Statistics:
    """Statistics of a rung's designs under numbers known from earlier rungs and tried on this one.

    moved : only the designs that this number matters to.
    """
    population = _population(prior, standard, known, tried)
    found: dict[str, tuple[float, ...]] = {}
    for design in rung.designs if moved is None else _designs_of(moved, rung):
        found |= design.statistics(design.simulate(population, design.women))
    return found


def _population(
    prior: Prior, standard: str, known: Mapping[str, float], tried: Mapping[str, float]
) -> Population:
    return Population(prior, {k: jnp.float32(v) for k, v in {**known, **tried}.items()}, standard)


def _designs_of(name: str, rung: Rung) -> list[Design]:
    """The rung's designs that a number matters to."""
    return [d for d in rung.designs if name not in MATTERS or d.name in MATTERS[name]]


class _Nearby:
    """Statistics of points that differ in one number, in processes side by side."""

    def __init__(
        self, prior: Prior, standard: str, rung: Rung, known: Mapping[str, float], workers: int
    ) -> None:
        self._rung = rung
        self._one = functools.partial(_moved, prior, standard, rung, known)
        self._pool = (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=start_engine)
            if workers > 1
            else None
        )

    def __call__(self, here: Statistics, points: Mapping[str, Mapping[str, float]]) -> list[Statistics]:
        # those that take longest first
        order = sorted(points, key=lambda name: len(_designs_of(name, self._rung)), reverse=True)
        run = map if self._pool is None else self._pool.map
        found = dict(zip(order, run(self._one, [(name, points[name]) for name in order]), strict=True))
        return [{**here, **found[name]} for name in points]

    def __enter__(self) -> _Nearby:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _moved(
    prior: Prior,
    standard: str,
    rung: Rung,
    known: Mapping[str, float],
    point: tuple[str, Mapping[str, float]],
) -> Statistics:
    return shown(prior, standard, rung, known, point[1], point[0])


def learnt(prior: Prior, numbers: Mapping[str, float], fits: Mapping[str, Fitted]) -> Prior:
    """The prior with learnt numbers and what the evidence leaves open of them."""
    left = {}
    for fit in fits.values():
        start = {s.name: s.sd for s in scales(prior, list(fit.numbers))}
        for name, sd in zip(fit.numbers, np.sqrt(np.diag(fit.covariance)), strict=True):
            left[name] = float(sd) * start[name]

    def of(name: str, own: float) -> float:
        return float(numbers.get(name, own))

    return dataclasses.replace(
        prior,
        latents=tuple(
            dataclasses.replace(
                x,
                center=of(f"center.{x.name}", x.center),
                sd=of(f"sd.{x.name}", x.sd),
                center_sd=_left_of(left, x, numbers),
            )
            for x in prior.latents
        ),
        constants=tuple(
            dataclasses.replace(
                c,
                value=of(f"constant.{c.name}", c.value),
                sd=left.get(f"constant.{c.name}", c.sd)
                * _to_value(c.name, of(f"constant.{c.name}", c.value), left),
            )
            for c in prior.constants
        ),
        effects=tuple(
            dataclasses.replace(
                e,
                value=of(f"effect.{e.target}.{e.covariate}", e.value),
                sd=left.get(f"effect.{e.target}.{e.covariate}", e.sd),
            )
            for e in prior.effects
        ),
    )


def _left_of(left: Mapping[str, float], x: Latent, numbers: Mapping[str, float]) -> float:
    """How far a latent's center may still be off, in SDs between women."""
    name = f"center.{x.name}"
    return left[name] / float(numbers.get(f"sd.{x.name}", x.sd)) if name in left else x.center_sd


def _to_value(name: str, value: float, left: Mapping[str, float]) -> float:
    """Positive constants are learnt on the ln scale; their SD is told on their own."""
    return value if f"constant.{name}" in left and name in POSITIVE_CONSTANTS else 1.0
