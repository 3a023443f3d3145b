"""Ids of tasks and deliveries: version 7 UUIDs as 22 characters of URL-safe base64.

Their bytes sort by time.
"""

import binascii
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

TEXT_LENGTH = 22
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_VERSION_AND_VARIANT = 7 << 76 | 2 << 62
_RANDOM_BITS = 62


def new_id(now: datetime) -> str:
    """Return a new random id; ids sort by *now*, to the microsecond.

    The bits after the milliseconds are the fraction of one: RFC 9562, method 3.
    """
    return from_bytes((_start(now) | secrets.randbits(_RANDOM_BITS)).to_bytes(16, "big"))


def last_id(moment: datetime) -> str:
    """Return the greatest id that ``new_id`` can return at *moment*."""
    return from_bytes((_start(moment) | (1 << _RANDOM_BITS) - 1).to_bytes(16, "big"))


def first_id(moment: datetime) -> str:
    """Return an id that sorts before every id created at *moment* or later.

    It is exact for a moment of whole milliseconds: every id from before it sorts lower.
    """
    return _bound(max(0, _microseconds(moment)) // 1000)


def end_id(moment: datetime) -> str:
    """Return an id that sorts after every id created before *moment*.

    It is exact for a moment of whole milliseconds: it equals ``first_id``.
    """
    return _bound((max(0, _microseconds(moment)) + 999) // 1000)


def time_of(text: str) -> datetime:
    """Return the moment of which ``new_id`` has made *text*, to the microsecond or so."""
    number = int.from_bytes(sort_key(text), "big")
    milliseconds, fraction = number >> 80, number >> 64 & 0xFFF
    return _EPOCH + timedelta(milliseconds=milliseconds, microseconds=fraction * 1000 / 4096)


def _bound(milliseconds: int) -> str:
    return from_bytes(milliseconds.to_bytes(6, "big") + bytes(10))


def _start(moment: datetime) -> int:
    """Return the number of a UUID of *moment*, without its random bits."""
    milliseconds, microseconds = divmod(max(0, _microseconds(moment)), 1000)
    return milliseconds << 80 | microseconds * 4096 // 1000 << 64 | _VERSION_AND_VARIANT


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def from_bytes(value: bytes) -> str:
    """Return the id for the 16 bytes of a UUID."""
    text = binascii.b2a_base64(value, newline=False)[:TEXT_LENGTH].decode("ascii")
    return text.replace("+", "-").replace("/", "_")


def to_bytes(text: str) -> bytes | None:
    """Return the 16 bytes of the id *text*, or None if it is not an id.

    Each id has exactly one spelling: text with unused bits set at its end is not an id.
    """
    if len(text) != TEXT_LENGTH:
        return None
    try:
        value = binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "==")
    except (binascii.Error, ValueError):
        return None
    # The decoder skips characters that are not base64.
    return value if from_bytes(value) == text else None


def sort_key(text: str) -> bytes:
    """Return what the id *text* is sorted by, as databases do; the text sorts differently."""
    return to_bytes(text) or b""


def to_uuid(text: str) -> UUID | None:
    """Return the UUID of the id *text*, or None if it is not an id."""
    value = to_bytes(text)
    return None if value is None else UUID(bytes=value)
