"""Retention: deletes tasks that ended longer ago than their project keeps them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select

from taskbadger.domain.status import TERMINAL
from taskbadger.extensions import change_rows, db
from taskbadger.models import Project, Task
from taskbadger.models.task_rows import TASKS
from taskbadger.models.types import Condition
from taskbadger.services.tasks.filters import created_before


class Retention(NamedTuple):
    """How long a project keeps tasks that have ended."""

    project_id: int
    days: int


def list_retentions() -> list[Retention]:
    """Return the projects that do not keep tasks forever."""
    rows = db.session.execute(
        select(Project.id, Project.retention_days).where(Project.retention_days.isnot(None))
    )
    return [Retention(project_id, days) for project_id, days in rows if days is not None]


def find_old_tasks(retention: Retention, *, now: datetime, limit: int) -> list[str]:
    """Return up to *limit* tasks of a project that ended too long ago. Read-only.

    Status by status: each walks one range of an index.
    """
    ended = _ended(retention, now)
    found: list[str] = []
    for status in sorted(TERMINAL):
        query = (
            select(Task.id)
            .where(*ended, Task.status == status)
            .order_by(Task.id)
            .limit(limit - len(found))
        )
        found += db.session.scalars(query)
        if len(found) == limit:
            break
    return found


def delete_old_tasks(retention: Retention, task_ids: Sequence[str], *, now: datetime) -> int:
    """Delete those tasks that still ended too long ago; return how many.

    Somebody may have resumed one since it was found.
    """
    return change_rows(
        delete(Task)
        .where(Task.id.in_(task_ids), *_ended(retention, now), Task.status.in_(TERMINAL))
        .execution_options(synchronize_session=False)
    )


def _ended(retention: Retention, now: datetime) -> tuple[Condition, ...]:
    cutoff = now - timedelta(days=retention.days)
    return (
        Task.project_id == retention.project_id,
        *created_before(TASKS.c, cutoff),
        Task.end_time < cutoff,
    )
