"""Who is who: the mother's Patient, her newborn, aliases; raw ids never leave this room."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twin.fhir.elements import OWN_PSEUDONYM, codings, items, mapping, pseudonym, reference_key
from twin.fhir.sources import Entry

_MOTHER = frozenset({"MTH", "NMTH", "GESTM"})
_CHILD = frozenset({"CHILD", "NCHILD", "SON", "DAU", "NSON", "DAUC", "SONC", "NBOR"})
_YEARS_BETWEEN = 10  # mother and child
#: a pseudonym names folders and files, so one read back must be harmless as a name
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_YEARS = range(1900, 2200)


@dataclass
class People:
    """Keys are "Patient/id" or a urn; every key of one person leads to the same canonical key."""

    alias: dict[str, str] = field(default_factory=dict)
    patients: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    mother_of: dict[str, str] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    contradicted: frozenset[str] = frozenset()  # two women under one id: nothing of them is used

    def canonical(self, key: str) -> str:
        """The person a reference means; the key itself if no Patient resource is there."""
        seen = set()
        while key in self.alias and key not in seen:
            seen.add(key)
            key = self.alias[key]
        return key

    def pseudonym(self, key: str) -> str:
        """The stable pseudonym of a person; this project's own are read back as they are, unless they could
        not name a folder (letters, digits, ".", "_", "-"; at most 64): such a one is hashed."""
        patient = mapping(self.patients.get(key))
        for identifier in items(patient.get("identifier")):
            if identifier.get("system") == OWN_PSEUDONYM and isinstance(identifier.get("value"), str):
                own = str(identifier["value"])
                return own if _SAFE_NAME.match(own) else pseudonym(own)
        return pseudonym(key)

    def birth_year(self, key: str) -> int | None:
        """Year of birth, None unless it is from 1900 on; the rest of the date is not looked at."""
        text = mapping(self.patients.get(key)).get("birthDate")
        year = text[:4] if isinstance(text, str) else ""
        return int(year) if year.isascii() and year.isdigit() and int(year) in _YEARS else None


def who_is_who(entries: list[Entry]) -> People:
    """Patients with their aliases (urn, replaced-by) and which newborn belongs to which mother.

    A newborn is found through a RelatedPerson (mother of the child, or child of the mother) linked from a
    Patient, or a direct Patient link with at least ten years between the births.
    """
    people = People()
    for e in entries:
        if e.resource.get("resourceType") != "Patient":
            continue
        key = patient_key(e)
        if not key:
            continue
        if e.full_url and e.full_url != key:
            people.alias[e.full_url] = key
        people.patients[key] = e.resource
        people.source[key] = e.source
    people.contradicted = contradicted_patients(entries)
    related = _related(entries)
    for key, patient in people.patients.items():
        for link in items(patient.get("link")):
            other = people.canonical(reference_key(link.get("other")))
            if link.get("type") == "replaced-by" and other in people.patients and other != key:
                people.alias[key] = other
            elif other in related:
                _through(people, key, *related[other])
            elif other in people.patients:
                _direct(people, key, other)
    return people


def patient_key(entry: Entry) -> str:
    """ "Patient/id" of a Patient entry, its fullUrl without an id, "" without either."""
    identity = entry.resource.get("id")
    return f"Patient/{identity}" if isinstance(identity, str) and identity else entry.full_url


def contradicted_patients(entries: list[Entry]) -> frozenset[str]:
    """Keys under which two files say different things of who the patient is: two women, one id.

    A date of birth or an identifier of one system that differs contradicts; one that is missing does not.
    Within one file a later version may correct an earlier one, if both carry a version or time of update.
    """
    found: set[str] = set()
    seen: dict[str, list[Entry]] = {}
    for e in entries:
        key = patient_key(e) if e.resource.get("resourceType") == "Patient" else ""
        if not key:
            continue
        if any(_contradict(e, other) for other in seen.get(key, ())):
            found.add(key)
        seen.setdefault(key, []).append(e)
    return frozenset(found)


def _contradict(one: Entry, other: Entry) -> bool:
    if one.file == other.file and all(_is_versioned(e.resource) for e in (one, other)):
        return False
    a, b = (str(e.resource.get("birthDate") or "") for e in (one, other))
    if not (a.startswith(b) or b.startswith(a)):
        return True
    mine, theirs = _identifiers(one.resource), _identifiers(other.resource)
    return any(mine[s].isdisjoint(theirs[s]) for s in mine.keys() & theirs.keys())


def _is_versioned(resource: Mapping[str, Any]) -> bool:
    meta = mapping(resource.get("meta"))
    return bool(meta.get("versionId") or meta.get("lastUpdated"))


def _identifiers(patient: Mapping[str, Any]) -> dict[str, set[str]]:
    """System -> values."""
    found: dict[str, set[str]] = {}
    for identifier in items(patient.get("identifier")):
        system, value = identifier.get("system"), identifier.get("value")
        if isinstance(system, str) and isinstance(value, str):
            found.setdefault(system, set()).add(value)
    return found


def _related(entries: list[Entry]) -> dict[str, tuple[str, set[str]]]:
    """RelatedPerson key -> (key of the Patient it is related to, relationship codes)."""
    found = {}
    for e in entries:
        if e.resource.get("resourceType") == "RelatedPerson":
            codes = {str(c.get("code")) for r in items(e.resource.get("relationship")) for c in codings(r)}
            target = reference_key(e.resource.get("patient"))
            keys = [f"RelatedPerson/{e.resource['id']}"] if isinstance(e.resource.get("id"), str) else []
            for key in [*keys, *([e.full_url] if e.full_url else [])]:
                found[key] = (target, codes)
    return found


def _through(people: People, person: str, related_to: str, relationship: set[str]) -> None:
    other = people.canonical(related_to)
    if relationship & _MOTHER:
        people.mother_of[other] = person
    elif relationship & _CHILD:
        people.mother_of[person] = other


def _direct(people: People, one: str, other: str) -> None:
    a, b = people.birth_year(one), people.birth_year(other)
    if a is None or b is None or abs(a - b) < _YEARS_BETWEEN:
        return
    child, mother = (one, other) if a > b else (other, one)
    people.mother_of[child] = mother
