"""Simulated women by pattern of data, from either generator, ready to be calibrated in one program a pattern.

Every woman has four scans made; woman i keeps i mod 5 of them, so that each pattern has women with 0 to 4 scans. What
is left out is left out at random. Scans are padded to one size: a fifth as many programs to compile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cohorts.synthetic import CgmPlan, Design, SmbgPlan, Truth, woman_key
from twin.encode import Scans, WomanData, encode
from twin.record import PatientRecord

STANDARD = "hadlock1991"
GENERATORS = ("own", "other")
SCAN_WEEKS = (20.0, 28.0, 32.0, 35.5)
KEPT = ((), (2,), (0, 2), (0, 1, 3), (0, 1, 2, 3))  # scans that stay, by i mod 5
SCAN_ROWS = 24  # the encoder's bucket for four examinations
AS_OF_WEEK = 36.0
AS_OF_DAY = 7.0 * AS_OF_WEEK + 0.5
BATCH = 16
SEED = 20261201

#: data beside the scans; the share of finger pricks taken keeps every woman inside one bucket of the encoder
PATTERNS: dict[str, Design] = {
    "nothing": Design("faithful-nothing", AS_OF_WEEK, ogtt_week=None, scan_weeks=SCAN_WEEKS),
    "ogtt": Design("faithful-ogtt", AS_OF_WEEK, scan_weeks=SCAN_WEEKS),
    "smbg": Design("faithful-smbg", AS_OF_WEEK, scan_weeks=SCAN_WEEKS, smbg=SmbgPlan(28.0, 0.7)),
    "cgm": Design(
        "faithful-cgm",
        AS_OF_WEEK,
        scan_weeks=SCAN_WEEKS,
        cgm=CgmPlan(33.0, 14),
        meals_recorded=True,
        counting_ln_sd=0.0,
    ),
}
SAYS = {
    "nothing": "covariates alone",
    "ogtt": "75 g test at 26 weeks",
    "smbg": "the test, and finger pricks from 28 weeks (2.8 of 4 a day)",
    "cgm": "the test, and 14 sensor days at 33-35 weeks with meals recorded",
}


#: first woman tested, where an earlier run on the first ones has set a constant (`twin.forecast.run.LEVEL_SD`)
FIRST_WOMAN = {"cgm": 5040}


def _recorded(generator: str, pattern: str, purpose: int) -> Design:
    """What is recorded. Own women whose truths are ranked show the model exactly what it takes readings to be."""
    design = PATTERNS[pattern]
    if generator == "other" or purpose != 0 or design.cgm is None:
        return design
    return dataclasses.replace(design, cgm=dataclasses.replace(design.cgm, whole_mg_dl=False))


class Subject(NamedTuple):
    """One simulated woman."""

    number: int
    scans: int
    record: PatientRecord
    truth: Truth
    data: WomanData


def root_key(generator: str, pattern: str, purpose: int = 0) -> jax.Array:
    """Women of different generators, patterns and purposes (0 tested, 1 the oracle's, 2 with a planted conflict or
    fitted by both methods) are different women."""
    parts = (GENERATORS.index(generator), list(PATTERNS).index(pattern), purpose)
    key = jax.random.key(SEED)
    for part in parts:
        key = jax.random.fold_in(key, part)
    return key


def simulate(
    generator: str, pattern: str, numbers: Sequence[int], purpose: int = 0
) -> list[tuple[PatientRecord, Truth]]:
    """Records and truths by number, scans not yet left out. At most 128."""
    from cohorts.synthetic.other.simulate import simulate_women
    from cohorts.synthetic.other.women import begin
    from cohorts.synthetic.simulate import simulate_chunk
    from twin.inference.priors import START_PRIOR, load_prior

    key, design = root_key(generator, pattern, purpose), _recorded(generator, pattern, purpose)
    named = [(woman_key(key, i), f"{pattern}-{i:05d}") for i in numbers]
    if generator == "own":
        return simulate_chunk(named, design, load_prior(START_PRIOR), STANDARD)
    return simulate_women([begin(k, name, design) for k, name in named], design, STANDARD)


def subjects(generator: str, pattern: str, numbers: Sequence[int], purpose: int = 0) -> list[Subject]:
    """Simulated women with their scans left out and their data encoded."""
    out = []
    for i, (record, truth) in zip(numbers, simulate(generator, pattern, numbers, purpose), strict=True):
        kept = with_scans(record, KEPT[i % len(KEPT)])
        out.append(Subject(i, len(KEPT[i % len(KEPT)]), kept, truth, encoded(kept)))
    return out


def with_scans(record: PatientRecord, kept: Sequence[int]) -> PatientRecord:
    """The record with those of its examinations, counted in time order."""
    table = record.biometry
    order = {scan: k for k, scan in enumerate(table.sort_values("gestational_day")["scan"].drop_duplicates())}
    here = table["scan"].map(order).isin(list(kept)).to_numpy()
    return dataclasses.replace(record, biometry=table[here].reset_index(drop=True))


def encoded(record: PatientRecord) -> WomanData:
    """Her arrays, with room for four scans however many she has."""
    data = encode(record, AS_OF_DAY, standard=STANDARD)
    return dataclasses.replace(data, scans=_roomy(data.scans))


def _roomy(scans: Scans) -> Scans:
    fill = Scans(quantity=0, ln_value=5.0, sd=1.0, week=30.0, cell=0, mask=False)  # type: ignore[arg-type]

    def wider(x: Any, value: Any) -> jax.Array:
        row = np.asarray(x)
        rest = np.full(SCAN_ROWS - len(row), value, dtype=row.dtype)
        return jax.numpy.asarray(np.concatenate([row, rest]))

    return jax.tree.map(wider, scans, fill)
