"""Cursors: a list is walked by the key of the row where the last page ended."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from taskbadger.errors import NotFound, ValidationFailed

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
_SIZE = re.compile(r"0*([1-9][0-9]*)", re.ASCII)

R = TypeVar("R")


class InvalidCursor(NotFound):
    """Invalid cursor"""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after the row with this *key*, in one of two directions."""

    key: tuple[str, ...]
    backwards: bool = False

    def write(self) -> str:
        """Return the opaque text that stands in a URL."""
        mark = "p" if self.backwards else "n"
        plain = "|".join((mark, *self.key))
        return base64.urlsafe_b64encode(plain.encode()).decode("ascii").rstrip("=")


def read_cursor(text: str, *, parts: int) -> Cursor:
    """Read a cursor with a key of so many *parts*; raises InvalidCursor."""
    try:
        padded = text + "=" * (-len(text) % 4)
        plain = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor() from error
    mark, *key = plain.split("|")
    if mark not in ("n", "p") or len(key) != parts or len(plain) > 200:
        raise InvalidCursor()
    return Cursor(tuple(key), mark == "p")


def read_page_size(text: str | None) -> int:
    """Return the page size asked for; more than the greatest is cut to it."""
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
    """Make a page of up to *size* + 1 *rows* that were read in the direction of *cursor*."""
    more = len(rows) > size
    kept = list(rows[:size])
    backwards = cursor is not None and cursor.backwards
    if backwards:
        kept.reverse()
    if not kept:
        return Page(kept, None, None)
    has_next = more if not backwards else True
    has_previous = cursor is not None if not backwards else more
    return Page(
        kept,
        Cursor(key(kept[-1])) if has_next else None,
        Cursor(key(kept[0]), backwards=True) if has_previous else None,
    )


def page_url(
    base: str, parameters: Sequence[tuple[str, str]], cursor: Cursor | None, size: int
) -> str | None:
    """Return the URL of the page at *cursor*, the other *parameters* kept."""
    if cursor is None:
        return None
    kept = [(name, value) for name, value in parameters if name not in ("cursor", "page_size")]
    query: list[Any] = [("cursor", cursor.write()), ("page_size", size), *kept]
    return f"{base}?{urlencode(query)}"
