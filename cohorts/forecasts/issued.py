"""What the twin forecasts of women whose births are known, as of given days: rows of `table`.

A forecast sees the record as it was known on its day (`known_at`), nothing later; the birth is looked up afterwards.
Two estimands. "forecast": born when and as the model expects, under the treatment of that day titrated by the site's
protocol and the site's delivery policy. "given the day of birth": the same with the day of birth taken as known, which
no clinic does; it also dates a pregnancy that nothing but biometry dates.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import ndtr

from cohorts.calibrate.read import LeftOut
from cohorts.forecasts.inputs import inputs_of, strata_of
from cohorts.validate.table import ESTIMANDS, LIMITS_G, QUANTILES, WEIGHT
from scenarios.strategies import plan_of
from twin.encode import UNDATED, efw_of_scan, encode
from twin.errors import TwinError
from twin.fhir import known_at
from twin.forecast import BIRTH_RESIDUAL_SD
from twin.forecast import run as run_forecast
from twin.forecast.ensemble import FIRST_DAY, LAST_DAY
from twin.inference.calibrate import Posterior
from twin.inference.priors import Prior
from twin.inference.stream import Entry, calibrate_stream
from twin.record import COLUMNS, PatientRecord, empty_table, scope_gate
from twin.risk.outcomes import (
    SEX_CODE,
    Z_10,
    Z_90,
    birth_weight_quantiles,
    chart_limit_g,
    exceeds,
    large,
    small,
)
from twin.settings import SiteSettings
from twin.timeline import gestational_day

GIVEN, FORECAST = ESTIMANDS
TWIN, PRIOR_ALONE = "twin", "population prior"
_Q = list(QUANTILES.values())


@dataclass(frozen=True)
class Question:
    """One forecast to be issued. record : whole; of it only what was known on `on` is used. label : of the as-of.
    model : the twin, or the prior without her glucose and scans."""

    record: PatientRecord
    on: date
    label: str
    model: str = TWIN

    @property
    def name(self) -> str:
        return f"{self.record.pseudonym} {self.label} {self.model}"


class Birth(NamedTuple):
    """What happened. sex : None where not recorded."""

    on: date
    weight_g: float
    sex: str | None


class Answer(NamedTuple):
    """rows : of `table`. inputs : what comparators may use, one row for each estimand; of the twin alone. ok : whether
    the fit says it can be trusted."""

    question: Question
    rows: list[dict[str, Any]]
    inputs: list[dict[str, Any]]
    ok: bool


def birth_of(record: PatientRecord) -> Birth | None:
    """Her birth, where day and weight are recorded."""
    f = record.facts
    if f.delivery_day is None or f.birth_weight_g is None:
        return None
    return Birth(f.delivery_day, float(f.birth_weight_g), f.newborn_sex or f.fetal_sex)


def answers(
    questions: Sequence[Question], prior: Prior, settings: SiteSettings, *, draws: int = 500, seed: int = 0
) -> list[Answer | LeftOut]:
    """Each question's rows, or why there are none, in order; the same questions together give the same bits."""
    asked = [_ready(q, settings, seed) for q in questions]
    fits = _fits([e for r in asked if isinstance(r, _Ready) for e in r.entries], prior, settings)
    found: list[Answer | LeftOut] = []
    for r in asked:
        if not isinstance(r, _Ready):
            found.append(r)
            continue
        own = [next(fits) for _ in r.entries]
        good = [f for f in own if isinstance(f, Posterior)]
        if len(good) == len(own):
            found.append(_answer(r, good, settings, draws, seed))
        else:
            why = next(f for f in own if isinstance(f, Exception))
            text = f"her fit stopped ({type(why).__name__}: {why})."
            found.append(LeftOut(r.question.name, "no-fit", text))
    return found


@dataclass(frozen=True)
class _Ready:
    question: Question
    known: PatientRecord
    day: float
    birth: Birth
    born_day: int
    entries: tuple[Entry, ...]  # one fit for both estimands, or one each where the birth dates the pregnancy


def _ready(q: Question, settings: SiteSettings, seed: int = 0) -> _Ready | LeftOut:
    def no(code: str, why: str) -> LeftOut:
        return LeftOut(q.name, code, why)

    birth = birth_of(q.record)
    if birth is None:
        return no("no-birth", "no day or no weight of birth is recorded, so nothing can be compared.")
    if birth.on < q.on:
        return no("born-before", f"she gave birth before the day of the forecast ({q.label}).")
    try:
        known = known_at(_unborn(q.record), q.on)
        lmp = known.facts.lmp_equivalent
        if lmp is None:
            return no("undated", "nothing known by then dates the pregnancy.")
        day = gestational_day(datetime.combine(q.on, time(23, 59)), lmp)
        scope = scope_gate(known, day, settings, efw=efw_of_scan)
        if scope.status == "refused":
            return no("out-of-scope", scope.messages[scope.reasons[0]])
        born = (birth.on - lmp).days
        if not FIRST_DAY <= born <= LAST_DAY:
            return no(
                "born-outside",
                f"by the dating known then she gave birth on day {born}, which is not forecast.",
            )
        if q.model == PRIOR_ALONE:
            if known.facts.dating_method in UNDATED:
                return no(
                    "prior-undated",
                    "only her scans date the pregnancy, and the prior alone does not use them.",
                )
            known = dataclasses.replace(known, **{t: empty_table(t) for t in COLUMNS})
        data = [encode(known, day, standard=settings.growth_standard)]
        if known.facts.dating_method in UNDATED:
            data.append(encode(known, day, standard=settings.growth_standard, birth_day=float(born)))
        key = jax.random.fold_in(jax.random.key(seed), _number(q.name))
        entries = tuple(Entry(q.record.pseudonym, key, d, day) for d in data)
        return _Ready(q, known, day, birth, born, entries)
    except TwinError as why:
        return no(why.code, str(why))
    except Exception as why:  # one woman's fault must not stop the others
        return no("unexpected", f"her record could not be used ({type(why).__name__}: {why}).")


