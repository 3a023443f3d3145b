"""What a check has seen: its pings with their bodies, and its changes between up and down."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import aliased, defer

from taskbadger.domain.checks import Point, durations
from taskbadger.domain.pings import MAX_KEPT, Signal
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import Incident, Ping, Task

MAX_INCIDENTS = 1000
"""The latest incidents whose flips are listed."""


class ListedPing(NamedTuple):
    """A ping, how long the run took that it ended, and whether its body can be read."""

    ping: Ping
    duration: timedelta | None
    has_body: bool


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of a check's status."""

    at: datetime
    is_up: bool


@dataclass(frozen=True, slots=True)
class Period:
    """From when, inclusive, until when, exclusive, flips are wanted."""

    start: datetime | None = None
    end: datetime | None = None

    def contains(self, at: datetime) -> bool:
        """Say whether *at* is in it."""
        return (self.start is None or at >= self.start) and (self.end is None or at < self.end)


def list_pings(monitor_id: UUID) -> list[ListedPing]:
    """Return the latest pings of a check, newest first."""
    query = (
        select(Ping)
        .where(Ping.monitor_id == monitor_id)
        .order_by(Ping.number.desc())
        .options(defer(Ping.body, raiseload=True))
    )
    # Those that wait to be deleted may tell when a run began.
    kept = db.session.scalars(query).all()
    took = durations(Point(ping.signal, ping.run_id, ping.created) for ping in reversed(kept))
    bodies = _readable(kept)
    listed = zip(kept, reversed(took), bodies, strict=True)
    return [ListedPing(*each) for each in listed][:MAX_KEPT]


def _readable(pings: Sequence[Ping]) -> list[bool]:
    """Say of each of *pings*, newest first, whether its body is kept.

    The output of a run is in its task, which keeps that of its last ping only.
    """
    seen: set[str] = set()
    found = []
    for ping in pings:
        is_overwritten = ping.task_id in seen
        if ping.has_body and ping.task_id is not None:
            seen.add(ping.task_id)
        found.append(ping.has_body and not is_overwritten)
    return found


def read_body(monitor_id: UUID, number: int) -> str:
    """Return the body of a ping; raises NotFound if there is none, or none any more."""
    later = aliased(Ping)
    is_overwritten = exists().where(
        later.monitor_id == Ping.monitor_id,
        later.task_id == Ping.task_id,
        later.number > Ping.number,
        later.has_body,
    )
    row = db.session.execute(
        select(Ping.signal, Ping.body, Task.data, is_overwritten)
        .outerjoin(Task, Task.id == Ping.task_id)
        .where(Ping.monitor_id == monitor_id, Ping.number == number, Ping.has_body)
    ).first()
    if row is None:
        raise NotFound()
    signal, body, data, has_later = row
    if signal != Signal.LOG:
        body = None if has_later else _output(data)
    if not isinstance(body, str):
        raise NotFound()
    return body


def _output(data: str | None) -> Any:
    found = json.loads(data) if data else None
    return found.get("output") if isinstance(found, dict) else None


def list_flips(monitor_id: UUID, period: Period) -> list[Flip]:
    """Return the flips of a check in a period, newest first: its incidents open and close."""
    query = select(Incident.opened_at, Incident.closed_at).where(Incident.monitor_id == monitor_id)
    rows = db.session.execute(query.order_by(Incident.id.desc()).limit(MAX_INCIDENTS))
    flips = []
    for opened_at, closed_at in rows:
        if closed_at is not None:
            flips.append(Flip(closed_at, is_up=True))
        flips.append(Flip(opened_at, is_up=False))
    return [flip for flip in flips if period.contains(flip.at)]
