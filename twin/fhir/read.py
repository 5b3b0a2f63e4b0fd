"""FHIR R4 in: Bundles, NDJSON and folders to one validated `PatientRecord` per woman.

Entry by entry: what cannot be used is reported with its place and reason, and costs nothing else. Every entry
ends in a row, a statement, an issue, or serves as context (Patient, Device, Medication, Specimen).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twin.errors import RowRejected, UnusableInput
from twin.fhir import clinical
from twin.fhir.assemble import assemble_record
from twin.fhir.check import READ_TYPES, check_resource
from twin.fhir.context import Context, Found
from twin.fhir.elements import any_date, items, mapping, reference_key
from twin.fhir.observations import read_observation
from twin.fhir.people import People, contradicted_patients, patient_key, who_is_who
from twin.fhir.sources import Entry, read_entries
from twin.record import PatientRecord, RecordIssue, Statement
from twin.settings import SiteSettings

_READERS: dict[str, Callable[[Mapping[str, Any], str, Context], Found]] = {
    "Condition": clinical.read_condition,
    "DiagnosticReport": clinical.read_report,
    "Encounter": clinical.read_encounter,
    "MedicationAdministration": clinical.read_administration,
    "MedicationStatement": clinical.read_statement,
    "Observation": read_observation,
    "Procedure": clinical.read_procedure,
}
_LONGEST_ID = 64  # characters of a FHIR id, which a version is
_CONTEXT_TYPES = ("Device", "Medication", "Patient", "RelatedPerson", "Specimen")

_TWO_WOMEN = (
    "two Patient resources share this id but differ in date of birth or identifier: two women, or one with a "
    "mistake. It cannot be told whose this is. Entry not used. Correct the Patient, or read the files one by one."
)


@dataclass(frozen=True)
class ReadResult:
    """Everything one input gave.

    records : one per woman with anything usable, sorted by pseudonym, each with the issues that are hers.
    issues : what could not be attributed to a woman; it may concern any of them.
    quarantined : pseudonym -> issues of women of whom nothing was usable.
    context : sources of entries that only serve others (Patient, Device, Medication ...).
    """

    records: tuple[PatientRecord, ...]
    issues: tuple[RecordIssue, ...]
    quarantined: Mapping[str, tuple[RecordIssue, ...]]
    context: frozenset[str]
    entries: int


@dataclass
class _Gathered:
    found: Found = field(default_factory=Found)
    newborn: Found = field(default_factory=Found)
    digests: list[str] = field(default_factory=list)


def read_bundle(
    source: str | Path | Mapping[str, Any], settings: SiteSettings | None = None
) -> list[PatientRecord]:
    """Records of every woman in a FHIR R4 Bundle (a dict, or JSON), NDJSON (plain or .gz), or folder of them.

    Issues that could not be attributed to a woman stand in every record, since they may be hers.
    Raises : UnusableInput when nothing usable is there, with the first reasons.
    """
    result = read_source(source, settings)
    if not result.records:
        reasons = [*result.issues, *(i for issues in result.quarantined.values() for i in issues)]
        first = "; ".join(f"{i.source}: {i.message}" for i in reasons[:3])
        raise UnusableInput(
            "nothing-usable",
            f"nothing usable was found in {result.entries} entries. {first or 'There was no entry.'}",
        )
    return [replace(r, issues=result.issues + r.issues) for r in result.records]


def read_source(source: str | Path | Mapping[str, Any], settings: SiteSettings | None = None) -> ReadResult:
    """As `read_bundle`, but the unattributed issues and the quarantined women stand apart.

    Raises : UnusableInput only if the input cannot be read at all (no file, XML, not FHIR).
    """
    settings = settings or SiteSettings()
    issues: list[RecordIssue] = []
    entries: list[Entry] = []
    for item in read_entries(source):
        if isinstance(item, RecordIssue):
            issues.append(item)
        else:
            entries.append(item)
    count = len(entries)
    entries = _newest_versions(entries, issues)
    people = who_is_who(entries)
    shared = _shared_resources(entries, people)
    women: dict[str, _Gathered] = {}
    context_sources: set[str] = set()
    for entry in entries:
        _read_entry(entry, people, shared, settings, women, issues, context_sources)
    for child, mother in people.mother_of.items():
        if child in people.patients and not people.contradicted & {child, mother}:
            gathered = women.setdefault(mother, _Gathered())
            _newborn(people.patients[child], people.source.get(child, ""), gathered.newborn)
    records: list[PatientRecord] = []
    quarantined: dict[str, tuple[RecordIssue, ...]] = {}
    for key, gathered in women.items():
        name = people.pseudonym(key)
        digest = hashlib.sha256("".join(sorted(gathered.digests)).encode()).hexdigest()
        record = assemble_record(
            name,
            gathered.found,
            gathered.newborn,
            birth_year=people.birth_year(key),
            patient_source=people.source.get(key, ""),
            input_sha256=digest,
        )
        if isinstance(record, PatientRecord):
            records.append(record)
        else:
            quarantined[name] = record
    return ReadResult(
        records=tuple(sorted(records, key=lambda r: r.pseudonym)),
        issues=tuple(issues),
        quarantined=quarantined,
        context=frozenset(context_sources),
        entries=count,
    )


def _newest_versions(entries: list[Entry], issues: list[RecordIssue]) -> list[Entry]:
    """One entry per resource id: the highest version, else the last updated, else the last one sent.

    Patients of different women under one id are all kept: none of them replaces the other.
    """
    contradicted = contradicted_patients(entries)
    newest: dict[tuple[str, str], tuple[tuple[int, str, int], int]] = {}
    for i, e in enumerate(entries):
        identity = e.resource.get("id")
        if not isinstance(identity, str) or not identity:
            continue
        meta = mapping(e.resource.get("meta"))
        version, updated = str(meta.get("versionId", "")), str(meta.get("lastUpdated", ""))
        numbered = version.isascii() and version.isdigit() and len(version) <= _LONGEST_ID
        rank = (int(version) if numbered else 0, updated, i)
        key = (e.resource["resourceType"], identity)
        if key not in newest or rank > newest[key][0]:
            newest[key] = (rank, i)
    keep = {i for _, i in newest.values()}
    kept = []
    for i, e in enumerate(entries):
        identity = e.resource.get("id")
        two_women = e.resource["resourceType"] == "Patient" and patient_key(e) in contradicted
        if isinstance(identity, str) and identity and i not in keep and not two_women:
            ruling = entries[newest[(e.resource["resourceType"], identity)][1]].source
            issues.append(
                RecordIssue(
                    e.source, "superseded", f"an older version of the resource at {ruling}. Not used."
                )
            )
        else:
            kept.append(e)
    return kept


def _shared_resources(entries: list[Entry], people: People) -> dict[str, Mapping[str, Any]]:
    """Resources that others point at, by "Type/id" and by fullUrl; an invalid one serves nobody."""
    shared: dict[str, Mapping[str, Any]] = {}
    for e in entries:
        kind, identity = e.resource["resourceType"], e.resource.get("id")
        if kind in ("Medication", "Specimen", "Device") and _is_valid(e.resource):
            if isinstance(identity, str):
                shared[f"{kind}/{identity}"] = e.resource
            if e.full_url:
                shared[e.full_url] = e.resource
    return shared


def _is_valid(resource: dict[str, Any]) -> bool:
    try:
        check_resource(resource)
    except RowRejected:  # reported when the entry itself is read
        return False
    return True


def _read_entry(
    entry: Entry,
    people: People,
    shared: Mapping[str, Mapping[str, Any]],
    settings: SiteSettings,
    women: dict[str, _Gathered],
    issues: list[RecordIssue],
    context_sources: set[str],
) -> None:
    resource, kind = entry.resource, entry.resource["resourceType"]
    subject = people.canonical(reference_key(resource.get("subject")))
    child = subject in people.mother_of
    mother = people.canonical(people.mother_of[subject]) if child else subject
    attributed = mother.startswith(("Patient/", "urn:", "identifier:"))
    gathered = women.setdefault(mother, _Gathered()) if attributed else None
    found = Found()
    try:
        if kind == "Patient" and people.contradicted & {patient_key(entry)}:
            gathered = women.setdefault(patient_key(entry), _Gathered())
            raise RowRejected("two-women-one-id", _TWO_WOMEN)
        if people.contradicted & {subject, mother}:
            raise RowRejected("two-women-one-id", _TWO_WOMEN)
        if kind not in READ_TYPES:
            found.not_understood(entry.source, f"resource type {kind[:40]!r}")
        else:
            check_resource(resource)
            if kind in _CONTEXT_TYPES:
                context_sources.add(entry.source)
                if kind == "Patient" and not _is_child_or_alias(entry, people):
                    women.setdefault(patient_key(entry), _Gathered())
            elif gathered is None:
                raise RowRejected(
                    "no-subject",
                    f"the {kind} names no patient as its subject and cannot be attributed. Entry not used.",
                )
            else:
                context = Context(settings.time_zone, shared, child, people.birth_year(mother))
                found = _READERS[kind](resource, entry.source, context)
                _contained(resource, entry.source, context, found)
    except RowRejected as why:
        found.reject(entry.source, why)
    except Exception as why:  # one entry must never take the others with it
        found.issues.append(
            RecordIssue(
                entry.source,
                "unexpected",
                f"the entry could not be read ({type(why).__name__}). Entry not used.",
            )
        )
    if gathered is None:
        issues.extend(found.issues)
        return
    into = gathered.newborn if child else gathered.found
    into.rows += found.rows
    into.statements += found.statements
    into.issues += found.issues
    gathered.digests.append(_digest(resource))


def _is_child_or_alias(entry: Entry, people: People) -> bool:
    key = patient_key(entry)
    return not key or key in people.mother_of or people.canonical(key) != key


def _contained(resource: Mapping[str, Any], source: str, context: Context, found: Found) -> None:
    """Observations inside a report are read as entries of their own."""
    for i, inner in enumerate(items(resource.get("contained"))):
        if inner.get("resourceType") == "Observation":
            more = read_observation(inner, f"{source}.contained[{i}]", context)
            found.rows += more.rows
            found.statements += more.statements
            found.issues += more.issues


def _newborn(patient: Mapping[str, Any], source: str, found: Found) -> None:
    """Day of birth and sex from the newborn's Patient resource."""
    born = any_date(patient, "birthDate")
    if born is not None:
        found.statements.append(Statement("delivery_day", born, born, source))
    if patient.get("gender") in ("male", "female"):
        found.statements.append(Statement("newborn_sex", patient["gender"], born, source))
    found.statements.append(Statement("_newborns", source, born, source))


def _digest(resource: Mapping[str, Any]) -> str:
    text = json.dumps(resource, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
