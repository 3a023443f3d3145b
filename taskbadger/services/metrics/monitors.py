"""Monitors and incidents: what is failing, and when each monitor's job last succeeded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import ScalarSelect, exists, func, select

from taskbadger.domain.monitors import PAUSED
from taskbadger.extensions import db
from taskbadger.models.monitor import GOOD_SLOT
from taskbadger.models.monitor_rows import INCIDENTS, MONITORS, SLOTS
from taskbadger.models.types import Column, Condition
from taskbadger.services.metrics.scope import Place, Scope

_monitor, _incident = MONITORS.c, INCIDENTS.c
_slot = SLOTS.c


class MonitorFigures(NamedTuple):
    """The state of a monitor."""

    place: Place
    label: str
    """Its name; with its id if the project has several of that name."""
    is_up: bool | None
    """Whether it is not failing; None while it is paused."""
    last_success: datetime | None
    """When its last successful run ended."""
    last_duration: float | None
    """How many seconds that run took."""


class _Row(NamedTuple):
    id: UUID
    project_id: int
    name: str
    status: str
    is_failing: bool
    ended_at: datetime | None
    started_at: datetime | None


def _last_good(column: Column) -> ScalarSelect[datetime]:
    """Return a column of the newest slot whose run succeeded."""
    return (
        select(column)
        .where(_slot.monitor_id == _monitor.id, cast(Condition, GOOD_SLOT))
        .order_by(_slot.expected_at.desc())
        .limit(1)
        .correlate(MONITORS)
        .scalar_subquery()
    )


def read_monitors(scope: Scope, places: Mapping[int, Place]) -> Sequence[MonitorFigures]:
    """Return the state of each monitor, in one statement."""
    is_failing = exists().where(_incident.monitor_id == _monitor.id, _incident.closed_at.is_(None))
    query = (
        select(
            _monitor.id,
            _monitor.project_id,
            _monitor.name,
            _monitor.status,
            is_failing,
            _last_good(_slot.ended_at),
            _last_good(_slot.started_at),
        )
        .where(*scope.in_projects(_monitor.project_id))
        .order_by(_monitor.id)
    )
    rows = [_Row._make(row) for row in db.session.execute(query)]
    names = Counter((row.project_id, row.name) for row in rows)
    return [
        _figures(row, places[row.project_id], is_unique=names[row.project_id, row.name] == 1)
        for row in rows
        if row.project_id in places
    ]


def _figures(row: _Row, place: Place, *, is_unique: bool) -> MonitorFigures:
    took = None
    if row.ended_at is not None and row.started_at is not None:
        took = max((row.ended_at - row.started_at).total_seconds(), 0.0)
    return MonitorFigures(
        place=place,
        label=row.name if is_unique else f"{row.name} ({row.id})",
        is_up=None if row.status == PAUSED else not row.is_failing,
        last_success=row.ended_at,
        last_duration=took,
    )


class Failing(NamedTuple):
    """What is failing in a project."""

    names: int
    incidents: int
    """Open ones, of names and of monitors."""


def read_failing(scope: Scope, places: Mapping[int, Place]) -> Mapping[Place, Failing]:
    """Return what is failing in each project."""
    found = dict.fromkeys(places.values(), Failing(0, 0))
    query = (
        select(_incident.project_id, func.count(_incident.name), func.count())
        .where(_incident.closed_at.is_(None), *scope.in_projects(_incident.project_id))
        .group_by(_incident.project_id)
    )
    for project_id, names, incidents in db.session.execute(query):
        if project_id in places:
            found[places[project_id]] = Failing(names, incidents)
    return found
