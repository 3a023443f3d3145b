"""Names of tasks: which there are, and which of them match a search."""

from sqlalchemy import func, literal, select

from taskbadger.extensions import db
from taskbadger.models.task_rows import TASKS
from taskbadger.services.tasks.filters import Filters

MAX_NAMES = 2_000
"""A project with more distinct names is searched without going through them."""

_task = TASKS.c


def matching_names(project_id: int, filters: Filters) -> list[str] | None:
    """Return the names in a project that match; None when there are too many to look at."""
    starts = tuple(start.casefold() for field, start in filters.prefixes if field == "name")
    if not starts and not filters.words:
        return list(filters.name)
    names = distinct_names(project_id)
    if names is None:
        return None
    words = [word.casefold() for word in filters.words]
    return [
        name
        for name in names
        if (
            not (starts or filters.name)
            or name in filters.name
            or name.casefold().startswith(starts)
        )
        and all(word in name.casefold() for word in words)
    ]


def distinct_names(project_id: int) -> list[str] | None:
    """Return the names of a project's tasks; None when there are more than MAX_NAMES.

    Steps from name to name through the index: DISTINCT would read all of it.
    """
    first = select(func.min(_task.name).label("name"), literal(1).label("number")).where(
        _task.project_id == project_id
    )
    walk = first.cte("walk", recursive=True)
    following = (
        select(func.min(_task.name))
        .where(_task.project_id == project_id, _task.name > walk.c.name)
        .scalar_subquery()
    )
    walk = walk.union_all(
        select(following, walk.c.number + 1).where(
            walk.c.name.is_not(None), walk.c.number <= MAX_NAMES
        )
    )
    names = db.session.scalars(select(walk.c.name).where(walk.c.name.is_not(None))).all()
    return None if len(names) > MAX_NAMES else list(names)
