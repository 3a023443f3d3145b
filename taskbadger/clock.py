"""The one place that reads the clock, and how a time is written for others."""

from datetime import UTC, datetime, timedelta


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
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours:02d}:{minutes:02d}:{seconds:02d}"
    if duration.days:
        text = f"{duration.days} {text}"
    return f"{text}.{duration.microseconds:06d}" if duration.microseconds else text
