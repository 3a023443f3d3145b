"""Queues: what waits in each, for how long, and whether it is backing up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Response, request

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.formats import about, visible
from taskbadger.blueprints.dashboard.shared import (
    chosen_projects,
    last_change,
    organization_projects,
    render_shared,
    share,
)
from taskbadger.blueprints.dashboard.tasks.query import list_url
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.queues import COUNT_CAP, Queue, Trend
from taskbadger.domain.search_text import with_term
from taskbadger.errors import NotFound
from taskbadger.services.stats import queues as service
from taskbadger.services.stats import runs

MAX_QUEUES = 200
"""Queues on a page."""
NO_QUEUE = "(no queue)"
"""What stands for the queue of tasks without one."""
_MAX_NAMED = 5
_MAX_LAG = timedelta(minutes=2)
"""How far the counts may lag behind before the page says so."""
_URGENCY = (
    Trend.STUCK,
    Trend.GROWING,
    Trend.STEADY,
    Trend.SHRINKING,
    Trend.KEEPING_UP,
    Trend.EMPTY,
)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue as the page shows it."""

    project: str
    name: str
    """What the page calls it."""
    trend: Trend
    why: str
    """What the trend is read from, in words."""
    pending: str
    pending_href: str
    running: str
    running_href: str
    oldest_pending: datetime | None
    wait_p95: float | None
    throughput: str
    href: str
    """The list of all its tasks."""
    backlog: list[int]


@blp.page("/a/<organization_slug>/queues/", role=roles.READ)
def queue_list() -> Response:
    """Show the queues, those that are backing up first."""
    slug = request.args.get("project", "")
    projects = chosen_projects(slug)
    if slug and not projects:
        raise NotFound()
    counted, minute = share("counted", runs.last_counted), utcnow().replace(second=0, microsecond=0)
    return render_shared(
        "dashboard/tasks/queues.html",
        f"{last_change(projects)}|{counted}|{minute}",
        lambda: _context(slug),
    )


def _context(slug: str) -> dict[str, Any]:
    now = utcnow()
    found, more = service.list_queues(chosen_projects(slug), MAX_QUEUES, now=now)
    many_projects = not slug and len(organization_projects()) > 1
    found.sort(key=lambda queue: (_URGENCY.index(queue.trend), -queue.pending))
    return {
        "queues": [make_row(queue) for queue in found],
        "verdict": verdict(found, many_projects=many_projects, more=more),
        "many_projects": many_projects,
        "projects": organization_projects(),
        "project": slug,
        "counted_until": _counted_until(now),
        "more": more,
        "limit": MAX_QUEUES,
    }


def _counted_until(now: datetime) -> datetime | None:
    """Return until when the history is counted; None if that is soon enough."""
    until = runs.counted_until()
    return until if until is not None and now - until > _MAX_LAG else None


def make_row(queue: Queue) -> QueueRow:
    """Return a row of the page."""
    search = with_term("", "queue", queue.name)
    waiting, running = (with_term(search, "status", word) for word in ("pending", "running"))
    return QueueRow(
        project=queue.project,
        name=visible(queue.name) if queue.name else NO_QUEUE,
        trend=queue.trend,
        why=why(queue),
        pending=_number(queue.pending),
        pending_href=list_url(waiting, queue.project),
        running=_number(queue.running),
        running_href=list_url(running, queue.project),
        oldest_pending=queue.oldest_pending,
        wait_p95=queue.wait_p95,
        throughput=throughput(queue),
        href=list_url(search, queue.project),
        backlog=queue.backlog,
    )


def _number(number: int) -> str:
    return f"{number:,}" + ("+" if number >= COUNT_CAP else "")


def why(queue: Queue) -> str:
    """Return in words what the trend of a queue is read from."""
    if queue.trend is Trend.STUCK:
        return "nothing left it"
    if queue.trend is Trend.EMPTY and not queue.arrived:
        return "nothing arrived"
    text = f"{queue.arrived:,} arrived, {queue.departed:,} left"
    if queue.trend is Trend.SHRINKING and queue.time_to_empty is not None:
        return f"{text}; empty in {about(queue.time_to_empty.total_seconds())}"
    return text


def throughput(queue: Queue) -> str:
    """Return how many runs finish, by the minute or, if they are few, by the hour."""
    if queue.finished_per_minute >= 1:
        return f"{queue.finished_per_minute:,.0f}/min"
    by_hour = queue.finished_per_minute * 60
    return f"{by_hour:,.0f}/h" if queue.finished else "–"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "is anything backing up?"."""

    tone: str
    text: str


def verdict(queues: list[Queue], *, many_projects: bool, more: bool = False) -> list[Verdict]:
    """Return the answer in one or two sentences; none without queues.

    If there are *more* queues than these, it does not say that all is well.
    """
    found = [
        Verdict("bad", f"{_named(queues, trend, many_projects=many_projects)}{words}.")
        for trend, words in ((Trend.STUCK, " not moving"), (Trend.GROWING, " backing up"))
        if any(queue.trend is trend for queue in queues)
    ]
    if found or not queues:
        return found
    if more:
        return [Verdict("warn", f"None of the {len(queues)} queues shown is backing up.")]
    return [Verdict("ok", "No queue is backing up.")]


def _named(queues: list[Queue], trend: Trend, *, many_projects: bool) -> str:
    """Return the names of the queues with a trend, and the verb."""
    names = [
        (f"“{visible(queue.name)}”" if queue.name else NO_QUEUE)
        + (f" in {queue.project}" if many_projects else "")
        for queue in queues
        if queue.trend is trend
    ]
    if len(names) == 1:
        return f"{names[0]} is"
    rest = len(names) - _MAX_NAMED
    shown = ", ".join(names[:_MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")
    return f"{len(names)} queues ({shown}) are"
