"""Figures show the data they are given: scan weights by formula, centiles of the standard, labels apart."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.record.alerts import local_now
from twin.report import figures
from twin.report.svg import spread
from twin.settings import SiteSettings

NOW = "2026-11-12T09:30"


def test_scan_weights_follow_hadlock_and_keep_recorded_ones(record):
    """Oracle: Hadlock HC-AC-FL written out here, lengths in cm [C-EFW-02]."""
    now = local_now(record, NOW)
    biometry = record.biometry
    recorded = biometry.iloc[[-1]].assign(quantity="efw_g", value=2000.0, sd_mm=120.0, scan=9)
    rows = figures.scan_weights(replace(record, biometry=pd.concat([biometry, recorded])), now)
    for i, (hc, ac, fl) in enumerate(((17.8, 15.8, 3.35), (26.2, 24.5, 5.3), (30.0, 29.7, 6.25))):
        expected = 10 ** (1.326 - 0.00326 * ac * fl + 0.0107 * hc + 0.0438 * ac + 0.158 * fl)
        assert rows["efw_g"].iloc[i] == pytest.approx(expected, rel=1e-4)
        assert rows["sd_g"].iloc[i] == pytest.approx(0.075 * expected, rel=1e-4)
    assert rows.iloc[3][["efw_g", "sd_g", "basis"]].tolist() == [2000.0, 120.0, "recorded"]


def test_scans_after_now_or_without_enough_measurements_are_left_out(record):
    ac_only = replace(record, biometry=record.biometry[record.biometry["quantity"] == "ac_mm"])
    assert figures.scan_weights(ac_only, local_now(record, NOW)).empty
    assert len(figures.scan_weights(record, local_now(record, "2026-10-20T00:00"))) == 2


@pytest.mark.parametrize("show", [True, False])
def test_centiles_only_when_allowed(record, forecast, show):
    shown = figures.growth_chart(
        record,
        local_now(record, NOW),
        forecast,
        scenario="as_now",
        growth_standard="hadlock1991",
        show_centiles=show,
        today=231,
    )
    for svg in (shown.wide, shown.narrow):
        assert ("centiles, Hadlock 1991" in svg) == show
        assert len(re.findall(r">(?:3|10|50|90|97)</text>", svg)) == (5 if show else 0)
    births = forecast["birth_weight_g"].sel(scenario="as_now")
    low, high = births.quantile([0.05, 0.95], "draw").to_numpy()
    assert f"90 of 100 between {low:.0f} and {high:.0f} g" in shown.description


def test_day_profile_counts_and_band(record, day_profile):
    shown = figures.glucose_day_profile(record, local_now(record, NOW), SiteSettings(), day_profile)
    assert shown is not None and "54 meter" in shown.description  # 13 days of 4, and 2 after 09:30
    assert "model: median" in shown.wide and "model: median" in shown.narrow
    without = figures.glucose_day_profile(record, local_now(record, NOW), SiteSettings(), None)
    assert without is not None and "model" not in without.wide


def test_nothing_to_show_is_none(record):
    quiet = local_now(record, "2026-12-30T00:00")
    assert figures.glucose_day_profile(record, quiet, SiteSettings(), None) is None
    assert figures.if_born_on([]) is None and figures.issued_history([]) is None


def test_the_two_risk_plots_share_no_wording(risk):
    born = figures.if_born_on(risk["scenarios"][0]["if_born_on"])
    issued = figures.issued_history(risk["issued"])
    assert "if born at" in born.wide and "if born at" not in issued.wide
    assert "date the forecast was made, 2026" in issued.wide and "forecast was made" not in born.wide
    assert "2026-09-30: over 4000 g 14" in issued.description


def test_missing_outcomes_leave_gaps_not_zeros():
    rows = [{"as_of": "2026-10-01", "macrosomia_4000": 0.2}, {"as_of": "2026-11-01", "sga_10": 0.05}]
    shown = figures.issued_history(rows)
    assert shown.description.count("over 4000 g") == 1 and "LGA" not in shown.wide


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=6), st.floats(0.5, 10.0))
def test_labels_keep_their_order_and_distance(heights, gap):
    placed = np.array(spread(heights, gap))
    order = np.argsort(heights, kind="stable")
    assert np.all(np.diff(placed[order]) >= gap - 1e-6)
    assert placed.mean() == pytest.approx(np.mean(heights), abs=1e-6)
