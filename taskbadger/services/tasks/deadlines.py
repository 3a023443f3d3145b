"""Deadlines: which tasks go stale or overdue now."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Organization, Project, Task

Due = tuple[ProjectRef, str]
"""A task and its project."""


def list_stale(*, now: datetime, limit: int, without: Sequence[str] = ()) -> list[Due]:
    """Return up to *limit* tasks that are due to go stale, the earliest deadline first.

    Those in *without* are left out.
    """
    return _list_due(Task.stale_at, now, limit, without)


def list_overdue(*, now: datetime, limit: int, without: Sequence[str] = ()) -> list[Due]:
    """Return up to *limit* tasks that exceeded their max_runtime, the earliest deadline first.

    Those in *without* are left out.
    """
    return _list_due(Task.overdue_at, now, limit, without)


def _list_due(
    column: InstrumentedAttribute[datetime | None],
    now: datetime,
    limit: int,
    without: Sequence[str],
) -> list[Due]:
    due = select(Task.id, Task.project_id, column.label("due")).where(column <= now)
    if without:
        due = due.where(Task.id.not_in(without))
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
