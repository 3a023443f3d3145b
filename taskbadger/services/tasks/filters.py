"""Filters of lists of tasks, and their conditions in SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import Table, and_, case, false, func, not_, or_, select

from taskbadger.domain import ids
from taskbadger.domain.search_words import DataFilter
from taskbadger.models import Failure, TaskTag
from taskbadger.models.task_rows import TASKS
from taskbadger.models.types import Column, Columns, Condition, Query
from taskbadger.services.tasks.data_filters import has_data

FAILURES = cast(Table, Failure.__table__)
_MAX_JOINS = 4
_VALUE = TaskTag.value.expression
_MOMENT_COLUMNS = {"updated": "updated", "ended": "end_time"}


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to. An empty tuple means any value."""

    id: tuple[str, ...] = ()
    parent: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    external_id: tuple[str, ...] = ()
    monitor: tuple[UUID, ...] = ()
    incident: tuple[int, ...] = ()
    failure: tuple[int, ...] = ()
    """The kinds of their last failures."""
    are_last_attempts: bool = False
    """Whether earlier attempts of the same run are left out."""
    tags: tuple[tuple[str, str], ...] = ()
    moments: Mapping[str, datetime] = field(default_factory=dict)
    """By ``created``, ``updated`` or ``ended``, followed by ``_after`` (or at) or ``_before``."""
    search: str = ""
    words: tuple[str, ...] = ()
    """Each of these is part of the name, in any case."""
    prefixes: tuple[tuple[str, str], ...] = ()
    """Pairs of a field (``name``, ``queue``, ``external_id``) and how its value may also begin, in
    any case."""
    tag_prefixes: tuple[tuple[str, str], ...] = ()
    """Pairs of a tag's name and how its value begins, in any case."""
    data: tuple[DataFilter, ...] = ()
    """What must be in ``data``."""
    without: tuple["Filters", ...] = ()
    """Tasks that match any of these are excluded."""


NO_FILTERS = Filters()


def conditions(filters: Filters, task: Columns = TASKS.c) -> list[Condition]:
    """Return the conditions of *filters* on the columns of *task*."""
    found: list[Condition] = []
    exact = (("id", filters.id), ("parent", filters.parent), ("status", filters.status))
    found += [_any_of(task[name], values) for name, values in exact if values]
    texts = (("name", filters.name), ("queue", filters.queue), ("external_id", filters.external_id))
    for name, values in texts:
        allowed = _texts_allowed(filters, name, values, task)
        if allowed:
            found.append(or_(*allowed))
    if filters.monitor:
        found.append(_any_of(task.monitor_id, filters.monitor))
    if filters.incident:
        failed = select(FAILURES.c.task_id).where(_any_of(FAILURES.c.incident_id, filters.incident))
        found.append(task.id.in_(failed))
    if filters.failure:
        failed = select(FAILURES.c.task_id).where(_any_of(FAILURES.c.kind_id, filters.failure))
        found.append(task.id.in_(failed))
    if filters.are_last_attempts:
        found.append(_is_last_attempt(task))
    found += _has_tags(task, filters)
    for name, moment in filters.moments.items():
        found += _in_time(task, name, moment)
    for word in (filters.search, *filters.words):
        if word:
            found.append(task.name_folded.contains(word.casefold(), autoescape=True))
    found += [has_data(task.data, wanted) for wanted in filters.data]
    found += _without(task, filters.without)
    return found


def reads_data(filters: Filters) -> bool:
    """Say whether *filters* look at ``data``."""
    return bool(filters.data) or any(reads_data(excluded) for excluded in filters.without)


def reads_time(filters: Filters) -> bool:
    """Say whether *filters* look at times."""
    return bool(filters.moments) or any(reads_time(excluded) for excluded in filters.without)


def _is_last_attempt(task: Columns) -> Condition:
    later = TASKS.alias("later_attempt").c
    # An expression of the name, so that no planner walks all later tasks of the name.
    has_later = select(later.id).where(
        later.project_id == task.project_id,
        later.external_id == task.external_id,
        later.name + "" == task.name,
        later.id > task.id,
    )
    return or_(task.external_id == "", ~has_later.exists())


