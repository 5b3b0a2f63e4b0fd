"""Which designs a number matters to: of the others nothing changes when it moves."""

import subprocess
import sys

import pytest

from cohorts.evidence.rules import load_rules
from cohorts.ladder.steps import HEADLINE, MATTERS, TOGETHER


@pytest.mark.slow
@pytest.mark.parametrize("design", [d.name for d in TOGETHER.designs])
def test_a_design_left_out_does_not_depend_on_the_number(design):
    """Arrays of the same women bit by bit."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.cohorts.ladder.apart", design], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_every_number_matters_to_a_design():
    names = {d.name for d in TOGETHER.designs}
    assert all(set(designs) & names for designs in MATTERS.values())


def test_rows_that_count_more_are_rows():
    known = set(load_rules()) | {"US-MEAN", "US-SD", "US-GDM"}
    assert set(HEADLINE) <= known
