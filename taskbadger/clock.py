"""The one place that reads the clock, and how a time is written for others."""

from datetime import UTC, datetime, timedelta

_MICROSECOND = timedelta(microseconds=1)
_TWO_DIGITS = [f"{number:02}" for number in range(60)]


def utcnow() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def to_wire(moment: datetime) -> str:
    """Write an aware datetime as docs/contract.md#tasks asks: UTC, microseconds, ``Z``."""
    text = moment.isoformat(timespec="microseconds")
    if not text.endswith("+00:00"):
        text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text[:-6] + "Z"


def duration_to_wire(duration: timedelta) -> str:
    """Write a duration as ``[D ]HH:MM:SS[.ffffff]``."""
    return microseconds_to_wire(duration // _MICROSECOND)


def microseconds_to_wire(duration: int) -> str:
    """Write a duration in microseconds like ``duration_to_wire``."""
    seconds, microseconds = divmod(duration, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{_TWO_DIGITS[hour]}:{_TWO_DIGITS[minute]}:{_TWO_DIGITS[second]}"
    if days:
        text = f"{days} {text}"
    return f"{text}.{microseconds:06}" if microseconds else text
