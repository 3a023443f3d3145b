"""Monitors as checks: what the API of Healthchecks says of them, however many, in one statement."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select

from taskbadger.domain.checks import Condition, Status, read_unique_key, split_tags
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import is_monitor_slug
from taskbadger.domain.pings import ENDS
from taskbadger.domain.status import ERROR, SUCCESS
from taskbadger.errors import NotFound, PermissionDenied
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Ping, Project, SlotRun, Task
from taskbadger.models.types import Query
from taskbadger.schemas.checks import Figures
from taskbadger.services.monitors import slots


class Check(NamedTuple):
    """A monitor, and what its pings and runs say."""

    monitor: Monitor
    is_failing: bool
    is_running: bool
    pings: int
    last_ping: datetime | None
    run_started: datetime | None
    """When the last run began that has ended."""
    run_ended: datetime | None

    def figures(self, now: datetime) -> Figures:
        """Return what the API says of it at *now*."""
        monitor = self.monitor
        last_ping = self.last_ping or self.run_ended
        # While its first run goes on, a check is new.
        is_seen = monitor.seen and not (self.is_running and last_ping is None)
        condition = Condition(
            monitor.status, is_seen, self.is_failing, self.is_running, monitor.expected_at
        )
        status = condition.at(now)
        return Figures(
            status=status,
            is_running=self.is_running,
            grace=int(slots.grace_of(monitor).total_seconds()),
            pings=self.pings,
            last_ping=last_ping,
            next_ping=monitor.expected_at if status in (Status.UP, Status.GRACE) else None,
            last_duration=self._duration(),
        )

    def _duration(self) -> int | None:
        """Return the seconds of the last run; None if nothing but its end was reported."""
        if self.run_started is None or self.run_ended is None:
            return None
        if self.run_ended <= self.run_started:
            return None
        return int((self.run_ended - self.run_started).total_seconds())


_LAST_PING = (
    select(Ping.created)
    .where(Ping.monitor_id == Monitor.id, Ping.signal.in_(sorted(ENDS)))
    .order_by(Ping.number.desc())
    .limit(1)
    .correlate(Monitor)
    .scalar_subquery()
)
_PINGS = (
    select(func.coalesce(func.max(Ping.number), 0))
    .where(Ping.monitor_id == Monitor.id)
    .correlate(Monitor)
    .scalar_subquery()
)


def _of_last_run(column: ColumnElement[datetime | None]) -> ColumnElement[datetime | None]:
    """Select *column* of the last run that has ended; a join would be planned badly."""
    return (
        select(column)
        .where(
            Task.monitor_id == Monitor.id,
            Task.status.in_((SUCCESS, ERROR)),
            Task.end_time.isnot(None),
        )
        .order_by(Task.id.desc())
        .limit(1)
        .correlate(Monitor)
        .scalar_subquery()
    )


_IS_FAILING = exists().where(Incident.monitor_id == Monitor.id, Incident.closed_at.is_(None))
_IS_RUNNING = exists().where(SlotRun.monitor_id == Monitor.id, SlotRun.ended_at.is_(None))
_CHECKS = select(
    Monitor,
    _IS_FAILING,
    _IS_RUNNING,
    _PINGS,
    _LAST_PING,
    _of_last_run(Task.start_time.expression),
    _of_last_run(Task.end_time.expression),
)


def list_checks(
    project: ProjectRef, *, slug: str | None = None, tags: Iterable[str] = ()
) -> list[Check]:
    """Return the checks of a project, oldest first: with this slug, and with all of these tags."""
    query = _CHECKS.where(Monitor.project_id == project.id).order_by(Monitor.id)
    if slug:
        if not is_monitor_slug(slug):
            return []
        query = query.where(Monitor.slug == slug)
    wanted = set(tags)
    return [check for check in _fetch(query) if wanted.issubset(split_tags(check.monitor.tags))]


def get_check(project: ProjectRef, ping_id: UUID) -> Check:
    """Return the check with this address.

    Raises NotFound, and PermissionDenied for that of another project.
    """
    return _one(project, Monitor.ping_id == ping_id)


def get_by_id(project: ProjectRef, monitor_id: UUID) -> Check:
    """Return the check of a monitor; raises NotFound and PermissionDenied."""
    return _one(project, Monitor.id == monitor_id)


def get_by_unique_key(project: ProjectRef, key: str) -> Check:
    """Return the check that a unique key stands for; raises NotFound."""
    monitor_id = read_unique_key(key)
    if monitor_id is None:
        raise NotFound()
    return _one(project, Monitor.id == monitor_id, Monitor.project_id == project.id)


def _one(project: ProjectRef, *where: Any) -> Check:
    found = _fetch(_CHECKS.where(*where))
    if not found:
        raise NotFound()
    if found[0].monitor.project_id != project.id:
        raise PermissionDenied()
    return found[0]


def _fetch(query: Query) -> list[Check]:
    rows = db.session.execute(query.execution_options(populate_existing=True))
    return [Check(*row) for row in rows]


def ask_database() -> None:
    """Raise the database's error if it does not answer."""
    db.session.execute(select(1))


# Badges


class BadgeOf(NamedTuple):
    """What a badge is about: its label, and the checks that it sums up."""

    label: str
    statuses: Sequence[Status]


_STATES = select(
    Monitor.status, Monitor.seen, _IS_FAILING, _IS_RUNNING, Monitor.expected_at, Monitor.tags
)


def list_tags(project: ProjectRef) -> list[str]:
    """Return all tags of a project's checks, in order."""
    texts = db.session.scalars(
        select(Monitor.tags).where(Monitor.project_id == project.id, Monitor.tags != "").distinct()
    )
    return sorted({tag for text in texts for tag in split_tags(text)})


def badge_of_project(project_id: int, *, now: datetime) -> BadgeOf:
    """Return what the badge of all checks of a project says; raises NotFound."""
    slug = db.session.scalar(select(Project.slug).where(Project.id == project_id))
    if slug is None:
        raise NotFound()
    return BadgeOf(slug, _statuses(project_id, now, lambda _tags: True))


def badge_of_tag(project_id: int, tag: str, *, now: datetime) -> BadgeOf:
    """Return what the badge of a tag says."""
    return BadgeOf(tag, _statuses(project_id, now, lambda tags: tag in split_tags(tags)))


def badge_of_check(monitor_id: UUID, *, now: datetime) -> BadgeOf:
    """Return what the badge of one check says; raises NotFound."""
    name = db.session.scalar(select(Monitor.name).where(Monitor.id == monitor_id))
    if name is None:
        raise NotFound()
    rows = db.session.execute(_STATES.where(Monitor.id == monitor_id))
    return BadgeOf(name, [Condition(*row[:-1]).at(now) for row in rows])


def _statuses(project_id: int, now: datetime, belongs: Callable[[str], bool]) -> list[Status]:
    rows = db.session.execute(_STATES.where(Monitor.project_id == project_id))
    return [Condition(*row[:-1]).at(now) for row in rows if belongs(row.tags)]
