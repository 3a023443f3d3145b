"""Positions in the list: the keys of rows, as cursors have them."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from taskbadger.clock import to_wire
from taskbadger.domain import ids
from taskbadger.services.pagination import Cursor, InvalidCursor
from taskbadger.services.tasks.lists import read_key

# Ids sort by milliseconds, so rows of the same one may be in another order than by time.
_STEP = timedelta(milliseconds=2)


class Placed(Protocol):
    """A row that has a position."""

    @property
    def id(self) -> str: ...
    @property
    def created(self) -> datetime: ...


def key_of(row: Placed) -> tuple[str, str]:
    """Return the key of a row."""
    return to_wire(row.created), row.id


def cursor_at(row: Placed) -> Cursor:
    """Return the cursor of the page that begins after a row."""
    return Cursor(key_of(row))


def newest_at(moment: datetime) -> Cursor:
    """Return the position of the newest task that there can be at *moment*."""
    return Cursor((to_wire(moment), ids.first_id(moment)))


def at_and_below(cursor: Cursor) -> Cursor:
    """Return the cursor of the page that begins with the row at *cursor*."""
    created, task_id = _read(cursor)
    number = int.from_bytes(ids.to_bytes(task_id) or b"", "big") + 1
    after = ids.from_bytes(number.to_bytes(16, "big"))
    return Cursor((to_wire(created), after))


def count_above(rows: Sequence[Placed], cursor: Cursor) -> int:
    """Return how many of *rows*, newest first, are above the one at *cursor*.

    Raises InvalidCursor.
    """
    at = _read(cursor)
    return bisect_left(rows, True, key=lambda row: (row.created, row.id) <= at)


def start_parameters(cursor: Cursor | None) -> dict[str, object]:
    """Return the parameters of a statement that starts at *cursor*; raises InvalidCursor."""
    if cursor is None:
        return {}
    created, task_id = _read(cursor)
    near = created - _STEP if cursor.backwards else created + _STEP
    return {"at": created, "after": task_id, "near": ids.first_id(near)}


def _read(cursor: Cursor) -> tuple[datetime, str]:
    key = read_key(cursor.key)
    if key is None:
        raise InvalidCursor()
    return key
