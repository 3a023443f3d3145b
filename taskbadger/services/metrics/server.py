"""The server itself: whether its worker keeps up, and how much disk the database takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Table, func, select, text

from taskbadger.extensions import db
from taskbadger.models import FailureKind, MaintenanceWindow, Membership
from taskbadger.models.failure import IGNORED
from taskbadger.models.incident_rows import NOTICES
from taskbadger.models.monitor_rows import SLOTS
from taskbadger.models.task_rows import TASKS
from taskbadger.services import outage
from taskbadger.services.stats import delivery_counts, runs

_kind = cast(Table, FailureKind.__table__).c
_member = cast(Table, Membership.__table__).c
_window = cast(Table, MaintenanceWindow.__table__).c

# What each step does next; every one of them is the first entry of an index.
_NEXT = {
    "mark_stale": select(func.min(TASKS.c.stale_at)).where(TASKS.c.stale_at.is_not(None)),
    "mark_overdue": select(func.min(TASKS.c.overdue_at)).where(TASKS.c.overdue_at.is_not(None)),
    "close_slots": select(func.min(SLOTS.c.deadline_at)).where(SLOTS.c.deadline_at.is_not(None)),
    "tell_incidents": select(func.min(NOTICES.c.next_at)).where(NOTICES.c.next_at.is_not(None)),
    "end_windows": select(func.min(_window.ends_at)).where(_window.ends_at.is_not(None)),
    "end_ignoring": select(func.min(_kind.ignored_until)).where(_kind.state == IGNORED),
    "send_digests": select(func.min(_member.next_digest_at)).where(
        _member.next_digest_at.is_not(None)
    ),
}
_SIZE = {
    "postgresql": "SELECT pg_database_size(current_database())",
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
}


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """What the operator of a server wants to know of it."""

    turns: Mapping[str, float]
    """When each step of the worker last ended, in Unix seconds."""
    lags: Mapping[str, float]
    """For how many seconds each step has left undone what was due."""
    count_lag: float
    """For how many seconds the history has not been counted."""
    database_bytes: int


def read_server(*, now: datetime) -> ServerFigures:
    """Return the figures of the server."""
    columns = [query.scalar_subquery().label(step) for step, query in _NEXT.items()]
    due = db.session.execute(select(*columns)).one()
    lags = {step: _seconds_since(moment, now) for step, moment in zip(_NEXT, due, strict=True)}
    lags["count_runs"] = _seconds_since(runs.counted_until(), now)
    lags["count_deliveries"] = _seconds_since(delivery_counts.counted_until(), now)
    return ServerFigures(
        turns=outage.read_turns(),
        lags=lags,
        count_lag=lags["count_runs"],
        database_bytes=db.session.scalar(text(_SIZE[db.engine.dialect.name])) or 0,
    )


def _seconds_since(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max((now - moment).total_seconds(), 0.0)
