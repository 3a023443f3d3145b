"""Open tasks by status, and how long the oldest of each queue has been pending."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, cast, func, select

from taskbadger.domain.ids import time_of
from taskbadger.domain.status import PENDING, STATUSES, TERMINAL
from taskbadger.extensions import db
from taskbadger.models.task_rows import IS_OPEN, TASKS
from taskbadger.models.types import Column, TaskId
from taskbadger.services.metrics.scope import Place, Scope
from taskbadger.services.stats.totals import OTHER

OPEN = tuple(status for status in STATUSES if status not in TERMINAL)
_task = TASKS.c


@dataclass(frozen=True, slots=True)
class OpenTasks:
    """The tasks that have not ended."""

    numbers: Mapping[tuple[Place, str], int]
    """By place and status."""
    oldest_pending: Mapping[tuple[Place, str], float]
    """Seconds, by place and queue."""


def read_open_tasks(
    scope: Scope, places: Mapping[int, Place], *, max_queues: int, now: datetime
) -> OpenTasks:
    """Return the open tasks; of an organization, the *max_queues* queues that wait longest.

    One statement reads the index of open tasks, and no task.
    """
    numbers = {(place, status): 0 for place in places.values() for status in OPEN}
    waits: list[tuple[float, Place, str]] = []
    query = (
        select(_task.project_id, _task.queue, _task.status, func.count(), _first_id())
        .where(IS_OPEN, *scope.in_projects(_task.project_id))
        .group_by(_task.project_id, _task.queue, _task.status)
    )
    for project_id, queue, status, number, first in db.session.execute(query):
        place = places.get(project_id)
        if place is None:
            continue
        numbers[place, status] += number
        if status == PENDING:
            waits.append((max((now - time_of(first)).total_seconds(), 0.0), place, queue))
    return OpenTasks(numbers, _by_queue(waits, places, max_queues))


def _first_id() -> Column:
    """Return the first id of a group; PostgreSQL knows no least of UUIDs before version 18."""
    if db.engine.dialect.name == "postgresql":
        return cast(func.min(cast(_task.id, Text)), TaskId)
    return func.min(_task.id)


def _by_queue(
    waits: list[tuple[float, Place, str]], places: Mapping[int, Place], max_queues: int
) -> Mapping[tuple[Place, str], float]:
    found: defaultdict[tuple[Place, str], float] = defaultdict(float)
    for place in places.values():
        found[place, ""] = 0.0
    queues: Counter[str] = Counter()
    for seconds, place, queue in sorted(waits, reverse=True):
        label = queue
        if queue:
            queues[place.organization] += 1
            if queues[place.organization] > max_queues:
                label = OTHER
        found[place, label] = max(found[place, label], seconds)
    return found
