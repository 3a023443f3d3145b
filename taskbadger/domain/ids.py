"""Task ids: version 7 UUIDs as 22 characters of URL-safe base64."""

import binascii
from datetime import datetime
from uuid import UUID

import uuid_utils

TEXT_LENGTH = 22


def new_id(now: datetime) -> str:
    """Return a new random id; ids sort by *now*, to the millisecond."""
    return from_bytes(uuid_utils.uuid7(nanoseconds=int(now.timestamp() * 1_000_000) * 1_000).bytes)


def first_id(moment: datetime) -> str:
    """Return an id that sorts before every id created at *moment* or later."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return from_bytes(milliseconds.to_bytes(6, "big") + bytes(10))


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
    # The decoder skips what it does not know.
    return value if from_bytes(value) == text else None


def to_uuid(text: str) -> UUID | None:
    """Return the UUID of the id *text*, or None if it is not an id."""
    value = to_bytes(text)
    return None if value is None else UUID(bytes=value)
