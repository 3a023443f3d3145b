"""Maintenance windows: tables, changes of the clock, and a model that tries every start."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbadger.domain.schedule import parse_cron
from taskbadger.domain.windows import Scope, Span, Timing, check, shortest_gap

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEAR = timedelta(days=366)
MONITOR, OTHER = UUID(int=1), UUID(int=2)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


ONCE = Timing(starts=NOW, ends=NOW + HOUR)
NIGHTLY = Timing(schedule="0 2 * * *", duration=3600)


@pytest.mark.parametrize(
    ("now", "active", "next_start", "current"),
    [
        (NOW - HOUR, None, NOW, Span(NOW, NOW + HOUR)),
        (NOW, Span(NOW, NOW + HOUR), None, Span(NOW, NOW + HOUR)),
        (NOW + HOUR / 2, Span(NOW, NOW + HOUR), None, Span(NOW, NOW + HOUR)),
        (NOW + HOUR, None, None, None),
    ],
)
def test_window_that_is_active_once(
    now: datetime, active: Span | None, next_start: datetime | None, current: Span | None
) -> None:
    assert (ONCE.active_span(now), ONCE.next_start(now), ONCE.current_span(now)) == (
        active,
        next_start,
        current,
    )


@pytest.mark.parametrize(
    ("now", "active", "next_start", "end"),
    [
        ("2026-05-04 01:59:59", None, "2026-05-04 02:00", "2026-05-04 03:00"),
        ("2026-05-04 02:00", "2026-05-04 02:00", "2026-05-05 02:00", "2026-05-04 03:00"),
        ("2026-05-04 02:59:59", "2026-05-04 02:00", "2026-05-05 02:00", "2026-05-04 03:00"),
        ("2026-05-04 03:00", None, "2026-05-05 02:00", "2026-05-05 03:00"),
    ],
)
def test_window_that_recurs(now: str, active: str | None, next_start: str, end: str) -> None:
    span = active and Span(utc(active), utc(active) + HOUR)
    moment = utc(now)

    assert NIGHTLY.active_span(moment) == span
    assert NIGHTLY.next_start(moment) == utc(next_start)
    assert NIGHTLY.current_span(moment) == Span(utc(end) - HOUR, utc(end))


def test_last_span_is_known_once_it_is_over() -> None:
    assert ONCE.last_span(NOW + DAY) == Span(NOW, NOW + HOUR)
    assert ONCE.last_span(NOW - HOUR) is None
    assert NIGHTLY.last_span(utc("2026-05-04 12:00")) == Span(
        utc("2026-05-04 02:00"), utc("2026-05-04 03:00")
    )


CLOCK_CHANGES = [
    # A night of 23 hours: the window of 01:30 lasts for two hours, so the clocks show 04:30.
    ("America/New_York", "30 1 * * *", "2026-03-08", "01:30 -0500", "04:30 -0400"),
    # 02:30 does not exist: it starts at the first minute that does.
    ("America/New_York", "30 2 * * *", "2026-03-08", "03:00 -0400", "05:00 -0400"),
    # 01:30 comes twice: it starts the first time only.
    ("America/New_York", "30 1 * * *", "2026-11-01", "01:30 -0400", "02:30 -0500"),
    ("Europe/London", "30 0 * * *", "2026-03-29", "00:30 +0000", "03:30 +0100"),
    ("Europe/London", "30 1 * * *", "2026-03-29", "02:00 +0100", "04:00 +0100"),
    ("Europe/London", "30 1 * * *", "2026-10-25", "01:30 +0100", "02:30 +0000"),
    ("Australia/Lord_Howe", "0 1 * * *", "2026-10-04", "01:00 +1030", "03:30 +1100"),
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-04", "02:30 +1100", "04:30 +1100"),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-05", "01:45 +1100", "03:15 +1030"),
]


@pytest.mark.parametrize(("zone", "schedule", "day", "start", "end"), CLOCK_CHANGES)
def test_window_starts_by_the_clock_and_lasts_for_its_duration(
    zone: str, schedule: str, day: str, start: str, end: str
) -> None:
    timing = Timing(schedule=schedule, duration=7200, timezone=zone)
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    starts = timing.next_start(midnight.astimezone(UTC) - timedelta(seconds=1))
    assert starts is not None
    span = timing.active_span(starts + HOUR)

    assert span == Span(starts, starts + 2 * HOUR)
    shown = [
        moment.astimezone(ZoneInfo(zone)).strftime("%H:%M %z") for moment in (span.start, span.end)
    ]
    assert shown == [start, end]
    assert timing.active_span(span.start - timedelta(microseconds=1)) is None
    assert timing.active_span(span.end) is None


SCHEDULES = st.tuples(
    st.lists(st.integers(0, 59), min_size=1, max_size=2),
    st.one_of(st.just("*/6"), st.lists(st.integers(0, 23), min_size=1, max_size=2)),
    st.sampled_from(["*", "1,15", "31", "*/9"]),
    st.sampled_from(["*", "*", "3", "3,10"]),
    st.sampled_from(["*", "*", "1-5", "0"]),
).map(
    lambda fields: " ".join(
        field if isinstance(field, str) else ",".join(map(str, sorted(set(field))))
        for field in fields
    )
)
ZONES = st.sampled_from(["UTC", "America/New_York", "Europe/London", "Australia/Lord_Howe"])
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(  # noqa: DTZ001 - made UTC
    lambda moment: moment.replace(tzinfo=UTC)
)


@settings(max_examples=150, deadline=None)
@given(SCHEDULES, ZONES, MOMENTS, st.integers(1, 86_400))
def test_spans_are_those_of_trying_every_start(
    schedule: str, zone: str, now: datetime, duration: int
) -> None:
    cron, length = parse_cron(schedule, zone), timedelta(seconds=duration)
    begin = now - 400 * DAY
    starts = list(takewhile(lambda run: run <= now, cron.runs_after(begin)))
    following = cron.next_after(now)
    timing = Timing(schedule=schedule, duration=duration, timezone=zone)

    last = Span(starts[-1], starts[-1] + length)
    active = last if now < last.end else None
    assert timing.last_span(now) == last
    assert timing.active_span(now) == active
    assert timing.next_start(now) == following
    assert timing.current_span(now) == (active or Span(following, following + length))


@settings(max_examples=60, deadline=None)
@given(SCHEDULES, ZONES, MOMENTS)
def test_shortest_gap_is_that_of_trying_every_start(
    schedule: str, zone: str, now: datetime
) -> None:
    cron = parse_cron(schedule, zone)
    starts = list(takewhile(lambda run: run <= now + YEAR, cron.runs_after(now)))
    naive = min((later - earlier for earlier, later in pairwise(starts)), default=None)

    found = shortest_gap(cron, now)

    minute = timedelta(minutes=1)
    assert found == naive or (naive == minute and found is not None and found <= minute)


def test_shortest_gap_of_a_dense_schedule_is_found_without_walking_a_year() -> None:
    assert shortest_gap(parse_cron("* * * * *", "Europe/London"), NOW) == timedelta(minutes=1)
    assert shortest_gap(parse_cron("*/2 * * * *", "Europe/London"), NOW) == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(), [True, True, True]),
        (Scope(project_id=1), [True, False, True]),
        (Scope(monitor_id=MONITOR), [False, False, True]),
        (Scope(name_pattern="^night"), [True, True, False]),
    ],
)
def test_scope_covers_tasks(scope: Scope, expected: list[bool]) -> None:
    tasks = [(1, "nightly", None), (2, "nightly", OTHER), (1, "hourly", MONITOR)]

    assert [scope.covers_task(*task) for task in tasks] == expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(), [True, True]),
        (Scope(project_id=1), [True, False]),
        (Scope(monitor_id=MONITOR), [True, False]),
        (Scope(name_pattern="."), [False, False]),
    ],
)
def test_scope_covers_monitors(scope: Scope, expected: list[bool]) -> None:
    assert [scope.covers_monitor(1, MONITOR), scope.covers_monitor(2, OTHER)] == expected


BOTH = "Give either starts and ends, or schedule and duration, not both."
RANGE = "Give 1 to 604800 seconds (7 days)."
SHORTER = "It must be shorter than the shortest time between two starts of the next 366 days: "


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        (ONCE, []),
        (NIGHTLY, []),
        (Timing(starts=NOW, ends=NOW), [("ends", "It must end after it starts.")]),
        (Timing(starts=NOW, ends=NOW - HOUR), [("ends", "It must end after it starts.")]),
        (Timing(starts=NOW), [("ends", "Give starts and ends together.")]),
        (Timing(ends=NOW), [("starts", "Give starts and ends together.")]),
        (Timing(schedule="@daily"), [("duration", "Give schedule and duration together.")]),
        (Timing(duration=60), [("schedule", "Give schedule and duration together.")]),
        (Timing(), [("starts", "Give starts and ends, or schedule and duration.")]),
        (Timing(starts=NOW, ends=NOW + HOUR, schedule="@daily", duration=9), [("duration", BOTH)]),
        (Timing(starts=NOW, schedule="@daily"), [("schedule", BOTH)]),
        (Timing(schedule="@daily", duration=0), [("duration", RANGE)]),
        (Timing(schedule="@monthly", duration=604_801), [("duration", RANGE)]),
        (Timing(schedule="@daily", duration=86_400), [("duration", SHORTER + "86400 seconds.")]),
        (
            Timing(schedule="@daily", duration=82_800, timezone="Europe/London"),
            [("duration", SHORTER + "82800 seconds.")],
        ),
        (Timing(schedule="@daily", duration=82_799, timezone="Europe/London"), []),
        (Timing(schedule="* * * * *", duration=60), [("duration", SHORTER + "60 seconds.")]),
        (Timing(schedule="* * * * *", duration=59), []),
        (
            Timing(schedule="@daily", duration=9, timezone="Mars/Base"),
            [
                (
                    "timezone",
                    'timezone: "Mars/Base" is unknown; use an IANA name such as Europe/Paris or '
                    "UTC.",
                )
            ],
        ),
    ],
)
def test_wrong_time_is_an_error_that_says_so(
    timing: Timing, expected: list[tuple[str, str]]
) -> None:
    assert [(error.attr, error.detail) for error in check(timing, Scope(), NOW)] == expected


def test_wrong_schedule_is_an_error_on_the_schedule() -> None:
    [error] = check(Timing(schedule="every day", duration=9), Scope(), NOW)

    assert error.attr == "schedule"


def test_more_than_one_scope_and_a_wrong_pattern_are_errors() -> None:
    scope = Scope(project_id=1, name_pattern="(")

    assert [(error.attr, error.detail) for error in check(ONCE, scope, NOW)] == [
        ("name_pattern", "Give at most one of project, monitor and name_pattern."),
        ("name_pattern", "Not a valid RE2 regular expression: missing ): (."),
    ]
