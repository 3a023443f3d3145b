"""Positions in the list: the ids of rows, as cursors have them."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from taskbadger.domain import ids
from taskbadger.services.pagination import Cursor, InvalidCursor

OLDEST = Cursor((ids.from_bytes(bytes(16)),), backwards=True)
"""The cursor of the page that ends the list."""
_GREATEST = 2**128 - 1


class Placed(Protocol):
    """A row that has a position."""

    @property
    def id(self) -> str: ...


def key_of(row: Placed) -> tuple[str]:
    """Return the key of a row."""
    return (row.id,)


def cursor_at(row: Placed) -> Cursor:
    """Return the cursor of the page that begins after a row."""
    return Cursor(key_of(row))


def newest_at(moment: datetime) -> Cursor:
    """Return the position of the newest task that there can be at *moment*."""
    return Cursor((ids.last_id(moment),))


def at_and_below(cursor: Cursor) -> Cursor:
    """Return the cursor of the page that begins with the row at *cursor*; raises InvalidCursor."""
    place = int.from_bytes(_place_at(cursor), "big")
    if place == _GREATEST:
        raise InvalidCursor()
    return Cursor((ids.from_bytes((place + 1).to_bytes(16, "big")),))


def count_above(rows: Sequence[Placed], cursor: Cursor) -> int:
    """Return how many of *rows*, newest first, are above the one at *cursor*.

    Raises InvalidCursor.
    """
    at = _place_at(cursor)
    return bisect_left(rows, True, key=lambda row: place_of(row) <= at)


def start_parameters(cursor: Cursor | None) -> dict[str, object]:
    """Return the parameters of a statement that starts at *cursor*; raises InvalidCursor."""
    if cursor is None:
        return {}
    _place_at(cursor)
    return {"at": cursor.key[0]}


def place_of(row: Placed) -> bytes:
    """Return what sorts rows; the text of an id does not."""
    return ids.to_bytes(row.id) or b""


def _place_at(cursor: Cursor) -> bytes:
    place = ids.to_bytes(cursor.key[0])
    if place is None:
        raise InvalidCursor()
    return place
