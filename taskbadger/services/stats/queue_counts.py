"""Counts what comes into each queue and leaves it, from the history.

``services/stats/runs.py`` says which part of the history is next; both count it in one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import Table, func, or_, select

from taskbadger.domain.queues import span_of
from taskbadger.domain.run_times import bin_of, merged, read_stored, stored
from taskbadger.domain.status import CANCELLED, ERROR, PENDING, STALE, SUCCESS
from taskbadger.extensions import db, delete_some
from taskbadger.models import QueueStat
from taskbadger.models.task_rows import EVENTS, TASKS, columns_of
from taskbadger.models.types import Query
from taskbadger.services.stats.rows import Counts

KEPT = timedelta(hours=25)
"""How long counts are kept. A queue that is idle for longer is no longer listed."""
QUEUE_STATS = cast(Table, QueueStat.__table__)
_FINISHED = (SUCCESS, ERROR)

_stat = QUEUE_STATS.c
_event = EVENTS.c
_BEFORE = EVENTS.alias("entry_before")
_before = _BEFORE.c
_task = TASKS.c


class Move(NamedTuple):
    """A change of status that matters to the queue of its task."""

    project_id: int
    name: str
    queue: str
    status: str
    created: datetime
    old_status: str | None
    """The status before; None for a creation."""
    since: datetime | None
    """When the task entered that status."""

    @property
    def has_arrived(self) -> bool:
        """Whether the task became pending."""
        return self.status == PENDING and self.old_status != PENDING

    @property
    def has_departed(self) -> bool:
        """Whether the task is no longer pending."""
        return self.old_status == PENDING and self.status != PENDING

    @property
    def waited(self) -> float | None:
        """How many seconds a task waited that now starts; None for any other change."""
        if not self.has_departed or self.since is None or self.status in (STALE, CANCELLED):
            return None
        return max((self.created - self.since).total_seconds(), 0.0)


class QueueRow(NamedTuple):
    """A row of the counts."""

    project_id: int
    queue: str
    start: datetime
    arrived: int
    departed: int
    finished: int
    waits: str


QUEUE_COLUMNS = columns_of(QueueRow, QUEUE_STATS)


class _Key(NamedTuple):
    project_id: int
    queue: str
    start: datetime


_COUNTS = Counts(QUEUE_STATS, _Key, QueueRow)


@dataclass(slots=True)
class _Tally:
    arrived: int = 0
    departed: int = 0
    finished: int = 0
    waits: dict[int, int] = field(default_factory=dict)

    def add(self, move: Move) -> None:
        self.arrived += move.has_arrived
        self.departed += move.has_departed
        self.finished += move.status in _FINISHED
        if (waited := move.waited) is not None:
            number = bin_of(waited)
            self.waits[number] = self.waits.get(number, 0) + 1


def read_moves(after: int, upto: int) -> Sequence[Move]:
    """Return the moves in the part of the history between two ids, in no order. Only reads."""
    return [Move._make(row) for row in db.session.execute(_moves(after, upto))]


def _moves(after: int, upto: int) -> Query:
    earlier = EVENTS.alias("earlier").c
    place = (
        select(func.max(earlier.id))
        .where(
            earlier.task_id == _event.task_id, earlier.id < _event.id, earlier.type != "progress"
        )
        .scalar_subquery()
    )
    tables = EVENTS.join(TASKS, _task.id == _event.task_id)
    tables = tables.join(_BEFORE, _before.id == place, isouter=True)
    is_move = or_(_event.status.in_((PENDING, *_FINISHED)), _before.status == PENDING)
    return (
        select(
            _task.project_id,
            _task.name,
            _task.queue,
            _event.status,
            _event.created,
            _before.status.label("old_status"),
            _before.created.label("since"),
        )
        .select_from(tables)
        .where(_event.id > after, _event.id <= upto, _event.type != "progress", is_move)
    )


def count_moves(moves: Sequence[Move], *, now: datetime) -> None:
    """Add moves to the counts, except for those whose counts are kept no longer."""
    tallies: dict[_Key, _Tally] = {}
    for move in moves:
        if move.created < now - KEPT:
            continue
        key = _Key(move.project_id, move.queue, span_of(move.created))
        tallies.setdefault(key, _Tally()).add(move)
    _COUNTS.add(tallies, _values)


def _values(tally: _Tally, row: QueueRow | None) -> Mapping[str, object]:
    known = {} if row is None else read_stored(row.waits)
    return {
        "arrived": tally.arrived + (row.arrived if row else 0),
        "departed": tally.departed + (row.departed if row else 0),
        "finished": tally.finished + (row.finished if row else 0),
        "waits": stored(merged([tally.waits, known])),
    }


def forget_old(*, now: datetime, limit: int) -> int:
    """Delete up to *limit* counts that are older than KEPT; return how many."""
    return delete_some(QUEUE_STATS, _stat.start < now - KEPT, limit=limit)
