"""Tasks: every change of one, by whatever door, goes through ``_save`` here.

This is the hot path, so it is plain: Core statements that are built once, and rows that are
written as they come. ``bench/`` measures it.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from marshmallow import ValidationError
from sqlalchemy import Table, bindparam, delete, insert, select, type_coerce, update

from taskbadger.domain import ids, status
from taskbadger.domain.status import Lifecycle
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db, fetch_all
from taskbadger.models import Task, TaskTag
from taskbadger.models.types import UTCDateTime, WireDateTime
from taskbadger.schemas.fields import field_errors, no_such_task
from taskbadger.schemas.tasks import MAX_TAGS, too_many_tags, write_tags
from taskbadger.services import actions, firing, history, runs
from taskbadger.services.accounts import SERVER, Actor, ProjectRef

_MICROSECOND = timedelta(microseconds=1)
_TASKS = cast(Table, Task.__table__)
_TAGS = cast(Table, TaskTag.__table__)
_task = _TASKS.c


def _as_written(column: Any) -> Any:
    """Read a time as the text of the wire: nobody computes with those of an answer."""
    if not isinstance(column.type, UTCDateTime):
        return column
    return type_coerce(column, WireDateTime).label(column.key)


WIRE_COLUMNS = tuple(
    _as_written(column)
    for column in (
        _task.id,
        _task.parent,
        _task.name,
        _task.queue,
        _task.external_id,
        _task.status,
        _task.value,
        _task.value_max,
        _task.data,
        _task.tags,
        _task.created,
        _task.updated,
        _task.start_time,
        _task.end_time,
        _task.time_to_start,
        _task.max_runtime,
        _task.stale_timeout,
    )
)
"""What an answer shows of a task: what ``schemas.tasks.write_task`` takes."""

_OF_PROJECT = (_task.id == bindparam("task_id"), _task.project_id == bindparam("project"))
_GET = select(*WIRE_COLUMNS).where(*_OF_PROJECT)
_EXISTS = select(_task.id).where(*_OF_PROJECT)
_HAS_GLOBAL_ACTIONS = firing.HAS_GLOBAL_ACTIONS.label("has_global_actions")
_LOCK = select(_TASKS, _HAS_GLOBAL_ACTIONS).where(*_OF_PROJECT).with_for_update()
_DUE = select(_TASKS, _HAS_GLOBAL_ACTIONS).where(*_OF_PROJECT).with_for_update(skip_locked=True)
_LOCK_STALE = _DUE.where(_task.stale_at <= bindparam("now"))
_LOCK_OVERDUE = _DUE.where(_task.overdue_at <= bindparam("now"))
_INSERT = insert(_TASKS).returning(_HAS_GLOBAL_ACTIONS)
_INSERT_TAGS = insert(_TAGS)
_UPDATE = update(_TASKS).where(_task.id == bindparam("task_id"))

_PLAIN = ("name", "queue", "external_id", "value", "value_max", "data")
_LIMITS = ("max_runtime", "stale_timeout")
_NULL_PROGRESS = {
    "progress_event_id": None,
    "progress_at": None,
    "progress_count": 0,
    "progress_step": 1,
}


def get_task(project: ProjectRef, task_id: str) -> Any:
    """Return a task's row, with WIRE_COLUMNS; raises NotFound."""
    rows = fetch_all(_GET, _parameters(project, task_id))
    if not rows:
        raise NotFound()
    return rows[0]


def check_exists(project: ProjectRef, task_id: str) -> None:
    """Raise NotFound unless the project has this task."""
    if not db.session.connection().execute(_EXISTS, _parameters(project, task_id)).first():
        raise NotFound()


def lock_task(project: ProjectRef, task_id: str) -> Any:
    """Return the whole row of a task, locked until the transaction ends; raises NotFound."""
    row = db.session.connection().execute(_LOCK, _parameters(project, task_id)).first()
    if row is None:
        raise NotFound()
    return row


def _parameters(project: ProjectRef, task_id: str) -> dict[str, Any]:
    if ids.to_bytes(task_id) is None:
        raise NotFound()
    return {
        "task_id": task_id,
        "project": project.id,
        "organization": project.organization_id,
    }


