"""Counts of a search by status."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import and_, case, func, literal, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.status import STATUSES
from taskbadger.extensions import db
from taskbadger.models.task_rows import TASKS
from taskbadger.models.types import Condition, Query
from taskbadger.services.tasks.filters import Filters, conditions
from taskbadger.services.tasks.search import plan as planning
from taskbadger.services.tasks.search.many_projects import some_of_each
from taskbadger.services.tasks.search.plan import Branch, Plan, RangeBranch, make_plan
from taskbadger.services.tasks.search.statements import FROM_NEWEST, scan, union_of

COUNT_CAP = 10_000
"""Counts are exact up to this."""

_task = TASKS.c


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks match, by status."""

    by_status: dict[str, int]
    capped: bool
    """Whether a scan limited the counts. A count of COUNT_CAP is a lower bound too."""

    def of(self, statuses: Sequence[str]) -> int:
        """Return how many have any of these statuses."""
        return sum(self.by_status.get(status, 0) for status in statuses)

    def is_at_least(self, statuses: Sequence[str]) -> bool:
        """Say whether the true number may be greater than ``of(statuses)``."""
        return self.capped or any(self.by_status.get(name, 0) >= COUNT_CAP for name in statuses)


def count_by_status(projects: Sequence[ProjectRef], filters: Filters) -> Counts:
    """Count what matches, by status: exact up to COUNT_CAP each, within the search's scans.

    The statuses in *filters* themselves are ignored.
    """
    filters = replace(filters, status=())
    plan = make_plan(projects, filters)
    # Without any other filter, it is a range of the index of statuses.
    is_plain = filters == Filters(moments=filters.moments)
    ranges = [branch for branch in plan.branches if isinstance(branch, RangeBranch)]
    is_small = len(ranges) * len(STATUSES) <= planning.MAX_BRANCHES
    if plan.rest_conditions or not is_plain or not is_small:
        return _count_scans(plan)
    return _count_ranges(ranges)


def _count_ranges(ranges: Sequence[RangeBranch]) -> Counts:
    if not ranges:
        return Counts({}, capped=False)
    columns = [
        select(func.count()).select_from(_some(branch, status).subquery()).scalar_subquery()
        for status in STATUSES
        for branch in ranges
    ]
    numbers = db.session.execute(select(*columns)).one()
    width = len(ranges)
    by_status = {
        status: min(sum(numbers[at * width : (at + 1) * width]), COUNT_CAP)
        for at, status in enumerate(STATUSES)
    }
    return Counts(by_status, capped=False)


def _some(branch: RangeBranch, status: str) -> Query:
    in_range = (*branch.conditions, _task.status == status)
    if branch.project_ids:
        return some_of_each(branch.project_ids, in_range, COUNT_CAP)
    return select(_task.id).where(*in_range).limit(COUNT_CAP)


def _count_scans(plan: Plan) -> Counts:
    if not plan.branches:
        return Counts({}, capped=False)
    parts = [_count_scan(plan, branch, number) for number, branch in enumerate(plan.branches)]
    found: dict[str, int] = {}
    seen: dict[tuple[int, int], int] = {}
    for row in db.session.execute(select(union_of(parts))):
        found[row.status] = min(found.get(row.status, 0) + row.matching, COUNT_CAP)
        key = row.branch, row.project_id if plan.branches[row.branch].project_ids else 0
        seen[key] = seen.get(key, 0) + row.seen
    return Counts(found, capped=max(seen.values(), default=0) >= plan.depth)


def _count_scan(plan: Plan, branch: Branch, number: int) -> Query:
    rows = scan(plan, branch, FROM_NEWEST).subquery()
    matches = _all(conditions(plan.rest, rows.c))
    return select(
        literal(number).label("branch"),
        rows.c.project_id,
        rows.c.status,
        func.sum(case((matches, 1), else_=0)).label("matching"),
        func.count().label("seen"),
    ).group_by(rows.c.project_id, rows.c.status)


def _all(found: Sequence[Condition]) -> Condition:
    return and_(*found) if found else literal(1) == 1
