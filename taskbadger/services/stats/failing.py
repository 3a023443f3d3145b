"""What is failing now: monitors, and the names of tasks whose latest run failed.

``services/monitors/incidents.py`` decides about monitors. A name is failing for a day, or until a
run succeeds; this is read from the counts in ``run_stat``, and lags behind as they do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import func, literal_column, select
from sqlalchemy.orm import aliased

from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Project, RunStat
from taskbadger.models.types import Column, Query
from taskbadger.services.stats.rows import STATS
from taskbadger.services.stats.runs import DAY, floor

LASTS = timedelta(hours=24)
"""A name is failing for this long if it has no other run."""
COUNT_CAP = 1000

_stat = STATS.c
_later = aliased(RunStat)
# Literals, as in the index: planners do not use it for parameters.
_FAILED_DAY = (
    _stat.seconds == literal_column("86400"),
    _stat.last_outcome.in_([literal_column("'error'"), literal_column("'stale'")]),
)


class FailingMonitor(NamedTuple):
    """A monitor that is in an incident."""

    id: UUID
    name: str
    project: str
    """The project's slug."""
    opened_at: datetime
    """When the incident began."""


class FailingName(NamedTuple):
    """A name whose latest run failed."""

    name: str
    project: str
    """The project's slug."""
    last_outcome: str
    last: datetime
    """When the latest run ended."""


@dataclass(frozen=True, slots=True)
class Failing:
    """How many monitors and names are failing, up to COUNT_CAP each."""

    monitors: int
    names: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.monitors + self.names


def count_failing(organization_id: int, *, now: datetime) -> Failing:
    """Return how many monitors and names of an organization are failing, in one query."""
    monitors = (
        select(Incident.id)
        .join(Monitor, Monitor.id == Incident.monitor_id)
        .join(Project, Project.id == Monitor.project_id)
        .where(Project.organization_id == organization_id, Incident.closed_at.is_(None))
    )
    names = _failing_names([_stat.name], organization_id, now)
    numbers = (
        select(func.count()).select_from(some.limit(COUNT_CAP).subquery()).scalar_subquery()
        for some in (monitors, names)
    )
    return Failing(*db.session.execute(select(*numbers)).one())


def list_failing_monitors(organization_id: int, limit: int) -> Sequence[FailingMonitor]:
    """Return the monitors of an organization that are failing, the latest incident first."""
    query = (
        select(Monitor.id, Monitor.name, Project.slug.label("project"), Incident.opened_at)
        .join(Incident, Incident.monitor_id == Monitor.id)
        .join(Project, Project.id == Monitor.project_id)
        .where(Project.organization_id == organization_id, Incident.closed_at.is_(None))
        .order_by(Incident.opened_at.desc(), Incident.id.desc())
        .limit(limit)
    )
    return cast(Sequence[FailingMonitor], db.session.execute(query).all())


def list_failing_names(organization_id: int, limit: int, *, now: datetime) -> Sequence[FailingName]:
    """Return the names that are failing, the latest run first."""
    columns = (_stat.name, Project.slug.label("project"), _stat.last_outcome, _stat.last)
    query = _failing_names(columns, organization_id, now)
    query = query.join_from(RunStat, Project, Project.id == _stat.project_id)
    query = query.order_by(_stat.last.desc(), _stat.name).limit(limit)
    return cast(Sequence[FailingName], db.session.execute(query).all())


def _failing_names(columns: Sequence[Column], organization_id: int, now: datetime) -> Query:
    since = now - LASTS
    # The newest day of a name decides. Days with only cancelled runs are ignored.
    has_later = (
        select(_later.name)
        .where(
            _later.project_id == _stat.project_id,
            _later.seconds == DAY,
            _later.name == _stat.name,
            _later.start > _stat.start,
            _later.last_outcome.is_not(None),
        )
        .exists()
    )
    return select(*columns).where(
        _stat.project_id.in_(select(Project.id).where(Project.organization_id == organization_id)),
        *_FAILED_DAY,
        _stat.start >= floor(since, DAY),
        _stat.last >= since,
        ~has_later,
    )
