"""The history of tasks: one entry per creation and change of status, and thinned progress.

Progress entries stay when they are a step of the task apart. One that comes sooner is there too, so
that the last value always is, until the next entry takes its place. When 200 are full, every second
one is dropped and the step doubles; the first is never touched.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, func, insert, select, update

from taskbadger.extensions import db
from taskbadger.models import TaskEvent
from taskbadger.services.accounts import Actor
from taskbadger.services.pagination import Cursor, InvalidCursor, Page, cut_page

MAX_PROGRESS_EVENTS = 200
MOST_COUNTED = 10_000
"""The most entries that are counted before those that are read."""
_EVENT_ID = re.compile(r"[0-9]{1,18}", re.ASCII)

_EVENTS = cast(Table, TaskEvent.__table__)
_event = _EVENTS.c
_INSERT = insert(_EVENTS)
_INSERT_PROGRESS = insert(_EVENTS).returning(_event.id)
_KEPT = ("created", "value", "value_max", "actor_type", "actor_name")
_OVERWRITE = (
    update(_EVENTS)
    .where(_event.id == bindparam("event_id"))
    .values({name: bindparam(f"new_{name}") for name in _KEPT})
)
_DELETE = delete(_EVENTS).where(_event.id == bindparam("event_id"))


def record_creation(task: Any, actor: Actor, *, now: datetime) -> None:
    """Write the first entry of a new task."""
    db.session.connection().execute(_INSERT, _entry("created", task, actor, now))


def record_change(before: Any, after: Any, actor: Actor) -> dict[str, Any]:
    """Write what a change of a task adds to its history; return the task's columns to change."""
    if before.status != after.status:
        return _record_status(before, _entry("status", after, actor, after.updated))
    if before.value == after.value and before.value_max == after.value_max:
        return {}
    return _record_progress(before, _entry("progress", after, actor, after.updated))


def _record_status(before: Any, entry: dict[str, Any]) -> dict[str, Any]:
    db.session.connection().execute(_INSERT, entry)
    if before.progress_event_id is None:
        return {}
    # The entry holds the value too, so what was the latest progress need not be there.
    db.session.connection().execute(_DELETE, {"event_id": before.progress_event_id})
    return {"progress_event_id": None, "progress_count": before.progress_count - 1}


def _record_progress(before: Any, entry: dict[str, Any]) -> dict[str, Any]:
    stays = before.progress_at is None or _step_is_over(before, entry["created"])
    stand = {"progress_event_id": None, "progress_at": entry["created"]}
    if before.progress_event_id is not None:
        values = {f"new_{name}": entry[name] for name in _KEPT}
        event = {"event_id": before.progress_event_id}
        db.session.connection().execute(_OVERWRITE, {**event, **values})
        return stand if stays else {}
    count, step = before.progress_count + 1, before.progress_step
    if count > MAX_PROGRESS_EVENTS:
        count, step = _thin(before.id) + 1, step * 2
    event_id = db.session.connection().execute(_INSERT_PROGRESS, entry).scalar_one()
    counted = {"progress_count": count, "progress_step": step}
    return {**counted, **stand} if stays else {**counted, "progress_event_id": event_id}


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


def _read_key(cursor: Cursor) -> int:
    if not _EVENT_ID.fullmatch(cursor.key[0]):
        raise InvalidCursor()
    return int(cursor.key[0])


def list_events(task_id: str, cursor: Cursor | None, size: int) -> Page[Any]:
    """Return a page of a task's history, oldest first; raises InvalidCursor."""
    query = select(_EVENTS).where(_event.task_id == task_id)
    if cursor is None:
        query = query.order_by(_event.id)
    elif cursor.backwards:
        query = query.where(_event.id < _read_key(cursor)).order_by(_event.id.desc())
    else:
        query = query.where(_event.id > _read_key(cursor)).order_by(_event.id)
    rows: Sequence[Any] = db.session.execute(query.limit(size + 1)).all()
    return cut_page(rows, size, cursor, key=lambda row: (str(row.id),))


@dataclass(frozen=True, slots=True)
class Latest:
    """The end of a task's history."""

    events: Sequence[Any]
    """Oldest first."""
    earlier: int = 0
    """How many entries came before; at most MOST_COUNTED + 1."""
    earlier_changes: int = 0
    """How many of those are no progress."""


def read_latest(task_id: str, size: int) -> Latest:
    """Return the last *size* entries of a task's history, and how many came before them."""
    query = select(_EVENTS).where(_event.task_id == task_id).order_by(_event.id.desc())
    rows = db.session.execute(query.limit(size + 1)).all()
    events = rows[:size][::-1]
    if len(rows) <= size:
        return Latest(events)
    before = (
        select(_event.type)
        .where(_event.task_id == task_id, _event.id < events[0].id)
        .order_by(_event.id.desc())
        .limit(MOST_COUNTED + 1)
        .subquery()
    )
    changes = func.count().filter(before.c.type != "progress")
    count, counted = db.session.execute(select(func.count(), changes).select_from(before)).one()
    return Latest(events, count, counted)
