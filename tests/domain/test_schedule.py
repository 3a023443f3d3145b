"""Schedules: the dialect, the golden table of clock changes, and a model of every minute."""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbadger.domain.schedule import (
    Cron,
    Interval,
    parse_cron,
    parse_interval,
)
from taskbadger.errors import ScheduleError

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def runs_on(expression: str, zone: str, day: str) -> list[str]:
    """Return the runs of one local day, as local times with their offset."""
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    local = (run.astimezone(ZoneInfo(zone)) for run in _runs(parse_cron(expression, zone), start))
    return [run.strftime("%H:%M %z") for run in local if run.date() == start.date()]


def test_run_of_many_monitors_with_one_schedule_is_searched_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = []
    nearest = Cron.nearest

    def search(cron: Cron, instant: datetime, *, reverse: bool) -> datetime:
        searched.append(instant)
        return nearest(cron, instant, reverse=reverse)

    monkeypatch.setattr(Cron, "nearest", search)
    moment = utc("2031-05-06 07:08:09")

    found = {Cron("17 * * * *", "UTC").next_after(moment) for _ in range(5)}

    assert (found, searched) == ({utc("2031-05-06 07:17")}, [moment])


def _runs(cron: Cron, start: datetime) -> list[datetime]:
    first = start.astimezone(UTC)
    return [run for run in islice(cron.runs_after(first - DAY), 250) if run < first + 2 * DAY]


# The golden table

NEW_YORK, LORD_HOWE, SAO_PAULO = "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"
EDT, EST = "-0400", "-0500"
EVERY_EDT_HOUR = [f"{hour:02}:00 {EDT}" for hour in range(24)]
EVERY_EST_HOUR = [f"{hour:02}:00 {EST}" for hour in range(24)]


@pytest.mark.parametrize(
    ("zone", "day", "expression", "runs"),
    [
        (NEW_YORK, "2026-03-08", "30 2 * * *", ["03:00 -0400"]),
        (NEW_YORK, "2026-03-08", "0 2 * * *", ["03:00 -0400"]),
        (NEW_YORK, "2026-03-08", "*/15 2 * * *", []),
        (NEW_YORK, "2026-03-08", "30 1,2,3 * * *", ["01:30 -0500", "03:00 -0400", "03:30 -0400"]),
        (NEW_YORK, "2026-03-08", "0 * * * *", [*EVERY_EST_HOUR[:2], *EVERY_EDT_HOUR[3:]]),
        (NEW_YORK, "2026-11-01", "0 * * * *", [*EVERY_EDT_HOUR[:2], *EVERY_EST_HOUR[1:]]),
        (NEW_YORK, "2026-11-01", "30 1 * * *", ["01:30 -0400"]),
        (NEW_YORK, "2026-11-01", "0 1 * * *", ["01:00 -0400"]),
        (
            NEW_YORK,
            "2026-11-01",
            "*/30 1 * * *",
            ["01:00 -0400", "01:30 -0400", "01:00 -0500", "01:30 -0500"],
        ),
        (LORD_HOWE, "2026-10-04", "15 2 * * *", ["02:30 +1100"]),
        (LORD_HOWE, "2026-04-05", "45 1 * * *", ["01:45 +1100"]),
        (SAO_PAULO, "2018-11-04", "0 0 * * *", ["01:00 -0200"]),
        (SAO_PAULO, "2018-11-04", "30 0 * * *", ["01:00 -0200"]),
        ("Europe/London", "2026-03-29", "30 1 * * *", ["02:00 +0100"]),
        ("Asia/Kathmandu", "2026-06-01", "0 * * * *", [f"{h:02}:00 +0545" for h in range(24)]),
        # Where cronsim alone would lose the run at 02:00.
        (LORD_HOWE, "2026-04-05", "*/30 2 * * *", ["02:00 +1030", "02:30 +1030"]),
        (LORD_HOWE, "2026-04-05", "*/15 1 * * *", [
            "01:00 +1100", "01:15 +1100", "01:30 +1100", "01:45 +1100",
            "01:30 +1030", "01:45 +1030",
        ]),
        # Two skipped times, or a skipped one and the first valid one, are one run.
        (NEW_YORK, "2026-03-08", "0,30 2 * * *", ["03:00 -0400"]),
        (NEW_YORK, "2026-03-08", "0 2,3 * * *", ["03:00 -0400"]),
        # The midnight that is skipped belongs to the day that it would have begun.
        ("America/Nuuk", "2024-03-31", "30 23 * * *", ["00:00 -0100", "23:30 -0100"]),
        # A whole day that an island left out.
        ("Pacific/Apia", "2011-12-31", "0 9 30 * *", ["00:00 +1400"]),
        ("Pacific/Apia", "2011-12-31", "*/30 9 30 * *", []),
    ],
)  # fmt: skip
def test_golden_table_of_clock_changes(
    zone: str, day: str, expression: str, runs: list[str]
) -> None:
    assert runs_on(expression, zone, day) == runs


