"""Inserts tasks: the row of a new one, and what the statement that writes it finds out.

This is a hot path: Core statements that are built once. ``bench/`` measures it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from taskbadger.domain import ids, status
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import joins_monitor
from taskbadger.domain.status import Lifecycle
from taskbadger.extensions import Statement
from taskbadger.models.task_rows import TASKS, TaskState
from taskbadger.schemas.tasks import write_tags
from taskbadger.services.alerts import firing
from taskbadger.services.monitors import bindings

_INSERT = Statement(insert(TASKS), tuple)
_INSERT_AND_LOOK: Statement[tuple[bool]] = Statement(
    insert(TASKS).returning(firing.HAS_GLOBAL_ACTIONS), tuple
)
_INSERT_AND_BIND: Statement[tuple[bool, UUID | None]] = Statement(
    insert(TASKS)
    .values(monitor_id=bindings.BOUND_TO_NAME)
    .returning(firing.HAS_GLOBAL_ACTIONS, TASKS.c.monitor_id),
    tuple,
)


def new_state(
    project: ProjectRef,
    data: Mapping[str, Any],
    now: datetime,
    *,
    has_actions: bool,
    monitor_id: UUID | None,
) -> TaskState:
    """Return the state that a task begins with, by a loaded TaskRequest."""
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
        **lifecycle_columns(begun),
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


def lifecycle_columns(lifecycle: Lifecycle) -> dict[str, Any]:
    """Return the columns that follow from the status."""
    return {
        "status": lifecycle.status,
        "start_time": lifecycle.start_time,
        "end_time": lifecycle.end_time,
        "time_to_start": lifecycle.time_to_start,
        "stale_from": lifecycle.stale_from,
    }


def insert_task(task: TaskState) -> None:
    """Insert a task."""
    _INSERT.run(task._asdict())


def insert_and_look(project: ProjectRef, task: TaskState) -> tuple[TaskState, bool]:
    """Insert a task; return it with its monitor, and whether there are global actions."""
    values: dict[str, Any] = {**task._asdict(), "organization": project.organization_id}
    if task.monitor_id is not None or not joins_monitor(None, task.status):
        [(global_actions,)] = _INSERT_AND_LOOK.all(values)
        return task, global_actions
    del values["monitor_id"]
    values |= {"bound_project": project.id, "bound_name": task.name}
    [(global_actions, bound)] = _INSERT_AND_BIND.all(values)
    return task._replace(monitor_id=bound), global_actions
