"""Messages about incidents that a maintenance window holds back after they were queued.

In a window nothing about an incident is queued. What was queued before, and is not sent when the
window begins, waits for its end: then what still fails is told, once. A recovery is told to those
who know of the failure.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table, insert, select

from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident, IncidentEvent
from taskbadger.models.delivery import DROPPED, HELD
from taskbadger.models.incident_rows import FAILURES
from taskbadger.models.task_rows import TASKS, columns_of
from taskbadger.services.delivery import incident_keys, outcomes, windows
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.delivery.windows import Subject, WindowRow

RECOVERIES = ("task.recovered", "monitor_recovered")
KINDS = ("task.failing", "task.new_failure", "task.reminder", "monitor_failing", *RECOVERIES)
REMINDER = "task.reminder"

ENDED = "the incident ended before it was sent"
NOT_TOLD = "the failure was not told either"
TOLD_BEFORE = "combined into an earlier message"

_DELIVERY = cast(Table, Delivery.__table__)
_INCIDENT = cast(Table, Incident.__table__)
_delivery = _DELIVERY.c


class _IncidentRow(NamedTuple):
    id: int
    project_id: int
    name: str | None
    monitor_id: UUID | None
    closed_at: datetime | None


class _Earlier(NamedTuple):
    """A message about the same incident to the same channel, queued before."""

    state: str
    attempts: int
    held_by: str | None
    config: str

    @property
    def is_unknown(self) -> bool:
        """Whether nobody has got it, and nobody will because a window has held it back."""
        is_held = self.held_by is not None and self.held_by.startswith(HELD)
        return self.attempts == 0 and (self.state == DROPPED or is_held)


def monitor_of(incident_id: int, found: Iterable[WindowRow]) -> UUID | None:
    """Return the monitor whose runs failed in the incident of a name, if a window names any."""
    if all(window.monitor_id is None for window in found):
        return None  # Of a name without a monitor, the query reads all failures.
    query = (
        select(TASKS.c.monitor_id)
        .join_from(FAILURES, TASKS, TASKS.c.id == FAILURES.c.task_id)
        .where(FAILURES.c.incident_id == incident_id, TASKS.c.monitor_id.is_not(None))
        .limit(1)
    )
    monitor_id: UUID | None = db.session.scalar(query)
    return monitor_id


def decide(claimed: Claimed, *, now: datetime) -> Claimed | None:
    """Return the delivery as it is to be sent; None if it is dropped, or waits. The caller commits.

    The result is None, too, if the lease was lost.
    """
    number: int = json.loads(claimed.message)["incident"]["id"]
    incident = _find_incident(number)
    if incident is not None and _is_held(claimed, incident, now):
        return None
    # First its own row is changed, and so locked: the recovery, which looks at it, is queued after
    # the incident has closed.
    ready = outcomes.let_go(claimed) if claimed.was_held_by_window else claimed
    if ready is None or not claimed.is_first_attempt:
        return ready
    if claimed.kind in RECOVERIES:
        return _decide_recovery(ready, incident, now)
    return _decide_held(claimed, ready, number, now) if claimed.was_held_by_window else claimed


def _find_incident(incident_id: int) -> _IncidentRow | None:
    row = db.session.execute(
        select(*columns_of(_IncidentRow, _INCIDENT)).where(_INCIDENT.c.id == incident_id)
    ).first()
    return cast(_IncidentRow | None, row)


def _is_held(claimed: Claimed, incident: _IncidentRow, now: datetime) -> bool:
    """Let a message wait if a window covers its incident now; say whether one does."""
    active = windows.list_active(claimed.organization_id, now=now)
    if not active:
        return False
    monitor_id = incident.monitor_id or monitor_of(incident.id, active)
    subject = Subject(incident.project_id, incident.name, monitor_id)
    covering = windows.keep_covering(active, subject, now=now)
    if covering is not None:
        outcomes.hold(claimed, covering)
    return covering is not None


def _decide_held(
    claimed: Claimed, ready: Claimed, incident_id: int, now: datetime
) -> Claimed | None:
    """Decide about what a window has held back, at its end."""
    incident = _find_incident(incident_id)
    reason = None
    if incident is None or incident.closed_at is not None:
        reason = ENDED
    elif claimed.kind == REMINDER and _is_told_anyway(claimed, ready):
        reason = TOLD_BEFORE
    if reason is None:
        return ready
    _drop(claimed, incident, reason, now)
    return None


def _is_told_anyway(claimed: Claimed, ready: Claimed) -> bool:
    """Say whether the same window has held back an earlier message to the same channel."""
    found = _list_earlier(claimed, is_locked=False)
    return any(each.held_by in (claimed.held_by, ready.held_by) for each in found)


def _decide_recovery(
    claimed: Claimed, incident: _IncidentRow | None, now: datetime
) -> Claimed | None:
    earlier = _list_earlier(claimed, is_locked=True)
    if earlier and all(each.is_unknown for each in earlier):
        _drop(claimed, incident, NOT_TOLD, now)
        return None
    return claimed


def _list_earlier(claimed: Claimed, *, is_locked: bool) -> Sequence[_Earlier]:
    """Return the messages about the incident to the same channel that were queued before."""
    query = (
        select(*columns_of(_Earlier, _DELIVERY))
        .where(_delivery.key.in_(incident_keys.earlier(claimed.key or "")))
        .where(_delivery.integration == claimed.integration)
        .order_by(_delivery.id)
    )
    rows = db.session.execute(query.with_for_update() if is_locked else query)
    found = map(_Earlier._make, rows)
    return [each for each in found if each.config == claimed.config]


def _drop(claimed: Claimed, incident: _IncidentRow | None, reason: str, now: datetime) -> None:
    if outcomes.drop(claimed, reason, now=now) and incident is not None:
        detail = f"The message to {claimed.integration} was held back: {reason}."
        values = {"incident_id": incident.id, "created": now, "kind": "dropped", "detail": detail}
        db.session.execute(insert(IncidentEvent).values(values))
