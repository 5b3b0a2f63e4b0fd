"""The rules as they were fixed before any fit."""

from collections import Counter

import numpy as np
import pytest

from cohorts.evidence.rules import ROLES, load_rules
from cohorts.evidence.run import Found, score, table

#: studies that were to be held out whole
HELD_OUT = ("D-ETH", "D-KP", "D-ONG", "D-LPD", "D-LAW", "B-GDM", "D-SWE")
MOST_INEXPRESSIBLE = 0.25


def test_every_row_has_a_role_and_a_band_around_what_was_published():
    for row, r in load_rules().items():
        assert r.role in ROLES, row
        for value, low, high in zip(r.published, r.low, r.high, strict=True):
            assert low <= value <= high and high > low, row
        assert bool(r.reason) or r.role != "inexpressible", row


def test_few_rows_are_inexpressible():
    roles = Counter(r.role for r in load_rules().values())
    assert roles["inexpressible"] / sum(roles.values()) <= MOST_INEXPRESSIBLE


def test_studies_are_held_out_whole():
    rules = load_rules()
    for prefix in HELD_OUT:
        roles = {r.role for row, r in rules.items() if row.startswith(prefix)}
        assert "calibrate" not in roles and roles, prefix
    by_study: dict[str, set[str]] = {}
    for r in rules.values():
        if r.counted:
            by_study.setdefault(r.study, set()).add(r.role)
    assert not [s for s, roles in by_study.items() if len(roles) > 1]


def test_recalled_rows_are_not_counted():
    assert not [r.row for r in load_rules().values() if r.counted and "recalled" in r.reason.split(";")[0]]


def test_studies_weigh_the_same():
    """Two rows of one study met and missed, one of another met: 3/4; a row without a design is a miss."""
    rules = {k: r for k, r in load_rules().items() if r.role == "validate" and r.counted}
    rows = list(rules.values())
    found = {r.row: Found(r.published, tuple(0.0 for _ in r.published)) for r in rows}
    lines = table(found)
    assert score(lines, "validate").share == pytest.approx(1.0)
    gone = rows[0].row
    less = table({k: v for k, v in found.items() if k != gone})
    same = [r for r in rows if r.study == rows[0].study]
    studies = {r.study for r in rows}
    assert score(less, "validate").share == pytest.approx(1.0 - 1.0 / len(same) / len(studies))
    off = {k: Found(tuple(1e9 for _ in v.values), v.errors) if k == gone else v for k, v in found.items()}
    assert score(table(off), "validate").share == pytest.approx(score(less, "validate").share)
    assert np.isfinite(score(lines, "validate").share)
