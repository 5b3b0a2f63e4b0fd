"""Time of a pregnancy: the LMP-equivalent date, gestational days, and clock time in UTC and at home.

Gestational day 0 is the LMP-equivalent date; the estimated date of delivery is day 280. Instants sort by UTC;
meals and slots are read from the wall clock, so both are kept. A time is never invented: a date without a
time of day is refused where the time matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from twin.errors import RowRejected, UnusableInput

#: days from the LMP-equivalent date to the estimated date of delivery (Naegele's rule)
PREGNANCY_DAYS = 280

_YEARS = range(1900, 2200)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_PARTIAL_DATE = re.compile(r"\d{4}(-\d{2})?\Z")
_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(:\d{2})?(\.\d+)?(Z|[+-]\d{2}:\d{2})?\Z", re.IGNORECASE
)
_WEEKS_DAYS = re.compile(r"(\d{1,2})\+([0-6])\Z")


@dataclass(frozen=True)
class Instant:
    """One moment: `utc` (aware), `local` wall clock (naive), and whether the site's zone was assumed."""

    utc: datetime
    local: datetime
    zone_assumed: bool = False


@dataclass(frozen=True)
class DatingStatement:
    """One recorded statement about dating. `stated_on` is when it was issued; None if not recorded."""

    lmp_equivalent: date
    method: str  # "edd" | "lmp" | "ultrasound"
    is_edd: bool
    stated_on: date | None = None
    sd_days: float | None = None
    source: str = ""