@pytest.mark.parametrize("expression", ["30 1 * * *", "50 1 * * *", "0 1,2 * * *"])
def test_fixed_time_never_runs_before_where_the_search_began(expression: str) -> None:
    second_pass = utc("2026-11-01T06:10")  # 01:10 EST, after 01:10 EDT

    following = parse_cron(expression, NEW_YORK).next_after(second_pass)

    expected = {"0 1,2 * * *": "2026-11-01T07:00", "30 1 * * *": "2026-11-02T06:30"}
    assert following == utc(expected.get(expression, "2026-11-02T06:50"))


# The dialect


@pytest.mark.parametrize(
    ("expression", "after", "runs"),
    [
        ("0 0 1 * MON", "2026-06-02", ["2026-06-08", "2026-06-15"]),
        ("0 0 13 * FRI", "2026-06-06", ["2026-06-12", "2026-06-13"]),
        ("0 0 1-7 * */7", "2026-06-01", ["2026-06-07", "2026-07-05"]),
        ("0 0 */10 * MON", "2026-06-01", ["2026-06-01", "2026-08-31"]),
        ("0 0 * * 0", "2026-06-01", ["2026-06-07", "2026-06-14"]),
        ("0 0 * * 7", "2026-06-01", ["2026-06-07", "2026-06-14"]),
        ("0 0 * jan,Dec sun", "2026-12-21", ["2026-12-27", "2027-01-03"]),
        ("0 0 L * *", "2028-02-01", ["2028-02-29", "2028-03-31"]),
        ("0 0 LW * *", "2026-01-31", ["2026-02-27", "2026-03-31"]),
        ("0 0 * * 5L", "2026-01-01", ["2026-01-30", "2026-02-27"]),
        ("0 0 * * MON#1", "2026-01-06", ["2026-02-02", "2026-03-02"]),
        ("0 0 29 2 *", "2096-03-01", ["2104-02-29", "2108-02-29"]),
        ("0 0 29 2 */7", "2088-03-01", ["2128-02-29", "2156-02-29"]),
        ("0 0 31 2 MON", "2026-01-01", ["2026-02-02", "2026-02-09"]),
    ],
)
def test_dialect_picks_the_days_of_cronsim(expression: str, after: str, runs: list[str]) -> None:
    start = utc(after) - MINUTE

    assert parse_cron(expression).next_runs(2, after=start) == [utc(day) for day in runs]


@given(st.text(alphabet="0123456789*/-,#LWHSUNMOJA?@ ", max_size=20))
def test_any_text_is_a_schedule_with_words_or_a_schedule_error(text: str) -> None:
    try:
        cron = parse_cron(text)
    except ScheduleError:
        return
    assert cron.next_after(utc("2026-01-01")) > utc("2026-01-01")
    assert cron.explain()


