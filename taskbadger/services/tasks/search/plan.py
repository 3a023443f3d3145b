"""Chooses how to search: which index to walk, in which ranges, and what is left to check."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.status import PENDING, SUCCESS, TERMINAL
from taskbadger.models.task_rows import IS_OPEN, TASKS
from taskbadger.models.types import Column, Condition
from taskbadger.services.each_project import PROJECT_ID
from taskbadger.services.tasks.filters import Filters, conditions
from taskbadger.services.tasks.search import many_projects
from taskbadger.services.tasks.search.names import matching_names

MAX_SCAN = 20_000
"""Rows that all branches together check for what no index answers, if MIN_SCAN allows it."""
MIN_SCAN = 500
"""Rows that each branch checks at least, if it is of one project."""
MIN_SCAN_OF_MANY = 20
"""Rows of each project that a branch of many projects checks at least."""
MAX_BRANCHES = 200
MAX_RANGES = 5_000
"""The largest number of projects × names that is searched by name."""
# Statuses that most tasks have: an index of them narrows little.
_DENSE = frozenset({SUCCESS, PENDING})

_task = TASKS.c


@dataclass(frozen=True, slots=True)
class RangeBranch:
    """A range of an index of tasks, as conditions."""

    conditions: tuple[Condition, ...]
    project_ids: tuple[int, ...] = ()
    """If there are any, the conditions are about PROJECT_ID: a range for each of these projects."""


@dataclass(frozen=True, slots=True)
class TagBranch:
    """A range of the index of tags: one tag in one project."""

    project_id: int | Column
    name: str
    value: str
    project_ids: tuple[int, ...] = ()
    """As in a RangeBranch."""


Branch = RangeBranch | TagBranch


@dataclass(frozen=True, slots=True)
class Plan:
    """The branches of a search, and what is left to check on their rows."""

    branches: Sequence[Branch]
    rest: Filters
    """Filters that the branches do not answer."""
    rest_conditions: Sequence[Condition]
    """The same on the columns of tasks; empty when indexes answer the whole search."""

    @property
    def depth(self) -> int:
        """How many rows of each branch are checked, if rows must be checked."""
        ranges = sum(len(branch.project_ids) or 1 for branch in self.branches)
        at_least = MIN_SCAN_OF_MANY if ranges > len(self.branches) else MIN_SCAN
        return max(MAX_SCAN // max(ranges, 1), at_least)


@dataclass(frozen=True, slots=True)
class _Within:
    """How branches are limited to projects: the id of each, or PROJECT_ID for many."""

    each: Sequence[int | Column]
    ids: tuple[int, ...] = ()

    @property
    def conditions(self) -> Sequence[Condition]:
        return [_task.project_id == project_id for project_id in self.each]


def _within(projects: Sequence[ProjectRef]) -> _Within:
    ids = tuple(project.id for project in projects)
    return _Within([PROJECT_ID], ids) if len(projects) > many_projects.MANY else _Within(ids)


def make_plan(projects: Sequence[ProjectRef], filters: Filters) -> Plan:
    """Return the plan for the first index that suits *filters*, the most selective ones first."""
    by_name = {name for name, _ in filters.prefixes}
    within = _within(projects)
    in_projects = _task.project_id.in_([project.id for project in projects])
    if filters.external_id and "external_id" not in by_name:
        return _external_id_plan(within, filters)
    if filters.id:
        return _range_plan([(_task.id.in_(filters.id), in_projects)], replace(filters, id=()))
    if filters.parent:
        children = [(_task.parent == parent, in_projects) for parent in filters.parent]
        return _range_plan(children, replace(filters, parent=()))
    if filters.incident:
        failed = tuple(conditions(Filters(incident=filters.incident)))
        return _range_plan([(*failed, in_projects)], replace(filters, incident=()))
    for tag in filters.tags:
        if tag[1]:
            return _tag_plan(projects, tag, filters)
    if _are_open_in_queues(filters):
        return _queue_plan(within, filters)
    if filters.status and not _DENSE & set(filters.status):
        return _status_plan(within, filters)
    if filters.name or filters.words or "name" in by_name:
        plan = _name_plan(projects, filters)
        if plan is not None:
            return plan
    if filters.status:
        return _status_plan(within, filters)
    return _range_plan([(condition,) for condition in within.conditions], filters, within.ids)


def _range_plan(
    ranges: Sequence[tuple[Condition, ...]], rest: Filters, project_ids: tuple[int, ...] = ()
) -> Plan:
    """Return the plan of *ranges*; all of these indexes answer times of creation, too."""
    span = {name: at for name, at in rest.moments.items() if name.startswith("created_")}
    others = {name: at for name, at in rest.moments.items() if name not in span}
    in_span = tuple(conditions(Filters(moments=span)))
    rest = replace(rest, moments=others)
    branches = [RangeBranch((*some, *in_span), project_ids) for some in ranges]
    return Plan(branches, rest, conditions(rest))


def _tag_plan(projects: Sequence[ProjectRef], tag: tuple[str, str], filters: Filters) -> Plan:
    rest = replace(filters, tags=tuple(other for other in filters.tags if other != tag))
    if len(projects) > many_projects.MANY:
        ids = tuple(project.id for project in projects)
        branches = [TagBranch(PROJECT_ID, *tag, project_ids=ids)]
    else:
        branches = [TagBranch(project.id, *tag) for project in projects]
    return Plan(branches, rest, conditions(rest))


def _external_id_plan(within: _Within, filters: Filters) -> Plan:
    """Return the plan that finds all tasks with the external ids, and then sorts them.

    SQLite would rather walk all tasks of the project in their order than sort a few.
    """
    other = TASKS.alias("with_external_id").c
    ranges = []
    for project_id in within.each:
        found = select(other.id).where(
            other.project_id == project_id, other.external_id.in_(filters.external_id)
        )
        ranges.append((_task.project_id == project_id, _task.id.in_(found)))
    return _range_plan(ranges, replace(filters, external_id=()), within.ids)


def _status_plan(within: _Within, filters: Filters) -> Plan:
    if len(within.conditions) * len(filters.status) > MAX_BRANCHES:
        return _range_plan([(condition,) for condition in within.conditions], filters, within.ids)
    ranges = [
        (condition, _task.status == status)
        for condition in within.conditions
        for status in filters.status
    ]
    return _range_plan(ranges, replace(filters, status=()), within.ids)


def _are_open_in_queues(filters: Filters) -> bool:
    """Say whether only tasks of some queues match that have not ended: those have an index."""
    is_exact = not any(field == "queue" for field, _ in filters.prefixes)
    is_open = bool(filters.status) and not TERMINAL & set(filters.status)
    return bool(filters.queue) and is_exact and is_open


def _queue_plan(within: _Within, filters: Filters) -> Plan:
    ranges = [
        (condition, _task.queue == queue, _task.status == status, IS_OPEN)
        for condition in within.conditions
        for queue in filters.queue
        for status in filters.status
    ]
    if len(ranges) > MAX_BRANCHES:
        return _status_plan(within, filters)
    return _range_plan(ranges, replace(filters, queue=(), status=()), within.ids)


def _name_plan(projects: Sequence[ProjectRef], filters: Filters) -> Plan | None:
    """Return a plan with a branch for each matching name; None when there are too many."""
    is_exact = not filters.words and not any(field == "name" for field, _ in filters.prefixes)
    if len(projects) > many_projects.MANY:
        # Names that match in another way would have to be looked for in each project.
        is_exact &= len(projects) * len(filters.name) <= MAX_RANGES
        return _exact_names_plan(_within(projects), filters) if is_exact else None
    ranges: list[tuple[Condition, ...]] = []
    for project in projects:
        names = matching_names(project.id, filters)
        if names is None or len(ranges) + len(names) > MAX_BRANCHES:
            return None
        ranges += [(_task.project_id == project.id, _task.name == name) for name in names]
    prefixes = tuple(prefix for prefix in filters.prefixes if prefix[0] != "name")
    return _range_plan(ranges, replace(filters, name=(), words=(), prefixes=prefixes))


def _exact_names_plan(within: _Within, filters: Filters) -> Plan:
    ranges = [
        (condition, _task.name == name) for condition in within.conditions for name in filters.name
    ]
    return _range_plan(ranges, replace(filters, name=()), within.ids)
