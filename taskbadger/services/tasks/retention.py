"""Retention: deletes tasks that ended, or were left alone, longer ago than they are kept."""

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from typing import NamedTuple, cast

from sqlalchemy import Table, delete, exists, select

from taskbadger.domain import ids
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.domain.retention import Retention
from taskbadger.domain.status import RUNNING, STATUSES, TERMINAL
from taskbadger.extensions import change_rows, db
from taskbadger.models import SlotRun
from taskbadger.models.task_rows import TASKS
from taskbadger.models.types import Column, Condition
from taskbadger.services.tasks import write
from taskbadger.services.tasks.filters import created_before

_task = TASKS.c
_run = cast(Table, SlotRun.__table__).c
_IS_GOING = exists().where(_run.task_id == _task.id, _run.ended_at.is_(None))
"""Whether a task is a run of a monitor that goes on. Its slot would never end without it."""


class Place(NamedTuple):
    """A task that a walk has come to: status by status, and then by id."""

    status: str
    id: str
    is_old: bool
    """Whether it is kept no longer."""


def list_candidates(
    retention: Retention, after: Place | None, *, now: datetime, limit: int
) -> list[Place]:
    """Return up to *limit* tasks of a project that were created long ago, after *after*.

    Read-only: walks one range of an index per status.
    """
    found: list[Place] = []
    for status in sorted(STATUSES):
        cutoff = retention.cutoff(status, now)
        if cutoff is None or len(found) == limit or (after is not None and status < after.status):
            continue
        where = created_long_ago(retention, status, cutoff)
        if after is not None and status == after.status:
            # With both ends of the range, SQLite takes another index, which has all statuses.
            where = [_task.project_id == retention.project_id, _task.status == status]
            where.append(_task.id > after.id)
        is_old, is_candidate = changed_at(status) < cutoff, _task.id < ids.end_id(cutoff)
        query = select(_task.id, is_old, is_candidate).where(*where)
        rows = db.session.execute(query.order_by(_task.id).limit(limit - len(found)))
        candidates = takewhile(lambda row: row[2], rows)
        found += [Place(status, row[0], bool(row[1])) for row in candidates]
    return found


def delete_old_tasks(
    retention: Retention, status: str, task_ids: Sequence[str], *, now: datetime
) -> int:
    """Delete those tasks that are still old and still have that status; return how many.

    Somebody may have changed one since it was found. Runs of monitors that go on stay.
    """
    is_old = _are_old(retention, status, now)
    if is_old is None:
        return 0
    query = delete(TASKS).where(_task.id.in_(task_ids), *is_old)
    return change_rows(query if status not in RUNNING else query.where(~_IS_GOING))


def cancel_old_runs(
    project: ProjectRef,
    retention: Retention,
    status: str,
    task_ids: Sequence[str],
    *,
    now: datetime,
    base_url: str,
) -> int:
    """Cancel those of these old tasks that are runs of monitors and go on; return how many.

    So their slots end. They are deleted later, like others that were cancelled.
    """
    is_old = _are_old(retention, status, now) if status in RUNNING else None
    if is_old is None:
        return 0
    query = select(_task.id).where(_task.id.in_(task_ids), *is_old, _IS_GOING).order_by(_task.id)
    found = db.session.scalars(query).all()
    for task_id in found:
        write.cancel_task(project, task_id, now=now, actor=SERVER, base_url=base_url)
    return len(found)


def _are_old(retention: Retention, status: str, now: datetime) -> list[Condition] | None:
    """Return what must still be true of a task before it is deleted; None if none may be.

    No condition here may fit an index: SQLite would walk all old tasks to delete a few.
    """
    cutoff = retention.cutoff(status, now)
    if cutoff is None:
        return None
    return [_task.status == status, changed_at(status) < cutoff]


def created_long_ago(retention: Retention, status: str, cutoff: datetime) -> list[Condition]:
    """Return the conditions of tasks that may be kept no longer: one range of an index."""
    return [
        _task.project_id == retention.project_id,
        _task.status == status,
        *created_before(_task, cutoff),
    ]


def changed_at(status: str) -> Column:
    """Return the time from which on a task is kept: its end, or its last change."""
    return _task.end_time if status in TERMINAL else _task.updated
