"""Incidents: when the slots of a monitor make one, and who is told.

The caller holds the monitor's row. That alone makes one opening and one closing of what several
workers see at once; should it ever fail, the unique index on open incidents does not.
"""

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import select

from taskbadger.channels import Message
from taskbadger.channels.text import monitor_title
from taskbadger.clock import to_wire
from taskbadger.domain import slots as rules
from taskbadger.domain.monitors import ACTIVE, PAUSED, status_at
from taskbadger.domain.slots import OUTCOMES, SlotState
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Organization, Project, Slot
from taskbadger.services import deliveries, firing

_OUTCOMES = sorted(outcome.value for outcome in OUTCOMES)


def open_incident(monitor: Monitor) -> Incident | None:
    """Return the incident that a monitor is in; None for none."""
    return db.session.scalar(
        select(Incident).where(Incident.monitor_id == monitor.id, Incident.closed_at.is_(None))
    )


def judge(monitor: Monitor, *, turned_bad: int, now: datetime) -> None:
    """Open or close a monitor's incident by its finished slots, and tell of it, once.

    *turned_bad* is how many slots have turned bad since this was last asked.
    """
    if monitor.status == PAUSED:
        return
    incident = open_incident(monitor)
    if incident is not None:
        incident.bad_slots += turned_bad
    reach = monitor.failure_threshold if incident is None else monitor.recovery_threshold
    verdict = rules.judge(
        _last_outcomes(monitor, reach),
        is_open=incident is not None,
        failure_threshold=monitor.failure_threshold,
        recovery_threshold=monitor.recovery_threshold,
    )
    if verdict == "open":
        _open(monitor, max(turned_bad, monitor.failure_threshold), now)
    elif verdict == "close" and incident is not None:
        _close(monitor, incident, now)


def drop(monitor: Monitor, *, now: datetime) -> None:
    """Close the incident of a monitor that someone paused, if there is one, without a word."""
    incident = open_incident(monitor)
    if incident is not None:
        incident.closed_at = max(now, incident.opened_at)


def _last_outcomes(monitor: Monitor, count: int) -> list[SlotState]:
    """Return the outcomes of the last *count* finished slots since the schedule began anew.

    A slot with a deadline that is still to be looked at is not finished, whatever its state.
    """
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
    newest_first = [SlotState(state) for state, times in rows for _ in range(min(times, count))]
    return newest_first[:count][::-1]


def _open(monitor: Monitor, bad_slots: int, now: datetime) -> None:
    incident = Incident(
        monitor_id=monitor.id,
        opened_at=now,
        bad_slots=bad_slots,
        told=_may_tell(monitor, now),
    )
    db.session.add(incident)
    db.session.flush()
    if incident.told:
        _tell("monitor_failing", monitor, incident, now)


def _close(monitor: Monitor, incident: Incident, now: datetime) -> None:
    incident.closed_at = max(now, incident.opened_at)
    db.session.flush()
    if incident.told and _may_tell(monitor, now):
        _tell("monitor_recovered", monitor, incident, now)


def _may_tell(monitor: Monitor, now: datetime) -> bool:
    return status_at(monitor.status, monitor.muted_until, now) == ACTIVE


def _tell(kind: str, monitor: Monitor, incident: Incident, now: datetime) -> None:
    notices = json.loads(monitor.action)
    if not notices:
        return
    message, organization_id = _message(kind, monitor, incident, now)
    for place, notice in enumerate(notices):
        deliveries.queue(
            message,
            organization_id=organization_id,
            integration=notice["integration"],
            config=notice["config"],
            now=now,
            # With the monitor, for SQLite gives the ids of deleted incidents again.
            key=f"{kind} {monitor.id} {incident.id} {place}",
        )


def _message(kind: str, monitor: Monitor, incident: Incident, now: datetime) -> tuple[Message, int]:
    project, organization_id, organization = db.session.execute(
        select(Project.slug, Organization.id, Organization.slug)
        .join(Organization)
        .where(Project.id == monitor.project_id)
    ).one()
    base_url = firing.base_url()
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


def _shown_monitor(monitor: Monitor) -> dict[str, Any]:
    known = {
        "id": str(monitor.id),
        "name": monitor.name,
        "schedule": monitor.schedule,
        "timezone": monitor.timezone if monitor.schedule else None,
        "interval": monitor.interval,
    }
    return {name: value for name, value in known.items() if value is not None}


def _shown_incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "opened": to_wire(incident.opened_at),
        "closed": to_wire(incident.closed_at) if incident.closed_at else None,
        "bad_slots": incident.bad_slots,
    }
