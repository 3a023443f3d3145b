"""Task ids: version 7 UUIDs, written in 22 characters of the URL-safe base64 alphabet."""

import base64
import binascii
from datetime import datetime
from uuid import UUID

import uuid_utils

TEXT_LENGTH = 22


def new_id(now: datetime) -> str:
    """Return a new random task id that sorts by *now*, to the millisecond."""
    return from_bytes(uuid_utils.uuid7(nanoseconds=int(now.timestamp() * 1_000_000) * 1_000).bytes)


def first_id(moment: datetime) -> str:
    """Return what sorts before every id made at *moment* or later."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return from_bytes(milliseconds.to_bytes(6, "big") + bytes(10))


def from_bytes(value: bytes) -> str:
    """Write the 16 bytes of a UUID as the text that clients see."""
    return base64.urlsafe_b64encode(value)[:TEXT_LENGTH].decode("ascii")


def to_bytes(text: str) -> bytes | None:
    """Return the 16 bytes behind *text*, or None when it is not an id.

    Each id has exactly one spelling: text whose unused last bits are set is refused.
    """
    if len(text) != TEXT_LENGTH:
        return None
    try:
        value = base64.b64decode(text + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if from_bytes(value) == text else None


def to_uuid(text: str) -> UUID | None:
    """Return the UUID behind *text*, or None when it is not an id."""
    value = to_bytes(text)
    return None if value is None else UUID(bytes=value)
