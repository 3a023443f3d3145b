"""Writes tasks: every update of one that a client can see goes through ``_write``.

This is a hot path: Core statements that are built once. ``bench/`` measures it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, update

from taskbadger.domain import status
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.domain.monitors import joins_monitor
from taskbadger.domain.status import Lifecycle
from taskbadger.extensions import Statement, deferring
from taskbadger.models.task_rows import TASKS, TaskState
from taskbadger.services.alerts import actions, firing
from taskbadger.services.alerts.firing import TaskChange
from taskbadger.services.monitors import bindings
from taskbadger.services.tasks import auditing, consequences, history, inserting, reads
from taskbadger.services.tasks.parents import check_new_parent, mark_parent
from taskbadger.services.tasks.reads import Locked
from taskbadger.services.tasks.relative import relative_changes
from taskbadger.services.tasks.tags import changed_tags, insert_tags, write_changed

_MICROSECOND = timedelta(microseconds=1)
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
    base_url: str = "",
    collected: list[TaskChange] | None = None,
) -> TaskState:
    """Create a task from a loaded TaskRequest; return its state. Raises ValidationFailed.

    *monitor_id* is the monitor that the request names; otherwise it is the one that is bound to the
    task's name. *base_url* is what links in messages start with, here and below. With *collected*,
    the change is added there, and the caller finds the monitor and calls ``consequences.finish``.
    """
    added = data.get("actions") or ()
    actions.check_actions(project, added)
    after = inserting.new_state(project, data, now, has_actions=bool(added), monitor_id=monitor_id)
    if data.get("parent") is not None:
        mark_parent(project, data["parent"])
    global_actions = False
    if collected is None:
        after, global_actions = inserting.insert_and_look(project, after)
    else:
        inserting.insert_task(after)
    if data.get("tags"):
        insert_tags(project, after.id, data["tags"])
    if added:
        actions.insert_actions(after.id, added, now=now)
    history.record_creation(after, actor, now=now)
    change = (None, after)
    consequences.follow(project, change, now=now, base_url=base_url)
    if collected is None:
        consequences.finish(
            project, [change], global_actions=global_actions, now=now, base_url=base_url
        )
    else:
        collected.append(change)
    auditing.record(actor, project, "task.create", after, now=now)
    return after


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
    collected: list[TaskChange] | None = None,
) -> TaskState:
    """Change a locked task like ``update_task``, without the audit log.

    Raises ValidationFailed before anything is written. *collected* is as in ``create_task``.
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
    return _save(
        project, locked, values, now=now, actor=actor, base_url=base_url, collected=collected
    )


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
    project: ProjectRef,
    locked: Locked,
    *,
    now: datetime,
    actor: Actor,
    base_url: str = "",
    collected: list[TaskChange] | None = None,
) -> TaskState | None:
    """Cancel a locked task like ``cancel_task``, without the audit log."""
    if locked.task.status in status.TERMINAL:
        return None
    changes = _move(locked.task, {"status": status.CANCELLED}, now)
    return _save(
        project, locked, changes, now=now, actor=actor, base_url=base_url, collected=collected
    )


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
    changes: list[TaskChange] = []
    with deferring():
        for locked in due:
            values = _move(locked.task, {"status": new_status}, now)
            changes.append((locked.task, _write(locked, values, now=now, actor=SERVER)))
    firing.fire_own(project, changes, now=now, base_url=base_url, overrun=overrun)
    for change in changes:
        consequences.follow_monitor(change, now=now, base_url=base_url, overrun=overrun)
    global_actions = firing.list_global_actions(project)
    consequences.finish(
        project,
        changes,
        global_actions=global_actions,
        now=now,
        base_url=base_url,
        overrun=overrun,
    )
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
    return {} if after is lifecycle else inserting.lifecycle_columns(after)


def _save(
    project: ProjectRef,
    locked: Locked,
    values: dict[str, Any],
    *,
    now: datetime,
    actor: Actor,
    base_url: str,
    collected: list[TaskChange] | None,
) -> TaskState:
    """Write the change of a locked task, its history and all that follows; return its new state."""
    change = (locked.task, _write(locked, values, now=now, actor=actor))
    consequences.follow(project, change, now=now, base_url=base_url)
    if collected is None:
        global_actions = locked.global_actions
        consequences.finish(
            project, [change], global_actions=global_actions, now=now, base_url=base_url
        )
    else:
        collected.append(change)
    return change[1]


def _write(locked: Locked, values: dict[str, Any], *, now: datetime, actor: Actor) -> TaskState:
    """Write the change of a locked task and its history; return its new state."""
    before = locked.task
    updated = max(now, before.updated + _MICROSECOND)
    changed = {**values, "version": before.version + 1, "updated": updated}
    changed.update(_binding(locked, values))
    after = before._replace(**changed)
    changed.update(_due_times(before, after))
    changed.update(history.record_change(before, after, actor))
    _UPDATE.run({**changed, "task_id": before.id})
    return before._replace(**changed)


def _binding(locked: Locked, values: Mapping[str, Any]) -> dict[str, UUID]:
    """Return the monitor that the task becomes a run of by its name, as a column; or nothing."""
    before, name = locked.task, values.get("name", locked.task.name)
    if before.monitor_id is not None or "status" not in values:
        return {}
    if not joins_monitor(before.status, values["status"]):
        return {}
    is_same = name == before.name
    bound = locked.bound if is_same else bindings.find_bound(before.project_id, name)
    return {} if bound is None else {"monitor_id": bound}


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
