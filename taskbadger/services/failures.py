"""What failed last: a walk of the index of failed tasks, which has no entry for any other task."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Select, Table, literal_column, select

from taskbadger.extensions import fetch_all
from taskbadger.models import Task
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.task_search import LIST_COLUMNS, union_of

_task = cast(Table, Task.__table__).c
# Written out: with a parameter in its place, planners cannot tell that the index holds them all.
_HAS_FAILED = _task.status == literal_column("'error'")


def list_failed_last(projects: Sequence[ProjectRef], most: int) -> Sequence[Any]:
    """Return up to *most* failed tasks as rows of LIST_COLUMNS, what ended last first."""
    if not projects:
        return []
    return fetch_all(_failed_last(tuple(project.id for project in projects), most), {})


@lru_cache(maxsize=256)
def _failed_last(project_ids: tuple[int, ...], most: int) -> Select[Any]:
    newest = walk_failed(project_ids, most).subquery()
    query = select(*LIST_COLUMNS).join(newest, _task.id == newest.c.id)
    return query.order_by(_task.end_time.desc(), _task.id.desc())


def walk_failed(project_ids: Sequence[int], most: int) -> Select[Any]:
    """Return the statement for the ids of the failed tasks that ended last."""
    parts = [
        select(_task.end_time, _task.id)
        .where(_task.project_id == number, _HAS_FAILED, _task.end_time.is_not(None))
        .order_by(_task.end_time.desc(), _task.id.desc())
        .limit(most)
        .subquery()
        for number in project_ids
    ]
    merged = union_of([select(part.c.end_time, part.c.id) for part in parts])
    newest = select(merged.c.id).order_by(merged.c.end_time.desc(), merged.c.id.desc())
    return newest.limit(most)
