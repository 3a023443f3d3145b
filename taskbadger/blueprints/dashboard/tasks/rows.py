"""A row of a list of tasks."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskbadger.domain.status import RUNNING, TERMINAL, value_percent
from taskbadger.models.task_rows import ListedTask


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
    created: datetime
    updated: datetime
    start_time: datetime | None
    end_time: datetime | None
    version: int

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
    def is_open(self) -> bool:
        """Whether the task may still be cancelled."""
        return self.status not in TERMINAL


def make_row(row: ListedTask, projects: dict[int, str]) -> TaskRow:
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
        created=row.created,
        updated=row.updated,
        start_time=row.start_time,
        end_time=row.end_time,
        version=row.version,
    )
