"""The end of a window: monitors start afresh, and the window waits for the end of its next span."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table, or_, select

from taskbadger.domain.windows import Span
from taskbadger.extensions import db, delete_some
from taskbadger.models import MaintenanceWindow
from taskbadger.services.delivery.windows import move_on, scope_of, timing_of
from taskbadger.services.monitors import restarts

KEPT = timedelta(days=400)
"""How long windows that are over are kept."""
_TICK = timedelta(microseconds=1)
_TABLE = cast(Table, MaintenanceWindow.__table__)


class Ended(NamedTuple):
    """How far the end of a window has come."""

    last: UUID | None
    """The monitor to go on after; None if this walk is over."""
    is_complete: bool
    """Whether no monitor was left out so far, because others had locked it."""


def list_due(*, now: datetime, limit: int = 100) -> Sequence[int]:
    """Return windows whose spans have ended, the longest ago first. Read-only."""
    return db.session.scalars(
        select(MaintenanceWindow.id)
        .where(MaintenanceWindow.ends_at <= now)
        .order_by(MaintenanceWindow.ends_at)
        .limit(limit)
    ).all()


def rewind(*, now: datetime) -> None:
    """Wait for the ends of the current spans again, after the clock was set back."""
    windows = db.session.scalars(
        select(MaintenanceWindow)
        .where(or_(MaintenanceWindow.schedule.is_not(None), MaintenanceWindow.ends > now))
        .order_by(MaintenanceWindow.id)
        .with_for_update()
    )
    for window in windows:
        move_on(window, now)
    db.session.flush()


def end_some(
    window_id: int, *, after: UUID | None, is_complete: bool, limit: int, now: datetime
) -> Ended:
    """Let up to *limit* monitors start afresh, those after the monitor *after*; the caller commits.

    With the last of them, unless some were left out in this walk, the window moves on to the end of
    its next span. Does nothing if another worker has locked the window, or was faster.
    """
    window = db.session.scalar(
        select(MaintenanceWindow)
        .where(MaintenanceWindow.id == window_id, MaintenanceWindow.ends_at <= now)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if window is None or window.ends_at is None:
        return Ended(None, is_complete=True)
    span = timing_of(window).last_span(window.ends_at - _TICK)
    done = restarts.Restarted(None, is_complete=True)
    if span is not None:
        ended = Span(span.start, window.ends_at)
        organization_id, scope = window.organization_id, scope_of(window)
        done = restarts.restart_some(
            organization_id, scope, ended, after=after, limit=limit, now=now
        )
    is_complete = is_complete and done.is_complete
    if done.last is None and is_complete:
        move_on(window, now)
        db.session.flush()
    return Ended(done.last, is_complete=is_complete)


def purge(*, now: datetime, limit: int = 500) -> int:
    """Delete up to *limit* windows that have been over for long; return how many."""
    is_over = (_TABLE.c.ends_at.is_(None), _TABLE.c.ends < now - KEPT)
    return delete_some(_TABLE, *is_over, limit=limit)
