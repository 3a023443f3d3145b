"""Cursors: how far a table that only grows has been counted, each row once, in the order of ids.

Any number of workers may count: whoever moves the cursor first counts what is between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from sqlalchemy import ScalarSelect, Table, Update, insert, select, update
from sqlalchemy.exc import IntegrityError

from taskbadger.extensions import change_rows, db

# A missing id may belong to a transaction that is still open, unless it is older than this.
_MAX_WAIT = timedelta(seconds=30)


class Countable(Protocol):
    """A row that is counted once."""

    @property
    def id(self) -> int:
        """Its id."""

    @property
    def created(self) -> datetime:
        """When it was written."""


Row = TypeVar("Row", bound=Countable)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The single row of *table*, whose *column* is the last id that was counted."""

    table: Table
    column: str

    def read(self) -> int:
        """Return the last id that was counted; 0 for none."""
        return db.session.scalar(select(self.table.c[self.column])) or 0

    def move(self, after: int, upto: int, *, now: datetime) -> bool:
        """Move it from *after* to *upto*; False, and no change, if it is no longer there."""
        values = {self.column: upto, "counted_at": now}
        is_there = self.table.c[self.column] == after
        if change_rows(update(self.table).where(is_there).values(values)):
            return True
        if after:
            return False
        try:
            with db.session.begin_nested():
                db.session.execute(insert(self.table).values({"id": 1, **values}))
        except IntegrityError:
            return False
        return True

    def back_to(self, newest: ScalarSelect[int]) -> Update:
        """Return the statement that moves it to *newest* if it is beyond that."""
        column = self.table.c[self.column]
        return update(self.table).where(column > newest).values({self.column: newest})


def settled(rows: Sequence[Row], after: int, now: datetime) -> Sequence[Row]:
    """Return the rows before the first place where one may still be missing.

    *rows* are sorted by id, and the first that comes after *after*.
    """
    previous = after
    for place, row in enumerate(rows):
        if row.id != previous + 1 and previous and row.created > now - _MAX_WAIT:
            return rows[:place]
        previous = row.id
    return rows
