"""Every woman of a source, and who was left out of it with the reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from twin.encode import WomanData, covariates, efw_of_scan, encode
from twin.errors import TwinError, UnusableInput
from twin.fhir import read_source
from twin.fhir.sources import SUFFIXES
from twin.record import PatientRecord, RecordIssue, scope_gate
from twin.settings import SiteSettings

GROUPS = ("none", "device", "site")
UNKNOWN = "unknown"
#: reasons that are her result, not a fault of the source: exit code 0 holds beside them
HER_OWN = ("out-of-scope", "no-readings")


@dataclass(frozen=True)
class LeftOut:
    """who : pseudonym of a woman, or name of a file."""

    who: str
    code: str
    message: str


@dataclass(frozen=True)
class Candidate:
    """One woman to learn from. covariates : of `twin.encode.COVARIATES`, NaN where not known."""

    name: str
    data: WomanData
    as_of_day: float
    covariates: np.ndarray
    group: str


@dataclass
class Source:
    """records : with the site each came from, "" where the source has no folders. sha256 : of names and bytes."""

    records: list[tuple[PatientRecord, str]] = field(default_factory=list)
    issues: list[RecordIssue] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    sha256: str = ""


def read_cohort(source: Path) -> Source:
    """Every woman of a file or folder of FHIR; files of a folder are read one by one. Her site is the first folder
    below `source` that her file lies in: records name none.

    Raises : UnusableInput "nothing-usable".
    """
    files = [source]
    if source.is_dir():
        files = sorted(f for f in source.rglob("*") if f.is_file() and f.name.lower().endswith(SUFFIXES))
    found, digest = Source(), hashlib.sha256()
    for file in files:
        place = file.relative_to(source).parts if source.is_dir() else (file.name,)
        try:
            digest.update("/".join(place).encode() + b"\0" + file.read_bytes())
            result = read_source(file)
        except UnusableInput as why:
            found.left_out.append(LeftOut(file.name, why.code, str(why)))
            continue
        except OSError as why:
            text = f"the file could not be read ({type(why).__name__}). Its women were left out."
            found.left_out.append(LeftOut(file.name, "unreadable", text))
            continue
        found.issues += result.issues
        for name, some in result.quarantined.items():
            told = (some[0].code, some[0].message) if some else ("nothing-usable", "nothing usable")
            found.left_out.append(LeftOut(name, *told))
        if not result.records and not result.quarantined:
            why_not = [(i.code, i.message) for i in result.issues] or [("nothing-usable", "nothing usable")]
            found.left_out.append(LeftOut(file.name, *why_not[0]))
        found.records += [(r, place[0] if len(place) > 1 else "") for r in result.records]
    found.sha256 = digest.hexdigest()
    count = Counter(r.pseudonym for r, _ in found.records)
    split = sorted(name for name, n in count.items() if n > 1)
    found.left_out += [
        LeftOut(n, "in-many-files", f"her record lies in {count[n]} files; expected one. She was left out.")
        for n in split
    ]
    found.records = sorted(
        (x for x in found.records if count[x[0].pseudonym] == 1), key=lambda x: x[0].pseudonym
    )
    if not found.records:
        reason = found.left_out[0].message if found.left_out else "there was no file"
        raise UnusableInput(
            "nothing-usable",
            f"no usable record was found in {source.name}: {reason} Nothing was learnt. See what is there with "
            "`gdm-twin check`.",
        )
    return found


def last_day(record: PatientRecord) -> float | None:
    """The gestational day after which nothing more is recorded; None where nothing is dated."""
    days = [
        float(t["gestational_day"].max())
        for t in (record.glucose, record.biometry)
        if len(t) and t["gestational_day"].notna().any()
    ]
    return max(days) if days else None


def group_of(record: PatientRecord, site: str, by: str) -> str:
    """Her site, or the sensor most of her sensor readings come from."""
    if by == "none":
        return ""
    if by == "site":
        return site or UNKNOWN
    worn = record.glucose[(record.glucose["kind"] == "cgm") & (record.glucose["device"].astype(str) != "")]
    return str(worn["device"].mode().iloc[0]) if len(worn) else UNKNOWN


def candidates(
    records: Sequence[tuple[PatientRecord, str]], standard: str, by: str
) -> tuple[list[Candidate], list[LeftOut]]:
    """Women the model may learn from, and who is left out."""
    found, left_out = [], []
    for record, site in records:
        name = record.pseudonym
        day = last_day(record)
        if day is None:
            left_out.append(LeftOut(name, "no-readings", "no dated glucose or scan. She was left out."))
            continue
        as_of = float(np.floor(day)) + 1.0
        try:
            scope = scope_gate(record, day, SiteSettings(), efw=efw_of_scan)
            if scope.status == "refused":
                left_out.append(LeftOut(name, "out-of-scope", scope.messages[scope.reasons[0]]))
                continue
            data = encode(record, as_of, standard=standard)
            found.append(Candidate(name, data, as_of, covariates(record), group_of(record, site, by)))
        except TwinError as why:
            left_out.append(LeftOut(name, why.code, str(why)))
        except Exception as why:  # one woman's fault must not stop the others
            text = f"her record could not be encoded ({type(why).__name__}: {why}). She was left out."
            left_out.append(LeftOut(name, "unexpected", text))
    return found, left_out
