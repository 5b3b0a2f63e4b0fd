"""Oracles: the calendar, and the zone database's own summer-time rules."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin import timeline as tl
from twin.errors import RowRejected, UnusableInput

ZONE = "Europe/Berlin"


def test_edd_is_lmp_plus_280():
    assert tl.edd_from_lmp(date(2026, 1, 1)) == date(2026, 10, 8)
    assert tl.lmp_from_edd(date(2026, 10, 8)) == date(2026, 1, 1)


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(0, 300), st.integers(0, 86399))
def test_gestational_day_counts_calendar_days(lmp, days, seconds):
    local = datetime.combine(lmp + timedelta(days=days), datetime.min.time()) + timedelta(seconds=seconds)
    value = tl.gestational_day(local, lmp)
    assert int(value) == days
    assert value - days == pytest.approx(seconds / 86400)
    assert tl.date_of(value, lmp) == local.date()


def test_offset_wins_over_the_site_zone():
    found = tl.parse_instant("2026-11-02T07:30:00-05:00", ZONE)
    assert found.utc == datetime(2026, 11, 2, 12, 30, tzinfo=UTC)
    assert found.local == datetime(2026, 11, 2, 7, 30)
    assert not found.zone_assumed


def test_zone_less_time_uses_the_site_zone_and_says_so():
    winter = tl.parse_instant("2026-01-15T08:00:00", ZONE)
    summer = tl.parse_instant("2026-07-15T08:00", ZONE)
    assert winter.utc.hour == 7 and summer.utc.hour == 6
    assert winter.zone_assumed and summer.zone_assumed


def test_repeated_hour_keeps_order_by_utc():
    first = tl.parse_instant("2026-10-25T02:30:00+02:00", ZONE)
    second = tl.parse_instant("2026-10-25T02:30:00+01:00", ZONE)
    assert first.local == second.local
    assert second.utc - first.utc == timedelta(hours=1)


def test_skipped_hour_is_refused_without_an_offset():
    with pytest.raises(RowRejected) as why:
        tl.parse_instant("2026-03-29T02:30:00", ZONE)
    assert why.value.code == "skipped-hour"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-11-02", "date-without-time"),
        ("2026-11", "partial-date"),
        ("2026", "partial-date"),
        ("yesterday", "bad-time"),
        ("2026-13-02T10:00:00Z", "bad-time"),
        ("2026-11-02T25:00:00Z", "bad-time"),
        ("", "bad-time"),
        (None, "bad-time"),
        (20261102, "bad-time"),
    ],
)
def test_times_that_are_refused(text, code):
    with pytest.raises(RowRejected) as why:
        tl.parse_instant(text, ZONE)
    assert why.value.code == code


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_is_refused(text):
    try:
        tl.parse_instant(text, ZONE)
    except RowRejected as why:
        assert why.code in {"bad-time", "date-without-time", "partial-date", "skipped-hour"}


def test_fractions_of_a_second_survive():
    assert tl.parse_instant("2026-11-02T07:30:00.1234567Z", ZONE).local.microsecond == 123456


@pytest.mark.parametrize(("text", "day"), [("39+2", 275), ("2026-10-03", 275), (" 40+0 ", 280)])
def test_birth_day(text, day):
    assert tl.parse_birth_day(text, date(2026, 1, 1)) == day
    assert tl.weeks_and_days(275.9) == "39+2"


@pytest.mark.parametrize("text", ["39+7", "39", "50+0", "2025-01-01", "soon", "2026-10"])
def test_bad_birth_day(text):
    with pytest.raises(UnusableInput) as why:
        tl.parse_birth_day(text, date(2026, 1, 1))
    assert why.value.code == "bad-birth-day"


def test_birth_date_needs_dating():
    with pytest.raises(UnusableInput) as why:
        tl.parse_birth_day("2026-10-03")
    assert why.value.code == "not-dated"


def test_newest_accepted_edd_rules():
    def says(lmp, method, edd, on):
        return tl.DatingStatement(lmp, method, edd, on)

    lmp = says(date(2026, 1, 1), "lmp", False, date(2026, 9, 1))
    first = says(date(2026, 1, 3), "lmp", True, date(2026, 2, 1))
    scan = says(date(2026, 1, 9), "ultrasound", True, date(2026, 3, 25))
    undated = says(date(2026, 1, 20), "edd", True, None)
    assert tl.choose_dating([lmp, scan, first, undated]) is scan
    assert tl.choose_dating([undated, lmp]) is undated
    assert tl.choose_dating([lmp]) is lmp
    assert tl.choose_dating([]) is None


def test_unknown_zone():
    with pytest.raises(UnusableInput, match="time zone"):
        tl.site_zone("Mars/Olympus")