def create_task(
    project: ProjectRef,
    data: Mapping[str, Any],
    *,
    now: datetime,
    actor: Actor,
    monitor_id: UUID | None = None,
) -> Any:
    """Create a task from a loaded TaskRequest; return its row. Raises ValidationFailed."""
    added = data.get("actions") or ()
    actions.check_actions(project, added)
    parent = data.get("parent")
    if parent is not None:
        _adopt(project, parent)
    stand = status.begin(data, now=now)
    tags: dict[str, str] = data.get("tags") or {}
    values: dict[str, Any] = {
        "id": ids.new_id(now),
        "project_id": project.id,
        "version": 1,
        "parent": parent,
        "has_children": False,
        "has_actions": bool(added),
        "monitor_id": monitor_id,
        "name": data["name"],
        "name_folded": data["name"].casefold(),
        "queue": data.get("queue", ""),
        "external_id": data.get("external_id", ""),
        "value": data.get("value"),
        "value_max": data.get("value_max", 100),
        "data": data.get("data"),
        "tags": write_tags(tags) if tags else "{}",
        "created": now,
        "updated": now,
        "max_runtime": data.get("max_runtime"),
        "stale_timeout": data.get("stale_timeout"),
        **_NULL_PROGRESS,
    }
    values.update(_standing(stand))
    after = SimpleNamespace(**values)
    vars(after).update(_due(None, after))
    inserted = db.session.connection().execute(
        _INSERT, {**vars(after), "organization": project.organization_id}
    )
    has_global_actions = inserted.scalar_one()
    task_id = after.id
    if tags:
        _insert_tags(project, task_id, tags)
    if added:
        actions.insert_actions(task_id, added, now=now)
    history.record_creation(after, actor, now=now)
    firing.fire(project, None, after, has_global_actions=has_global_actions, now=now)
    if monitor_id is not None:
        runs.follow_task(None, after, now=now)
    return after


def update_task(
    project: ProjectRef,
    task_id: str,
    data: Mapping[str, Any],
    *,
    now: datetime,
    actor: Actor,
    replace_tags: bool = False,
) -> Any:
    """Change a task by a loaded (Patched)TaskRequest; return its row.

    ``tags`` are merged, unless *replace_tags*. Raises NotFound and ValidationFailed.
    """
    before = lock_task(project, task_id)
    added = data.get("actions") or ()
    actions.check_actions(project, added)
    values = {name: data[name] for name in (*_PLAIN, *_LIMITS) if name in data}
    if "name" in values:
        values["name_folded"] = values["name"].casefold()
    if "parent" in data and data["parent"] != before.parent:
        values["parent"] = _new_parent(project, before, data["parent"])
    if "tags" in data:
        values.update(_change_tags(project, before, data["tags"], replace=replace_tags))
    if added:
        actions.insert_actions(task_id, added, now=now)
        values["has_actions"] = True
    values.update(_move(before, data, now))
    return _save(project, before, values, now=now, actor=actor)


def cancel_task(project: ProjectRef, task_id: str, *, now: datetime, actor: Actor) -> Any | None:
    """Cancel a task and return its row; one that has ended stays as it is: None.

    Raises NotFound.
    """
    before = lock_task(project, task_id)
    if before.status in status.TERMINAL:
        return None
    changes = _move(before, {"status": status.CANCELLED}, now)
    return _save(project, before, changes, now=now, actor=actor)


def mark_stale(project: ProjectRef, task_id: str, *, now: datetime) -> bool:
    """Let a task go stale if it still is time; return whether it was.

    An update that came first has moved ``stale_at``; one that has the row right now wins too.
    """
    before = _lock_due(_LOCK_STALE, project, task_id, now)
    if before is None:
        return False
    changes = _move(before, {"status": status.STALE}, now)
    _save(project, before, changes, now=now, actor=SERVER)
    return True


def mark_overdue(project: ProjectRef, task_id: str, *, now: datetime) -> bool:
    """Set a task to ``error`` for its max_runtime if it still is time; return whether it was."""
    before = _lock_due(_LOCK_OVERDUE, project, task_id, now)
    if before is None:
        return False
    changes = _move(before, {"status": status.ERROR}, now)
    _save(project, before, changes, now=now, actor=SERVER, overrun=True)
    return True


def _lock_due(statement: Any, project: ProjectRef, task_id: str, now: datetime) -> Any:
    parameters = {**_parameters(project, task_id), "now": now}
    return db.session.connection().execute(statement, parameters).first()


