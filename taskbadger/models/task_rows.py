"""Types for the rows that queries return of a task, and their columns.

SQLAlchemy's rows are tuples with named fields, so they are cast to these types where they are
fetched, and never converted. The columns of a query are derived from the fields of its type.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table, text, type_coerce

from taskbadger.models.account import Project
from taskbadger.models.task import OPEN_CONDITION, Task, TaskEvent
from taskbadger.models.types import (
    Column,
    Condition,
    Microseconds,
    TaskId,
    UTCDateTime,
    WireDateTime,
    WireMicroseconds,
    WireTaskId,
)

TASKS = cast(Table, Task.__table__)
EVENTS = cast(Table, TaskEvent.__table__)
IS_OPEN = cast(Condition, text(OPEN_CONDITION))
"""Whether a task has not ended, in the words of the index of queues: planners compare the words."""


class TaskState(NamedTuple):
    """All columns of a task that was locked or just written. Times are aware."""

    id: str
    project_id: int
    parent: str | None
    has_actions: bool
    monitor_id: UUID | None
    name: str
    name_folded: str
    queue: str
    external_id: str
    status: str
    stale_from: str | None
    value: int | None
    value_max: int
    data: str | None
    tags: str
    created: datetime
    updated: datetime
    start_time: datetime | None
    end_time: datetime | None
    time_to_start: timedelta | None
    max_runtime: int | None
    stale_timeout: int | None
    stale_at: datetime | None
    overdue_at: datetime | None
    version: int = 1
    has_children: bool = False
    progress_event_id: int | None = None
    progress_at: datetime | None = None
    progress_count: int = 0
    progress_step: int = 1


class WireTask(NamedTuple):
    """A task in a response of the API. Times and durations are text, as on the wire."""

    id: str
    parent: str | None
    name: str
    queue: str
    external_id: str
    status: str
    value: int | None
    value_max: int
    data: str | None
    tags: str
    created: str
    updated: str
    start_time: str | None
    end_time: str | None
    time_to_start: str | None
    max_runtime: int | None
    stale_timeout: int | None


class ListedTask(NamedTuple):
    """A task in a list of the dashboard, without ``data``, which may be large. Times are aware."""

    id: str
    project_id: int
    parent: str | None
    has_children: bool
    name: str
    queue: str
    external_id: str
    status: str
    value: int | None
    value_max: int
    tags: str
    created: datetime
    updated: datetime
    start_time: datetime | None
    end_time: datetime | None
    version: int


class PageTask(NamedTuple):
    """A task on its page. Times are aware."""

    id: str
    project_id: int
    parent: str | None
    has_children: bool
    monitor_id: UUID | None
    name: str
    queue: str
    external_id: str
    status: str
    stale_from: str | None
    value: int | None
    value_max: int
    data: str | None
    tags: str
    created: datetime
    updated: datetime
    start_time: datetime | None
    end_time: datetime | None
    time_to_start: timedelta | None
    max_runtime: int | None
    stale_timeout: int | None
    public_pages: bool
    """Whether its project has public pages."""


class EventRow(NamedTuple):
    """An entry of a task's history."""

    id: int
    task_id: str
    type: str
    created: datetime
    status: str
    value: int | None
    value_max: int
    actor_type: str
    actor_name: str


TaskRow = TaskState | WireTask | ListedTask | PageTask
"""A task as one of these types; its times may be text."""


def columns_of(
    row: type[tuple[Any, ...]], *tables: Table, **computed: Column
) -> tuple[Column, ...]:
    """Return a column for each field of *row*: from *computed*, or the first table that has it."""

    def find(name: str) -> Column:
        if name in computed:
            return computed[name].label(name)
        return next(table.c[name] for table in tables if name in table.c)

    return tuple(find(name) for name in row.__annotations__)


def _as_text(column: Column) -> Column:
    """Read a value as the text of the wire, because responses need nothing else."""
    if isinstance(column.type, TaskId):
        return type_coerce(column, WireTaskId).label(column.key)
    if isinstance(column.type, UTCDateTime):
        return type_coerce(column, WireDateTime).label(column.key)
    if isinstance(column.type, Microseconds):
        return type_coerce(column, WireMicroseconds).label(column.key)
    return column


STATE_COLUMNS = columns_of(TaskState, TASKS)
WIRE_COLUMNS = tuple(_as_text(column) for column in columns_of(WireTask, TASKS))
LIST_COLUMNS = columns_of(ListedTask, TASKS)
PAGE_COLUMNS = columns_of(PageTask, TASKS, cast(Table, Project.__table__))
EVENT_COLUMNS = columns_of(EventRow, EVENTS)
