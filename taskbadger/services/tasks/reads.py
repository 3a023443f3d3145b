"""Reads and locks one task by its project and id.

These statements are on the hot paths: they are built once, and ``bench/`` measures them.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select

from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound
from taskbadger.extensions import Statement, db
from taskbadger.models.task_rows import STATE_COLUMNS, TASKS, WIRE_COLUMNS, TaskState, WireTask
from taskbadger.models.types import Query
from taskbadger.services.alerts import firing
from taskbadger.services.monitors import bindings

_task = TASKS.c
_OF_PROJECT = (_task.id == bindparam("task_id"), _task.project_id == bindparam("project"))
_GET = Statement(select(*WIRE_COLUMNS).where(*_OF_PROJECT), WireTask._make)
_EXISTS = Statement(select(_task.id).where(*_OF_PROJECT), tuple)
_STATES = select(*STATE_COLUMNS, firing.HAS_GLOBAL_ACTIONS, bindings.BOUND_TO_TASK)
_SELECT = _STATES.where(*_OF_PROJECT)


class Locked(NamedTuple):
    """A task that is locked until the transaction ends."""

    task: TaskState
    global_actions: firing.GlobalActions
    bound: UUID | None = None
    """The monitor that is bound to the task's name."""


def _locked(row: Iterable[Any]) -> Locked:
    *state, global_actions, bound = row
    return Locked(TaskState._make(state), global_actions, bound)


_LOCK = Statement(_SELECT.with_for_update(), _locked)
# Several tasks are locked in the order of their ids, so that two callers wait in turn.
_SELECT_SOME = _STATES.where(
    _task.id.in_(bindparam("task_ids", expanding=True)),
    _task.project_id == bindparam("project"),
).order_by(_task.id)
# FOR NO KEY UPDATE: a child may be inserted meanwhile.
_LOCK_SOME = _SELECT_SOME.with_for_update(key_share=True)
_LOCK_DUE = _SELECT_SOME.with_for_update(skip_locked=True)
LOCK_STALE = _LOCK_DUE.where(_task.stale_at <= bindparam("now"))
LOCK_OVERDUE = _LOCK_DUE.where(_task.overdue_at <= bindparam("now"))


def get_wire_task(project: ProjectRef, task_id: str) -> WireTask:
    """Return a task as an answer shows it; raises NotFound."""
    rows = _GET.read(_parameters(project, task_id))
    if not rows:
        raise NotFound()
    return rows[0]


def check_exists(project: ProjectRef, task_id: str) -> None:
    """Raise NotFound unless the project has this task."""
    if not _EXISTS.all(_parameters(project, task_id)):
        raise NotFound()


def lock_task(project: ProjectRef, task_id: str) -> TaskState:
    """Return the state of a task, locked until the transaction ends; raises NotFound."""
    return lock(project, task_id).task


def lock(project: ProjectRef, task_id: str) -> Locked:
    """Lock a task until the transaction ends; raises NotFound."""
    locked = _LOCK.first(_parameters(project, task_id))
    if locked is None:
        raise NotFound()
    return locked


def lock_all(project: ProjectRef, task_ids: Iterable[str]) -> dict[str, Locked]:
    """Lock the tasks that exist; return them by their ids."""
    found = _lock_some(_LOCK_SOME, project, task_ids)
    return {locked.task.id: locked for locked in found}


def lock_due(
    statement: Query, project: ProjectRef, task_ids: Iterable[str], *, now: datetime
) -> list[Locked]:
    """Lock tasks by LOCK_STALE or LOCK_OVERDUE.

    Those that are no longer due, or that another transaction has locked, are left out.
    """
    return _lock_some(statement, project, task_ids, now=now)


def _lock_some(
    statement: Query, project: ProjectRef, task_ids: Iterable[str], **more: datetime
) -> list[Locked]:
    wanted = [task_id for task_id in set(task_ids) if ids.to_bytes(task_id) is not None]
    if not wanted:
        return []
    here = {"project": project.id, "organization": project.organization_id}
    rows = db.session.execute(statement, {"task_ids": wanted, **here, **more})
    return [_locked(row) for row in rows]


def _parameters(project: ProjectRef, task_id: str) -> dict[str, object]:
    if ids.to_bytes(task_id) is None:
        raise NotFound()
    return {
        "task_id": task_id,
        "project": project.id,
        "organization": project.organization_id,
    }
