"""Queues: how much waits in each, for how long, and whether it is backing up.

The queues are found by stepping from one to the next through two indexes: that of the tasks that
have not ended, and that of the counts, which also has the queues where nothing waits. So a page
costs the same at a thousand tasks and at a million.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import CTE, ScalarSelect, func, literal, literal_column, select, union

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.queues import (
    COUNT_CAP,
    RATE_SPANS,
    SPAN,
    TREND_SPANS,
    Flow,
    Queue,
    backlog_of,
    span_of,
    time_to_empty,
    trend_of,
)
from taskbadger.domain.run_times import merged, percentile, read_stored
from taskbadger.domain.status import PENDING, RUNNING
from taskbadger.extensions import db
from taskbadger.models.task_rows import IS_OPEN, TASKS
from taskbadger.models.types import Column, Columns, Condition, Query
from taskbadger.services.each_project import PROJECT_ID, each_project
from taskbadger.services.pagination import Cursor, InvalidCursor, Page, cut_page
from taskbadger.services.stats.queue_counts import (
    QUEUE_COLUMNS,
    QUEUE_STATS,
    QueueRow,
)

_task = TASKS.c
_stat = QUEUE_STATS.c
# Literal text, so that SQLAlchemy does not add the table to the FROM clause of a subquery.
_PROJECT: Column = literal_column("this_queue.project_id")
_QUEUE: Column = literal_column("this_queue.queue")


class _Found(NamedTuple):
    project_id: int
    queue: str
    pending: int
    running: int
    oldest_pending: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """A place in the list of queues, and the direction in which it is walked."""

    at: str | None = None
    backwards: bool = False

    def beyond(self, column: Column, place: Column | str) -> Condition:
        """Return the condition for values that come after *place*."""
        return column < place if self.backwards else column > place

    def nearest(self, column: Column, *conditions: Condition) -> ScalarSelect[str]:
        """Return the first value of *column*."""
        first = func.max(column) if self.backwards else func.min(column)
        return select(first).where(*conditions).scalar_subquery()

    def sort(self, columns: Columns) -> tuple[Column, Column]:
        """Return what ORDER BY takes."""
        return columns.project_id, columns.queue.desc() if self.backwards else columns.queue


FROM_START = Step()


def list_queues(
    projects: Sequence[ProjectRef], limit: int, *, now: datetime
) -> tuple[list[Queue], bool]:
    """Return up to *limit* queues of some projects, and whether there are more.

    They come project by project, each with its first ones by name.
    """
    found = _find(projects, FROM_START, limit + 1)
    return _describe(projects, found[:limit], now), len(found) > limit


def page_queues(
    project: ProjectRef, cursor: Cursor | None, size: int, *, now: datetime
) -> Page[Queue]:
    """Return a page of a project's queues, by name. Raises InvalidCursor."""
    step = FROM_START if cursor is None else Step(read_key(cursor), cursor.backwards)
    found = _find([project], step, size + 1)
    page = cut_page(found, size, cursor, key_of)
    return Page(_describe([project], page.rows, now), page.next, page.previous)


def key_of(row: _Found) -> tuple[str]:
    """Return the key of a queue in cursors."""
    return (base64.urlsafe_b64encode(row.queue.encode()).decode(),)