def _unborn(record: PatientRecord) -> PatientRecord:
    """Without the birth, which may fall on the day of the forecast."""
    of_birth = ("delivery_day", "birth_weight_g", "newborn_sex")
    facts = dataclasses.replace(record.facts, delivery_day=None, birth_weight_g=None, newborn_sex=None)
    history = tuple(s for s in record.history if s.name not in of_birth)
    return dataclasses.replace(record, facts=facts, history=history)


def _number(name: str) -> int:
    return zlib.crc32(name.encode())


def _fits(entries: list[Entry], prior: Prior, settings: SiteSettings) -> Iterator[Posterior | Exception]:
    """A batch that fails is made woman by woman, so that only those who fail are left out."""

    def fit(some: list[Entry]) -> list[Posterior]:
        return list(calibrate_stream(some, prior, settings.growth_standard))

    try:
        yield from fit(entries)
    except Exception:  # whatever one woman's record does, the others go on
        for e in entries:
            try:
                yield from fit([e])
            except Exception as why:
                yield why


def _answer(b: _Ready, fits: list[Posterior], settings: SiteSettings, draws: int, seed: int) -> Answer:
    rows: list[dict[str, Any]] = []
    inputs: list[dict[str, Any]] = []
    hers = b.question.model == TWIN
    strata = strata_of(b.known, b.birth.sex, b.day, b.born_day) if hers else {}
    for estimand, posterior in ((FORECAST, fits[0]), (GIVEN, fits[-1])):
        key = jax.random.fold_in(b.entries[0].key, 1)  # apart from that of the fit
        plan = plan_of("as_now", b.known, b.day, None)
        forecast = run_forecast(key, posterior, b.known, [plan], draws=draws, settings=settings, seed=seed)
        weight = forecast.dataset["fetal_weight_g"].values[0].astype(float)
        expected = forecast.dataset["delivery_day"].values[0].astype(int)
        day = np.full(len(weight), b.born_day) if estimand == GIVEN else expected
        born = weight[np.arange(len(weight)), day - FIRST_DAY]
        key_of = {
            "woman": b.question.record.pseudonym,
            "as_of": b.question.label,
            "estimand": estimand,
            "model": b.question.model,
        }
        found = _rows(born, day, b.birth, b.born_day, b.known, settings)
        rows += [{**key_of, **row, **strata} for row in found]
        if not hers:
            continue
        mine = inputs_of(b.known, b.born_day, float(np.median(expected)), settings.growth_standard)
        happened = {r["outcome"]: r["y"] for r in found}
        inputs.append({**{k: key_of[k] for k in ("woman", "as_of", "estimand")}, **mine, **happened})
    return Answer(b.question, rows, inputs, all(f.calibration.ok for f in fits))


def _rows(
    born: np.ndarray,
    day: np.ndarray,
    birth: Birth,
    born_day: int,
    known: PatientRecord,
    settings: SiteSettings,
) -> list[dict[str, Any]]:
    """Of fetal weights at birth, g, (draw,), on days (draw,)."""
    ln = np.log(born)
    quantiles = birth_weight_quantiles(born, _Q)
    found: list[dict[str, Any]] = [
        {
            "outcome": WEIGHT,
            "y": birth.weight_g,
            "mean_ln": float(ln.mean()),
            "sd_ln": math.hypot(float(ln.std()), BIRTH_RESIDUAL_SD),
            **{name: float(q) for name, q in zip(QUANTILES, quantiles, strict=True)},
            "crps": mixture_crps(math.log(birth.weight_g), ln, BIRTH_RESIDUAL_SD),
        }
    ]
    for name, limit in LIMITS_G.items():
        p = float(exceeds(born, limit).mean())
        found.append({"outcome": name, "p": p, "y": float(birth.weight_g > limit)})
    reference = settings.lga_reference
    if known.facts.dating_method not in UNDATED and birth.sex in SEX_CODE:
        for name, of, z in (("lga", large, Z_90), ("sga", small, Z_10)):
            ((_, chart),) = chart_limit_g(np.array(born_day), z, reference, birth.sex)
            each = np.asarray(of(born, day, reference, known.facts.fetal_sex))
            y = birth.weight_g > chart if name == "lga" else birth.weight_g < chart
            if np.isfinite(chart) and np.isfinite(each).any():
                found.append({"outcome": name, "p": float(np.nanmean(each)), "y": float(y)})
    return found


def mixture_crps(y: float, means: np.ndarray, sd: float) -> float:
    """CRPS of an equal mixture of normals of one SD: E|X - y| - E|X - X'| / 2, in closed form (Grimit 2006)."""

    def absolute(m: np.ndarray, s: float) -> np.ndarray:
        return 2.0 * s * np.exp(-0.5 * (m / s) ** 2) / math.sqrt(2.0 * math.pi) + m * (
            2.0 * ndtr(m / s) - 1.0
        )

    apart = means[:, None] - means[None]
    both = absolute(apart, sd * math.sqrt(2.0))
    return float(absolute(y - means, sd).mean() - 0.5 * both.mean())
