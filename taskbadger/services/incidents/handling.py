"""What people do about incidents: acknowledge and snooze them, and take it back."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, update

from taskbadger.channels.text import moment
from taskbadger.domain.identity import Actor
from taskbadger.errors import Conflict, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Incident, IncidentEvent, IncidentNotice, Monitor
from taskbadger.services.organizations import audit

UNTIL_CHANGE = "until it changes"


class IncidentClosed(Conflict):
    """The incident is closed."""


class _Change(NamedTuple):
    """What is recorded of a change."""

    event: str
    """One of `domain.incidents.EVENTS`."""
    verb: str
    """Of the audit log."""
    detail: str = ""


def acknowledge(organization_id: int, incident_id: int, *, actor: Actor, now: datetime) -> Incident:
    """Say that *actor* is on it, also in the place of someone else.

    Raises NotFound and IncidentClosed.
    """
    incident = _lock(organization_id, incident_id)
    if incident.acknowledged_by != actor.name[:255]:
        incident.acknowledged_at, incident.acknowledged_by = now, actor.name[:255]
        _record(incident, _Change("acknowledged", "incident.acknowledge"), actor, now)
    return incident


def unacknowledge(
    organization_id: int, incident_id: int, *, actor: Actor, now: datetime
) -> Incident:
    """Take back that someone is on it. Raises NotFound and IncidentClosed."""
    incident = _lock(organization_id, incident_id)
    if incident.acknowledged_at is not None:
        detail = f"was {incident.acknowledged_by}"
        incident.acknowledged_at = incident.acknowledged_by = None
        change = _Change("unacknowledged", "incident.unacknowledge", detail)
        _record(incident, change, actor, now)
    return incident


def snooze(
    organization_id: int,
    incident_id: int,
    *,
    until: datetime | None,
    actor: Actor,
    now: datetime,
) -> Incident:
    """Silence an incident until a time, or with None until it changes.

    Raises NotFound, IncidentClosed, and ValidationFailed for a time that is not in the future.
    """
    if until is not None and until <= now:
        raise ValidationFailed.one("until", "This time is not in the future.")
    incident = _lock(organization_id, incident_id)
    incident.snoozed_at, incident.snoozed_until = now, until
    detail = UNTIL_CHANGE if until is None else f"until {moment(until)}"
    _record(incident, _Change("snoozed", "incident.snooze", detail), actor, now)
    return incident


def unsnooze(organization_id: int, incident_id: int, *, actor: Actor, now: datetime) -> Incident:
    """End a snooze now. Raises NotFound and IncidentClosed."""
    incident = _lock(organization_id, incident_id)
    if incident.snoozed_at is not None:
        incident.snoozed_at = incident.snoozed_until = None
        _record(incident, _Change("snooze_ended", "incident.unsnooze"), actor, now)
    return incident


def _lock(organization_id: int, incident_id: int) -> Incident:
    """Return an open incident, locked.

    FOR NO KEY UPDATE: a worker that tells about it holds its notices, which are changed here
    later, and inserts events, which take a key-share lock on this row.
    """
    incident = db.session.scalar(
        select(Incident)
        .where(Incident.id == incident_id, Incident.organization_id == organization_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if incident is None:
        raise NotFound()
    if incident.closed_at is not None:
        raise IncidentClosed()
    return incident


def _record(incident: Incident, change: _Change, actor: Actor, now: datetime) -> None:
    """Write the timeline and the audit log, and let the worker decide anew whom to tell."""
    event, verb, detail = change
    db.session.add(
        IncidentEvent(
            incident_id=incident.id,
            created=now,
            kind=event,
            actor=actor.name[:255],
            detail=detail,
        )
    )
    db.session.execute(
        update(IncidentNotice)
        .where(IncidentNotice.incident_id == incident.id)
        .values(next_at=now)
        .execution_options(synchronize_session=False)
    )
    number = f"incident {incident.id}"
    detail = f"{number}, {detail}" if detail else number
    subject = incident.name or _monitor_name(incident)
    audit.record(actor, incident.organization_id, verb, subject, detail, now=now)


def _monitor_name(incident: Incident) -> str:
    query = select(Monitor.name).where(Monitor.id == incident.monitor_id)
    return db.session.scalar(query) or ""
