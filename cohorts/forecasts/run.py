"""A cohort with outcomes, validated: forecasts issued batch by batch, comparators, the judgement, its report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from cohorts.calibrate.read import LeftOut
from cohorts.evidence.run import source_hash
from cohorts.forecasts.issued import PRIOR_ALONE, TWIN, Answer, Question, answers, birth_of
from cohorts.validate.comparators import COMPARATORS, cross_validated
from cohorts.validate.evaluate import Evaluation, Settings, evaluate
from cohorts.validate.report import write
from scenarios.cli import start_engine
from twin.errors import UnusableInput
from twin.inference.priors import Prior
from twin.record import COLUMNS, PatientRecord
from twin.settings import SiteSettings
from twin.timeline import date_of, weeks_and_days

BATCH = 64  # questions; part of what decides the last digits of a result, so a constant
LAST_SCAN = "last scan"
#: of numbers by which women are grouped: kg/m2 (WHO classes), years, days
EDGES = {"bmi": (18.5, 25.0, 30.0), "age": (25.0, 35.0), "days_to_birth": (15.0, 43.0)}
STRATA = (*EDGES, "parity", "sex", "treatment", "hypertension", "gdm", "device", "data")
MODELS = {
    TWIN: "this software, from what was known of her on the day",
    PRIOR_ALONE: "this software without her glucose, scans and treatment: her age, height, BMI, parity and conditions",
}


@dataclass
class Issued:
    """predictions and inputs : tables. left_out : questions without a forecast. not_ok : forecasts whose fit says it is
    not to be trusted; they are judged with the others. women : with an outcome."""

    predictions: pd.DataFrame
    inputs: pd.DataFrame
    left_out: list[LeftOut] = field(default_factory=list)
    not_ok: int = 0
    forecasts: int = 0


def as_of_label(text: str) -> str | int:
    """`last-scan`, or weeks or weeks+days as a gestational day.

    Raises : UnusableInput "bad-as-of".
    """
    if text in ("last-scan", LAST_SCAN):
        return LAST_SCAN
    weeks, _, days = text.partition("+")
    if weeks.isdigit() and (days or "0").isdigit() and 20 <= int(weeks) <= 41 and int(days or 0) < 7:
        return 7 * int(weeks) + int(days or 0)
    raise UnusableInput(
        "bad-as-of",
        f"--as-of {text!r}; expected weeks from 20 to 41 as 36 or 36+0, or last-scan. Nothing was forecast.",
    )


def questions(
    records: Sequence[PatientRecord], as_ofs: Sequence[str | int], models: Sequence[str] = (TWIN, PRIOR_ALONE)
) -> tuple[list[Question], list[LeftOut]]:
    """One for each woman, day and model, by her pseudonym. The day of an as-of is set by the dating of the whole
    record: it says when she is asked about, not what the twin is told."""
    found, left_out = [], []
    for record in sorted(records, key=lambda r: r.pseudonym):
        if birth_of(record) is None:
            left_out.append(
                LeftOut(record.pseudonym, "no-birth", "no day or no weight of birth is recorded.")
            )
            continue
        for as_of in as_ofs:
            on = _on(record, as_of)
            if on is None:
                why = "no scan before the birth" if as_of == LAST_SCAN else "nothing dates the pregnancy"
                left_out.append(LeftOut(record.pseudonym, "no-such-day", f"{_label(as_of)}: {why}."))
            else:
                found += [Question(record, on, _label(as_of), m) for m in models]
    return found, left_out


def _label(as_of: str | int) -> str:
    return as_of if isinstance(as_of, str) else weeks_and_days(as_of)


def _on(record: PatientRecord, as_of: str | int) -> date | None:
    birth = birth_of(record)
    assert birth is not None
    if isinstance(as_of, int):
        lmp = record.facts.lmp_equivalent
        return None if lmp is None else date_of(as_of, lmp)
    scans = record.biometry["time_local"]
    before = scans[scans < pd.Timestamp(birth.on) + pd.Timedelta(days=1)]
    return before.max().date() if len(before) else None


def issue(
    asked: Sequence[Question],
    prior: Prior,
    settings: SiteSettings,
    out: Path,
    *,
    draws: int = 500,
    seed: int = 0,
    workers: int = 1,
    done: Callable[[int], None] = lambda _: None,
) -> Issued:
    """Every question answered. Batches are stored under `out` when they are done, so that a run that was stopped goes
    on; a stored one counts for the same women, prior, settings and code. done : told how many are answered."""
    out.mkdir(parents=True, exist_ok=True)
    batches = [asked[i : i + BATCH] for i in range(0, len(asked), BATCH)]
    jobs = [(b, prior, settings, out, draws, seed) for b in batches]
    found: dict[int, dict[str, Any]] = {}
    if workers == 1:
        for i, job in enumerate(jobs):
            found[i] = _stored_or_made(job)
            done(len(batches[i]))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), start_engine) as pool:
            going = {pool.submit(_stored_or_made, job): i for i, job in enumerate(jobs)}
            for made in as_completed(going):
                found[going[made]] = made.result()
                done(len(batches[going[made]]))
    every = [found[i] for i in range(len(jobs))]
    return Issued(
        pd.DataFrame([r for f in every for r in f["rows"]]),
        pd.DataFrame([r for f in every for r in f["inputs"]]),
        [LeftOut(*x) for f in every for x in f["left_out"]],
        sum(f["not_ok"] for f in every),
        sum(f["forecasts"] for f in every),
    )


def _stored_or_made(
    job: tuple[Sequence[Question], Prior, SiteSettings, Path, int, int],
) -> dict[str, Any]:
    batch, prior, settings, out, draws, seed = job
    who = [(q.name, str(q.on), q.record.input_sha256, _hash_of(q.record)) for q in batch]
    key = f"{source_hash()} {prior.sha256} {settings} {draws} {seed} {who}"
    name = hashlib.sha256(key.encode()).hexdigest()[:20]
    path = out / f"{name}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    made = answers(batch, prior, settings, draws=draws, seed=seed)
    good = [a for a in made if isinstance(a, Answer)]
    told = {
        "rows": [r for a in good for r in a.rows],
        "inputs": [r for a in good for r in a.inputs],
        "left_out": [[x.who, x.code, x.message] for x in made if isinstance(x, LeftOut)],
        "not_ok": sum(not a.ok for a in good),
        "forecasts": len(good),
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(told, default=_plain))
    part.replace(path)
    return dict(json.loads(path.read_text()))


def _plain(x: object) -> Any:
    if isinstance(x, np.generic):
        return x.item()
    raise TypeError(type(x).__name__)


def _hash_of(record: PatientRecord) -> str:
    """Of what is in the record, for those that come from no file."""
    text = "".join(getattr(record, t).to_csv(index=False) for t in COLUMNS) + repr(record.facts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def judge(
    issued: Issued,
    out: Path,
    *,
    data: str,
    births: Literal["real", "simulated"],
    settings: Settings | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Evaluation, dict[str, Any]]:
    """The twin beside its comparators, judged and written to `out`.

    Raises : UnusableInput "nothing-usable" where no forecast was issued.
    """
    if not len(issued.predictions):
        first = issued.left_out[0].message if issued.left_out else "no woman was asked about"
        raise UnusableInput("nothing-usable", f"no forecast could be issued: {first} Nothing was judged.")
    # a group of all women is none
    same = [c for c in issued.predictions if c in STRATA and issued.predictions[c].nunique() < 2]
    predictions = issued.predictions.drop(columns=same)
    compared = cross_validated(issued.inputs)
    every = pd.concat([predictions, compared.predictions], ignore_index=True)
    found = evaluate(every, settings or Settings(edges=EDGES), say)
    what = {**MODELS, **{c.name: c.what for c in COMPARATORS.values()}}
    told = write(found, out, data=data, births=births, models=what, left_out=compared.left_out)
    return found, told
