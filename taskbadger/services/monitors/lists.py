"""Lists of monitors, slots and incidents: a fixed number of queries, however long the list."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import case, exists, func, literal, or_, select
from sqlalchemy.orm import aliased

from taskbadger.clock import to_wire
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import PAUSED
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Project, Slot, SlotRun, Task
from taskbadger.models.types import Query, UTCDateTime
from taskbadger.schemas.fields import parse_moment
from taskbadger.services.pagination import (
    Cursor,
    Keyset,
    Order,
    Page,
    keyset_of,
    read_big_number,
    read_uuid,
    walk,
    walk_rows,
)

MAX_CHOICES = 200
"""Monitors that a form offers."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ListedMonitor(NamedTuple):
    """A monitor, and whether it is failing."""

    monitor: Monitor
    is_failing: bool


class ListedSlot(NamedTuple):
    """A slot, and the id of its first task; None if there was no run."""

    slot: Slot
    task_id: str | None


class ExpectedMonitor(NamedTuple):
    """A monitor whose run is expected next."""

    id: UUID
    name: str
    project: str
    """The project's slug."""
    expected_at: datetime


def list_monitors(project: ProjectRef, cursor: Cursor | None, size: int) -> Page[ListedMonitor]:
    """Return a page of a project's monitors, newest first."""
    query = (
        select(Monitor, Incident.id.isnot(None))
        .outerjoin(Incident, (Incident.monitor_id == Monitor.id) & Incident.closed_at.is_(None))
        .where(Monitor.project_id == project.id)
    )
    return walk_rows(query, _MONITORS, cursor, size, _fetch_monitors)


def list_choices(organization_id: int, chosen: str) -> list[tuple[str, str]]:
    """Return the ids and names of an organization's first monitors, and of the *chosen* one."""
    columns = select(Monitor.id, Monitor.name, Project.slug).join(Project)
    query = columns.where(Project.organization_id == organization_id)
    rows = db.session.execute(query.order_by(Monitor.name, Monitor.id).limit(MAX_CHOICES)).all()
    chosen_id = read_uuid(chosen)
    if chosen_id is not None and chosen_id not in {row.id for row in rows}:
        rows = [*rows, *db.session.execute(query.where(Monitor.id == chosen_id))]
    return [(str(row.id), f"{row.name} in {row.slug}") for row in rows]


def list_slots(monitor_id: UUID, cursor: Cursor | None, size: int) -> Page[ListedSlot]:
    """Return a page of a monitor's slots, newest first."""
    query = (
        select(Slot, SlotRun.task_id)
        .outerjoin(SlotRun, (SlotRun.slot_id == Slot.id) & ~SlotRun.is_extra)
        .where(Slot.monitor_id == monitor_id)
    )
    return walk_rows(query, _SLOTS, cursor, size, _fetch_slots)


def list_incidents(monitor_id: UUID, cursor: Cursor | None, size: int) -> Page[Incident]:
    """Return a page of a monitor's incidents, newest first."""
    query = select(Incident).where(Incident.monitor_id == monitor_id)
    return walk(query, _INCIDENTS, cursor, size)


def _fetch_monitors(query: Query) -> list[ListedMonitor]:
    return [ListedMonitor(monitor, failing) for monitor, failing in db.session.execute(query)]


def _fetch_slots(query: Query) -> list[ListedSlot]:
    return [ListedSlot(slot, task_id) for slot, task_id in db.session.execute(query)]


def _read_id(key: tuple[str, ...]) -> tuple[UUID] | None:
    monitor_id = read_uuid(key[0])
    return None if monitor_id is None else (monitor_id,)


def _read_moment(key: tuple[str, ...]) -> tuple[datetime] | None:
    moment = parse_moment(key[0])
    return None if moment is None else (moment,)


_MONITORS: Keyset[ListedMonitor] = Keyset(
    (Monitor.id.expression,), Order.DESCENDING, _read_id, lambda row: (str(row.monitor.id),)
)
_SLOTS: Keyset[ListedSlot] = Keyset(
    (Slot.expected_at.expression,),
    Order.DESCENDING,
    _read_moment,
    lambda row: (to_wire(row.slot.expected_at),),
)
_INCIDENTS = keyset_of(Incident.id, read_big_number, Order.DESCENDING)


