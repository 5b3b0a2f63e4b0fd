"""A cohort on disk, made file by file: what was asked for, which women, the files that are whole, the truth joined.

A file is written under another name and then renamed, and the truth of its women after it: a part of the truth says
that its file is whole. A run that was stopped is gone on with from there.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Array

from cohorts.synthetic.design import Design, design_named
from cohorts.synthetic.files import UNFINISHED, line, ndjson_bytes, write_whole
from cohorts.synthetic.outcomes import outcome_resources
from cohorts.synthetic.skeleton import skeleton_record
from cohorts.synthetic.strata import (
    CLASS_3_BMI,
    STRATA,
    chances,
    check_design,
    effective_women,
    of_birth,
    of_test,
    ratios,
    weights,
)
from cohorts.synthetic.truth import Truth
from twin.errors import UnusableInput
from twin.inference.priors import DEFAULT_PRIOR, Prior, load_prior
from twin.record import PatientRecord

WOMEN_PER_FILE = 128
ASKED, RECORDS, OUTCOMES, PARTS, TRUTH = "cohort.json", "fhir", "outcomes", "truth-parts", "truth.parquet"
CHOSEN = "chosen.npz"  # in PARTS: the women of a cohort with strata
COMPRESSION = 6
#: blocks screened to learn how rare a stratum is, of other women than the cohort's: until so many are of it
PILOT_BLOCKS, PILOT_WOMEN = (2, 32), 50
_PILOT = 2**32 - 1  # folded into the key of the pilot's women
MOST_SCREENED = 4_000_000

Made = list[tuple[PatientRecord, Truth]]


@dataclass(frozen=True)
class Asked:
    """Everything a cohort depends on. strata : shares of the cohort. prior : "" for the other generator."""

    n: int
    seed: int = 0
    design: str = "standard"
    generator: str = "own"
    prior: str = DEFAULT_PRIOR
    growth_standard: str = "hadlock1991"
    strata: Mapping[str, float] = field(default_factory=dict)
    outcomes: bool = False

    @property
    def plan(self) -> Design:
        return design_named(self.design)

    @property
    def files(self) -> int:
        return -(-self.n // WOMEN_PER_FILE)

    def population(self) -> Prior | None:
        """None for the other generator, which draws from no prior."""
        return _prior(self.prior) if self.generator == "own" else None

    def as_dict(self) -> dict[str, Any]:
        """As stored, with what the names stood for."""
        prior = self.population()
        told = asdict(self) | {"strata": dict(self.strata)}
        return told | {"prior_sha256": prior.sha256 if prior else "", "software": software()}


class Chosen:
    """Which candidates the women are, with their weights; without strata the first n, each of weight 1."""

    def __init__(self, index: np.ndarray, weight: np.ndarray, marks: Mapping[str, np.ndarray]):
        self.index, self.weight, self.marks = index, weight, marks

    def of_file(self, number: int) -> Chosen:
        here = slice(number * WOMEN_PER_FILE, (number + 1) * WOMEN_PER_FILE)
        return Chosen(self.index[here], self.weight[here], {k: v[here] for k, v in self.marks.items()})


@functools.cache
def _prior(name: str) -> Prior:
    return load_prior(name)


@functools.cache
def software() -> str:
    """Version and source: the same arguments give the same women under the same code only."""
    found = hashlib.sha256()
    for package in ("twin", "cohorts"):
        root = Path(str(resources.files(package)))
        for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".toml", ".csv")):
            found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{metadata.version('gdm-twin')} {found.hexdigest()[:12]}"


def check(asked: Asked) -> None:
    """Raises : UnusableInput for a design, prior, standard or stratum that the generator cannot do, before any work."""
    from cohorts.synthetic.other.simulate import refuse_unknown_physics
    from twin.growth_standards import reference_weight_g

    check_design(asked.strata, asked.plan)
    asked.population()
    reference_weight_g(280.0, standard=asked.growth_standard)
    if asked.generator == "other":
        refuse_unknown_physics(asked.plan)


def begin(asked: Asked, out: Path, told: Callable[[int], None] = lambda _: None) -> Chosen:
    """The women of the cohort in `out`, which is new, or was begun with the same arguments.

    told : called with the women chosen so far. Nothing is written before it is known that `out` may be written to.
    Raises : UnusableInput "other-cohort", "not-empty", and what `check` and `choose` raise.
    """
    check(asked)
    stored, wanted = out / ASKED, asked.as_dict()
    kept = out / PARTS / CHOSEN
    if stored.exists():
        _refuse_other(out, json.loads(stored.read_text())["arguments"], wanted)
        if (out / TRUTH).exists() or ((out / PARTS).is_dir() and not asked.strata):
            return _everyone(asked)
        if kept.exists():
            found = np.load(kept)
            return Chosen(found["index"], found["weight"], {k: found[k] for k in asked.strata})
    elif (out / TRUTH).exists() or any((out / RECORDS).glob("women-*")):
        raise UnusableInput(
            "not-empty",
            f"{out.name} holds a cohort without {ASKED}, so nobody knows how it was made. Nothing was written. Give "
            "another folder.",
        )
    chosen, sampling = choose(asked, told) if asked.strata else (_everyone(asked), {})
    for folder in (RECORDS, PARTS, *([OUTCOMES] if asked.outcomes else [])):
        (out / folder).mkdir(parents=True, exist_ok=True)
    if asked.strata:
        unfinished = kept.with_name(kept.name + UNFINISHED)
        with unfinished.open("wb") as f:
            np.savez(f, index=chosen.index, weight=chosen.weight, **chosen.marks)  # type: ignore[arg-type]
        unfinished.replace(kept)
    about = {
        "schema": "gdm-twin/cohort/1",
        "simulated": True,
        "note": "Simulated by gdm-twin. These are not real women.",
        "arguments": wanted,
        "sampling": sampling,
    }
    write_whole(stored, (json.dumps(about, indent=1) + "\n").encode())
    return chosen


def _refuse_other(out: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    other = [k for k in wanted if stored.get(k) != wanted[k]]
    if other:
        told = "; ".join(f"{k} was {stored.get(k)!r}, is now {wanted[k]!r}" for k in other)
        raise UnusableInput(
            "other-cohort",
            f"{out.name} holds a cohort made with other arguments ({told}); expected the same ones, to go on with it. "
            "Nothing was written. Give the arguments it was begun with, or another folder.",
        )


def _everyone(asked: Asked) -> Chosen:
    return Chosen(np.arange(asked.n), np.ones(asked.n), {})


def choose(asked: Asked, told: Callable[[int], None]) -> tuple[Chosen, dict[str, Any]]:
    """n candidates in order, each kept with the chance of her strata; and how they were sampled.

    The chances come from a pilot of other women, so they depend on nobody in the cohort.
    Raises : UnusableInput "stratum-too-rare" where this would take more than MOST_SCREENED candidates.
    """
    from cohorts.synthetic.screen import BLOCK, screen

    design, prior = asked.plan, asked.population()
    root = jax.random.key(asked.seed)

    def look(key: Array, block: int):
        return screen(key, block * BLOCK, BLOCK, asked.strata, design, prior, asked.growth_standard)

    marks = {name: np.zeros(0, bool) for name in asked.strata}
    for block in range(PILOT_BLOCKS[1]):
        more = look(jax.random.fold_in(root, _PILOT), block).marks
        marks = {name: np.concatenate([seen, more[name]]) for name, seen in marks.items()}
        enough = all(seen.sum() >= PILOT_WOMEN for seen in marks.values())
        if enough and block + 1 >= PILOT_BLOCKS[0]:
            break
    ratio = ratios(marks, asked.strata)
    needed = asked.n / float(chances(marks, ratio).mean())
    if needed > MOST_SCREENED:
        raise UnusableInput(
            "stratum-too-rare",
            f"about {needed:.0f} women would have to be screened for {asked.n}; expected at most {MOST_SCREENED}. "
            "Nothing was simulated. Ask for a smaller share or fewer women.",
        )
    index: list[np.ndarray] = []
    chance: list[np.ndarray] = []
    of: dict[str, list[np.ndarray]] = {name: [] for name in asked.strata}
    block = kept = 0
    while kept < asked.n:
        found = look(root, block)
        own = chances(found.marks, ratio)
        here = np.flatnonzero(found.uniform < own)[: asked.n - kept]
        index.append(block * BLOCK + here)
        chance.append(own[here])
        for name in of:
            of[name].append(found.marks[name][here])
        kept += here.size
        block += 1
        told(kept)
    weight = weights(np.concatenate(chance))
    chosen = Chosen(np.concatenate(index), weight, {k: np.concatenate(v) for k, v in of.items()})
    sampling = {
        "scheme": "candidates in order, each kept with a chance told by her strata as screened; weight: its inverse",
        "screened": int(chosen.index[-1]) + 1,
        "pilot": next(iter(marks.values())).size,
        "effective_women": round(effective_women(weight), 1),
        "strata": {
            name: {
                "says": STRATA[name].says,
                "wanted": asked.strata[name],
                "screened_share_of_pilot": float(marks[name].mean()),
                "times_as_often": ratio[name],
            }
            for name in asked.strata
        },
    }
    return chosen, sampling


def is_whole(out: Path, number: int) -> bool:
    return (out / TRUTH).exists() or _part(out, number).exists()


def make_file(asked: Asked, out: Path, number: int, here: Chosen) -> int:
    """Simulate the women of one file and write it; then their births, then their truth. Returns how many."""
    made = simulated(asked, jax.random.key(asked.seed), [int(i) for i in here.index])
    name = f"women-{number:05d}.ndjson.gz"
    write_whole(out / RECORDS / name, ndjson_bytes(r for r, _ in made), level=COMPRESSION)
    if asked.outcomes:
        births = "".join(line(r) for record, truth in made for r in outcome_resources(record, truth))
        write_whole(out / OUTCOMES / name, births.encode(), level=COMPRESSION)
    part = _part(out, number)
    unfinished = part.with_name(part.name + UNFINISHED)
    pq.write_table(truth_table(made, here), unfinished)
    unfinished.replace(part)
    return len(made)


def simulated(asked: Asked, root: Array, index: list[int]) -> Made:
    """Women of the plain cohort by number. Their records are assembled without the checks of real input: what a fault
    of a scan makes implausible is in the file, for the reader to set aside."""
    from cohorts.synthetic.other.simulate import simulate_chunk as simulate_other
    from cohorts.synthetic.simulate import simulate_chunk, woman_key

    chunk = [(woman_key(root, i), f"sim-{i:06d}") for i in index]
    prior = asked.population()
    if prior is None:
        return simulate_other(chunk, asked.plan, asked.growth_standard, assemble=skeleton_record)
    return simulate_chunk(chunk, asked.plan, prior, asked.growth_standard, assemble=skeleton_record)


def truth_table(made: Made, chosen: Chosen) -> pa.Table:
    """The truth of some women, one a row: what `Truth` holds, to which strata they belong, their weights."""
    rows = pd.DataFrame([truth.row() for _, truth in made])
    male = (rows["fetal_sex"] == "male").to_numpy()
    births = of_birth(rows["birth_weight_g"].to_numpy(), rows["delivery_day"].to_numpy(), male)
    bmi = np.array([record.facts.bmi_pre for record, _ in made], dtype=float)
    tests = np.array([_test(record) for record, _ in made]).T
    columns: dict[str, np.ndarray] = {
        "bmi_pre": bmi,
        **{f"is_{name.replace('-', '_')}": values for name, values in births.items()},
        "is_overt_diabetes": of_test(tests),
        "is_class_3_obesity": bmi >= CLASS_3_BMI,
        **{f"screened_{name.replace('-', '_')}": values for name, values in chosen.marks.items()},
        "weight": chosen.weight,
    }
    table = pa.Table.from_pandas(rows.assign(**columns), preserve_index=False)
    return table.replace_schema_metadata(None)


def _test(record: PatientRecord) -> list[float]:
    """75 g values at 0, 60, 120 min; NaN without a test, which is in no range."""
    table = record.glucose[record.glucose["kind"] == "ogtt"]
    found = dict(zip(table["minutes_post_load"], table["value_mg_dl"], strict=True))
    return [float(found.get(minute, np.nan)) for minute in (0.0, 60.0, 120.0)]


def join_truth(asked: Asked, out: Path) -> Path:
    """`truth.parquet` of the parts, a row group each, and the parts removed."""
    whole = out / TRUTH
    if not whole.exists():
        parts = [_part(out, number) for number in range(asked.files)]
        schema = pa.unify_schemas([pq.read_schema(p) for p in parts], promote_options="permissive")
        unfinished = whole.with_name(whole.name + UNFINISHED)
        with pq.ParquetWriter(unfinished, schema) as writer:
            for part in parts:
                writer.write_table(_in_schema(pq.read_table(part), schema))
        unfinished.replace(whole)
    shutil.rmtree(out / PARTS, ignore_errors=True)
    for left_over in out.rglob(f"*{UNFINISHED}"):
        left_over.unlink()
    return whole


def _in_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def _part(out: Path, number: int) -> Path:
    return out / PARTS / f"truth-{number:05d}.parquet"
