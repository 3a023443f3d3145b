"""Counts runs from the history into minutes, hours and days, for the charts and the names.

Each entry of the history is counted once, in the order of ids, by whichever worker comes first.
Reading the counts then costs the same for any number of tasks.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, cast

from sqlalchemy import (
    Table,
    and_,
    case,
    func,
    or_,
    select,
    update,
)

from taskbadger.domain.run_times import bin_of, merged, read_stored, stored
from taskbadger.domain.status import CANCELLED, ERROR, FAILED, STALE
from taskbadger.extensions import db, delete_some
from taskbadger.models import RunStatCursor, Task, TaskEvent
from taskbadger.models.incident_rows import HistoryEntry
from taskbadger.models.task_rows import EVENTS, TASKS
from taskbadger.models.types import Query
from taskbadger.services.incidents import attempts, following
from taskbadger.services.incidents.attempts import Superseded
from taskbadger.services.stats import failed_runs, queue_counts, totals
from taskbadger.services.stats.cursors import Cursor, settled
from taskbadger.services.stats.failed_runs import Counted
from taskbadger.services.stats.queue_counts import Move
from taskbadger.services.stats.rows import OUTCOMES, STATS, Counts, StatRow, outcomes_of, run_time

MINUTE, HOUR, DAY = 60, 3600, 86400
BATCH = 1000
KEPT = {MINUTE: timedelta(days=3), HOUR: timedelta(days=35), DAY: timedelta(days=400)}
"""How long counts are kept, by the length of their span."""

_stat = STATS.c
_cursor = Cursor(cast(Table, RunStatCursor.__table__), "event_id")
_event = EVENTS.c
_task = TASKS.c

_MOVE_BACK = _cursor.back_to(select(func.coalesce(func.max(_event.id), 0)).scalar_subquery())


class _Key(NamedTuple):
    """What one row counts."""

    project_id: int
    seconds: int
    name: str
    start: datetime


_COUNTS = Counts(STATS, _Key, StatRow)


@dataclass(slots=True)
class _Tally:
    last: datetime
    last_outcome: str | None = None
    outcomes: dict[str, int] = field(default_factory=dict)
    retried: int = 0
    run_times: dict[int, int] = field(default_factory=dict)

    def add(self, outcome: str, seconds: float | None, at: datetime, *, retried: bool) -> None:
        self.last = max(self.last, at)
        if retried:
            self.retried += 1
            return
        if outcome != CANCELLED:
            self.last_outcome = outcome
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if seconds is not None:
            number = bin_of(seconds)
            self.run_times[number] = self.run_times.get(number, 0) + 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of the history that were read but are not counted yet."""

    after: int
    upto: int
    entries: Sequence[HistoryEntry]
    is_full: bool
    moves: Sequence[Move] = ()


def read_batch(*, now: datetime) -> Batch | None:
    """Return the entries to count next; None when there are none. Only reads."""
    after = _cursor.read()
    rows = cast(Sequence[HistoryEntry], db.session.execute(_next_entries(after)).all())
    if not rows:
        newest = db.session.scalar(select(func.max(_event.id))) or 0
        # SQLite reuses the ids of deleted entries.
        return Batch(after, newest, [], False) if newest < after else None
    entries = settled(rows, after, now)
    if not entries:
        return None
    moves = queue_counts.read_moves(after, entries[-1].id)
    return Batch(after, entries[-1].id, entries, len(rows) == BATCH, moves)


def _next_entries(after: int) -> Query:
    is_followed = and_(
        _task.id == _event.task_id,
        or_(_event.type == "created", and_(_event.type == "status", _event.status.in_(OUTCOMES))),
    )
    return (
        select(
            _event.id,
            _event.created,
            _event.type,
            _event.status,
            _event.task_id,
            _task.project_id,
            _task.name,
            _task.external_id,
            _task.start_time,
            _task.end_time,
        )
        .select_from(TaskEvent)
        .join(Task, is_followed, isouter=True)
        .where(_event.id > after)
        .order_by(_event.id)
        .limit(BATCH)
    )


def _tally(rows: Sequence[HistoryEntry], retried: Collection[str]) -> dict[_Key, _Tally]:
    tallies: dict[_Key, _Tally] = {}
    for row in rows:
        if row.project_id is None or row.status not in OUTCOMES:
            continue
        is_retried = row.task_id in retried and row.status in FAILED
        for key in _keys(row.project_id, row.name, row.created):
            tally = tallies.setdefault(key, _Tally(row.created))
            tally.add(row.status, run_time(row), row.created, retried=is_retried)
    return tallies


