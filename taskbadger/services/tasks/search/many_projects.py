"""Statements about each of many projects: short, however many there are.

A union has a SELECT for each project. With hundreds of them, it takes SQLAlchemy seconds to build.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import FromClause, and_, select, true

from taskbadger.extensions import db
from taskbadger.models.task_rows import TASKS
from taskbadger.models.types import Condition, Query
from taskbadger.services.each_project import each_project

MANY = 50
"""More projects than this are searched by one statement for all of them."""


def of_each(project_ids: Sequence[int], query: Query) -> Query:
    """Return the rows that *query* about tasks of PROJECT_ID has for each of these projects.

    Its columns are some of a task's, the id among them.
    """
    each = each_project(project_ids)
    if _is_postgresql():
        rows: FromClause = query.lateral()
        return select(*rows.c).select_from(each.join(rows, true()))
    # SQLite has no LATERAL, but evaluates a list once for each row beside it.
    tasks = TASKS.alias("found")
    columns: list[Any] = [tasks.c[column.name] for column in query.selected_columns]
    ids = query.with_only_columns(query.selected_columns.id)
    return select(*columns).select_from(each.join(tasks, tasks.c.id.in_(ids)))


def some_of_each(project_ids: Sequence[int], conditions: Sequence[Condition], limit: int) -> Query:
    """Return the ids of up to *limit* tasks of PROJECT_ID with these conditions, in any order."""
    if _is_postgresql():
        # Left to itself, the planner may read the tasks of all organizations.
        return of_each(project_ids, select(TASKS.c.id).where(*conditions).limit(limit)).limit(limit)
    joined = each_project(project_ids).join(TASKS, and_(*conditions))
    return select(TASKS.c.id).select_from(joined).limit(limit)


def _is_postgresql() -> bool:
    return db.engine.dialect.name == "postgresql"
