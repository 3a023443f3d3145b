"""Time zones and changes of the clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from taskbadger.domain.schedule import parse_cron
from taskbadger.domain.zones import (
    ClockChange,
    check_timezone,
    clock_jump,
    list_timezones,
    next_clock_change,
    to_instant,
)
from taskbadger.errors import ScheduleError

NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["", "Mars/Base", "utc", "localtime", "Factory", "../etc/passwd", "UTC\x00"]
)
def test_unknown_timezone_is_refused(name: str) -> None:
    message = f'timezone: "{name}" is unknown; use an IANA name such as Europe/Paris or UTC.'

    with pytest.raises(ScheduleError) as error:
        parse_cron("0 0 * * *", name)
    assert str(error.value) == message
    with pytest.raises(ScheduleError) as error:
        next_clock_change(name, after=utc("2026-01-01"))
    assert str(error.value) == message


def test_listed_zones_are_valid_and_sorted() -> None:
    names = list_timezones()

    for name in names:
        check_timezone(name)
    assert names == sorted(set(names))
    assert {"UTC", NEW_YORK} < set(names)


@pytest.mark.parametrize(
    ("zone", "after", "change"),
    [
        ("America/New_York", "2026-01-01", ("2026-03-08T07:00", -5, -4)),
        ("America/New_York", "2026-03-08T06:59:59.9", ("2026-03-08T07:00", -5, -4)),
        ("America/New_York", "2026-03-08T07:00", ("2026-11-01T06:00", -4, -5)),
        ("Australia/Lord_Howe", "2026-01-01", ("2026-04-04T15:00", 11, 10.5)),
        ("America/Sao_Paulo", "2018-06-01", ("2018-11-04T03:00", -3, -2)),
        ("America/Sao_Paulo", "2026-01-01", None),
        ("UTC", "2026-01-01", None),
    ],
)
def test_next_clock_change_is_found(
    zone: str, after: str, change: tuple[str, float, float] | None
) -> None:
    expected = (
        ClockChange(utc(change[0]), timedelta(hours=change[1]), timedelta(hours=change[2]))
        if change
        else None
    )

    assert next_clock_change(zone, after=utc(after)) == expected


@pytest.mark.parametrize(
    ("wall", "hours"),
    [("2026-03-08T02:30", 1), ("2026-11-01T01:30", -1), ("2026-06-01T01:30", 0)],
)
def test_skipped_and_repeated_times_are_told_apart(wall: str, hours: int) -> None:
    jump = clock_jump(datetime.fromisoformat(wall), ZoneInfo(NEW_YORK))

    assert jump == timedelta(hours=hours)


def test_repeated_time_is_two_instants() -> None:
    wall, zone = datetime.fromisoformat("2026-11-01T01:30"), ZoneInfo(NEW_YORK)

    instants = [to_instant(wall, zone, fold=fold) for fold in (0, 1)]

    assert instants == [utc("2026-11-01T05:30"), utc("2026-11-01T06:30")]
