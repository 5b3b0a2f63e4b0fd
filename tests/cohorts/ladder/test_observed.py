"""Rows of real births and scans."""

import pandas as pd
import pytest

from cohorts.evidence.designs.people import COVARIATES
from cohorts.ladder import observed


@pytest.mark.shared_data
def test_rows_of_the_real_data_have_bands(shared_data):
    rows = {r.row: r for r in observed.rules(shared_data)}
    weights = {"US-MEAN", "US-SD", "US-MEAN-ENDS", "US-SD-ENDS", "US-GDM"}
    assert set(rows) == weights | {"US-EFFECTS", "SYDNEY-SCAN", "SYDNEY-WEIGHTS", "KINGS-AC"}
    for r in rows.values():
        assert all(a < v < b for a, v, b in zip(r.low, r.published, r.high, strict=True)), r.row
    by = dict(zip(COVARIATES, rows["US-EFFECTS"].published, strict=True))
    assert 0.03 < by["male"] < 0.05 and -0.08 < by["smoking"] < -0.03


@pytest.mark.shared_data
def test_women_that_forecasts_are_judged_by_teach_nothing(shared_data):
    from tests.statistical.sydney import split

    rows = pd.read_csv(shared_data / observed.SYDNEY, dtype=str)
    aside, _ = split(rows.to_dict("records"))
    left = set(observed.without_aside(rows)["id"])
    assert len(left) == len(rows) - observed.SET_ASIDE and not left & {r["id"] for r in aside}
