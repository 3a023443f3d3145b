"""Writes tasks: every update of one that a client can see goes through ``_write``.

This is a hot path: Core statements that are built once. ``bench/`` measures it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, update

from taskbadger.domain import ids, status
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.domain.status import Lifecycle
from taskbadger.extensions import Statement, deferring
from taskbadger.models.task_rows import TASKS, TaskState
from taskbadger.schemas.tasks import write_tags
from taskbadger.services.alerts import actions, firing
from taskbadger.services.monitors import runs
from taskbadger.services.tasks import auditing, history, reads
from taskbadger.services.tasks.parents import check_new_parent, mark_parent
from taskbadger.services.tasks.reads import Locked
from taskbadger.services.tasks.relative import relative_changes
from taskbadger.services.tasks.tags import changed_tags, insert_tags, write_changed

_MICROSECOND = timedelta(microseconds=1)
_INSERT = Statement(insert(TASKS), tuple)
_INSERT_AND_LOOK: Statement[tuple[bool]] = Statement(
    insert(TASKS).returning(firing.HAS_GLOBAL_ACTIONS), tuple
)
_UPDATE = Statement(update(TASKS).where(TASKS.c.id == bindparam("task_id")), tuple)

_PLAIN = ("name", "queue", "external_id", "value", "value_max", "data")
_LIMITS = ("max_runtime", "stale_timeout")


def create_task(
    project: ProjectRef,
    data: Mapping[str, Any],
    *,
    now: datetime,
    actor: Actor,
    monitor_id: UUID | None = None,
    global_actions: firing.GlobalActions | None = None,
    base_url: str = "",
) -> TaskState:
    """Create a task from a loaded TaskRequest; return its state. Raises ValidationFailed.

    *global_actions* are those of its organization; None looks for them. *base_url* is what links
    in messages start with, here and below.
    """
    added = data.get("actions") or ()
    actions.check_actions(project, added)
    after = _new_state(project, data, now, has_actions=bool(added), monitor_id=monitor_id)
    if data.get("parent") is not None:
        mark_parent(project, data["parent"])
    global_actions = _insert(project, after, global_actions)
    if data.get("tags"):
        insert_tags(project, after.id, data["tags"])
    if added:
        actions.insert_actions(after.id, added, now=now)
    history.record_creation(after, actor, now=now)
    firing.fire(project, None, after, global_actions=global_actions, now=now, base_url=base_url)
    if monitor_id is not None:
        runs.follow_task(None, after, now=now, base_url=base_url)
    auditing.record(actor, project, "task.create", after, now=now)
    return after


def _insert(
    project: ProjectRef, task: TaskState, known: firing.GlobalActions | None
) -> firing.GlobalActions:
    """Insert a task; return the global actions of its organization, as far as they are known."""
    values = task._asdict()
    if known is not None:
        _INSERT.run(values)
        return known
    [(found,)] = _INSERT_AND_LOOK.all({**values, "organization": project.organization_id})
    return found


def _new_state(
    project: ProjectRef,
    data: Mapping[str, Any],
    now: datetime,
    *,
    has_actions: bool,
    monitor_id: UUID | None,
) -> TaskState:
    begun = status.begin(data, now=now)
    tags: dict[str, str] = data.get("tags") or {}
    max_runtime, stale_timeout = data.get("max_runtime"), data.get("stale_timeout")
    return TaskState(
        id=ids.new_id(now),
        project_id=project.id,
        parent=data.get("parent"),
        has_actions=has_actions,
        monitor_id=monitor_id,
        name=data["name"],
        name_folded=data["name"].casefold(),
        queue=data.get("queue", ""),
        external_id=data.get("external_id", ""),
        **_columns_of(begun),
        value=data.get("value"),
        value_max=data.get("value_max", 100),
        data=data.get("data"),
        tags=write_tags(tags) if tags else "{}",
        created=now,
        updated=now,
        max_runtime=max_runtime,
        stale_timeout=stale_timeout,
        stale_at=status.stale_at(begun.status, now, stale_timeout),
        overdue_at=status.overdue_at(begun.status, begun.start_time, max_runtime),
    )


def update_task(
    project: ProjectRef,
    task_id: str,
    data: Mapping[str, Any],
    *,
    now: datetime,
    actor: Actor,
    replace_tags: bool = False,
    audited: bool = True,
    base_url: str = "",
) -> TaskState:
    """Change a task by a loaded (Patched)TaskRequest; return its new state.

    ``tags`` are merged, unless *replace_tags*. *audited* False keeps the change out of the audit
    log, whoever makes it. Raises NotFound and ValidationFailed.
    """
    locked = reads.lock(project, task_id)
    after = change_locked(
        project, locked, data, now=now, actor=actor, replace_tags=replace_tags, base_url=base_url
    )
    if audited:
        auditing.record_change(actor, project, locked.task, after, now=now)
    return after


def change_locked(
    project: ProjectRef,
    locked: Locked,
    data: Mapping[str, Any],
    *,
    now: datetime,
    actor: Actor,
    replace_tags: bool = False,
    base_url: str = "",
) -> TaskState:
    """Change a locked task like ``update_task``, without the audit log.

    Raises ValidationFailed before anything is written.
    """
    before = locked.task
    added = data.get("actions") or ()
    actions.check_actions(project, added)
    values = {name: data[name] for name in (*_PLAIN, *_LIMITS) if name in data}
    values.update(relative_changes(before, data))
    values.update(_move(before, data, now))
    if "name" in values:
        values["name_folded"] = values["name"].casefold()
    tags = changed_tags(before, data["tags"], replace=replace_tags) if "tags" in data else None
    if "parent" in data and data["parent"] != before.parent:
        values["parent"] = check_new_parent(project, before, data["parent"])
    if tags is not None:
        values.update(write_changed(project, before, tags))
    if added:
        actions.insert_actions(before.id, added, now=now)
        values["has_actions"] = True
    return _save(project, locked, values, now=now, actor=actor, base_url=base_url)


def cancel_task(
    project: ProjectRef,
    task_id: str,
    *,
    now: datetime,
    actor: Actor,
    audited: bool = True,
    base_url: str = "",
) -> TaskState | None:
    """Cancel a task and return its new state; None for one that has ended, which stays as it is.

    *audited* False is for callers that record many cancellations as one. Raises NotFound.
    """
    locked = reads.lock(project, task_id)
    after = cancel_locked(project, locked, now=now, actor=actor, base_url=base_url)
    if after is not None and audited:
        auditing.record(actor, project, "task.cancel", after, now=now)
    return after


def cancel_locked(
    project: ProjectRef, locked: Locked, *, now: datetime, actor: Actor, base_url: str = ""
) -> TaskState | None:
    """Cancel a locked task like ``cancel_task``, without the audit log."""
    if locked.task.status in status.TERMINAL:
        return None
    changes = _move(locked.task, {"status": status.CANCELLED}, now)
    return _save(project, locked, changes, now=now, actor=actor, base_url=base_url)


def mark_stale(
    project: ProjectRef, task_ids: Iterable[str], *, now: datetime, base_url: str = ""
) -> int:
    """Make tasks stale that are still due; return how many were.

    One is not when an update moved ``stale_at``, or holds the row right now.
    """
    due = reads.lock_due(reads.LOCK_STALE, project, task_ids, now=now)
    return _end(project, due, status.STALE, now=now, base_url=base_url)


def mark_overdue(
    project: ProjectRef, task_ids: Iterable[str], *, now: datetime, base_url: str = ""
) -> int:
    """Set tasks that exceeded their max_runtime to ``error`` if they are still due.

    Returns how many were.
    """
    due = reads.lock_due(reads.LOCK_OVERDUE, project, task_ids, now=now)
    return _end(project, due, status.ERROR, now=now, base_url=base_url, overrun=True)


def _end(
    project: ProjectRef,
    due: Sequence[Locked],
    new_status: str,
    *,
    now: datetime,
    base_url: str,
    overrun: bool = False,
) -> int:
    if not due:
        return 0
    changes = []
    with deferring():
        for locked in due:
            values = _move(locked.task, {"status": new_status}, now)
            changes.append((locked.task, _write(locked.task, values, now=now, actor=SERVER)))
    firing.fire_all(
        project,
        changes,
        global_actions=firing.list_global_actions(project),
        now=now,
        base_url=base_url,
        overrun=overrun,
    )
    for before, after in changes:
        _follow(before, after, now=now, base_url=base_url)
    return len(due)


def _move(before: TaskState, data: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the columns of the lifecycle that *data* changes."""
    lifecycle = Lifecycle(
        before.created,
        before.status,
        before.start_time,
        before.end_time,
        before.time_to_start,
        before.stale_from,
    )
    after = status.move(lifecycle, data, now=now)
    return {} if after is lifecycle else _columns_of(after)


