"""Habits to a day's pattern. Oracle: totals and times by hand, and the published gain in weight."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from tests.one_woman import LMP, at, make_record
from twin.encode import (
    COVARIATES,
    DEFAULT_WEIGHT_KG,
    DailyPattern,
    activity_pattern,
    covariates,
    events_of,
    expected_gain_kg,
    insulin_pattern,
    meal_pattern,
    pattern_at,
    tablet_pattern,
    usual_meals,
    weight_by_week,
)
from twin.physiology.parameters import INSULIN_F, INSULIN_TAU_MIN


def meal(day, clock, grams):
    return at(day, clock, carbohydrate_g=grams, source=f"m{day}{clock}")


def dose(day, clock, units, formulation):
    return at(day, clock, dose_U=units, formulation=formulation, source=f"i{day}{clock}{formulation}")


def test_usual_day_is_the_reference_day():
    meals, recorded = meal_pattern(make_record({}))
    assert not recorded and meals == usual_meals()
    assert sum(g for _, g in meals) == 220.0  # MODEL 1.2
    assert meals[0][0] == 210.0  # 07:30 since 04:00


def test_recorded_meals_are_averaged_over_full_days():
    """Day 212 has one meal only: it is not a day of eating and does not dilute the mean."""
    rows = [
        meal(210, "07:00", 30.0), meal(210, "12:00", 60.0), meal(210, "19:00", 50.0),
        meal(211, "08:00", 50.0), meal(211, "13:00", 40.0), meal(211, "19:00", 70.0),
        meal(212, "08:00", 200.0),
    ]  # fmt: skip
    meals, recorded = meal_pattern(make_record({"meals": rows}))
    assert recorded
    assert sum(g for _, g in meals) == pytest.approx((140.0 + 160.0) / 2)
    eaten = [(t, g) for t, g in meals if g > 0]
    # amount-weighted times, minutes since 04:00: 07:00 and 08:00 with 30 and 50 g
    assert eaten[0] == pytest.approx(((180 * 30 + 240 * 50) / 80, 40.0))
    assert eaten[-1] == pytest.approx((900.0, 60.0))


def test_insulin_is_averaged_over_days_with_doses():
    rows = [
        dose(210, "22:00", 10.0, "glargine"),
        dose(211, "22:00", 14.0, "glargine"),
        dose(211, "07:25", 4.0, "rapid"),
        dose(218, "22:00", 30.0, "glargine"),
    ]
    record = make_record({"insulin": rows})
    found = insulin_pattern(record, 210.0, 217.0)
    assert sorted((f, t, u) for t, u, f in found) == [("glargine", 1080.0, 12.0), ("rapid", 205.0, 2.0)]
    assert insulin_pattern(record, 100.0, 107.0) == ()


def test_doses_of_the_newest_week_before_are_carried_forward():
    record = make_record({"insulin": [dose(212, "22:00", 10.0, "glargine")]})  # week 30
    assert pattern_at(record, 33.5, usual_meals()).doses == ((1080.0, 10.0, "glargine"),)
    assert pattern_at(record, 29.5, usual_meals()).doses == ()


def test_tablets_of_the_courses_that_cover_the_day():
    end = datetime.combine(LMP, datetime.min.time()) + timedelta(days=220)
    rows = [at(200, "08:00", drug="metformin", dose_mg=500.0, per_day=2.0, end_local=end, source="t1")]
    record = make_record({"medication": rows})
    assert tablet_pattern(record, 199.0) == ()
    assert [mg for _, mg in tablet_pattern(record, 210.0)] == [500.0, 500.0]
    assert tablet_pattern(record, 222.0) == ()


def test_tablets_add_up():
    """Two dosages of one regimen are both taken; doses recorded one by one are a daily mean; a dose that is not known
    is left out, never a NaN."""
    two = [
        at(200, "08:00", drug="metformin", dose_mg=mg, per_day=1.0, source=f"t{mg}") for mg in (500.0, 1000.0)
    ]
    found = tablet_pattern(make_record({"medication": two}), 230.0)
    assert sorted(mg for _, mg in found) == [500.0, 1000.0] and len({t for t, _ in found}) == 2
    given = [
        at(d, c, drug="metformin", dose_mg=500.0, source=f"g{d}{c}")
        for d in (203, 205)
        for c in ("08:00", "19:00")
    ]
    record = make_record({"medication": given})
    assert tablet_pattern(record, 206.0) == ((240.0, 500.0), (900.0, 500.0))
    assert tablet_pattern(record, 260.0) == (), "doses of eight weeks ago are not today's"
    unknown = [at(200, "08:00", drug="metformin", per_day=2.0, source="u")]
    assert tablet_pattern(make_record({"medication": unknown}), 210.0) == ()


def test_activity_is_minutes_a_day():
    rows = [at(d, "08:15", duration_min=30.0, intensity=1.0, source=f"a{d}") for d in (210, 212, 214, 216)]
    record = make_record({"activity": rows})
    bouts = activity_pattern(record, 210.0, 217.0)
    assert sum(b - a for a, b, _ in bouts) == pytest.approx(120.0 / 7.0)
    assert {i for *_, i in bouts} == {1.0}


def test_events_side_by_side_keep_every_amount():
    one = DailyPattern(meals=((200.0, 40.0),), doses=((205.0, 4.0, "rapid"), (1080.0, 8.0, "glargine")))
    two = DailyPattern(meals=usual_meals(), tablets=((210.0, 500.0),), bouts=((300.0, 330.0, 0.5),))
    events = events_of([one, two])
    assert np.asarray(events.meal_mg).sum(axis=0).tolist() == [40_000.0, 220_000.0]
    assert np.asarray(events.dose_mU).sum(axis=0).tolist() == [12_000.0, 0.0]
    assert np.asarray(events.dose_tau)[:2, 0].tolist() == [INSULIN_TAU_MIN[f] for f in ("rapid", "glargine")]
    assert np.asarray(events.dose_F)[:2, 0].tolist() == [INSULIN_F[f] for f in ("rapid", "glargine")]
    assert (np.asarray(events.dose_tau) > 0).all(), "a padded dose must not divide by zero"
    assert np.asarray(events.tablet_mg).sum(axis=0).tolist() == [0.0, 500.0]
    assert np.asarray(events.bout_end - events.bout_start).sum(axis=0).tolist() == [0.0, 30.0]


def test_expected_gain():
    """INTERGROWTH-21st [A-BW-01]: median 13.7 kg at 40 weeks; rising from 14 weeks, no step at 14 weeks, where the
    standard begins at -0.25 kg."""
    weeks = np.linspace(1.0, 40.0, 400)
    gain = expected_gain_kg(weeks)
    assert gain[-1] == pytest.approx(13.7, abs=0.1)
    assert (np.diff(gain)[weeks[1:] > 14.2] > 0).all() and np.abs(np.diff(gain)).max() < 0.1


def test_weights_pass_through_what_was_measured():
    rows = [at(140, weight_kg=74.0, source="w1"), at(210, weight_kg=80.0, source="w2")]
    record = make_record({"weights": rows})
    weeks = np.array([0.0, 140.5 / 7.0, 210.5 / 7.0])
    assert weight_by_week(record, weeks) == pytest.approx([69.0, 74.0, 80.0])
    later = weight_by_week(record, np.array([36.0]))[0]
    assert later - 80.0 == pytest.approx(np.diff(expected_gain_kg(np.array([210.5 / 7.0, 36.0])))[0])


def test_weight_without_any_record_is_the_reference_woman():
    weeks = np.array([20.0, 30.0])
    blank = make_record({}, weight_pre_kg=None)
    assert weight_by_week(blank, weeks).tolist() == [DEFAULT_WEIGHT_KG] * 2
    pre = weight_by_week(make_record({}), weeks)
    assert pre == pytest.approx(69.0 + expected_gain_kg(weeks))


def test_covariates_are_as_recorded_and_nan_where_not():
    """By hand: 69 kg at 1.65 m in `make_record`; what is not recorded is NaN."""
    her = dict(
        zip(COVARIATES, covariates(make_record({}, smoking=True, hypertension=None, parity=2)), strict=True)
    )
    assert her["bmi"] == pytest.approx(69.0 / 1.65**2) and her["smoking"] == 1.0 and her["parous"] == 1.0
    assert np.isnan(her["hypertension"]) and np.isnan(her["male"]) and np.isnan(her["gain"])
    assert covariates(make_record({}, weight_pre_kg=190.0))[COVARIATES.index("bmi")] == 45.0
    nothing = make_record({}, smoking=None, hypertension=None, parity=None, weight_pre_kg=None)
    known = dict(zip(COVARIATES, covariates(nothing), strict=True))
    assert {name for name, x in known.items() if not np.isnan(x)} == {"height", "age"}
