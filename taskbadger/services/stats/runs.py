"""Counts runs from the history into minutes, hours and days, for the charts and the names.

Each entry of the history is counted once, in the order of ids, by whichever worker comes first.
Reading the counts then costs the same for any number of tasks.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, cast

from sqlalchemy import Table, and_, bindparam, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from taskbadger.domain.run_times import bin_of, merged
from taskbadger.domain.status import CANCELLED, ERROR, SUCCESS
from taskbadger.extensions import Statement, change_rows, db
from taskbadger.models import RunStatCursor, Task, TaskEvent
from taskbadger.models.task_rows import EVENTS, TASKS
from taskbadger.models.types import Query
from taskbadger.services.stats.rows import OUTCOMES, STATS, StatRow, outcomes_of, read_stats

MINUTE, HOUR, DAY = 60, 3600, 86400
BATCH = 5000
KEPT = {MINUTE: timedelta(days=3), HOUR: timedelta(days=35), DAY: timedelta(days=400)}
"""How long counts are kept, by the length of their span."""
# A missing id may belong to a transaction that is still open, unless it is older than this.
_MAX_WAIT = timedelta(seconds=30)
_KEYS_AT_ONCE = 200

_stat = STATS.c
_cursor = cast(Table, RunStatCursor.__table__)
_event = EVENTS.c
_task = TASKS.c


class _Key(NamedTuple):
    """What one row counts."""

    project_id: int
    seconds: int
    name: str
    start: datetime


_UPDATE = Statement(
    update(STATS).where(*(_stat[name] == bindparam(f"of_{name}") for name in _Key._fields)), tuple
)


class _Ended(NamedTuple):
    """An entry of the history. If it does not end a run, ``project_id`` is None."""

    id: int
    created: datetime
    status: str
    project_id: int | None
    name: str
    start_time: datetime | None
    end_time: datetime | None


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
    """Entries of the history that were read but are not counted yet."""

    after: int
    upto: int
    tallies: dict[_Key, _Tally]
    is_full: bool


def read_batch(*, now: datetime) -> Batch | None:
    """Return the entries to count next; None when there are none. Only reads."""
    after = db.session.scalar(select(_cursor.c.event_id)) or 0
    rows = cast(Sequence[_Ended], db.session.execute(_next_entries(after)).all())
    if not rows:
        newest = db.session.scalar(select(func.max(_event.id))) or 0
        # SQLite reuses the ids of deleted entries.
        return Batch(after, newest, {}, False) if newest < after else None
    settled = _settled(rows, after, now)
    if not settled:
        return None
    return Batch(after, settled[-1].id, _tally(settled), len(rows) == BATCH)


def _next_entries(after: int) -> Query:
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


def _settled(rows: Sequence[_Ended], after: int, now: datetime) -> Sequence[_Ended]:
    """Return the rows before the first place where one may still be missing."""
    previous = after
    for place, row in enumerate(rows):
        if row.id != previous + 1 and previous and row.created > now - _MAX_WAIT:
            return rows[:place]
        previous = row.id
    return rows


def _tally(rows: Sequence[_Ended]) -> dict[_Key, _Tally]:
    tallies: dict[_Key, _Tally] = {}
    for row in rows:
        for key in _keys(row):
            tally = tallies.setdefault(key, _Tally(row.created))
            tally.add(row.status, _run_time(row), row.created)
    return tallies


def _keys(row: _Ended) -> Iterable[_Key]:
    if row.project_id is None:
        return
    at = int(row.created.timestamp())
    for seconds, name in ((MINUTE, ""), (HOUR, ""), (HOUR, row.name), (DAY, row.name)):
        yield _Key(row.project_id, seconds, name, _moment(at // seconds * seconds))


def _run_time(row: _Ended) -> float | None:
    """Return the seconds that a run took; None for a cancelled one, which did not finish."""
    if row.status not in (SUCCESS, ERROR) or row.start_time is None or row.end_time is None:
        return None
    return max((row.end_time - row.start_time).total_seconds(), 0.0)


def floor(moment: datetime, seconds: int) -> datetime:
    """Return the start of the span of this length that contains *moment*."""
    return _moment(int(moment.timestamp()) // seconds * seconds)


@lru_cache(maxsize=1000)
def _moment(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def count_batch(batch: Batch, *, now: datetime) -> bool:
    """Add a batch to the counts; False when another worker has counted it already."""
    if not _take(batch, now):
        return False
    known = _known(list(batch.tallies))
    added = [
        {**key._asdict(), **_values(tally, None)}
        for key, tally in batch.tallies.items()
        if key not in known
    ]
    if added:
        db.session.execute(insert(STATS), added)
    if known:
        _UPDATE.run_each(
            [{**_renamed(key), **_values(batch.tallies[key], row)} for key, row in known.items()]
        )
    return True


def _take(batch: Batch, now: datetime) -> bool:
    """Move the cursor past a batch, unless it is not where the batch began."""
    moved = change_rows(
        update(_cursor)
        .where(_cursor.c.event_id == batch.after)
        .values(event_id=batch.upto, counted_at=now)
    )
    if moved:
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


def _known(keys: Sequence[_Key]) -> dict[_Key, StatRow]:
    columns = tuple_(_stat.project_id, _stat.seconds, _stat.name, _stat.start)
    found: dict[_Key, StatRow] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        for row in read_stats(columns.in_(keys[start : start + _KEYS_AT_ONCE])):
            found[_Key(row.project_id, row.seconds, row.name, row.start)] = row
    return found


def _renamed(key: _Key) -> dict[str, object]:
    """Return the parameters of the conditions of _UPDATE."""
    return {f"of_{name}": value for name, value in key._asdict().items()}


def _values(tally: _Tally, row: StatRow | None) -> dict[str, object]:
    """Return the columns of what was counted in *row*, if there is one, and in *tally*."""
    known = dict.fromkeys(OUTCOMES, 0) if row is None else outcomes_of(row)
    run_times = merged([tally.run_times, {} if row is None else read_run_times(row.run_times)])
    return {
        **{outcome: tally.outcomes.get(outcome, 0) + known[outcome] for outcome in OUTCOMES},
        "run_times": json.dumps(run_times, separators=(",", ":")),
        "last": tally.last if row is None else max(tally.last, row.last),
        "last_outcome": tally.last_outcome or (row and row.last_outcome),
    }


def read_run_times(text: str) -> dict[int, int]:
    """Read a histogram as it is stored."""
    return {int(number): count for number, count in json.loads(text).items()}


def forget_old(*, now: datetime) -> None:
    """Delete the counts that are older than KEPT."""
    for seconds, age in KEPT.items():
        old = (_stat.seconds == seconds, _stat.start < now - age)
        db.session.execute(delete(STATS).where(*old))


def counted_until() -> datetime | None:
    """Return the time of the oldest entry that is not counted yet; None when all are."""
    after = db.session.scalar(select(_cursor.c.event_id)) or 0
    query = select(_event.created).where(_event.id > after).order_by(_event.id).limit(1)
    return db.session.scalar(query)


def last_counted() -> int:
    """Return the last entry of the history that is counted: a version of the counts."""
    return db.session.scalar(select(_cursor.c.event_id)) or 0
