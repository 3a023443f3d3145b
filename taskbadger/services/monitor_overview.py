"""What a page about many monitors shows: few queries, however many there are."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, exists, func, literal, or_, select, tuple_
from sqlalchemy.orm import aliased

from taskbadger.domain.monitors import PAUSED
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Project, Slot, Task
from taskbadger.models.types import UTCDateTime
from taskbadger.services.pagination import Cursor, InvalidCursor, Page, cut_page

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def list_next_expected(organization_id: int, limit: int) -> Sequence[Any]:
    """Return the monitors whose runs are expected next, the soonest first.

    Rows of ``id``, ``name``, ``project`` (its slug) and ``expected_at``.
    """
    query = (
        select(Monitor.id, Monitor.name, Project.slug.label("project"), Monitor.expected_at)
        .join(Project, Project.id == Monitor.project_id)
        .where(
            Project.organization_id == organization_id,
            Monitor.expected_at.isnot(None),
            Monitor.status != PAUSED,
        )
        .order_by(Monitor.expected_at, Monitor.id)
        .limit(limit)
    )
    return db.session.execute(query).all()


_IS_FAILING = exists().where(Incident.monitor_id == Monitor.id, Incident.closed_at.is_(None))
_PLACE = (case((_IS_FAILING, 0), else_=1), func.lower(Monitor.name), Monitor.id)
"""What the list is ordered by: the failing ones are on top, then it goes by name."""


def list_page(
    project_ids: Sequence[int],
    cursor: Cursor | None,
    size: int,
    *,
    only_failing: bool = False,
    search: str = "",
) -> Page[Monitor]:
    """Return a page of the monitors of some projects; *search* is a part of their names.

    Raises InvalidCursor, also where the monitor is gone after which the page begins.
    """
    query = select(Monitor).where(Monitor.project_id.in_(project_ids))
    if only_failing:
        query = query.where(_IS_FAILING)
    if search:
        # SQLite's lower() leaves all letters but a to z as they are.
        folded = func.lower(Monitor.name).contains(search.lower(), autoescape=True)
        query = query.where(or_(folded, Monitor.name.contains(search, autoescape=True)))
    backwards = cursor is not None and cursor.backwards
    if cursor is not None:
        place, at = tuple_(*_PLACE), _read_place(cursor)
        query = query.where(place < at if backwards else place > at)
    order = [column.desc() for column in _PLACE] if backwards else _PLACE
    rows = db.session.scalars(query.order_by(*order).limit(size + 1)).all()
    return cut_page(rows, size, cursor, key=lambda monitor: (str(monitor.id),))


def _read_place(cursor: Cursor) -> Any:
    try:
        monitor_id = UUID(cursor.key[0])
    except ValueError as error:
        raise InvalidCursor() from error
    found = db.session.execute(select(*_PLACE).where(Monitor.id == monitor_id)).first()
    if found is None:
        raise InvalidCursor()
    failing, name, number = found
    return tuple_(literal(failing), literal(name), literal(number, Monitor.id.type))


def open_incidents(monitor_ids: Sequence[UUID]) -> dict[UUID, Incident]:
    """Return the incidents in which monitors are, by the monitor's id."""
    found = db.session.scalars(
        select(Incident).where(Incident.monitor_id.in_(monitor_ids), Incident.closed_at.is_(None))
    )
    return {incident.monitor_id: incident for incident in found}


def slots_version(monitor_ids: Sequence[UUID], count: int) -> list[tuple[Any, ...]]:
    """Return what changes whenever the last *count* slots of these monitors do."""
    columns = select(Slot.id, Slot.state, Slot.started_at, Slot.ended_at, Slot.extra_runs)
    return [tuple(row) for row in db.session.execute(_last_slots(columns, monitor_ids, count))]


def runs_version(monitor_id: UUID, count: int) -> list[tuple[Any, ...]]:
    """Return what changes whenever the last *count* runs of a monitor do."""
    query = (
        select(Task.id, Task.version)
        .where(Task.monitor_id == monitor_id)
        .order_by(Task.created.desc(), Task.id.desc())
        .limit(count)
    )
    return [tuple(row) for row in db.session.execute(query)]


def recent_slots(monitor_ids: Sequence[UUID], count: int) -> dict[UUID, list[Slot]]:
    """Return the last *count* slots of each monitor, oldest first: what a strip shows."""
    found: dict[UUID, list[Slot]] = {monitor_id: [] for monitor_id in monitor_ids}
    for slot in db.session.scalars(_last_slots(select(Slot), monitor_ids, count)):
        found[slot.monitor_id].append(slot)
    return found


def _last_slots(columns: Any, monitor_ids: Sequence[UUID], count: int) -> Any:
    newest = aliased(Slot)
    # The one that is so many from the end, from the index; a window would read all slots.
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
        # A constant, so that the index takes it as the place to begin at.
        .where(Slot.expected_at >= func.coalesce(first, literal(_EVER, UTCDateTime())))
        .order_by(Slot.expected_at)
    )