def _move(before: Any, data: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the columns of the lifecycle that *data* changes."""
    stand = Lifecycle(
        before.created,
        before.status,
        before.start_time,
        before.end_time,
        before.time_to_start,
        before.stale_from,
    )
    after = status.move(stand, data, now=now)
    return {} if after is stand else _standing(after)


def _standing(stand: Lifecycle) -> dict[str, Any]:
    return {
        "status": stand.status,
        "start_time": stand.start_time,
        "end_time": stand.end_time,
        "time_to_start": stand.time_to_start,
        "stale_from": stand.stale_from,
    }


def _save(
    project: ProjectRef,
    before: Any,
    values: dict[str, Any],
    *,
    now: datetime,
    actor: Actor,
    overrun: bool = False,
) -> Any:
    """Write the change of a locked task, its history and what follows from it; return its row."""
    after = SimpleNamespace(**before._mapping)
    vars(after).update(values)
    after.version = before.version + 1
    after.updated = max(now, before.updated + _MICROSECOND)
    due = _due(before, after)
    vars(after).update(due)
    progress = history.record_change(before, after, actor)
    vars(after).update(progress)
    changed = {**values, **due, **progress, "version": after.version, "updated": after.updated}
    db.session.connection().execute(_UPDATE, {**changed, "task_id": before.id})
    firing.fire(
        project,
        before,
        after,
        has_global_actions=before.has_global_actions,
        now=now,
        overrun=overrun,
    )
    if before.monitor_id is not None and before.status != after.status:
        runs.follow_task(before, after, now=now)
    return after


def _due(before: Any, after: Any) -> dict[str, Any]:
    """Return when the task goes stale and overdue, as columns; *before* is None for a new one."""
    return {
        "stale_at": status.stale_at(after.status, after.updated, after.stale_timeout),
        "overdue_at": _overdue_at(before, after),
    }


def _overdue_at(before: Any, after: Any) -> datetime | None:
    due = status.overdue_at(after.status, after.start_time, after.max_runtime)
    if due is None or before is None:
        return due
    if (before.start_time, before.max_runtime) != (after.start_time, after.max_runtime):
        return due
    if before.status in status.RUNNING:
        kept: datetime | None = before.overdue_at  # An outage of ours may have moved it.
        return kept
    if before.status != status.STALE and due <= after.updated:
        return None  # It was exceeded before the task took up its work again: once is enough.
    return due


def _new_parent(project: ProjectRef, task: Any, parent: str | None) -> str:
    if task.parent is not None or parent is None:
        raise _bad_parent("A task's parent can not be changed once set.")
    if parent == task.id:
        raise _bad_parent("A task can not be its own parent.")
    if task.has_children:
        raise _bad_parent("A task that has children can not have a parent.")
    _adopt(project, parent)
    return parent


def _adopt(project: ProjectRef, parent: str) -> None:
    """Make sure that *parent* may have children, now and later; raises ValidationFailed."""
    where = (_task.id == parent, _task.project_id == project.id)
    row = db.session.execute(select(_task.parent, _task.has_children).where(*where)).first()
    if row is None:
        raise ValidationFailed.one("parent", no_such_task(parent), "does_not_exist")
    if row.has_children:
        return  # It will never get a parent, so there is nothing to guard.
    marked = db.session.execute(
        update(_TASKS).where(*where, _task.parent.is_(None)).values(has_children=True)
    )
    if not marked.rowcount:  # type: ignore[attr-defined]
        raise _bad_parent("Tasks can only be nested one level deep.")


def _bad_parent(detail: str) -> ValidationFailed:
    return ValidationFailed.one("parent", detail)


def _change_tags(
    project: ProjectRef, before: Any, changes: Mapping[str, str | None], *, replace: bool
) -> dict[str, str]:
    """Write the tags of a task; return the column to change, if any."""
    old: dict[str, str] = json.loads(before.tags)
    merged = changes if replace else {**old, **changes}
    new = {name: value for name, value in merged.items() if value is not None}
    if len(new) > MAX_TAGS:
        raise _invalid({"tags": too_many_tags().messages})
    if new == old:
        return {}
    gone = [name for name, value in old.items() if new.get(name) != value]
    if gone:
        db.session.execute(
            delete(TaskTag).where(TaskTag.task_id == before.id, TaskTag.name.in_(gone))
        )
    added = {name: value for name, value in new.items() if old.get(name) != value}
    if added:
        _insert_tags(project, before.id, added)
    return {"tags": write_tags(new)}


def _invalid(messages: Mapping[str, Any]) -> ValidationFailed:
    return ValidationFailed(list(field_errors(ValidationError(dict(messages)).messages)))


def _insert_tags(project: ProjectRef, task_id: str, tags: Mapping[str, str]) -> None:
    rows: Sequence[dict[str, Any]] = [
        {"task_id": task_id, "name": name, "value": value, "project_id": project.id}
        for name, value in tags.items()
    ]
    db.session.connection().execute(_INSERT_TAGS, rows)