# The edges of the calendar


def test_calendar_ends_with_an_error_and_not_with_a_crash() -> None:
    cron = parse_cron("0 0 29 2 *", "Asia/Tokyo")

    with pytest.raises(ScheduleError) as error:
        cron.next_after(datetime(9997, 1, 1, tzinfo=UTC))
    assert str(error.value) == ("0 0 29 2 *: there is no run after 9997-01-01 00:00:00+00:00.")
    with pytest.raises(ScheduleError) as error:
        cron.previous_before(datetime(3, 1, 1, tzinfo=UTC))
    assert str(error.value) == ("0 0 29 2 *: there is no run before 0003-01-01 00:00:00+00:00.")
    with pytest.raises(ScheduleError):
        cron.next_after(datetime.max.replace(tzinfo=UTC))


def test_date_may_be_far() -> None:
    cron = parse_cron("0 0 29 2 *", "Europe/Paris")

    assert cron.next_after(utc("9001-01-01")) == utc("9004-02-28T23:00")
    assert cron.previous_before(utc("1804-01-01")).year == 1796


def test_moment_without_a_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="2026-01-01 00:00:00 has no time zone"):
        parse_cron("0 0 * * *").next_after(datetime(2026, 1, 1))  # noqa: DTZ001


def test_moment_may_come_in_any_zone_and_with_microseconds() -> None:
    cron = parse_cron("0 * * * *")
    moment = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=ZoneInfo("Asia/Tokyo"))

    assert cron.previous_before(moment) == utc("2026-01-01T03:00")
    assert cron.next_after(moment) == utc("2026-01-01T04:00")
    assert cron.previous_before(utc("2026-01-01T03:00")) == utc("2026-01-01T02:00")


# The model

ZONES = {
    "UTC": "2026-03-08",
    "America/New_York": "2026-03-08",
    "America/Chicago": "2026-11-01",
    "America/St_Johns": "2006-10-29",
    "America/Sao_Paulo": "2018-11-04",
    "America/Asuncion": "2023-03-26",
    "America/Havana": "2026-11-01",
    "America/Nuuk": "2024-03-31",
    "Australia/Lord_Howe": "2026-10-04",
    "Antarctica/Troll": "2026-03-29",
    "Europe/London": "2026-10-25",
    "Africa/Casablanca": "2026-02-15",
    "Asia/Kathmandu": "1986-01-01",
    "Asia/Pyongyang": "2015-08-15",
    "Pacific/Apia": "2011-12-30",
    "Pacific/Kwajalein": "1969-10-01",
}
CHANGES = [
    *ZONES.items(),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Antarctica/Troll", "2026-10-25"),
]


@st.composite
def times(draw: st.DrawFn) -> tuple[str, set[int], set[int]]:
    """Return the fields of minute and hour, and which minutes and hours they match."""
    # Not every minute: when a day is repeated, each run looks at all matches of that day.
    minute, minutes = draw(_field(60, [10, 15, 25, 30]))
    hour, hours = draw(_field(24, [1, 7, 10, 15]))
    return f"{minute} {hour} * * *", minutes, hours


@st.composite
def _field(draw: st.DrawFn, size: int, steps: list[int]) -> tuple[str, set[int]]:
    if draw(st.booleans()):
        step = draw(st.sampled_from(steps))
        return f"*/{step}", set(range(0, size, step))
    chosen = draw(st.sets(st.sampled_from([0, 1, 2, 3, 15, 22, 23, *range(30, size, 15)])))
    values = chosen or {0}
    return ",".join(map(str, sorted(values))), values


@cache
def _clock(zone: str, day: str) -> list[tuple[datetime, datetime]]:
    start = utc(day) - 3 * DAY
    moments = [start + index * MINUTE for index in range(6 * 24 * 60)]
    return [(at, at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)) for at in moments]