def site_zone(name: str) -> ZoneInfo:
    """The site's time zone.

    Raises : UnusableInput for a name the zone database does not know.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as why:
        raise UnusableInput(
            "unknown-time-zone",
            f"time zone {name!r} is not in the zone database; expected a name like 'Europe/Berlin'. "
            "Nothing was read. Correct `time_zone` in the site settings.",
        ) from why


def parse_date(text: object) -> date:
    """A full calendar date; the date part of a full date-time is taken as written.

    Raises : RowRejected "partial-date" for a year or month alone, "bad-date" for anything else.
    """
    if isinstance(text, str):
        if _PARTIAL_DATE.match(text):
            raise RowRejected("partial-date", f"the date {text!r} has no day. The row was not used.")
        head = text[:10] if _INSTANT.match(text) else text
        if _DATE.match(head):
            try:
                day = date.fromisoformat(head)
            except ValueError:
                pass
            else:
                if day.year in _YEARS:
                    return day
    raise RowRejected("bad-date", "the date is not a calendar date YYYY-MM-DD. The row was not used.")


def parse_instant(text: object, zone: str) -> Instant:
    """A moment with its wall clock; a time without offset is read in the site's `zone` and marked so.

    The repeated hour at the end of summer time is read as its first pass when no offset tells; a wall clock
    that the start of summer time skips is refused.
    Raises : RowRejected "date-without-time", "partial-date", "bad-time", "skipped-hour".
    """
    if isinstance(text, str):
        if _DATE.match(text):
            raise RowRejected(
                "date-without-time",
                "a date without a time of day; a reading needs one, and midnight is never assumed. "
                "The row was not used. Send the time the reading was taken.",
            )
        if _PARTIAL_DATE.match(text):
            raise RowRejected("partial-date", f"the date {text!r} has no day. The row was not used.")
        found = _INSTANT.match(text)
        if found:
            day, clock, seconds, fraction, offset = found.groups()
            micro = (fraction or ".0")[:7]
            stamp = f"{day}T{clock}{seconds or ':00'}{micro.ljust(7, '0')}"
            try:
                moment = datetime.fromisoformat(stamp + (offset or "").upper().replace("Z", "+00:00"))
                if moment.year in _YEARS:
                    return _instant(moment, zone)
            except (ValueError, OverflowError):
                pass
    raise RowRejected(
        "bad-time",
        "the time is not an ISO 8601 date-time such as 2026-11-02T07:30:00+01:00. The row was not used.",
    )


def _instant(moment: datetime, zone: str) -> Instant:
    if moment.tzinfo is not None:
        return Instant(moment.astimezone(UTC), moment.replace(tzinfo=None))
    utc = moment.replace(tzinfo=site_zone(zone)).astimezone(UTC)
    if utc.astimezone(site_zone(zone)).replace(tzinfo=None) != moment:
        raise RowRejected(
            "skipped-hour",
            "the wall clock does not exist in the site's time zone (start of summer time). "
            "The row was not used.",
        )
    return Instant(utc, moment, zone_assumed=True)


def lmp_from_edd(edd: date) -> date:
    """LMP-equivalent date of an estimated date of delivery."""
    return edd - timedelta(days=PREGNANCY_DAYS)


def edd_from_lmp(lmp_equivalent: date) -> date:
    """Estimated date of delivery, day 280."""
    return lmp_equivalent + timedelta(days=PREGNANCY_DAYS)


def lmp_from_gestational_age(on: date, days: float | int) -> date:
    """LMP-equivalent date of a gestational age of `days` (rounded to whole days) stated for the date `on`."""
    return on - timedelta(days=round(days))


def gestational_day(local: datetime | date, lmp_equivalent: date) -> float:
    """Days since the LMP-equivalent date with the fraction of the local day from the wall clock.

    A day is the wall clock's day, so a change to or from summer time shifts nothing. A date alone gives the
    completed day.
    """
    day = local.date() if isinstance(local, datetime) else local
    whole = float((day - lmp_equivalent).days)
    if not isinstance(local, datetime):
        return whole
    seconds = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
    return whole + seconds / 86400.0


def date_of(gestational_day_: float | int, lmp_equivalent: date) -> date:
    """Calendar date of a gestational day (fraction dropped)."""
    return lmp_equivalent + timedelta(days=int(gestational_day_ // 1))


def weeks_and_days(gestational_day_: float | int) -> str:
    """A gestational day as the field writes it: 275 -> "39+2"."""
    whole = int(gestational_day_ // 1)
    return f"{whole // 7}+{whole % 7}"


def parse_birth_day(text: str, lmp_equivalent: date | None = None) -> int:
    """Gestational day of a birth given as weeks+days ("39+2") or as a date ("2026-12-01").

    Raises : UnusableInput "bad-birth-day" for another form, or a day outside 20+0 to 44+0, and
        "not-dated" for a date when the pregnancy is not dated.
    """
    found = _WEEKS_DAYS.match(text.strip())
    if found:
        day = int(found[1]) * 7 + int(found[2])
    else:
        try:
            on = parse_date(text.strip())
        except RowRejected as why:
            raise UnusableInput(
                "bad-birth-day",
                f"birth day {text!r} is neither weeks+days like 39+2 nor a date like 2026-12-01. "
                "Nothing was computed. Correct --birth-day.",
            ) from why
        if lmp_equivalent is None:
            raise UnusableInput(
                "not-dated",
                f"birth date {text!r} cannot be placed: the pregnancy is not dated. Give weeks+days.",
            )
        day = (on - lmp_equivalent).days
    if not 140 <= day <= 308:
        raise UnusableInput(
            "bad-birth-day",
            f"birth day {text!r} is gestational day {day} ({weeks_and_days(day)}); expected 20+0 to 44+0. "
            "Nothing was computed. Correct --birth-day.",
        )
    return day


def choose_dating(statements: Iterable[DatingStatement]) -> DatingStatement | None:
    """The statement that rules: the newest accepted EDD, else the newest ultrasound or stated age, else LMP.

    "Newest" is by `stated_on`; a statement without a date is older than any with one. None if empty.
    """

    def rank(s: DatingStatement) -> tuple[int, date, str]:
        kind = 2 if s.is_edd else (1 if s.method != "lmp" else 0)
        return kind, s.stated_on or date.min, s.source

    return max(statements, key=rank, default=None)
