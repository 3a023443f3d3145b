"""What time brings: tasks that go stale or overdue, and what is old enough to be deleted."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import InstrumentedAttribute

from taskbadger.domain.status import TERMINAL
from taskbadger.extensions import db
from taskbadger.models import Organization, Project, Task
from taskbadger.services.accounts import ProjectRef

Due = tuple[ProjectRef, str]
"""A task and its project."""


def list_stale(*, now: datetime, limit: int) -> list[Due]:
    """Return tasks that should have gone stale, the longest overdue first."""
    return _list_due(Task.stale_at, now, limit)


def list_overdue(*, now: datetime, limit: int) -> list[Due]:
    """Return tasks that have run too long, the longest overdue first."""
    return _list_due(Task.overdue_at, now, limit)


def _list_due(
    column: InstrumentedAttribute[datetime | None], now: datetime, limit: int
) -> list[Due]:
    due = select(Task.id, Task.project_id, column.label("due")).where(column <= now)
    due = due.order_by(column).limit(limit)
    subquery = due.subquery()
    rows = db.session.execute(
        select(
            subquery.c.id,
            Project.id.label("project_id"),
            Project.slug,
            Project.organization_id,
            Organization.slug.label("organization"),
        )
        .join(Project, Project.id == subquery.c.project_id)
        .join(Organization, Organization.id == Project.organization_id)
        .order_by(subquery.c.due)
    )
    return [
        (ProjectRef(row.project_id, row.slug, row.organization_id, row.organization), row.id)
        for row in rows
    ]


def projects_with_retention() -> Sequence[tuple[int, int]]:
    """Return the ids of the projects whose finished tasks are deleted, and after how many days."""
    rows = db.session.execute(
        select(Project.id, Project.retention_days).where(Project.retention_days.isnot(None))
    )
    return [(row.id, row.retention_days) for row in rows]


def purge_tasks(project_id: int, days: int, *, now: datetime, limit: int = 200) -> int:
    """Delete up to *limit* tasks of a project that ended more than *days* ago; return how many."""
    cutoff = now - timedelta(days=days)
    ended: tuple[ColumnElement[bool], ...] = (
        Task.project_id == project_id,
        Task.created < cutoff,
        Task.end_time < cutoff,
    )
    found: list[str] = []
    for status in sorted(TERMINAL):
        query = (
            select(Task.id)
            .where(*ended, Task.status == status)
            .order_by(Task.created)
            .limit(limit - len(found))
        )
        found += db.session.scalars(query)
    if found:
        db.session.execute(
            # Once more with the conditions: someone may have taken a task up again.
            delete(Task)
            .where(Task.id.in_(found), *ended, Task.status.in_(TERMINAL))
            .execution_options(synchronize_session=False)
        )
    return len(found)
