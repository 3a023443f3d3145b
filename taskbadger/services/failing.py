"""What is failing now: monitors, and the names of tasks whose latest run failed.

A monitor fails by its own rules (``incidents.py``), a name for a day or until a run succeeds. Names
are read from the counts of ``run_stats``, and so are as far behind as they.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Select, Table, func, literal_column, select
from sqlalchemy.orm import aliased

from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Project, RunStat
from taskbadger.services.run_stats import DAY, floor

LASTS = timedelta(hours=24)
"""A name without another run is no longer counted as failing after so long."""
COUNT_CAP = 1000

_stat = cast(Table, RunStat.__table__).c
_later = aliased(RunStat)
# Written out, as in the index: with parameters in their places planners would not take it.
_FAILED_DAY = (
    _stat.seconds == literal_column("86400"),
    _stat.last_outcome.in_([literal_column("'error'"), literal_column("'stale'")]),
)


@dataclass(frozen=True, slots=True)
class Failing:
    """How many things fail; each number stops at COUNT_CAP."""

    monitors: int
    names: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.monitors + self.names


def count_failing(organization_id: int, *, now: datetime) -> Failing:
    """Return how many monitors and names of an organization fail, in one look-up."""
    monitors = (
        select(Incident.id)
        .join(Monitor, Monitor.id == Incident.monitor_id)
        .join(Project, Project.id == Monitor.project_id)
        .where(Project.organization_id == organization_id, Incident.closed_at.is_(None))
    )
    names = _failing_names((_stat.name,), organization_id, now)
    numbers = (
        select(func.count()).select_from(some.limit(COUNT_CAP).subquery()).scalar_subquery()
        for some in (monitors, names)
    )
    return Failing(*db.session.execute(select(*numbers)).one())


def list_failing_monitors(organization_id: int, limit: int) -> Sequence[Any]:
    """Return the monitors of an organization that are failing, the latest first.

    Rows of ``id``, ``name``, ``project`` (its slug) and ``opened_at`` of the incident.
    """
    query = (
        select(Monitor.id, Monitor.name, Project.slug.label("project"), Incident.opened_at)
        .join(Incident, Incident.monitor_id == Monitor.id)
        .join(Project, Project.id == Monitor.project_id)
        .where(Project.organization_id == organization_id, Incident.closed_at.is_(None))
        .order_by(Incident.opened_at.desc(), Incident.id.desc())
        .limit(limit)
    )
    return db.session.execute(query).all()


def list_failing_names(organization_id: int, limit: int, *, now: datetime) -> Sequence[Any]:
    """Return the names that fail, the latest first.

    Rows of ``name``, ``project`` (its slug), ``last_outcome`` and ``last`` (when a run ended last).
    """
    columns = (_stat.name, Project.slug.label("project"), _stat.last_outcome, _stat.last)
    query = _failing_names(columns, organization_id, now)
    query = query.join_from(RunStat, Project, Project.id == _stat.project_id)
    return db.session.execute(query.order_by(_stat.last.desc(), _stat.name).limit(limit)).all()


def _failing_names(columns: tuple[Any, ...], organization_id: int, now: datetime) -> Select[Any]:
    since = now - LASTS
    # The newest day of a name tells; a day on which all was called off says nothing.
    is_over = (
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
        ~is_over,
    )
