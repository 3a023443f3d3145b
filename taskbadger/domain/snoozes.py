"""How long incidents can be snoozed from a page."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

UNTIL_TOMORROW = "tomorrow"
UNTIL_CHANGE = "change"
SNOOZES = (
    ("1", "1 hour"),
    ("4", "4 hours"),
    (UNTIL_TOMORROW, "until tomorrow 08:00"),
    (UNTIL_CHANGE, "until it changes"),
)
"""What a page offers, and its words: hours, or one of the above."""
_MORNING = 8


def snooze_end(choice: str, *, now: datetime, timezone: str = "UTC") -> datetime | None:
    """Return when the snooze *choice* of SNOOZES ends; None for when the incident changes.

    The morning is that of *timezone*, or of UTC if nobody knows it. Raises KeyError for any other
    choice.
    """
    if choice not in dict(SNOOZES):
        raise KeyError(choice)
    if choice == UNTIL_CHANGE:
        return None
    if choice != UNTIL_TOMORROW:
        return now + timedelta(hours=int(choice))
    there = now.astimezone(_zone(timezone))
    day = there.date() + timedelta(days=1)
    morning = datetime(day.year, day.month, day.day, _MORNING, tzinfo=there.tzinfo)
    return morning.astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
