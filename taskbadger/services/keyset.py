"""Lists of the management API: a table walked by its ascending primary key."""

from collections.abc import Callable
from typing import Any

from taskbadger.domain import ids
from taskbadger.extensions import db
from taskbadger.services.pagination import Cursor, InvalidCursor, Page, cut_page

_MOST = 2**31 - 1  # What the column holds; PostgreSQL refuses to compare it with more.


def read_number(text: str) -> int | None:
    """Read an id that is a whole number; None when it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST))):
        return None
    number = int(text)
    return number if number <= _MOST else None


def read_task_id(text: str) -> str | None:
    """Read an id as tasks and deliveries have it; None when it is none."""
    return text if ids.to_bytes(text) is not None else None


def walk(
    query: Any,
    key: Any,
    cursor: Cursor | None,
    size: int,
    *,
    newest_first: bool = False,
    read: Callable[[str], Any] = read_number,
) -> Page[Any]:
    """Return a page of the entities of *query*, in the order of their column *key*.

    *read* turns the text in a cursor into a key. Raises InvalidCursor.
    """
    descending = newest_first
    if cursor is not None:
        at = read(cursor.key[0])
        if at is None:
            raise InvalidCursor()
        descending ^= cursor.backwards
        query = query.where(key < at if descending else key > at)
    query = query.order_by(key.desc() if descending else key).limit(size + 1)
    rows = db.session.scalars(query).all()
    return cut_page(rows, size, cursor, key=lambda row: (str(getattr(row, key.key)),))
