"""Our own outages: the worker notes that it looks at the clock, and misses alarm nobody.

A task that could not report because we were down has done nothing wrong. So where the last tick
is too old, every deadline in the gap moves by the gap, before anything is judged by it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from taskbadger.extensions import db
from taskbadger.models import Task, WorkerTick
from taskbadger.services import claims, slot_sweep

TICK = timedelta(seconds=2)
"""How often the worker notes the time."""

GAP = 3 * TICK
"""A longer silence is an outage."""

_STEP_BACK = timedelta(seconds=2)
"""A tick so far in the future says that the clock was set back."""

_TASKS = cast(Table, Task.__table__)


def extend_task_deadlines(start: datetime, end: datetime) -> None:
    """Move when tasks go stale or overdue by the length of the gap, where it lies in the gap."""
    for name in ("stale_at", "overdue_at"):
        column = _TASKS.c[name]
        due = db.session.execute(
            select(_TASKS.c.id, column)
            .where(column > start, column <= end)
            .order_by(_TASKS.c.id)
            .with_for_update()
        ).all()
        if due:
            _move(name, due, end - start)


def _move(name: str, due: Any, by: timedelta) -> None:
    column = _TASKS.c[name]
    statement = (
        update(_TASKS)
        .where(_TASKS.c.id == bindparam("task_id"), column == bindparam("old"))
        .values({name: bindparam("new")})
    )
    parameters = [{"task_id": row.id, "old": row[1], "new": row[1] + by} for row in due]
    db.session.connection().execute(statement, parameters)


EXTENDERS: list[Callable[[datetime, datetime], None]] = [
    extend_task_deadlines,
    slot_sweep.extend_deadlines,
]
"""What to call with the start and the end of an outage."""


def is_due(*, now: datetime) -> bool:
    """Say whether it is time for a tick. Only reads."""
    last = last_tick()
    return last is None or not now - TICK < last <= now + _STEP_BACK


def tick(*, now: datetime) -> bool:
    """Note the time, and make up for an outage that just ended; the caller commits.

    Everything that judges a deadline calls this first, in an earlier or the same transaction.
    Returns whether anything was written.
    """
    last = last_tick()
    if last is None:
        return _note_first(now)
    # The row again, now locked: another worker may have been faster.
    last = db.session.scalars(
        select(WorkerTick.at).where(WorkerTick.id == 1).with_for_update()
    ).one()
    if now - TICK < last <= now + _STEP_BACK:
        return False
    if last > now:
        claims.step_back(last - now, now=now)
        slot_sweep.rewind(now=now)
    elif now - last > GAP:
        for extend in EXTENDERS:
            extend(last, now)
    db.session.execute(
        update(WorkerTick)
        .where(WorkerTick.id == 1)
        .values(at=now)
        .execution_options(synchronize_session=False)
    )
    return True


def last_tick() -> datetime | None:
    """Return when the worker last noted the time; None when there never was one."""
    return db.session.scalar(select(WorkerTick.at).where(WorkerTick.id == 1))


def _note_first(now: datetime) -> bool:
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    db.session.execute(dialect.insert(WorkerTick).values(id=1, at=now).on_conflict_do_nothing())
    return True
