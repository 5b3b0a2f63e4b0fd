"""The record of one pregnancy: tables, facts, plausibility, what was known when, and the scope gate."""

from twin.record.build import as_of, build_record
from twin.record.facts import assemble_facts
from twin.record.scope import (
    Scope,
    SuspendedWindow,
    in_suspended_window,
    scope_gate,
    suspended_windows,
)
from twin.record.storage import read_tables, write_tables
from twin.record.tables import (
    COLUMNS,
    PatientRecord,
    PregnancyFacts,
    PreviousBirth,
    RecordIssue,
    Statement,
    empty_table,
    to_table,
)
from twin.record.validate import validate_table

__all__ = [
    "COLUMNS",
    "PatientRecord",
    "PregnancyFacts",
    "PreviousBirth",
    "RecordIssue",
    "Scope",
    "Statement",
    "SuspendedWindow",
    "as_of",
    "assemble_facts",
    "build_record",
    "empty_table",
    "in_suspended_window",
    "read_tables",
    "scope_gate",
    "suspended_windows",
    "to_table",
    "validate_table",
    "write_tables",
]
