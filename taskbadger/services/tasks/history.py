"""The history of tasks: one entry per creation and change of status, and thinned progress.

Progress entries are at least a *step* apart. The latest one may come sooner, so that the history
always ends with the last value; the next entry overwrites it. When there are MAX_PROGRESS_EVENTS,
every second one is deleted and the step doubles. The first is always kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import bindparam, delete, func, insert, select, update

from taskbadger.domain.identity import Actor
from taskbadger.extensions import Statement, current_connection, db
from taskbadger.models.task_rows import EVENT_COLUMNS, EVENTS, EventRow, TaskState
from taskbadger.models.types import Query
from taskbadger.services.pagination import (
    Cursor,
    Keyset,
    Order,
    Page,
    read_big_number,
    walk_rows,
)

MAX_PROGRESS_EVENTS = 200
MAX_COUNTED = 10_000
"""Entries before the ones that are read are counted up to this."""

_event = EVENTS.c
_INSERT = Statement(insert(EVENTS), tuple)
_INSERT_PROGRESS: Statement[tuple[int]] = Statement(insert(EVENTS).returning(_event.id), tuple)
_OVERWRITTEN = ("created", "value", "value_max", "actor_type", "actor_name")
_OVERWRITE = Statement(
    update(EVENTS)
    .where(_event.id == bindparam("event_id"))
    .values({name: bindparam(f"new_{name}") for name in _OVERWRITTEN}),
    tuple,
)
_DELETE = Statement(delete(EVENTS).where(_event.id == bindparam("event_id")), tuple)


def record_creation(task: TaskState, actor: Actor, *, now: datetime) -> None:
    """Write the first entry of a new task."""
    _INSERT.run(_entry("created", task, actor, now))


def record_change(before: TaskState, after: TaskState, actor: Actor) -> dict[str, Any]:
    """Write what a change of a task adds to its history; return the task's columns to change."""
    if before.status != after.status:
        return _record_status(before, _entry("status", after, actor, after.updated))
    if before.value == after.value and before.value_max == after.value_max:
        return {}
    return _record_progress(before, _entry("progress", after, actor, after.updated))


def _record_status(before: TaskState, entry: dict[str, Any]) -> dict[str, Any]:
    _INSERT.run(entry)
    if before.progress_event_id is None:
        return {}
    # The new entry has the value too, so the latest progress entry is not needed.
    _DELETE.run({"event_id": before.progress_event_id})
    return {"progress_event_id": None, "progress_count": before.progress_count - 1}


def _record_progress(before: TaskState, entry: dict[str, Any]) -> dict[str, Any]:
    step_over_at = before.progress_at and before.progress_at + timedelta(
        seconds=before.progress_step
    )
    stays = step_over_at is None or entry["created"] >= step_over_at
    latest = {"progress_event_id": None, "progress_at": entry["created"]}
    if before.progress_event_id is not None:
        values = {f"new_{name}": entry[name] for name in _OVERWRITTEN}
        event = {"event_id": before.progress_event_id}
        _OVERWRITE.run({**event, **values})
        return latest if stays else {}
    count, step = before.progress_count + 1, before.progress_step
    if count > MAX_PROGRESS_EVENTS:
        count, step = _thin(before.id) + 1, step * 2
    [(event_id,)] = _INSERT_PROGRESS.all(entry)
    counted = {"progress_count": count, "progress_step": step}
    return {**counted, **latest} if stays else {**counted, "progress_event_id": event_id}


def _thin(task_id: str) -> int:
    """Delete every second progress entry of a task, not the first; return how many are left."""
    numbered = (
        select(_event.id, func.row_number().over(order_by=_event.id).label("number"))
        .where(_event.task_id == task_id, _event.type == "progress")
        .subquery()
    )
    to_delete = select(numbered.c.id).where(numbered.c.number % 2 == 0)
    deleted = current_connection().execute(delete(EVENTS).where(_event.id.in_(to_delete)))
    return MAX_PROGRESS_EVENTS - deleted.rowcount


def _entry(kind: str, task: TaskState, actor: Actor, at: datetime) -> dict[str, Any]:
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


def _read_key(key: tuple[str, ...]) -> tuple[int] | None:
    number = read_big_number(key[0])
    return None if number is None else (number,)


_BY_ID: Keyset[EventRow] = Keyset(
    (_event.id,), Order.ASCENDING, _read_key, lambda event: (str(event.id),)
)


def list_events(task_id: str, cursor: Cursor | None, size: int) -> Page[EventRow]:
    """Return a page of a task's history, oldest first; raises InvalidCursor."""
    query = select(*EVENT_COLUMNS).where(_event.task_id == task_id)
    return walk_rows(query, _BY_ID, cursor, size, _fetch)


def _fetch(query: Query) -> Sequence[EventRow]:
    return cast(Sequence[EventRow], db.session.execute(query).all())


@dataclass(frozen=True, slots=True)
class Latest:
    """The end of a task's history."""

    events: Sequence[EventRow]
    """Oldest first."""
    earlier: int = 0
    """How many entries came before; at most MAX_COUNTED + 1."""
    earlier_changes: int = 0
    """How many of those are not progress."""


def read_latest(task_id: str, size: int) -> Latest:
    """Return the last *size* entries of a task's history, and how many came before them."""
    query = select(*EVENT_COLUMNS).where(_event.task_id == task_id).order_by(_event.id.desc())
    rows = _fetch(query.limit(size + 1))
    events = rows[:size][::-1]
    if len(rows) <= size:
        return Latest(events)
    before = (
        select(_event.type)
        .where(_event.task_id == task_id, _event.id < events[0].id)
        .order_by(_event.id.desc())
        .limit(MAX_COUNTED + 1)
        .subquery()
    )
    changes = func.count().filter(before.c.type != "progress")
    count, counted = db.session.execute(select(func.count(), changes).select_from(before)).one()
    return Latest(events, count, counted)
