"""Rows of counts: how they are added to, and those of runs, as all of these services read them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar, cast

from sqlalchemy import Table, bindparam, insert, select, update

from taskbadger.domain.status import CANCELLED, ERROR, STALE, SUCCESS
from taskbadger.extensions import Statement, db
from taskbadger.models import RunStat
from taskbadger.models.incident_rows import HistoryEntry
from taskbadger.models.task_rows import columns_of
from taskbadger.models.types import Condition
from taskbadger.services.given_keys import has_key

Key = TypeVar("Key", bound=tuple[Any, ...])
Row = TypeVar("Row", bound=tuple[Any, ...])
Tally = TypeVar("Tally")
_KEYS_AT_ONCE = 200

STATS = cast(Table, RunStat.__table__)
OUTCOMES = (SUCCESS, ERROR, CANCELLED, STALE)
"""How runs end; ``RunStat`` has a column for each."""


class StatRow(NamedTuple):
    """The runs that ended in one span of time, of one name or of all."""

    project_id: int
    seconds: int
    name: str
    start: datetime
    success: int
    error: int
    cancelled: int
    stale: int
    retried: int
    last: datetime
    last_outcome: str | None
    run_times: str


_COLUMNS = columns_of(StatRow, STATS)


def read_stats(*conditions: Condition) -> Sequence[StatRow]:
    """Return the counts for which all *conditions* are true."""
    rows = db.session.execute(select(*_COLUMNS).where(*conditions)).all()
    return cast(Sequence[StatRow], rows)


def run_time(entry: HistoryEntry) -> float | None:
    """Return the seconds that a run took; None for a cancelled one, which did not finish."""
    if entry.status not in (SUCCESS, ERROR) or entry.start_time is None or entry.end_time is None:
        return None
    return max((entry.end_time - entry.start_time).total_seconds(), 0.0)


def outcomes_of(row: StatRow) -> dict[str, int]:
    """Return the numbers of runs by outcome."""
    return {SUCCESS: row.success, ERROR: row.error, CANCELLED: row.cancelled, STALE: row.stale}


class Counts(Generic[Key, Row]):
    """A table of counts: *key* and *row* name the columns of its unique key, and all of them."""

    def __init__(self, table: Table, key: type[Key], row: type[Row]) -> None:
        self._table, self._names = table, tuple(key.__annotations__)
        self._columns = columns_of(row, table)
        self._key = tuple(table.c[name] for name in self._names)
        is_row = (column == bindparam(f"of_{column.name}") for column in self._key)
        self._update = Statement(update(table).where(*is_row), tuple)

    def add(
        self,
        tallies: Mapping[Key, Tally],
        sum_up: Callable[[Tally, Row | None], Mapping[str, object]],
    ) -> None:
        """Add tallies to the rows of their keys; *sum_up* returns columns from both."""
        self.write(tallies, self.read(list(tallies)), sum_up)

    def write(
        self,
        tallies: Mapping[Key, Tally],
        known: Mapping[tuple[Any, ...], Row],
        sum_up: Callable[[Tally, Row | None], Mapping[str, object]],
    ) -> None:
        """Add tallies to rows that were read."""
        added = [
            {**self._named("", key), **sum_up(tally, None)}
            for key, tally in tallies.items()
            if key not in known
        ]
        if added:
            db.session.execute(insert(self._table), added)
        if known:
            self._update.run_each(
                [
                    {**self._named("of_", key), **sum_up(tally, known[key])}
                    for key, tally in tallies.items()
                    if key in known
                ]
            )

    def has_key(self, keys: Sequence[Key]) -> Condition:
        """Return the condition that a row is of one of *keys*."""
        return has_key(self._key, keys)

    def _named(self, prefix: str, key: Key) -> dict[str, object]:
        return {f"{prefix}{name}": value for name, value in zip(self._names, key, strict=True)}

    def read(self, keys: Sequence[Key]) -> dict[tuple[Any, ...], Row]:
        """Return the rows of *keys*, as far as there are any."""
        found = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = self.has_key(keys[start : start + _KEYS_AT_ONCE])
            for row in db.session.execute(select(*self._columns).where(some)):
                found[tuple(getattr(row, name) for name in self._names)] = cast(Row, row)
        return found
