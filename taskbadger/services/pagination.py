"""Pages of lists. A list is walked by its keyset: the key of the row where the last page ended."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from taskbadger.domain import ids
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models.types import Column, Condition, Query

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
_MAX_CURSOR = 1_400
"""Enough for a name of 255 characters of four bytes each, in base64."""
_SIZE = re.compile(r"0*([1-9][0-9]*)", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_MAX_INTEGER = 2**31 - 1
"""What a column of type INTEGER holds; PostgreSQL refuses to compare it with more."""

R = TypeVar("R")


class InvalidCursor(NotFound):
    """Invalid cursor"""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list: its page has the rows after the one with this *key*."""

    key: tuple[str, ...]
    backwards: bool = field(default=False, kw_only=True)
    """Whether its page has the rows before that one instead."""

    def write(self) -> str:
        """Return the opaque text for a URL."""
        mark = "p" if self.backwards else "n"
        plain = "|".join((mark, *self.key))
        return base64.urlsafe_b64encode(plain.encode()).decode("ascii").rstrip("=")


def read_cursor(text: str, *, parts: int) -> Cursor:
    """Read a cursor whose key has this number of *parts*; raises InvalidCursor."""
    try:
        padded = text + "=" * (-len(text) % 4)
        plain = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor() from error
    mark, *key = plain.split("|")
    if mark not in ("n", "p") or len(key) != parts or len(plain) > _MAX_CURSOR:
        raise InvalidCursor()
    return Cursor(tuple(key), backwards=mark == "p")


def read_page_size(text: str | None) -> int:
    """Return the page size asked for, at most MAX_PAGE_SIZE; raises ValidationFailed."""
    if text is None:
        return DEFAULT_PAGE_SIZE
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValidationFailed.one("page_size", "A whole number above 0 is required.")
    return min(int(match.group(1)[:9]), MAX_PAGE_SIZE)


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """One page of rows, in the order of the list, and the cursors beside it."""

    rows: Sequence[R]
    next: Cursor | None
    previous: Cursor | None


def cut_page(
    rows: Sequence[R], size: int, cursor: Cursor | None, key: Callable[[R], tuple[str, ...]]
) -> Page[R]:
    """Make a page from up to *size* + 1 *rows* that were read in the direction of *cursor*.

    *key* gives what a cursor says of a row.
    """
    has_more = len(rows) > size
    kept = list(rows[:size])
    if not kept:
        return Page(kept, None, None)
    backwards = cursor is not None and cursor.backwards
    if backwards:
        kept.reverse()
    has_next = backwards or has_more
    has_previous = has_more if backwards else cursor is not None
    return Page(
        kept,
        Cursor(key(kept[-1])) if has_next else None,
        Cursor(key(kept[0]), backwards=True) if has_previous else None,
    )


class Order(Enum):
    """How a keyset is sorted, or read."""

    ASCENDING = "ascending"
    DESCENDING = "descending"

    @property
    def opposite(self) -> "Order":
        """The other one."""
        return Order.ASCENDING if self is Order.DESCENDING else Order.DESCENDING

    def sort(self, columns: Iterable[Column]) -> tuple[Column, ...]:
        """Return *columns* for ORDER BY."""
        if self is Order.DESCENDING:
            return tuple(column.desc() for column in columns)
        return tuple(columns)

    def after(self, columns: Sequence[Column], at: Sequence[Column]) -> Condition:
        """Return the condition for rows that come after the one with the values *at*.

        It compares row values, which both databases answer by one range of an index.
        """
        key, place = (columns[0], at[0]) if len(columns) == 1 else (tuple_(*columns), tuple_(*at))
        return key < place if self is Order.DESCENDING else key > place


@dataclass(frozen=True, slots=True)
class Keyset(Generic[R]):
    """What a list is sorted by, and how cursors name its rows."""

    columns: tuple[Column, ...]
    """Together they are different for each row."""
    order: Order
    read: Callable[[tuple[str, ...]], tuple[object, ...] | None]
    """Turns the key of a cursor into values of the columns; None if the key is invalid."""
    write: Callable[[R], tuple[str, ...]]
    """Gives the key of a row."""

    def values_at(self, cursor: Cursor) -> tuple[object, ...]:
        """Return the values of the columns at *cursor*; raises InvalidCursor."""
        values = self.read(cursor.key)
        if values is None:
            raise InvalidCursor()
        return values

    def narrow(
        self, query: Query, at: Sequence[Column] | None, *, backwards: bool = False
    ) -> Query:
        """Sort *query*, and let it begin after the row with the values *at*."""
        order = self.order.opposite if backwards else self.order
        if at is not None:
            query = query.where(order.after(self.columns, at))
        return query.order_by(*order.sort(self.columns))


def keyset_of(
    column: InstrumentedAttribute[Any],
    read: Callable[[str], object | None],
    order: Order = Order.ASCENDING,
) -> Keyset[Any]:
    """Return the keyset of a list of entities that is sorted by one *column* of theirs."""

    def read_key(key: tuple[str, ...]) -> tuple[object, ...] | None:
        value = read(key[0])
        return None if value is None else (value,)

    return Keyset(
        columns=(column.expression,),
        order=order,
        read=read_key,
        write=lambda row: (str(getattr(row, column.key)),),
    )


def walk(query: Select[R], keyset: Keyset[R], cursor: Cursor | None, size: int) -> Page[R]:
    """Return a page of the entities that *query* selects; raises InvalidCursor."""
    return walk_rows(query, keyset, cursor, size, lambda cut: list(db.session.scalars(cut)))


def walk_rows(
    query: Query,
    keyset: Keyset[R],
    cursor: Cursor | None,
    size: int,
    fetch: Callable[[Query], Sequence[R]],
) -> Page[R]:
    """Return a page of what *fetch* makes of *query*; raises InvalidCursor."""
    backwards = cursor is not None and cursor.backwards
    at = None
    if cursor is not None:
        pairs = zip(keyset.values_at(cursor), keyset.columns, strict=True)
        at = [literal(value, column.type) for value, column in pairs]
    rows = fetch(keyset.narrow(query, at, backwards=backwards).limit(size + 1))
    return cut_page(rows, size, cursor, keyset.write)


def read_number(text: str) -> int | None:
    """Read an id from a column of type INTEGER; None for anything else."""
    number = read_big_number(text)
    return None if number is None or number > _MAX_INTEGER else number


def read_big_number(text: str) -> int | None:
    """Read an id from a column of type BIGINT; None for anything else."""
    return int(text) if _NUMBER.fullmatch(text) else None


def read_task_id(text: str) -> str | None:
    """Read an id of a task or a delivery; None for anything else."""
    return text if ids.to_bytes(text) is not None else None


def read_uuid(text: str) -> UUID | None:
    """Read an id of a monitor; None for anything else."""
    try:
        return UUID(text)
    except ValueError:
        return None


def page_url(
    base: str, parameters: Sequence[tuple[str, str]], cursor: Cursor | None, size: int
) -> str | None:
    """Return the URL of the page at *cursor*, with the other *parameters*; None for no page."""
    if cursor is None:
        return None
    kept = [(name, value) for name, value in parameters if name not in ("cursor", "page_size")]
    query: list[tuple[str, str | int]] = [("cursor", cursor.write()), ("page_size", size), *kept]
    return f"{base}?{urlencode(query)}"