def read_key(cursor: Cursor) -> str:
    """Return the name of the queue at *cursor*; raises InvalidCursor."""
    try:
        name = base64.b64decode(cursor.key[0], altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor() from error
    if "\x00" in name:
        raise InvalidCursor()
    return name


def _find(projects: Sequence[ProjectRef], step: Step, limit: int) -> Sequence[_Found]:
    if not projects:
        return []
    return cast(Sequence[_Found], db.session.execute(_statement(projects, step, limit)).all())


def _statement(projects: Sequence[ProjectRef], step: Step, limit: int) -> Query:
    """Return the one statement that finds queues and looks at the open tasks of each."""
    ids = [project.id for project in projects]
    walks = (
        _walk("open_walk", (_task.project_id, _task.queue), (IS_OPEN,), ids, step, limit),
        _walk("count_walk", (_stat.project_id, _stat.queue), (), ids, step, limit),
    )
    found = [
        select(walk.c.project_id, walk.c.queue).where(walk.c.queue.is_not(None)) for walk in walks
    ]
    both = union(*found).subquery()
    this = select(both).order_by(*step.sort(both.c)).limit(limit).subquery("this_queue")
    query = select(
        this.c.project_id,
        this.c.queue,
        _number((PENDING,)).label("pending"),
        _number(sorted(RUNNING)).label("running"),
        _oldest().label("oldest_pending"),
    )
    return query.order_by(*step.sort(this.c))


def _walk(
    name: str,
    columns: tuple[Column, Column],
    conditions: Sequence[Condition],
    ids: Sequence[int],
    step: Step,
    limit: int,
) -> CTE:
    """Return the first queues of each project, step by step: DISTINCT would read every entry."""
    project, queue = columns
    start = [] if step.at is None else [step.beyond(queue, step.at)]
    first = step.nearest(queue, project == PROJECT_ID, *conditions, *start)
    seed = select(PROJECT_ID.label("project_id"), first.label("queue"), literal(1).label("number"))
    walk = seed.select_from(each_project(ids)).cte(name, recursive=True)
    beyond = step.beyond(queue, walk.c.queue)
    following = step.nearest(queue, project == walk.c.project_id, *conditions, beyond)
    return walk.union_all(
        select(walk.c.project_id, following, walk.c.number + 1).where(
            walk.c.queue.is_not(None), walk.c.number < limit
        )
    )


def _of_this_queue(statuses: Sequence[str]) -> tuple[Condition, ...]:
    return (
        _task.project_id == _PROJECT,
        _task.queue == _QUEUE,
        _task.status.in_(statuses),
        IS_OPEN,
    )


def _number(statuses: Sequence[str]) -> ScalarSelect[int]:
    some = select(_task.id).where(*_of_this_queue(statuses)).limit(COUNT_CAP).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def _oldest() -> ScalarSelect[datetime]:
    waiting = select(_task.created).where(*_of_this_queue((PENDING,)))
    return waiting.order_by(_task.id).limit(1).scalar_subquery()


def _describe(
    projects: Sequence[ProjectRef], found: Sequence[_Found], now: datetime
) -> list[Queue]:
    slugs = {project.id: project.slug for project in projects}
    since = span_of(now) - SPAN * RATE_SPANS
    counts = _read_counts(found, since)
    return [
        _queue(slugs[row.project_id], row, counts.get((row.project_id, row.queue), {}), now)
        for row in found
    ]


def _read_counts(
    found: Sequence[_Found], since: datetime
) -> Mapping[tuple[int, str], dict[datetime, QueueRow]]:
    """Return the counts of queues, by their spans."""
    counts: dict[tuple[int, str], dict[datetime, QueueRow]] = {}
    query = select(*QUEUE_COLUMNS).where(
        _stat.project_id.in_({row.project_id for row in found}),
        _stat.queue.in_({row.queue for row in found}),
        _stat.start >= since,
    )
    for row in cast(Sequence[QueueRow], db.session.execute(query).all() if found else []):
        counts.setdefault((row.project_id, row.queue), {})[row.start] = row
    return counts


def _queue(slug: str, found: _Found, counts: Mapping[datetime, QueueRow], now: datetime) -> Queue:
    here = span_of(now)
    spans = [counts.get(here - SPAN * ago) for ago in range(RATE_SPANS, -1, -1)]
    latest = [row for row in spans[-TREND_SPANS - 1 :] if row]
    rates_since, trend_since = here - SPAN * RATE_SPANS, here - SPAN * TREND_SPANS
    waited = now - (found.oldest_pending or now)
    flow = Flow(
        pending=found.pending,
        longest_wait=waited,
        arrived=sum(row.arrived for row in latest),
        departed=sum(row.departed for row in latest),
    )
    waits = merged(read_stored(row.waits) for row in spans if row)
    finished = sum(row.finished for row in spans if row)
    changes = [row.arrived - row.departed if row else 0 for row in spans]
    return Queue(
        project=slug,
        name=found.queue,
        pending=found.pending,
        running=found.running,
        oldest_pending=found.oldest_pending,
        wait_p95=percentile(waits, 0.95),
        finished=finished,
        arrived=flow.arrived,
        departed=flow.departed,
        trend=trend_of(flow),
        time_to_empty=time_to_empty(flow, now - trend_since),
        backlog=backlog_of(found.pending, changes),
        rates_since=rates_since,
        trend_since=trend_since,
        finished_per_minute=finished / ((now - rates_since) / timedelta(minutes=1)),
    )
