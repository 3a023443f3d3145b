"""When digests are due, which period they cover, and which run times have grown."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.digests import (
    DAILY,
    FREQUENCIES,
    MAX_PERIOD,
    OFF,
    WEEKLY,
    Growth,
    Period,
    day_of,
    find_growths,
    latest_due,
    next_due,
    period_of,
)
from taskbadger.domain.run_times import bin_of, seconds_of
from taskbadger.errors import ScheduleError

YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
"""One that changes by half an hour, and two that change on different days."""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("frequency", "zone", "after", "due"),
    [
        (DAILY, "UTC", "2026-11-28 07:59", "2026-11-28 08:00"),
        (DAILY, "UTC", "2026-11-28 08:00", "2026-11-29 08:00"),
        (WEEKLY, "UTC", "2026-11-28 08:00", "2026-11-30 08:00"),
        (WEEKLY, "UTC", "2026-11-30 08:00", "2026-12-07 08:00"),
        # Berlin changes its clocks on 29 March and 25 October.
        (DAILY, "Europe/Berlin", "2026-03-28 07:00", "2026-03-29 06:00"),
        (DAILY, "Europe/Berlin", "2026-10-24 06:00", "2026-10-25 07:00"),
        (WEEKLY, "Europe/Berlin", "2026-03-23 07:00", "2026-03-30 06:00"),
        # Lord Howe changes them by half an hour, on 5 April and 4 October.
        (DAILY, "Australia/Lord_Howe", "2026-04-03 21:00", "2026-04-04 21:30"),
        (DAILY, "Australia/Lord_Howe", "2026-10-02 21:30", "2026-10-03 21:00"),
        # New York: Monday begins there when it is noon in the east.
        (WEEKLY, "America/New_York", "2026-11-01 00:00", "2026-11-02 13:00"),
        (WEEKLY, "Pacific/Kiritimati", "2026-11-28 08:00", "2026-11-29 18:00"),
        # Samoa had no 30 December 2011: what would be due then is due when the 31st begins.
        (DAILY, "Pacific/Apia", "2011-12-29 18:00", "2011-12-30 10:00"),
    ],
)
def test_digest_is_due_at_eight_where_the_member_is(
    frequency: str, zone: str, after: str, due: str
) -> None:
    found = next_due(frequency, zone, after=utc(after))

    assert found == utc(due)
    assert latest_due(frequency, zone, now=utc(due)) == utc(due)


@given(
    st.sampled_from(ZONES),
    st.sampled_from((DAILY, WEEKLY)),
    st.integers(0, 364 * 24 * 60),
)
def test_digests_of_a_year_agree_with_a_model_of_its_days(
    zone: str, frequency: str, minute: int
) -> None:
    now, place = YEAR + timedelta(minutes=minute), ZoneInfo(zone)
    days = [date(2025, 12, 1) + timedelta(days=number) for number in range(450)]
    moments = [
        datetime(day.year, day.month, day.day, 8, tzinfo=place).astimezone(UTC)
        for day in days
        if frequency == DAILY or day.isoweekday() == 1
    ]

    assert next_due(frequency, zone, after=now) == min(each for each in moments if each > now)
    assert latest_due(frequency, zone, now=now) == max(each for each in moments if each <= now)


@pytest.mark.parametrize("zone", ZONES)
def test_year_has_one_digest_for_each_day(zone: str) -> None:
    due, days = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)), []
    while (found := next_due(DAILY, zone, after=due)) is not None and len(days) < 365:
        days.append(day_of(found, zone))
        due = found

    assert days == [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]


def test_nothing_is_due_for_those_who_want_none() -> None:
    assert FREQUENCIES == (OFF, DAILY, WEEKLY)
    assert (next_due(OFF, "UTC", after=YEAR), latest_due(OFF, "UTC", now=YEAR)) == (None, None)


def test_unknown_zone_is_refused() -> None:
    with pytest.raises(ScheduleError, match="Mars/Olympus"):
        next_due(DAILY, "Mars/Olympus", after=YEAR)


@pytest.mark.parametrize(
    ("frequency", "last", "length"),
    [
        (DAILY, None, timedelta(days=1)),
        (WEEKLY, None, timedelta(days=7)),
        (OFF, None, timedelta(days=1)),
        (DAILY, timedelta(hours=23), timedelta(hours=23)),
        (DAILY, timedelta(days=3), timedelta(days=3)),
        (WEEKLY, timedelta(days=2), timedelta(days=2)),
        (DAILY, timedelta(days=200), MAX_PERIOD),
        (DAILY, timedelta(hours=-1), timedelta()),  # The clock was set back.
    ],
)
def test_period_begins_where_the_last_one_ended(
    frequency: str, last: timedelta | None, length: timedelta
) -> None:
    found = period_of(frequency, None if last is None else YEAR - last, now=YEAR)

    assert found == Period(YEAR - length, YEAR)


def runs(*seconds: float) -> dict[int, int]:
    """Return the histogram of runs with these run times."""
    found: dict[int, int] = {}
    for each in seconds:
        found[bin_of(each)] = found.get(bin_of(each), 0) + 1
    return found


def about(seconds: float) -> float:
    return seconds_of(bin_of(seconds))


JOB = (1, "job")


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ([10] * 5, [30] * 5, Growth(JOB, "p95", about(10), about(30))),
        # The larger factor of the two is told.
        ([10] * 20, [10] * 18 + [90] * 2, Growth(JOB, "p95", about(10), about(90))),
        ([5] * 18 + [60] * 2, [20] * 18 + [60] * 2, Growth(JOB, "p50", about(5), about(20))),
        ([10] * 5, [14] * 5, None),
        ([0.1] * 5, [0.9] * 5, None),
        ([10] * 4, [30] * 9, None),
        ([10] * 9, [30] * 4, None),
        ([], [30] * 9, None),
        ([30] * 9, [10] * 9, None),
    ],
)
def test_growth_needs_runs_a_factor_and_seconds(
    before: list[float], now: list[float], found: Growth | None
) -> None:
    assert find_growths({JOB: runs(*before)}, {JOB: runs(*now)}) == ([found] if found else [])


def test_largest_growth_comes_first_and_new_names_are_none() -> None:
    before = {(1, name): runs(*[10] * 5) for name in "abc"}
    now = {
        (1, name): runs(*[10.0 * times] * 5)
        for name, times in zip("abcd", (2, 9, 4, 9), strict=True)
    }

    assert [growth.key[1] for growth in find_growths(before, now)] == ["b", "c", "a"]


@given(
    st.dictionaries(st.integers(0, 200), st.integers(1, 50)),
    st.dictionaries(st.integers(0, 200), st.integers(1, 50)),
)
def test_what_is_told_has_grown(before: dict[int, int], now: dict[int, int]) -> None:
    for growth in find_growths({JOB: before}, {JOB: now}):
        assert growth.factor >= 1.5
        assert growth.now - growth.before >= 1
