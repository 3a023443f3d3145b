"""Recent failures: a walk of the index of failed tasks, which has no entry for any other task.

And those of an incident, which have an index of their own.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from sqlalchemy import literal_column, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db, read_outside_session
from taskbadger.models.task_rows import LIST_COLUMNS, TASKS, ListedTask
from taskbadger.models.types import Column, Query
from taskbadger.services.each_project import PROJECT_ID
from taskbadger.services.tasks.filters import FAILURES
from taskbadger.services.tasks.search import many_projects
from taskbadger.services.tasks.search.statements import union_of

_task = TASKS.c
_failure = FAILURES.c
# Not a parameter: planners would not know that the index has all such tasks.
_HAS_FAILED = _task.status == literal_column("'error'")


def list_recent_failures(projects: Sequence[ProjectRef], limit: int) -> Sequence[ListedTask]:
    """Return up to *limit* failed tasks, the one that ended last first."""
    if not projects:
        return []
    project_ids = tuple(project.id for project in projects)
    query = _recent_failures(project_ids, limit, db.engine.dialect.name)
    return cast(Sequence[ListedTask], read_outside_session(query, {}))


@lru_cache(maxsize=256)
def _recent_failures(project_ids: tuple[int, ...], limit: int, _database: str) -> Query:
    """Return the statement, which differs by database: one process may use two."""
    newest = walk_failed(project_ids, limit).subquery()
    query = select(*LIST_COLUMNS).join(newest, _task.id == newest.c.id)
    return query.order_by(_task.end_time.desc(), _task.id.desc())


def list_failures_of(incident_id: int, limit: int) -> Sequence[ListedTask]:
    """Return up to *limit* tasks that failed in an incident, newest first."""
    newest = (
        select(_failure.task_id)
        .where(_failure.incident_id == incident_id)
        .order_by(_failure.task_id.desc())
        .limit(limit)
        .subquery()
    )
    query = select(*LIST_COLUMNS).join(newest, _task.id == newest.c.task_id)
    query = query.order_by(_task.id.desc())
    return cast(Sequence[ListedTask], read_outside_session(query, {}))


def _failed_of(project_id: int | Column, limit: int) -> Query:
    return (
        select(_task.end_time, _task.id)
        .where(_task.project_id == project_id, _HAS_FAILED, _task.end_time.is_not(None))
        .order_by(_task.end_time.desc(), _task.id.desc())
        .limit(limit)
    )


def walk_failed(project_ids: Sequence[int], limit: int) -> Query:
    """Return the statement for the ids of the failed tasks that ended last."""
    if len(project_ids) > many_projects.MANY:
        merged = many_projects.of_each(project_ids, _failed_of(PROJECT_ID, limit)).subquery()
    else:
        parts = [_failed_of(number, limit).subquery() for number in project_ids]
        merged = union_of([select(part.c.end_time, part.c.id) for part in parts])
    newest = select(merged.c.id).order_by(merged.c.end_time.desc(), merged.c.id.desc())
    return newest.limit(limit)
