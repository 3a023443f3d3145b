"""The statements of a search: each branch is walked along its index, and the walks are merged."""

from collections.abc import Sequence
from typing import NamedTuple, cast

from sqlalchemy import Subquery, Table, bindparam, func, select, union_all

from taskbadger.models import Task, TaskTag
from taskbadger.models.task_rows import TASKS
from taskbadger.models.types import Column, Condition, Query
from taskbadger.services.pagination import Order
from taskbadger.services.tasks.filters import conditions, reads_data
from taskbadger.services.tasks.search.many_projects import of_each
from taskbadger.services.tasks.search.plan import Branch, Plan, TagBranch

MAX_UNION = 100
"""SELECTs in one union; SQLite takes 500."""

_task = TASKS.c
_tag = cast(Table, TaskTag.__table__).c
_SCAN_COLUMNS = (
    _task.id,
    _task.project_id,
    _task.parent,
    _task.monitor_id,
    _task.name,
    _task.name_folded,
    _task.queue,
    _task.external_id,
    _task.status,
    _task.created,
    _task.updated,
    _task.end_time,
)
"""What filters check in a scan, beside ``data``, which may be large."""
_START = bindparam("at", type_=_task.id.type)


class Walk(NamedTuple):
    """How branches are walked."""

    order: Order
    """DESCENDING to older tasks, ASCENDING to newer ones."""
    has_start: bool
    """Whether it starts after a row, which ``positions.start_parameters`` gives."""

    def beyond_start(self, task_id: Column) -> list[Condition]:
        """Return the condition for rows after the start, if there is one."""
        return [self.order.after([task_id], [_START])] if self.has_start else []

    def sort(self, task_id: Column) -> Column:
        """Return what ORDER BY takes."""
        return self.order.sort([task_id])[0]


FROM_NEWEST = Walk(Order.DESCENDING, has_start=False)


def page(plan: Plan, columns: Sequence[Column], walk: Walk, limit: int) -> Query:
    """Return the statement for the *columns* of up to *limit* tasks."""
    merged = _merge(plan, walk, limit).limit(limit).subquery()
    query = select(*columns).select_from(merged).join(Task, _task.id == merged.c.id)
    return query.order_by(walk.sort(_task.id))


def count(plan: Plan, walk: Walk, limit: int) -> Query:
    """Return the statement that counts up to *limit* tasks."""
    return select(func.count()).select_from(_merge(plan, walk, limit).limit(limit).subquery())


def _merge(plan: Plan, walk: Walk, limit: int) -> Query:
    branches = [_walk_branch(plan, branch, walk, limit) for branch in plan.branches]
    if len(branches) == 1 and not plan.branches[0].project_ids:
        return branches[0]
    # SQLite takes ORDER BY and LIMIT in the members of a union only one level deeper.
    parts = [branch.subquery() for branch in branches]
    merged = union_of([select(part.c.id) for part in parts])
    return select(merged.c.id).order_by(walk.sort(merged.c.id))


def union_of(parts: Sequence[Query]) -> Subquery:
    """Return the rows of all *parts*, even if they are more than SQLite takes in one union."""
    if len(parts) > MAX_UNION:
        groups = [parts[at : at + MAX_UNION] for at in range(0, len(parts), MAX_UNION)]
        parts = [select(union_of(group)) for group in groups]
    return union_all(*parts).subquery()


def _walk_branch(plan: Plan, branch: Branch, walk: Walk, limit: int) -> Query:
    """Return the ids of up to *limit* tasks of a branch that match, of each project."""
    query = _walk_range(plan, branch, walk, limit)
    return of_each(branch.project_ids, query) if branch.project_ids else query


def _walk_range(plan: Plan, branch: Branch, walk: Walk, limit: int) -> Query:
    if isinstance(branch, TagBranch):
        return _walk_tagged(plan, branch, walk, limit)
    if not plan.rest_conditions:
        inner = select(_task.id).where(*branch.conditions, *walk.beyond_start(_task.id))
        return inner.order_by(walk.sort(_task.id)).limit(limit)
    rows = _scan(plan, branch, walk).subquery()
    inner = select(rows.c.id).where(*conditions(plan.rest, rows.c))
    return inner.order_by(walk.sort(rows.c.id)).limit(limit)


def _walk_tagged(plan: Plan, branch: TagBranch, walk: Walk, limit: int) -> Query:
    if not plan.rest_conditions:
        # A tag has a task, which need not be looked up here.
        return _tagged(branch, walk).with_only_columns(_tag.task_id.label("id")).limit(limit)
    tagged = _tagged(branch, walk).limit(plan.depth).subquery()
    query = select(_task.id).select_from(tagged).join(Task, _task.id == tagged.c.task_id)
    query = query.where(*plan.rest_conditions).order_by(walk.sort(_task.id))
    return query.limit(limit)


def _tagged(branch: TagBranch, walk: Walk) -> Query:
    """Return the ids of tasks with a tag."""
    query = select(_tag.task_id).where(
        _tag.project_id == branch.project_id,
        _tag.name == branch.name,
        _tag.value == branch.value,
    )
    return query.where(*walk.beyond_start(_tag.task_id)).order_by(walk.sort(_tag.task_id))


def scan(plan: Plan, branch: Branch, walk: Walk) -> Query:
    """Return the rows of a branch that are checked, of each project."""
    query = _scan(plan, branch, walk)
    return of_each(branch.project_ids, query) if branch.project_ids else query


def _scan(plan: Plan, branch: Branch, walk: Walk) -> Query:
    columns = (*_SCAN_COLUMNS, _task.data) if reads_data(plan.rest) else _SCAN_COLUMNS
    if isinstance(branch, TagBranch):
        tagged = _tagged(branch, walk).limit(plan.depth).subquery()
        query = select(*columns).select_from(tagged)
        return query.join(Task, _task.id == tagged.c.task_id)
    query = select(*columns).where(*branch.conditions, *walk.beyond_start(_task.id))
    return query.order_by(walk.sort(_task.id)).limit(plan.depth)


def scan_end(plan: Plan, branch: Branch, walk: Walk) -> Query:
    """Return the id and time of the last row that is checked, of each project; none if all are."""
    query = _scan_end(plan, branch, walk)
    return of_each(branch.project_ids, query) if branch.project_ids else query


def _scan_end(plan: Plan, branch: Branch, walk: Walk) -> Query:
    if isinstance(branch, TagBranch):
        last = _tagged(branch, walk).offset(plan.depth - 1).limit(1).subquery()
        return select(_task.id, _task.created).join(last, _task.id == last.c.task_id)
    query = select(_task.id, _task.created)
    query = query.where(*branch.conditions, *walk.beyond_start(_task.id))
    return query.order_by(walk.sort(_task.id)).offset(plan.depth - 1).limit(1)
