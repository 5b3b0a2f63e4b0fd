"""What a reader needs beside its own resource, and what it hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twin.errors import RowRejected
from twin.fhir.elements import mapping, reference_key
from twin.record import RecordIssue, Statement
from twin.timeline import Instant


@dataclass(frozen=True)
class Context:
    """The site's zone, resources by "Type/id" or urn, and the id of the patient the resource belongs to."""

    zone: str
    resources: Mapping[str, Mapping[str, Any]]
    newborn: bool = False  # the subject is the child, not the mother
    mother_birth_year: int | None = None

    def resolve(self, reference: Any, contained: Any = None) -> dict[str, Any]:
        """The referenced resource, looked up among the contained ones for "#id"; empty if it is not there."""
        key = reference_key(reference)
        if key.startswith("#") and isinstance(contained, list):
            for resource in contained:
                if isinstance(resource, dict) and resource.get("id") == key[1:]:
                    return resource
        return dict(mapping(self.resources.get(key)))


@dataclass
class Found:
    """What one entry gave: rows by table, statements, issues."""

    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    issues: list[RecordIssue] = field(default_factory=list)

    def row(self, table: str, at: Instant, source: str, **values: Any) -> None:
        if at.zone_assumed:
            self.warn(source, "zone-assumed", "the time has no offset; it was read in the site's time zone.")
        self.rows.append((table, {"time_utc": at.utc, "time_local": at.local, "source": source} | values))

    def warn(self, source: str, code: str, message: str) -> None:
        self.issues.append(RecordIssue(source, code, message, "warning"))

    def reject(self, source: str, why: RowRejected) -> None:
        self.issues.append(RecordIssue(source, why.code, str(why)))

    def not_understood(self, source: str, what: str, hint: str = "") -> None:
        message = f"{what} is not understood. It was not used. {hint}".rstrip()
        self.issues.append(RecordIssue(source, "not-understood", message, "not-understood"))
