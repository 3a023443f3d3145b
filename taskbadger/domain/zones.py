"""Time zones: their names, what a wall-clock time means in one, and changes of the clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from taskbadger.errors import ScheduleError

# Files in the machine's zone database whose names are not zones.
_NOT_ZONES = frozenset({"localtime", "posixrules", "Factory"})
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_CHANGE_HORIZON_DAYS = 2 * 366


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A moment at which a zone's offset from UTC changes."""

    at: datetime
    """In UTC: the first moment with the new offset."""
    before: timedelta
    after: timedelta


def check_timezone(name: str) -> None:
    """Raise ScheduleError unless *name* is a zone of the IANA database."""
    if not is_timezone(name):
        raise ScheduleError(
            f'timezone: "{name}" is unknown; use an IANA name such as Europe/Paris or UTC.'
        )


def is_timezone(name: str) -> bool:
    """Say whether *name* is a zone of the IANA database."""
    return name in _zones()


def list_timezones() -> list[str]:
    """Return the names of all zones, sorted."""
    return sorted(_zones())


def next_clock_change(timezone_name: str, *, after: datetime) -> ClockChange | None:
    """Return the next change of a zone's offset within two years of *after*; None for none."""
    check_timezone(timezone_name)
    zone = ZoneInfo(timezone_name)
    low = to_utc(after)
    for _ in range(_CHANGE_HORIZON_DAYS):
        high = low + _DAY
        if _offset(low, zone) != _offset(high, zone):
            return _change_between(low, high, zone)
        low = high
    return None


def to_utc(moment: datetime) -> datetime:
    """Return *moment* in UTC; raises ValueError if it is naive."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC)


def to_instant(wall: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    """Return the moment, in UTC, at which the clocks of *zone* show *wall*, a naive time.

    *fold* chooses the first (0) or the second (1) of a time that comes twice.
    """
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def clock_jump(wall: datetime, zone: ZoneInfo) -> timedelta:
    """Return by how much the clock changes around *wall*, a naive time.

    Positive if *wall* is skipped, negative if it comes twice, zero otherwise (PEP 495).
    """
    first = zone.utcoffset(wall.replace(fold=0)) or timedelta()
    second = zone.utcoffset(wall.replace(fold=1)) or timedelta()
    return second - first


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _change_between(low: datetime, high: datetime, zone: ZoneInfo) -> ClockChange:
    before = _offset(low, zone)
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return ClockChange(at=high, before=before, after=_offset(high, zone))
