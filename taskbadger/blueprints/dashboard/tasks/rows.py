"""Rows of lists of tasks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskbadger.blueprints.dashboard.shared import share_longer
from taskbadger.clock import utcnow
from taskbadger.domain.status import ERROR, RUNNING, STALE, SUCCESS, TERMINAL, value_percent
from taskbadger.models.task_rows import ListedTask
from taskbadger.services.failures.lines import read_lines
from taskbadger.services.stats.usual import usual_run_times


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A row of a list."""

    id: str
    project: str
    """The project's slug."""
    name: str
    queue: str
    status: str
    value: int | None
    value_max: int
    value_percent: int | None
    tags: dict[str, str]
    external_id: str
    created: datetime
    updated: datetime
    start_time: datetime | None
    end_time: datetime | None
    version: int
    error: str = ""
    """Why it failed, in one line; empty if it did not, or does not say."""
    usually: float | None = None
    """How many seconds runs of its name usually take; None unless it is running, or if unknown."""

    @property
    def took(self) -> timedelta | None:
        """How long the run took; None before it ends, and if it never started."""
        if self.start_time is None or self.end_time is None:
            return None
        return max(self.end_time - self.start_time, timedelta())

    @property
    def running_since(self) -> datetime | None:
        """When the current run started; None when the task is not running."""
        return self.start_time if self.status in RUNNING else None

    @property
    def shows_progress(self) -> bool:
        """Whether its progress says more than its status, as that of a success does not."""
        return self.value is not None and self.status != SUCCESS

    @property
    def is_open(self) -> bool:
        """Whether the task may still be cancelled."""
        return self.status not in TERMINAL


def make_task_rows(found: Sequence[ListedTask], projects: dict[int, str]) -> list[TaskRow]:
    """Return rows for a page; *projects* are slugs by id.

    One statement reads why tasks failed, and one how long those that run usually take.
    """
    lines = read_lines([row.id for row in found if row.status in (ERROR, STALE)])
    running = frozenset((row.project_id, row.name) for row in found if row.status in RUNNING)
    usual = (
        share_longer(("usual", running), lambda: usual_run_times(running, now=utcnow()))
        if running
        else {}
    )
    return [
        make_row(row, projects, lines.get(row.id, ""), usual.get((row.project_id, row.name)))
        for row in found
    ]


def make_row(
    row: ListedTask, projects: dict[int, str], error: str = "", usually: float | None = None
) -> TaskRow:
    """Return a row for a page; *projects* are slugs by id."""
    return TaskRow(
        id=row.id,
        project=projects[row.project_id],
        name=row.name,
        queue=row.queue,
        status=row.status,
        value=row.value,
        value_max=row.value_max,
        value_percent=value_percent(row.value, row.value_max),
        tags=json.loads(row.tags),
        external_id=row.external_id,
        created=row.created,
        updated=row.updated,
        start_time=row.start_time,
        end_time=row.end_time,
        version=row.version,
        error=error,
        usually=usually if row.start_time else None,
    )
