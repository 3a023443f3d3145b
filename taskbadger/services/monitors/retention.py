"""Retention: deletes slots of long ago, with the note of what ran for them; never the last ones."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select

from taskbadger.domain.retention import Retention
from taskbadger.extensions import change_rows, db
from taskbadger.models import Monitor
from taskbadger.models.monitor_rows import SLOTS
from taskbadger.services.monitors import slots

_slot = SLOTS.c
MIN_KEPT = 1_000
"""So many slots of each monitor stay, whatever their age: more than any threshold asks for."""


def list_monitors(retention: Retention, after: UUID | None, *, limit: int) -> list[UUID]:
    """Return up to *limit* monitors of a project after *after*. Read-only."""
    query = select(Monitor.id).where(Monitor.project_id == retention.project_id)
    if after is not None:
        query = query.where(Monitor.id > after)
    return list(db.session.scalars(query.order_by(Monitor.id).limit(limit)))


def list_old(retention: Retention, monitor_id: UUID, *, now: datetime, limit: int) -> list[int]:
    """Return up to *limit* slots of a monitor that are kept no longer, oldest first. Read-only."""
    of_monitor = _slot.monitor_id == monitor_id
    newest = select(_slot.expected_at).where(of_monitor).order_by(_slot.expected_at.desc())
    last_kept = newest.offset(MIN_KEPT - 1).limit(1).scalar_subquery()
    query = select(_slot.id).where(
        of_monitor,
        _slot.expected_at < retention.start_of_slots(now),
        _slot.expected_at < last_kept,
    )
    return list(db.session.scalars(query.order_by(_slot.expected_at).limit(limit)))


def delete_listed(monitor_id: UUID, slot_ids: Sequence[int]) -> int:
    """Delete these slots of a monitor, which are never moved; return how many there were."""
    if slots.lock_monitor(monitor_id) is None:
        return 0
    return change_rows(delete(SLOTS).where(_slot.id.in_(slot_ids)))
