"""The one place that reads the clock, and how a time is written for others."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def to_wire(moment: datetime) -> str:
    """Write an aware datetime as the contract does: UTC, microseconds, ``Z``."""
    text = moment.isoformat(timespec="microseconds")
    if not text.endswith("+00:00"):
        text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text[:-6] + "Z"