def list_next_expected(organization_id: int, limit: int) -> list[ExpectedMonitor]:
    """Return the monitors whose runs are expected next, the soonest first."""
    query = (
        select(Monitor.id, Monitor.name, Project.slug, Monitor.expected_at)
        .join(Project, Project.id == Monitor.project_id)
        .where(
            Project.organization_id == organization_id,
            Monitor.expected_at.isnot(None),
            Monitor.status != PAUSED,
        )
        .order_by(Monitor.expected_at, Monitor.id)
        .limit(limit)
    )
    return [
        ExpectedMonitor(monitor_id, name, project, expected_at)
        for monitor_id, name, project, expected_at in db.session.execute(query)
        if expected_at is not None
    ]


_IS_FAILING = exists().where(Incident.monitor_id == Monitor.id, Incident.closed_at.is_(None))
_SORT_KEY = (case((_IS_FAILING, 0), else_=1), func.lower(Monitor.name), Monitor.id.expression)
"""Failing monitors come first, then the order is by name."""


def search_monitors(
    project_ids: Sequence[int],
    cursor: Cursor | None,
    size: int,
    *,
    only_failing: bool = False,
    search: str = "",
) -> Page[Monitor]:
    """Return a page of the monitors of some projects whose names contain *search*, in any case.

    Raises InvalidCursor, also if the last monitor of the previous page was deleted.
    """
    query = select(Monitor).where(Monitor.project_id.in_(project_ids))
    if only_failing:
        query = query.where(_IS_FAILING)
    if search:
        # SQLite's lower() only converts the letters a to z.
        folded = func.lower(Monitor.name).contains(search.lower(), autoescape=True)
        query = query.where(or_(folded, Monitor.name.contains(search, autoescape=True)))
    return walk(query, _BY_NAME, cursor, size)


def _read_sort_key(key: tuple[str, ...]) -> tuple[object, ...] | None:
    monitor_id = read_uuid(key[0])
    if monitor_id is None:
        return None
    found = db.session.execute(select(*_SORT_KEY).where(Monitor.id == monitor_id)).first()
    return None if found is None else tuple(found)


_BY_NAME: Keyset[Monitor] = Keyset(
    _SORT_KEY, Order.ASCENDING, _read_sort_key, lambda monitor: (str(monitor.id),)
)


def open_incidents(monitor_ids: Sequence[UUID]) -> dict[UUID, Incident]:
    """Return the open incidents of monitors, by the monitor's id."""
    found = db.session.scalars(
        select(Incident).where(Incident.monitor_id.in_(monitor_ids), Incident.closed_at.is_(None))
    )
    return {incident.monitor_id: incident for incident in found if incident.monitor_id}


def slots_version(monitor_ids: Sequence[UUID], count: int) -> list[tuple[object, ...]]:
    """Return a value that changes whenever the last *count* slots of these monitors do."""
    columns = select(Slot.id, Slot.state, Slot.started_at, Slot.ended_at, Slot.extra_runs)
    return [tuple(row) for row in db.session.execute(_last_slots(columns, monitor_ids, count))]


def runs_version(monitor_id: UUID, count: int) -> list[tuple[object, ...]]:
    """Return a value that changes whenever the last *count* runs of a monitor do."""
    query = (
        select(Task.id, Task.version)
        .where(Task.monitor_id == monitor_id)
        .order_by(Task.id.desc())
        .limit(count)
    )
    return [tuple(row) for row in db.session.execute(query)]


def recent_slots(monitor_ids: Sequence[UUID], count: int) -> dict[UUID, list[Slot]]:
    """Return the last *count* slots of each monitor, oldest first: what a strip shows."""
    found: dict[UUID, list[Slot]] = {monitor_id: [] for monitor_id in monitor_ids}
    for slot in db.session.scalars(_last_slots(select(Slot), monitor_ids, count)):
        found[slot.monitor_id].append(slot)
    return found


def _last_slots(columns: Query, monitor_ids: Sequence[UUID], count: int) -> Query:
    newest = aliased(Slot)
    # The slot *count* from the end, found in the index; a window function would read all slots.
    first = (
        select(newest.expected_at)
        .where(newest.monitor_id == Monitor.id)
        .order_by(newest.expected_at.desc())
        .offset(count - 1)
        .limit(1)
        .correlate(Monitor)
        .scalar_subquery()
    )
    return (
        columns.join(Monitor, Monitor.id == Slot.monitor_id)
        .where(Monitor.id.in_(monitor_ids))
        # With a constant for a missing slot, the index can still start the range there.
        .where(Slot.expected_at >= func.coalesce(first, literal(_EPOCH, UTCDateTime())))
        .order_by(Slot.expected_at)
    )
