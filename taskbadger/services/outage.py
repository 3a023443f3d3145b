"""Our own outages: detects our downtime, so that deadlines missed because of it raise no alarm.

The worker records the time, a tick, every few seconds. If the last tick is too old, tasks could not
report in the meantime. Then every deadline inside the gap is extended by its length before
anything depends on it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple, cast

from sqlalchemy import Row, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from taskbadger.extensions import db
from taskbadger.models import Task, WorkerTick
from taskbadger.services.delivery import leases
from taskbadger.services.incidents import notices, quiet
from taskbadger.services.monitors import sweep
from taskbadger.services.windows import ending

TICK = timedelta(seconds=2)
"""How often the worker records the time."""

GAP = 3 * TICK
"""A longer time without a tick is an outage."""

SILENCE = timedelta(seconds=60)
"""A longer time without a tick means that no background worker runs."""

_MAX_AHEAD = timedelta(seconds=2)
"""A last tick further in the future means that the clock was set back."""

_ROWS_AT_ONCE = 500

Turns = Mapping[str, datetime | None]

_TASKS = cast(Table, Task.__table__)


def extend_task_deadlines(start: datetime, end: datetime) -> None:
    """Extend the stale and overdue deadlines of tasks inside the gap by its length."""
    for name in ("stale_at", "overdue_at"):
        column = _TASKS.c[name]
        due = db.session.execute(
            select(_TASKS.c.id, column)
            .where(column > start, column <= end)
            .order_by(_TASKS.c.id)
            .with_for_update()
        ).all()
        if due:
            _extend(name, due, by=end - start)


def _extend(name: str, due: "Sequence[Row[str, datetime]]", *, by: timedelta) -> None:
    column = _TASKS.c[name]
    statement = (
        update(_TASKS)
        .where(_TASKS.c.id == bindparam("task_id"), column == bindparam("old"))
        .values({name: bindparam("new")})
    )
    parameters = [
        {"task_id": task_id, "old": deadline, "new": deadline + by} for task_id, deadline in due
    ]
    # Many at once are one wait for the database, which has a deadline.
    for start in range(0, len(parameters), _ROWS_AT_ONCE):
        db.session.connection().execute(statement, parameters[start : start + _ROWS_AT_ONCE])


EXTENDERS: tuple[Callable[[datetime, datetime], None], ...] = (
    extend_task_deadlines,
    sweep.extend_deadlines,
    quiet.extend,
)
"""Called with the start and the end of an outage."""


def is_due(*, now: datetime) -> bool:
    """Say whether it is time for a tick. Read-only."""
    last = last_tick()
    return last is None or not now - TICK < last <= now + _MAX_AHEAD


def tick(
    *, now: datetime, ahead: timedelta = timedelta(), turns: Turns = MappingProxyType({})
) -> bool:
    """Record the time, and extend deadlines after an outage; say whether anything was written.

    *ahead* is by how much the clock has jumped ahead since the last tick. *turns* has all steps
    of a worker, each with the time when this process last ended it. Read *now* after
    `lock_tick`. Call this before any decision that depends on a deadline, in the same or an earlier
    transaction.
    """
    row = _lock_row()
    if row is None:
        return _record_first(now)
    last, known = row
    if now - TICK < last <= now + _MAX_AHEAD:
        return False
    if last > now:
        leases.step_back(last - now, now=now)
        sweep.rewind(now=now)
        ending.rewind(now=now)
        notices.step_back(last - now, now=now)
    elif now - last > GAP:
        if ahead:
            leases.extend_leases(min(ahead, now - last), since=last)
        for extend in EXTENDERS:
            extend(last, now)
    db.session.execute(
        update(WorkerTick)
        .where(WorkerTick.id == 1)
        .values(at=now, turns=_merge_turns({} if last > now else json.loads(known), turns))
        .execution_options(synchronize_session=False)
    )
    return True


def last_tick() -> datetime | None:
    """Return when a worker last recorded the time; None for never."""
    return db.session.scalar(select(WorkerTick.at).where(WorkerTick.id == 1))


class Silence(NamedTuple):
    """Whether no background worker runs."""

    is_on: bool
    since: datetime | None
    """The last tick, if it is on; None if no worker has ever run."""


def read_silence(*, now: datetime) -> Silence:
    """Say whether no background worker has run for SILENCE."""
    last = last_tick()
    is_on = last is None or last < now - SILENCE
    return Silence(is_on, last if is_on else None)


def lock_tick() -> datetime | None:
    """Return when a worker last recorded the time, and lock it until the commit."""
    row = _lock_row()
    return None if row is None else row.at


def _lock_row() -> "Row[datetime, str] | None":
    query = select(WorkerTick.at, WorkerTick.turns).where(WorkerTick.id == 1)
    return db.session.execute(query.with_for_update()).first()


def _merge_turns(known: Mapping[str, float], turns: Turns) -> str:
    """Return the JSON of the last turns; steps that *turns* has not are forgotten."""
    latest = {
        step: max(known.get(step, 0.0), 0.0 if ended is None else ended.timestamp())
        for step, ended in turns.items()
    }
    return json.dumps({step: round(ended, 3) for step, ended in latest.items() if ended})


def read_turns() -> Mapping[str, float]:
    """Return when each step of a worker last ended, in Unix seconds."""
    known = db.session.scalar(select(WorkerTick.turns).where(WorkerTick.id == 1))
    turns: Mapping[str, float] = json.loads(known or "{}")
    return turns


def _record_first(now: datetime) -> bool:
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    db.session.execute(dialect.insert(WorkerTick).values(id=1, at=now).on_conflict_do_nothing())
    return True