def walk(
    expression: str, minutes: set[int], hours: set[int], zone: str, day: str
) -> list[datetime]:
    """Return the runs of five days around *day*, by looking at every minute of them."""
    clock = _clock(zone, day)
    minute, hour = expression.split()[:2]
    if minute.startswith("*") or hour.startswith("*"):
        found = {at for at, wall in clock if wall.minute in minutes and wall.hour in hours}
    else:
        found, seen = set(), clock[0][1]
        for at, wall in clock[1:]:
            while seen < wall:
                seen += MINUTE
                if seen.minute in minutes and seen.hour in hours:
                    found.add(at)
    return sorted(at for at in found if abs(at - utc(day)) < 2 * DAY)


@settings(deadline=None, max_examples=60)
@given(times(), st.sampled_from(CHANGES), st.integers(0, 4 * 24 * 60 * 60))
def test_runs_around_a_clock_change_agree_with_a_walk_through_every_minute(
    fields: tuple[str, set[int], set[int]], change: tuple[str, str], second: int
) -> None:
    zone, day = change
    cron = parse_cron(fields[0], zone)
    expected = walk(*fields, zone, day)
    low, high = utc(day) - 2 * DAY, utc(day) + 2 * DAY
    cut = low + timedelta(seconds=second)

    forward = []
    for run in cron.runs_after(low):
        if run >= high:
            break
        forward.append(run)
    backward = []
    here = high
    while (here := cron.previous_before(here)) > low:
        backward.append(here)

    assert forward == expected
    assert backward == expected[::-1]
    assert cron.count_between(low, high - MINUTE) == len(expected)
    later = [run for run in expected if run > cut]
    earlier = [run for run in expected if run < cut]
    assert later[:1] == [cron.next_after(cut)][: len(later[:1])]
    assert earlier[-1:] == [cron.previous_before(cut)][: len(earlier[-1:])]
    assert cron.count_between(cut, high - MINUTE) == len(later)


@settings(deadline=None)
@given(
    st.sampled_from(
        ["*/20 * * * *", "30 2 * * *", "0 0 L * MON#1", "0 9 * * 1-5", "5 */6 1-7 * *"]
    ),
    st.sampled_from(sorted(ZONES)),
    st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)),  # noqa: DTZ001
)
def test_runs_increase_and_are_undone_backwards(
    expression: str, zone: str, moment: datetime
) -> None:
    cron = parse_cron(expression, zone)
    runs = cron.next_runs(20, after=moment.replace(tzinfo=UTC))

    assert all(early < late for early, late in pairwise([moment.replace(tzinfo=UTC), *runs]))
    assert [cron.previous_before(run) for run in runs[1:]] == runs[:-1]
    assert all(run.tzinfo is UTC for run in runs)


@pytest.mark.parametrize("zone", ["America/New_York", "America/Havana", "America/Nuuk"])
@pytest.mark.parametrize("expression", ["0 */2 * * *", "30 23 * * *", "15,45 0-2 1-20 * MON"])
def test_count_of_a_year_is_the_count_of_its_runs(zone: str, expression: str) -> None:
    cron = parse_cron(expression, zone)
    start, end = utc("2024-01-01T07:13"), utc("2025-01-01T07:13")

    runs = []
    for run in cron.runs_after(start):
        if run > end:
            break
        runs.append(run)

    assert cron.count_between(start, end) == len(runs)


def test_year_of_minutes_is_counted() -> None:
    cron = parse_cron("* * * * *", "Europe/Paris")

    assert cron.count_between(utc("2026-01-01"), utc("2027-01-01")) == 365 * 24 * 60
    assert cron.count_between(utc("2026-01-01"), utc("2026-01-01")) == 0
    assert cron.count_between(utc("2026-01-02"), utc("2026-01-01")) == 0


# Intervals