def _in_time(task: Columns, name: str, moment: datetime) -> Sequence[Condition]:
    if name == "created_after":
        return created_since(task, moment)
    if name == "created_before":
        return created_before(task, moment)
    column = task[_MOMENT_COLUMNS[name.partition("_")[0]]]
    return [column >= moment if name.endswith("_after") else column < moment]


def created_since(task: Columns, moment: datetime) -> list[Condition]:
    """Return the conditions for tasks created at *moment* or later: a range of ids.

    The time itself, which is not in the indexes, is compared only where the range is not exact.
    """
    found = [task.id >= ids.first_id(moment)]
    return found if _is_whole(moment) else [*found, task.created >= moment]


def created_before(task: Columns, moment: datetime) -> list[Condition]:
    """Return the conditions for tasks created before *moment*, like ``created_since``."""
    found = [task.id < ids.end_id(moment)]
    return found if _is_whole(moment) else [*found, task.created < moment]


def _is_whole(moment: datetime) -> bool:
    return moment.microsecond % 1000 == 0


def _matches_not(excluded: Filters, task: Columns) -> Condition:
    # A comparison with null is null: such a task is not excluded.
    return not_(func.coalesce(and_(*conditions(excluded, task)), false()))


def _texts_allowed(
    filters: Filters, name: str, values: tuple[str, ...], task: Columns
) -> list[Condition]:
    found = [_any_of(task[name], values)] if values else []
    starts = [start for field_name, start in filters.prefixes if field_name == name]
    if name == "name":
        return found + [_begins(task.name_folded, start.casefold()) for start in starts]
    return found + [_begins_in_any_case(task[name], start) for start in starts]


def _begins(column: Column, start: str) -> Condition:
    # Not LIKE: it ignores case on SQLite only, and % and _ have a meaning in it.
    return func.substr(column, 1, len(start)) == start


def _begins_in_any_case(column: Column, start: str) -> Condition:
    # The database folds both sides: SQLite folds only A to Z.
    return func.lower(func.substr(column, 1, len(start))) == func.lower(start)


def _has_tags(task: Columns, filters: Filters) -> list[Condition]:
    """Return the conditions for the tags in *filters*.

    PostgreSQL tries every order of the first few, which are joins. The others are looked up
    together, once for each row.
    """
    wanted = _tag_conditions(filters)
    found: list[Condition] = [_tags_of(task).where(tag).exists() for tag in wanted[:_MAX_JOINS]]
    rest = [func.max(case((tag, 1), else_=0)) for tag in wanted[_MAX_JOINS:]]
    if rest:
        matching = _tags_of(task).with_only_columns(sum(rest[1:], rest[0])).scalar_subquery()
        found.append(func.coalesce(matching, 0) == len(rest))
    return found


def _tag_conditions(filters: Filters) -> list[Condition]:
    """Return the conditions on tags, one for each that *filters* require."""
    found = [_is_tag(name, TaskTag.value == value) for name, value in filters.tags if value]
    found += [TaskTag.name == name for name, value in filters.tags if not value]
    starts = [(name, _begins_in_any_case(_VALUE, start)) for name, start in filters.tag_prefixes]
    return found + [_is_tag(name, begins) for name, begins in starts]


def _is_tag(name: str, has_value: Condition) -> Condition:
    return and_(TaskTag.name == name, has_value)


def _tags_of(task: Columns) -> Query:
    return select(TaskTag.task_id).where(
        TaskTag.project_id == task.project_id, TaskTag.task_id == task.id
    )


def _without(task: Columns, exclusions: Sequence[Filters]) -> list[Condition]:
    """Return the conditions for what is excluded. All single tags are looked up together."""
    found: list[Condition] = []
    tags: list[Condition] = []
    for excluded in exclusions:
        wanted = _tag_conditions(excluded)
        if len(wanted) == 1 and replace(excluded, tags=(), tag_prefixes=()) == NO_FILTERS:
            tags += wanted
        else:
            found.append(_matches_not(excluded, task))
    return found + ([~_tags_of(task).where(or_(*tags)).exists()] if tags else [])


def _any_of(column: Column, values: tuple[object, ...]) -> Condition:
    return column == values[0] if len(values) == 1 else column.in_(values)
