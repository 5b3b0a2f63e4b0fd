"""The calibration ladder [MODEL 5]: what is learnt on each rung, from which designs; what was learnt before stays."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from cohorts.evidence.designs import course, days, growth, hapo, tests, trials
from cohorts.evidence.rules import Rule, load_rules
from cohorts.evidence.run import Design, Statistics, source_hash
from cohorts.ladder.fit import Fitted, learn
from cohorts.population.numbers import POSITIVE_CONSTANTS, Scale, scales
from cohorts.population.population import Population
from twin.inference.priors import Latent, Prior


@dataclass(frozen=True)
class Rung:
    """names : numbers learnt. designs : what they are learnt from, with few women. skip : rows these designs give that
    belong to another rung."""

    name: str
    names: tuple[str, ...]
    designs: tuple[Design, ...]
    skip: tuple[str, ...] = ()


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
        *_of("sd", "sensor_offset"),
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
        *_of("effect", "theta.male", "fat.male"),
    ),
    (Design("growth", growth.simulate, growth.statistics, 8192),),
)
BIRTHS = Rung(
    "glucose and birth weight",
    (
        *_of("center", "gain", "fat_share"),
        *_of("effect", "growth.bmi", "growth.gain"),
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
LADDER = (MOTHER, DAYS, FETUS, BIRTHS, CARE)


class Climbed(NamedTuple):
    """The prior with what was learnt in place, numbers beside it, and each rung's fit by name."""

    prior: Prior
    numbers: dict[str, float]
    fits: dict[str, Fitted]


def rules_of(rung: Rung, statistics: Statistics) -> list[Rule]:
    """Rows to calibrate on that the rung's designs give."""
    return [
        r
        for row, r in load_rules().items()
        if r.role == "calibrate" and r.published and row in statistics and row not in rung.skip
    ]


def climb(
    prior: Prior,
    *,
    standard: str = "hadlock1991",
    ladder: Sequence[Rung] = LADDER,
    rounds: int = 8,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Climbed:
    """Learn rung by rung. folder : keeps each rung's fit, so that a climb that was stopped goes on."""
    numbers: dict[str, float] = {}
    fits = {}
    for i, rung in enumerate(ladder):
        key = f"{source_hash()} {prior.sha256} {standard} {rounds} {sorted(numbers.items())}"
        kept = folder / f"rung-{i + 1}.json" if folder else None
        if kept and (stored := _stored(kept, key)):
            fits[rung.name] = stored
            numbers |= stored.numbers
            say(f"{rung.name}: as stored")
            continue
        start = [_from(numbers, s) for s in scales(prior, rung.names)]

        model = functools.partial(shown, prior, standard, rung, dict(numbers))
        rules = rules_of(rung, model({s.name: s.value for s in start}))
        say(f"{rung.name}: {len(start)} numbers, {len(rules)} rows")
        fits[rung.name] = learn(model, start, rules, rounds=rounds, say=say)
        numbers |= fits[rung.name].numbers
        if kept:
            part = kept.with_suffix(".part")
            part.write_text(json.dumps({"key": key, **fits[rung.name].as_json()}))
            part.replace(kept)
    return Climbed(learnt(prior, numbers, fits), numbers, fits)


def _stored(path: Path, key: str) -> Fitted | None:
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    return Fitted.from_json(found) if found.pop("key") == key else None


def shown(
    prior: Prior, standard: str, rung: Rung, known: Mapping[str, float], tried: Mapping[str, float]
) -> Statistics:
    """Statistics of a rung's designs under numbers known from earlier rungs and tried on this one."""
    every = {k: jnp.float32(v) for k, v in {**known, **tried}.items()}
    population = Population(prior, every, standard)
    found: dict[str, tuple[float, ...]] = {}
    for design in rung.designs:
        found |= design.statistics(design.simulate(population, design.women))
    return found


def _from(numbers: Mapping[str, float], scale: Scale) -> Scale:
    return scale._replace(value=numbers.get(scale.name, scale.value))


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
