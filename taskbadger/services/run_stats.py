"""Counts runs from the history into minutes, hours and days, for the charts and the names.

The history only grows, so each entry is counted once, in the order of its id, by whatever worker
comes first. Reading the counts then costs the same however many tasks there are.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, and_, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from taskbadger.domain.run_times import bin_of
from taskbadger.domain.status import CANCELLED, ERROR, STALE, SUCCESS
from taskbadger.extensions import db
from taskbadger.models import RunStat, RunStatCursor, Task, TaskEvent

MINUTE, HOUR, DAY = 60, 3600, 86400
OUTCOMES = (SUCCESS, ERROR, CANCELLED, STALE)
BATCH = 2000
KEPT = {MINUTE: timedelta(days=3), HOUR: timedelta(days=35), DAY: timedelta(days=400)}
"""How long counts are kept, by the length of their span."""
# An id that is missing may belong to a transaction that is still open, unless it is this old.
_PATIENCE = timedelta(seconds=30)
_KEYS_AT_ONCE = 200

_STATS = cast(Table, RunStat.__table__)
_stat = _STATS.c
_cursor = cast(Table, RunStatCursor.__table__)
_event = cast(Table, TaskEvent.__table__).c
_task = cast(Table, Task.__table__).c

_Key = tuple[int, int, str, datetime]


@dataclass(slots=True)
class _Tally:
    last: datetime
    last_outcome: str | None = None
    outcomes: dict[str, int] = field(default_factory=dict)
    run_times: dict[int, int] = field(default_factory=dict)

    def add(self, outcome: str, seconds: float | None, at: datetime) -> None:
        self.last = max(self.last, at)
        if outcome != CANCELLED:
            self.last_outcome = outcome
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if seconds is not None:
            number = bin_of(seconds)
            self.run_times[number] = self.run_times.get(number, 0) + 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of the history that were read and not yet counted."""

    after: int
    upto: int
    tallies: dict[_Key, _Tally]
    is_full: bool


def read_batch(*, now: datetime) -> Batch | None:
    """Return what is to be counted next; None when there is nothing. Only reads."""
    after = db.session.scalar(select(_cursor.c.event_id)) or 0
    rows = db.session.execute(_next_entries(after)).all()
    if not rows:
        newest = db.session.scalar(select(func.max(_event.id))) or 0
        # SQLite gives the ids of deleted entries out again.
        return Batch(after, newest, {}, False) if newest < after else None
    settled = _settled(rows, after, now)
    if not settled:
        return None
    return Batch(after, settled[-1].id, _tally(settled), len(rows) == BATCH)


def _next_entries(after: int) -> Any:
    ended = and_(
        _task.id == _event.task_id,
        _event.type.in_(("created", "status")),
        _event.status.in_(OUTCOMES),
    )
    return (
        select(
            _event.id,
            _event.created,
            _event.status,
            _task.project_id,
            _task.name,
            _task.start_time,
            _task.end_time,
        )
        .select_from(TaskEvent)
        .join(Task, ended, isouter=True)
        .where(_event.id > after)
        .order_by(_event.id)
        .limit(BATCH)
    )


def _settled(rows: Sequence[Any], after: int, now: datetime) -> Sequence[Any]:
    """Return the first rows, up to where one may still be missing."""
    previous = after
    for place, row in enumerate(rows):
        if row.id != previous + 1 and previous and row.created > now - _PATIENCE:
            return rows[:place]
        previous = row.id
    return rows


def _tally(rows: Sequence[Any]) -> dict[_Key, _Tally]:
    tallies: dict[_Key, _Tally] = {}
    for row in rows:
        if row.project_id is None:
            continue
        for key in _keys(row):
            tally = tallies.setdefault(key, _Tally(row.created))
            tally.add(row.status, _run_time(row), row.created)
    return tallies


