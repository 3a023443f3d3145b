"""The history of tasks: one entry per creation and change of status, and thinned progress.

Progress is kept at most once per step of the task: a value that comes sooner overwrites the latest
entry, so the last value is always there. When 200 entries are full, every second one is dropped
and the step doubles; the first entry is never touched.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, func, insert, select, update

from taskbadger.extensions import db
from taskbadger.models import TaskEvent
from taskbadger.services.accounts import Actor
from taskbadger.services.pagination import Cursor, Page, cut_page

MAX_PROGRESS_EVENTS = 200

_EVENTS = cast(Table, TaskEvent.__table__)
_event = _EVENTS.c
_INSERT = insert(_EVENTS)
_INSERT_PROGRESS = insert(_EVENTS).returning(_event.id)
_OVERWRITE = (
    update(_EVENTS)
    .where(_event.id == bindparam("event_id"))
    .values(
        created=bindparam("at"),
        value=bindparam("new_value"),
        value_max=bindparam("new_value_max"),
        actor_type=bindparam("by_type"),
        actor_name=bindparam("by_name"),
    )
)


def record_creation(task: Any, actor: Actor, *, now: datetime) -> None:
    """Write the first entry of a new task."""
    db.session.connection().execute(_INSERT, _entry("created", task, actor, now))


def record_change(before: Any, after: Any, actor: Actor) -> dict[str, Any]:
    """Write what a change of a task adds to its history; return the task's columns to change."""
    if before.status != after.status:
        db.session.connection().execute(_INSERT, _entry("status", after, actor, after.updated))
        # The entry holds the value too: the next progress begins a new one.
        return {"progress_event_id": None} if before.progress_event_id is not None else {}
    if before.value == after.value and before.value_max == after.value_max:
        return {}
    return _record_progress(before, after, actor)


def _record_progress(before: Any, after: Any, actor: Actor) -> dict[str, Any]:
    if before.progress_event_id is not None and not _step_is_over(before, after.updated):
        db.session.connection().execute(
            _OVERWRITE,
            {
                "event_id": before.progress_event_id,
                "at": after.updated,
                "new_value": after.value,
                "new_value_max": after.value_max,
                "by_type": actor.type,
                "by_name": actor.name,
            },
        )
        return {}
    count, step = before.progress_count + 1, before.progress_step
    if count > MAX_PROGRESS_EVENTS:
        count, step = _thin(before.id) + 1, step * 2
    entry = _entry("progress", after, actor, after.updated)
    event_id = db.session.connection().execute(_INSERT_PROGRESS, entry).scalar_one()
    return {
        # The first is kept as it is, so it is never overwritten.
        "progress_event_id": event_id if count > 1 else None,
        "progress_at": after.updated,
        "progress_count": count,
        "progress_step": step,
    }


def _step_is_over(task: Any, now: datetime) -> bool:
    return bool(now - task.progress_at >= timedelta(seconds=task.progress_step))


def _thin(task_id: str) -> int:
    """Delete every second progress entry of a task but the first; return how many are left."""
    numbered = (
        select(_event.id, func.row_number().over(order_by=_event.id).label("number"))
        .where(_event.task_id == task_id, _event.type == "progress")
        .subquery()
    )
    doomed = select(numbered.c.id).where(numbered.c.number % 2 == 0)
    gone = db.session.execute(delete(_EVENTS).where(_event.id.in_(doomed)))
    return MAX_PROGRESS_EVENTS - int(gone.rowcount)  # type: ignore[attr-defined]


def _entry(kind: str, task: Any, actor: Actor, at: datetime) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "type": kind,
        "created": at,
        "status": task.status,
        "value": task.value,
        "value_max": task.value_max,
        "actor_type": actor.type,
        "actor_name": actor.name,
    }


def list_events(task_id: str, cursor: Cursor | None, size: int) -> Page[Any]:
    """Return a page of a task's history, oldest first."""
    query = select(_EVENTS).where(_event.task_id == task_id)
    if cursor is None or not cursor.backwards:
        query = query.order_by(_event.id)
        if cursor is not None:
            query = query.where(_event.id > int(cursor.key[0]))
    else:
        query = query.where(_event.id < int(cursor.key[0])).order_by(_event.id.desc())
    rows: Sequence[Any] = db.session.execute(query.limit(size + 1)).all()
    return cut_page(rows, size, cursor, key=lambda row: (str(row.id),))