def test_interval_counts_from_the_moment_given() -> None:
    interval = parse_interval(90, "end")
    start = utc("2026-01-01")

    assert interval == Interval(90, "end")
    assert parse_interval(60) == Interval(60, "start")
    assert interval.gap == timedelta(seconds=90)
    assert interval.next_after(start) == utc("2026-01-01T00:01:30")
    assert interval.previous_before(start) == utc("2025-12-31T23:58:30")
    assert interval.next_runs(2, after=start) == [
        utc("2026-01-01T00:01:30"),
        utc("2026-01-01T00:03:00"),
    ]
    assert interval.count_between(start, start + timedelta(seconds=180)) == 2
    assert interval.count_between(start, start + timedelta(seconds=179)) == 1
    assert interval.count_between(start, start - HOUR) == 0


@pytest.mark.parametrize("seconds", [59, 0, -60, 31536001])
def test_interval_out_of_range_is_refused(seconds: int) -> None:
    with pytest.raises(ScheduleError) as error:
        parse_interval(seconds)

    assert str(error.value) == (
        f"interval: {seconds} is out of range; use 60 to 31536000 seconds (one year)."
    )


def test_unknown_anchor_is_refused() -> None:
    with pytest.raises(ScheduleError) as error:
        parse_interval(60, "middle")

    assert str(error.value) == 'anchor: "middle" is not valid; use start or end.'


# For people


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("*/15 * * * *", "Every 15th minute of every hour"),
        ("@daily", "At 00:00 every day"),
        ("@midnight", "At 00:00 every day"),
        ("@annually", parse_cron("@yearly").explain()),
        ("30 2 * * MON-FRI", "At 02:30 on Monday through Friday"),
        ("0 0 13 * 5", "At 00:00 on the 13th day of month or on Friday"),
        ("0 0 1,15 6 MON", "At 00:00 on the first and the 15th day of month or on Monday in June"),
        ("0 0 */13 * 5", "At 00:00 on every 13th day of month if it's on Friday"),
    ],
)
def test_expression_is_explained_in_words(expression: str, words: str) -> None:
    assert parse_cron(expression).explain() == words


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(60), "Every 1 minute after the last run's start"),
        (
            Interval(93784, "end"),
            "Every 1 day 2 hours 3 minutes 4 seconds after the last run's end",
        ),
        (Interval(7201), "Every 2 hours 1 second after the last run's start"),
    ],
)
def test_interval_is_explained_in_words(interval: Interval, words: str) -> None:
    assert interval.explain() == words


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ("30 2 * * *", "30 2 * * *"),
        ("@hourly", "0 * * * *"),
        ("*/7 0-6/2,23 1,15 JAN,mar-MAY Mon-FRI", "*/7 0-6/2,23 1,15 1,3-5 1-5"),
        ("0 0 LW * *", None),
        ("0 0 L * *", None),
        ("0 0 * * 5L", None),
        ("0 0 * * MON#1", None),
        ("5/15 * * * *", None),
    ],
)
def test_cron_has_the_words_of_a_crontab_or_none(expression: str, fields: str | None) -> None:
    assert parse_cron(expression).in_crontab() == fields


@pytest.mark.parametrize(
    ("seconds", "fields"),
    [
        (60, "* * * * *"),
        (600, "*/10 * * * *"),
        (3600, "0 * * * *"),
        (6 * 3600, "0 */6 * * *"),
        (24 * 3600, "0 0 * * *"),
        (7 * 24 * 3600, "0 0 * * 0"),
        (90, None),
        (7 * 60, None),
        (90 * 60, None),
        (5 * 3600, None),
        (2 * 24 * 3600, None),
    ],
)
def test_interval_has_the_fields_of_a_crontab_that_keep_to_it(
    seconds: int, fields: str | None
) -> None:
    assert Interval(seconds).in_crontab() == fields
    if fields:
        runs = parse_cron(fields).next_runs(50, after=utc("2026-01-01"))
        gaps = {(later - run).total_seconds() for run, later in pairwise(runs)}
        assert gaps == {seconds}