def _keys(row: Any) -> Iterable[_Key]:
    for seconds, name in ((MINUTE, ""), (HOUR, ""), (HOUR, row.name), (DAY, row.name)):
        yield row.project_id, seconds, name, floor(row.created, seconds)


def _run_time(row: Any) -> float | None:
    """Return the seconds that a finished run took; those of one called off say nothing."""
    if row.status not in (SUCCESS, ERROR) or row.start_time is None or row.end_time is None:
        return None
    return float(max((row.end_time - row.start_time).total_seconds(), 0.0))


def floor(moment: datetime, seconds: int) -> datetime:
    """Return when the span of this length began that *moment* lies in."""
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)


def count_batch(batch: Batch, *, now: datetime) -> bool:
    """Add a batch to the counts; False when another worker has counted it already."""
    if not _take(batch, now):
        return False
    known = _known(list(batch.tallies))
    added = []
    changed = []
    for key, tally in batch.tallies.items():
        row = known.get(key)
        values = _values(tally, row)
        if row is None:
            added.append(dict(zip(("project_id", "seconds", "name", "start"), key, strict=True)))
            added[-1].update(values)
        else:
            changed.append((key, values))
    if added:
        db.session.execute(insert(_STATS), added)
    for key, values in changed:
        db.session.execute(update(_STATS).where(*_is(key)).values(**values))
    return True


def _take(batch: Batch, now: datetime) -> bool:
    """Move the cursor past a batch, unless it is not where the batch began."""
    moved = db.session.execute(
        update(_cursor)
        .where(_cursor.c.event_id == batch.after)
        .values(event_id=batch.upto, counted_at=now)
    )
    if moved.rowcount:  # type: ignore[attr-defined]
        return True
    if batch.after:
        return False
    try:
        with db.session.begin_nested():
            values = {"id": 1, "event_id": batch.upto, "counted_at": now}
            db.session.execute(insert(_cursor).values(values))
    except IntegrityError:
        return False
    return True


def _known(keys: list[_Key]) -> dict[_Key, Any]:
    found: dict[_Key, Any] = {}
    columns = (_stat.project_id, _stat.seconds, _stat.name, _stat.start)
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        for row in db.session.execute(select(_STATS).where(tuple_(*columns).in_(some))):
            found[row.project_id, row.seconds, row.name, row.start] = row
    return found


def _is(key: _Key) -> list[Any]:
    columns = (_stat.project_id, _stat.seconds, _stat.name, _stat.start)
    return [column == value for column, value in zip(columns, key, strict=True)]


def _values(tally: _Tally, row: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        outcome: tally.outcomes.get(outcome, 0) + (getattr(row, outcome) if row else 0)
        for outcome in OUTCOMES
    }
    run_times = dict(tally.run_times)
    if row is not None:
        for number, count in read_run_times(row.run_times).items():
            run_times[number] = run_times.get(number, 0) + count
    values["run_times"] = json.dumps(run_times, separators=(",", ":"))
    values["last"] = max(tally.last, row.last) if row else tally.last
    values["last_outcome"] = tally.last_outcome or (row.last_outcome if row else None)
    return values


def read_run_times(text: str) -> dict[int, int]:
    """Return a histogram as it is kept."""
    return {int(number): count for number, count in json.loads(text).items()}


def forget_old(*, now: datetime) -> None:
    """Delete the counts that are older than KEPT."""
    for seconds, age in KEPT.items():
        old = (_stat.seconds == seconds, _stat.start < now - age)
        db.session.execute(delete(_STATS).where(*old))


def counted_until() -> datetime | None:
    """Return when the oldest entry was made that waits to be counted; None when none does."""
    after = db.session.scalar(select(_cursor.c.event_id)) or 0
    query = select(_event.created).where(_event.id > after).order_by(_event.id).limit(1)
    return db.session.scalar(query)


def last_counted() -> int:
    """Return the last entry of the history that is counted: it changes when the counts do."""
    return db.session.scalar(select(_cursor.c.event_id)) or 0