def _columns_of(lifecycle: Lifecycle) -> dict[str, Any]:
    return {
        "status": lifecycle.status,
        "start_time": lifecycle.start_time,
        "end_time": lifecycle.end_time,
        "time_to_start": lifecycle.time_to_start,
        "stale_from": lifecycle.stale_from,
    }


def _save(
    project: ProjectRef,
    locked: Locked,
    values: dict[str, Any],
    *,
    now: datetime,
    actor: Actor,
    base_url: str,
) -> TaskState:
    """Write the change of a locked task, its history and all that follows; return its new state."""
    before = locked.task
    after = _write(before, values, now=now, actor=actor)
    global_actions = locked.global_actions
    firing.fire(project, before, after, global_actions=global_actions, now=now, base_url=base_url)
    _follow(before, after, now=now, base_url=base_url)
    return after


def _write(before: TaskState, values: dict[str, Any], *, now: datetime, actor: Actor) -> TaskState:
    """Write the change of a locked task and its history; return its new state."""
    updated = max(now, before.updated + _MICROSECOND)
    changed = {**values, "version": before.version + 1, "updated": updated}
    after = before._replace(**changed)
    changed.update(_due_times(before, after))
    changed.update(history.record_change(before, after, actor))
    _UPDATE.run({**changed, "task_id": before.id})
    return before._replace(**changed)


def _follow(before: TaskState, after: TaskState, *, now: datetime, base_url: str) -> None:
    """Let the monitor of a task know of its change of status."""
    if before.monitor_id is not None and before.status != after.status:
        runs.follow_task(before, after, now=now, base_url=base_url)


def _due_times(before: TaskState, after: TaskState) -> dict[str, datetime | None]:
    """Return when the task goes stale and overdue, as columns."""
    return {
        "stale_at": status.stale_at(after.status, after.updated, after.stale_timeout),
        "overdue_at": _overdue_at(before, after),
    }


def _overdue_at(before: TaskState, after: TaskState) -> datetime | None:
    due = status.overdue_at(after.status, after.start_time, after.max_runtime)
    if due is None:
        return None
    if (before.start_time, before.max_runtime) != (after.start_time, after.max_runtime):
        return due
    if before.status in status.RUNNING:
        return before.overdue_at  # An outage of ours may have moved it.
    if before.status != status.STALE and due <= after.updated:
        return None  # It ran too long before it was resumed: one error for that is enough.
    return due