def _keys(project_id: int, counted_name: str, created: datetime) -> Iterable[_Key]:
    at = int(created.timestamp())
    spans = ((MINUTE, ""), (HOUR, ""), (HOUR, counted_name), (DAY, counted_name))
    for seconds, name in spans:
        yield _Key(project_id, seconds, name, _moment(at // seconds * seconds))


def floor(moment: datetime, seconds: int) -> datetime:
    """Return the start of the span of this length that contains *moment*."""
    return _moment(int(moment.timestamp()) // seconds * seconds)


@lru_cache(maxsize=1000)
def _moment(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def count_batch(batch: Batch, *, now: datetime, max_names: int = totals.MAX_NAMES) -> bool:
    """Add a batch to the counts, and let incidents follow; False when another worker has.

    An attempt that was tried again is counted as such, and not as a failed run. Up to *max_names*
    of an organization are told apart in its totals.
    """
    if not _cursor.move(batch.after, batch.upto, now=now):
        return False
    failed = failed_runs.read(batch.entries, after=batch.after)
    superseded = attempts.supersede(batch.entries, after=batch.after)
    retried = {each.task_id for each in superseded}
    _COUNTS.add(_tally(failed.entries, retried), _values)
    queue_counts.count_moves(batch.moves, now=now)
    totals.count(batch.entries, batch.moves, max_names=max_names, now=now)
    for counted in failed.taken_back:
        _take_back(counted)
    failed_here = {entry.task_id for entry in batch.entries if entry.status in FAILED}
    for each in superseded:
        if each.task_id not in failed_here:
            _take_back(_counted(each), retried=1)
    following.follow(failed.entries, retried, failed.repeated, now=now)
    return True


def _counted(attempt: Superseded) -> Counted:
    status = STALE if attempt.cause == STALE else ERROR
    return Counted(attempt.project_id, attempt.name, status, attempt.failed_at)


def _take_back(counted: Counted, *, retried: int = 0) -> None:
    """Count a failed run no more that was counted earlier; count *retried* attempts instead."""
    outcome = _stat[counted.status]
    keys = list(_keys(counted.project_id, counted.name, counted.at))
    is_only_one = _stat.success + _stat.error + _stat.stale == 1
    db.session.execute(
        update(STATS)
        .where(_COUNTS.has_key(keys), outcome > 0)
        .values(
            {
                outcome.name: outcome - 1,
                "retried": _stat.retried + retried,
                "last_outcome": case((is_only_one, None), else_=_stat.last_outcome),
            }
        )
    )


def _values(tally: _Tally, row: StatRow | None) -> dict[str, object]:
    """Return the columns of what was counted in *row*, if there is one, and in *tally*."""
    known = dict.fromkeys(OUTCOMES, 0) if row is None else outcomes_of(row)
    run_times = merged([tally.run_times, {} if row is None else read_stored(row.run_times)])
    return {
        **{outcome: tally.outcomes.get(outcome, 0) + known[outcome] for outcome in OUTCOMES},
        "retried": tally.retried + (0 if row is None else row.retried),
        "run_times": stored(run_times),
        "last": tally.last if row is None else max(tally.last, row.last),
        "last_outcome": tally.last_outcome or (row and row.last_outcome),
    }


def forget_old(*, now: datetime, limit: int = 1_000) -> int:
    """Delete up to *limit* counts of each kind that are older than KEPT; return how many."""
    found = queue_counts.forget_old(now=now, limit=limit)
    for seconds, age in KEPT.items():
        old = (_stat.seconds == seconds, _stat.start < now - age)
        found += delete_some(STATS, *old, limit=limit)
    totals.forget_old(now=now)
    return found


def note_deletions() -> None:
    """Let the next entries be counted, although SQLite gives them ids of deleted ones."""
    if db.engine.dialect.name == "sqlite":
        db.session.execute(_MOVE_BACK)


def counted_until() -> datetime | None:
    """Return the time of the oldest entry that is not counted yet; None when all are."""
    return time_after(last_counted())


def time_after(event_id: int) -> datetime | None:
    """Return the time of the first entry of the history after *event_id*, if there is one."""
    query = select(_event.created).where(_event.id > event_id).order_by(_event.id).limit(1)
    return db.session.scalar(query)


def last_counted() -> int:
    """Return the last entry of the history that is counted: a version of the counts."""
    return _cursor.read()
