"""Statements about each of many projects: short, however many there are.

A union has a SELECT for each project. With hundreds of them, it takes SQLAlchemy seconds to build.
"""

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import FromClause, Integer, Table, literal_column, select, true

from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.models.task_rows import TASKS
from taskbadger.models.types import Query

MANY = 50
"""More projects than this are searched by one statement for all of them."""

_projects = cast(Table, Project.__table__).alias("each_project")
# Literal text, so that SQLAlchemy does not add the table to the FROM clause of a subquery.
PROJECT_ID = literal_column("each_project.id", Integer)
"""The project that a statement is about."""


def of_each(project_ids: Sequence[int], query: Query) -> Query:
    """Return the rows that *query* about tasks of PROJECT_ID has for each of these projects.

    Its columns are some of a task's, the id among them.
    """
    is_one = _projects.c.id.in_(project_ids)
    if db.engine.dialect.name == "postgresql":
        rows: FromClause = query.lateral()
        return select(*rows.c).select_from(_projects.join(rows, true())).where(is_one)
    # SQLite has no LATERAL, but evaluates a list once for each row beside it.
    tasks = TASKS.alias("found")
    columns: list[Any] = [tasks.c[column.name] for column in query.selected_columns]
    ids = query.with_only_columns(query.selected_columns.id)
    return select(*columns).select_from(_projects.join(tasks, tasks.c.id.in_(ids))).where(is_one)
