"""Incidents: when the slots of a monitor open or close one, and who is notified.

A muted monitor sends no notices. Once the mute has ended, the worker sends that it fails, if the
incident is still open, or that it recovered, to those who had the notice of the failure.

The caller holds the lock on the monitor's row, so that concurrent workers open and close an
incident once; a unique index on open incidents enforces it.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import and_, or_, select

from taskbadger.channels import Message
from taskbadger.channels.text import monitor_title
from taskbadger.clock import to_wire
from taskbadger.domain.monitors import ACTIVE, MUTED, PAUSED, status_at
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.slots import OUTCOMES, IncidentChange, SlotState, decide_incident
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Organization, Project, Slot
from taskbadger.models.monitor import DEFERRED
from taskbadger.models.types import Query
from taskbadger.schemas.monitors import MAX_TARGETS
from taskbadger.services.delivery import outbox

_PLACES = range(MAX_TARGETS)
_OUTCOMES = sorted(outcome.value for outcome in OUTCOMES)


def open_incident(monitor: Monitor) -> Incident | None:
    """Return the open incident of a monitor; None for none."""
    return db.session.scalar(
        select(Incident).where(Incident.monitor_id == monitor.id, Incident.closed_at.is_(None))
    )


def is_failing(monitor: Monitor) -> bool:
    """Say whether the monitor has an open incident."""
    return open_incident(monitor) is not None


class Finished(NamedTuple):
    """A monitor whose slots have changed."""

    monitor: Monitor
    newly_bad: int
    """How many of its slots turned bad since its incident was last updated."""
    newest: Sequence[Slot] = ()
    """Its newest finished slots, oldest first, as far as the caller knows them."""


def update_incident(monitor: Monitor, *, newly_bad: int, now: datetime, base_url: str) -> None:
    """Open or close a monitor's incident as its finished slots require, and notify once.

    *newly_bad* is the number of slots that turned bad since the last call. *base_url* is what the
    link in a message starts with; without it there is none.
    """
    update_incidents([Finished(monitor, newly_bad)], now=now, base_url=base_url)


def update_incidents(results: Sequence[Finished], *, now: datetime, base_url: str) -> None:
    """Open or close the incidents of several monitors, like ``update_incident``."""
    active = [result for result in results if result.monitor.status != PAUSED]
    is_one = Incident.monitor_id.in_([result.monitor.id for result in active])
    query = select(Incident).where(is_one, Incident.closed_at.is_(None))
    known = {incident.monitor_id: incident for incident in db.session.scalars(query)}
    opened = []
    for result in active:
        incident = known.get(result.monitor.id)
        if incident is not None:
            incident.bad_slots += result.newly_bad
        change = _decide(result, is_open=incident is not None)
        if change == "open":
            opened.append((result.monitor, _open(result, now)))
        elif change == "close" and incident is not None:
            _close(result.monitor, incident, now, base_url)
    db.session.flush()
    for monitor, incident in opened:
        if incident.notified:
            _notify("monitor_failing", monitor, incident, now, base_url)


def _decide(result: Finished, *, is_open: bool) -> IncidentChange | None:
    monitor = result.monitor
    threshold = monitor.recovery_threshold if is_open else monitor.failure_threshold
    return decide_incident(
        _last_outcomes(monitor, threshold, result.newest),
        is_open=is_open,
        failure_threshold=monitor.failure_threshold,
        recovery_threshold=monitor.recovery_threshold,
    )


def close_silently(monitor: Monitor, *, now: datetime) -> None:
    """Close the open incident, if any, of a monitor that was paused; nobody is notified."""
    incident = open_incident(monitor)
    if incident is not None:
        incident.closed_at = max(now, incident.opened_at)


def monitors_with_deferred_notices(*, now: datetime) -> Query:
    """Select the ids of monitors that may notify again, and have a notice to send."""
    may_notify = or_(
        Monitor.status == ACTIVE, and_(Monitor.status == MUTED, Monitor.muted_until <= now)
    )
    return select(Monitor.id).where(
        Monitor.id.in_(select(Incident.monitor_id).where(DEFERRED)), may_notify
    )


def send_deferred(monitor: Monitor, *, now: datetime, base_url: str) -> None:
    """Send the notices that were deferred by a mute of the monitor, which is over."""
    if not _may_notify(monitor, now):
        return
    deferred = select(Incident).where(Incident.monitor_id == monitor.id, DEFERRED)
    for incident in db.session.scalars(deferred.order_by(Incident.id)).all():
        if incident.owes_recovery:
            incident.owes_recovery = False
            notified = outbox.targets_of([_key("monitor_failing", incident, at) for at in _PLACES])
            _notify("monitor_recovered", monitor, incident, now, base_url, notified)
        else:
            incident.notified = True
            _notify("monitor_failing", monitor, incident, now, base_url)


def _last_outcomes(monitor: Monitor, count: int, newest: Sequence[Slot]) -> list[SlotState]:
    """Return the outcomes of the last *count* finished slots since the schedule restarted.

    A slot that still has a deadline is not finished, whatever its state.
    """
    known = [(slot.state, slot.count) for slot in reversed(newest) if slot.epoch == monitor.epoch]
    if sum(times for _, times in known) < count:
        known = _read_outcomes(monitor, count)
    newest_first = [SlotState(state) for state, times in known for _ in range(min(times, count))]
    return newest_first[:count][::-1]


def _read_outcomes(monitor: Monitor, count: int) -> list[tuple[str, int]]:
    rows = db.session.execute(
        select(Slot.state, Slot.count)
        .where(
            Slot.monitor_id == monitor.id,
            Slot.epoch == monitor.epoch,
            Slot.state.in_(_OUTCOMES),
            Slot.deadline_at.is_(None),
        )
        .order_by(Slot.expected_at.desc())
        .limit(count)
    )
    return [(state, times) for state, times in rows]


def _open(result: Finished, now: datetime) -> Incident:
    incident = Incident(
        monitor_id=result.monitor.id,
        opened_at=now,
        bad_slots=max(result.newly_bad, result.monitor.failure_threshold),
        notified=_may_notify(result.monitor, now),
    )
    db.session.add(incident)
    return incident


def _close(monitor: Monitor, incident: Incident, now: datetime, base_url: str) -> None:
    incident.closed_at = max(now, incident.opened_at)
    incident.owes_recovery = incident.notified and not _may_notify(monitor, now)
    db.session.flush()
    if incident.notified and not incident.owes_recovery:
        _notify("monitor_recovered", monitor, incident, now, base_url)


def _may_notify(monitor: Monitor, now: datetime) -> bool:
    return status_at(monitor.status, monitor.muted_until, now) == ACTIVE


def _notify(
    kind: str,
    monitor: Monitor,
    incident: Incident,
    now: datetime,
    base_url: str,
    targets: Sequence[NotificationTarget] = (),
) -> None:
    """Queue a message for *targets*, by default those of the monitor now."""
    targets = targets or json.loads(monitor.targets)
    if not targets:
        return
    message, organization_id = _message(kind, monitor, incident, now, base_url)
    for place, target in enumerate(targets):
        outbox.queue(
            message,
            organization_id=organization_id,
            integration=target["integration"],
            config=target["config"],
            now=now,
            key=_key(kind, incident, place),
        )


def _key(kind: str, incident: Incident, place: int) -> str:
    # Includes the monitor, because SQLite reuses the ids of deleted incidents.
    return f"{kind} {incident.monitor_id} {incident.id} {place}"


def _message(
    kind: str, monitor: Monitor, incident: Incident, now: datetime, base_url: str
) -> tuple[Message, int]:
    project, organization_id, organization = db.session.execute(
        select(Project.slug, Organization.id, Organization.slug)
        .join(Organization)
        .where(Project.id == monitor.project_id)
    ).one()
    path = f"/a/{quote(organization)}/monitors/{monitor.id}/"
    message = Message(
        id="",
        kind=kind,
        created=now,
        organization=organization,
        project=project,
        title=monitor_title(monitor.name, kind),
        url=f"{base_url}{path}" if base_url else None,
        monitor=_shown_monitor(monitor),
        incident=_shown_incident(incident),
    )
    return message, organization_id


def _shown_monitor(monitor: Monitor) -> dict[str, str | int]:
    known = {
        "id": str(monitor.id),
        "name": monitor.name,
        "schedule": monitor.schedule,
        "timezone": monitor.timezone if monitor.schedule else None,
        "interval": monitor.interval,
    }
    return {name: value for name, value in known.items() if value is not None}


def _shown_incident(incident: Incident) -> dict[str, str | int | None]:
    return {
        "id": incident.id,
        "opened": to_wire(incident.opened_at),
        "closed": to_wire(incident.closed_at) if incident.closed_at else None,
        "bad_slots": incident.bad_slots,
    }
