"""Small records with invented values."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from twin.record import PatientRecord, PregnancyFacts, build_record

LMP = date(2026, 3, 2)


def at(day: float, **row: Any) -> dict[str, Any]:
    """A row at gestational day `day`, local time two hours ahead of UTC."""
    local = datetime.combine(LMP, datetime.min.time()) + timedelta(days=day)
    return {"time_utc": (local - timedelta(hours=2)).isoformat() + "Z", "time_local": local} | row


@pytest.fixture
def make() -> Callable[..., PatientRecord]:
    """make(fact=..., rows={table: rows}, statements=...): a record dated by EDD with its covariates."""

    def build(rows: dict | None = None, statements: tuple = (), **facts: Any) -> PatientRecord:
        known = {
            "lmp_equivalent": LMP,
            "dating_method": "edd",
            "hypertension": False,
            "smoking": False,
            "fetal_number": 1,
        } | facts
        return build_record("p-test", rows or {}, statements, facts=PregnancyFacts(**known))

    return build
