"""The end of a maintenance window: the deadlines of the monitors that it covered start afresh.

What was expected inside is skipped; an interval begins anew. Doing it twice changes nothing, so a
worker that was killed in between does it again from the start.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import or_, select

from taskbadger.domain.monitors import INTERVAL, PAUSED
from taskbadger.domain.slots import SlotState
from taskbadger.domain.windows import Scope, Span
from taskbadger.errors import ScheduleError
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.models.monitor_rows import (
    MONITOR_COLUMNS,
    MONITORS,
    SLOT_COLUMNS,
    SLOTS,
    MonitorRow,
    SlotRow,
)
from taskbadger.models.types import Condition
from taskbadger.services.monitors import slots
from taskbadger.services.monitors.closing import Closing, restart, write_slots

_AT_ONCE = 1000
"""Monitors whose deadlines start afresh with a few statements."""

_monitor, _slot = MONITORS.c, SLOTS.c


class Restarted(NamedTuple):
    """How far a walk through the monitors that a window covered has come."""

    last: UUID | None
    """The last one; None if there are no more."""
    is_complete: bool
    """False if others had locked some of them, which are left for another walk."""


def restart_all(organization_id: int, scope: Scope, span: Span, *, now: datetime) -> None:
    """Let the deadlines of all monitors start afresh, now or at the end of *span*."""
    last: UUID | None = None
    while True:
        ids = _list_covered(organization_id, scope, span, last, _AT_ONCE, now)
        _restart(ids, span, now, skip_locked=False)
        if len(ids) < _AT_ONCE:
            return
        last = ids[-1]


def restart_some(
    organization_id: int,
    scope: Scope,
    span: Span,
    *,
    after: UUID | None,
    limit: int,
    now: datetime,
) -> Restarted:
    """Let the deadlines of up to *limit* monitors start afresh, those after *after*."""
    ids = _list_covered(organization_id, scope, span, after, limit, now)
    locked = _restart(ids, span, now, skip_locked=True)
    return Restarted(ids[-1] if len(ids) == limit else None, is_complete=locked == len(ids))


def _list_covered(
    organization_id: int,
    scope: Scope,
    span: Span,
    after: UUID | None,
    limit: int,
    now: datetime,
) -> Sequence[UUID]:
    """Return monitors that the window covered, whose current slots may have to start afresh."""
    if scope.name_pattern:
        return []
    where: list[Condition] = [
        _monitor.project_id.in_(
            select(Project.id).where(Project.organization_id == organization_id)
        ),
        _monitor.seen,
        _monitor.status != PAUSED,
        or_(_monitor.type == INTERVAL, _monitor.expected_at < min(span.end, now)),
    ]
    if scope.project_id is not None:
        where.append(_monitor.project_id == scope.project_id)
    if scope.monitor_id is not None:
        where.append(_monitor.id == scope.monitor_id)
    if after is not None:
        where.append(_monitor.id > after)
    query = select(_monitor.id).where(*where).order_by(_monitor.id).limit(limit)
    return db.session.scalars(query).all()


def _restart(ids: Sequence[UUID], span: Span, now: datetime, *, skip_locked: bool) -> int:
    """Let deadlines start afresh; return how many of the monitors could be locked."""
    if not ids:
        return 0
    query = select(*MONITOR_COLUMNS).where(_monitor.id.in_(ids)).order_by(_monitor.id)
    rows = db.session.execute(query.with_for_update(skip_locked=skip_locked))
    locked = {row.id: MonitorRow._make(row) for row in rows}
    expected = select(*SLOT_COLUMNS).where(
        _slot.monitor_id.in_(list(locked)),
        _slot.state == SlotState.EXPECTED.value,
        _slot.deadline_at.is_not(None),
    )
    found = [SlotRow._make(row) for row in db.session.execute(expected)] if locked else []
    span = Span(span.start, min(span.end, now))
    closings = [_closing(locked[slot.monitor_id], slot, span) for slot in found]
    write_slots([closing for closing in closings if closing is not None])
    return len(locked)


def _closing(monitor: MonitorRow, slot: SlotRow, span: Span) -> Closing | None:
    """Return what changes of a slot; None for nothing."""
    if not slots.is_current(monitor, slot) or monitor.status == PAUSED:
        return None
    closing = Closing(monitor)
    try:
        if _is_affected(monitor, slot, span):
            restart(closing, slot, span)
    except ScheduleError as error:
        slots.drop_deadlines(monitor.id, error)
        return None
    return closing


def _is_affected(monitor: MonitorRow, slot: SlotRow, span: Span) -> bool:
    """Say whether the next run is expected too early: before the end or, of an interval, soon."""
    if monitor.type != INTERVAL:
        return slot.expected_at < span.end
    begins_anew = slots.schedule_of(monitor).next_after(span.end)
    return span.start <= slot.expected_at < begins_anew
