"""Incidents: when the slots of a monitor open or close one, and who is notified.

A muted monitor sends no notices. Once the mute has ended, the worker sends that it fails, if the
incident is still open, or that it recovered, to those who had the notice of the failure.

The caller holds the lock on the monitor's row, so that concurrent workers open and close an
incident once; a unique index on open incidents enforces it.
"""

import json
from collections.abc import Collection, Container, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import and_, bindparam, insert, or_, select, update

from taskbadger.channels import Message
from taskbadger.channels.text import monitor_title
from taskbadger.clock import to_wire
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import ACTIVE, MUTED, PAUSED, status_at
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.slots import decide_incident
from taskbadger.extensions import Statement, db
from taskbadger.models import Incident, Monitor, Organization, Project
from taskbadger.models.monitor import DEFERRED
from taskbadger.models.monitor_rows import (
    INCIDENT_COLUMNS,
    INCIDENTS,
    AnyIncident,
    AnyMonitor,
    AnySlot,
    IncidentRow,
)
from taskbadger.models.types import Query
from taskbadger.schemas.monitors import MAX_TARGETS
from taskbadger.services.delivery import outbox
from taskbadger.services.delivery.outbox import Outgoing
from taskbadger.services.monitors.outcomes import list_outcomes

_TARGET_NUMBERS = range(MAX_TARGETS)
_OPEN = select(*INCIDENT_COLUMNS).where(
    INCIDENTS.c.monitor_id.in_(bindparam("ids", expanding=True)), INCIDENTS.c.closed_at.is_(None)
)
_PROJECTS = (
    select(Project.id, Project.slug, Organization.id, Organization.slug)
    .join(Organization)
    .where(Project.id.in_(bindparam("ids", expanding=True)))
)
_INSERT = insert(INCIDENTS).returning(*INCIDENT_COLUMNS)
_UPDATE = Statement(update(INCIDENTS).where(INCIDENTS.c.id == bindparam("incident_id")), tuple)


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

    monitor: AnyMonitor
    newly_bad: int
    """How many of its slots turned bad since its incident was last updated."""
    newest: Sequence[AnySlot] = ()
    """Its newest finished slots, oldest first, as far as the caller knows them."""


class _Notice(NamedTuple):
    kind: str
    monitor: AnyMonitor
    incident: AnyIncident
    targets: Sequence[NotificationTarget] = ()
    """By default those of the monitor now."""


def update_incident(monitor: Monitor, *, newly_bad: int, now: datetime, base_url: str) -> None:
    """Open or close a monitor's incident as its finished slots require, and notify once.

    *newly_bad* is the number of slots that turned bad since the last call. *base_url* is what the
    link in a message starts with; without it there is none.
    """
    db.session.flush()
    update_incidents([Finished(monitor, newly_bad)], now=now, base_url=base_url)


def update_incidents(results: Sequence[Finished], *, now: datetime, base_url: str) -> None:
    """Open or close the incidents of several monitors, like ``update_incident``.

    The caller has flushed what it changed in the session.
    """
    active = [result for result in results if result.monitor.status != PAUSED]
    known = _list_open([result.monitor.id for result in active])
    outcomes = list_outcomes(
        (result.monitor, _threshold(result.monitor, known), result.newest) for result in active
    )
    to_open, changed, notices = {}, [], []
    for result in active:
        monitor, incident = result.monitor, known.get(result.monitor.id)
        change = decide_incident(
            outcomes[monitor.id],
            is_open=incident is not None,
            failure_threshold=monitor.failure_threshold,
            recovery_threshold=monitor.recovery_threshold,
        )
        if incident is None:
            if change == "open":
                to_open[monitor.id] = result
            continue
        after = incident._replace(bad_slots=incident.bad_slots + result.newly_bad)
        if change == "close":
            after = _closed(after, now, may_notify=_may_notify(monitor, now))
            if after.notified and not after.owes_recovery:
                notices.append(_Notice("monitor_recovered", monitor, after))
        if after != incident:
            changed.append(after)
    if changed:
        _UPDATE.run_each([_changes(incident) for incident in changed])
    for incident in _open([_new_incident(result, now) for result in to_open.values()]):
        if incident.notified:
            monitor = to_open[incident.monitor_id].monitor
            notices.append(_Notice("monitor_failing", monitor, incident))
    _notify(notices, now, base_url)


def _list_open(monitor_ids: Sequence[UUID]) -> dict[UUID, IncidentRow]:
    """Return the open incidents of these monitors, by their ids."""
    rows = db.session.execute(_OPEN, {"ids": monitor_ids}) if monitor_ids else ()
    return {row.monitor_id: row for row in map(IncidentRow._make, rows)}


def _threshold(monitor: AnyMonitor, open_incidents: Container[UUID]) -> int:
    is_open = monitor.id in open_incidents
    return monitor.recovery_threshold if is_open else monitor.failure_threshold


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
    notices = []
    for incident in db.session.scalars(deferred.order_by(Incident.id)).all():
        if incident.owes_recovery:
            incident.owes_recovery = False
            keys = [_key("monitor_failing", incident, number) for number in _TARGET_NUMBERS]
            notified = outbox.targets_of(keys)
            notices.append(_Notice("monitor_recovered", monitor, incident, notified))
        else:
            incident.notified = True
            notices.append(_Notice("monitor_failing", monitor, incident))
    _notify(notices, now, base_url)


def _new_incident(result: Finished, now: datetime) -> dict[str, object]:
    return {
        "monitor_id": result.monitor.id,
        "opened_at": now,
        "bad_slots": max(result.newly_bad, result.monitor.failure_threshold),
        "told": _may_notify(result.monitor, now),
        "owes_recovery": False,
    }


def _open(rows: Sequence[dict[str, object]]) -> list[IncidentRow]:
    """Insert incidents and return them, in any order."""
    return [IncidentRow._make(row) for row in db.session.execute(_INSERT, rows)] if rows else []


def _closed(incident: IncidentRow, now: datetime, *, may_notify: bool) -> IncidentRow:
    return incident._replace(
        closed_at=max(now, incident.opened_at),
        owes_recovery=incident.notified and not may_notify,
    )


def _changes(incident: IncidentRow) -> dict[str, object]:
    return {
        "incident_id": incident.id,
        "closed_at": incident.closed_at,
        "bad_slots": incident.bad_slots,
        "owes_recovery": incident.owes_recovery,
    }


def _may_notify(monitor: AnyMonitor, now: datetime) -> bool:
    return status_at(monitor.status, monitor.muted_until, now) == ACTIVE


def _notify(notices: Sequence[_Notice], now: datetime, base_url: str) -> None:
    """Queue the messages of all notices."""
    sent = [
        (notice, targets)
        for notice in notices
        if (targets := notice.targets or json.loads(notice.monitor.targets))
    ]
    projects = _find_projects({notice.monitor.project_id for notice, _ in sent})
    outgoing = []
    for notice, targets in sent:
        project = projects[notice.monitor.project_id]
        message = _message(notice, project, now, base_url)
        outgoing += [
            Outgoing(
                message,
                project.organization_id,
                target["integration"],
                target["config"],
                _key(notice.kind, notice.incident, number),
            )
            for number, target in enumerate(targets)
        ]
    outbox.queue_all(outgoing, now=now)


def _key(kind: str, incident: AnyIncident, number: int) -> str:
    # Includes the monitor, because SQLite reuses the ids of deleted incidents.
    return f"{kind} {incident.monitor_id} {incident.id} {number}"


def _find_projects(ids: Collection[int]) -> dict[int, ProjectRef]:
    """Return these projects, by their ids."""
    rows = db.session.execute(_PROJECTS, {"ids": list(ids)}) if ids else ()
    return {row[0]: ProjectRef(*row) for row in rows}


def _message(notice: _Notice, project: ProjectRef, now: datetime, base_url: str) -> Message:
    monitor = notice.monitor
    path = f"/a/{quote(project.organization)}/monitors/{monitor.id}/"
    return Message(
        id="",
        kind=notice.kind,
        created=now,
        organization=project.organization,
        project=project.slug,
        title=monitor_title(monitor.name, notice.kind),
        url=f"{base_url}{path}" if base_url else None,
        monitor=_shown_monitor(monitor),
        incident=_shown_incident(notice.incident),
    )


def _shown_monitor(monitor: AnyMonitor) -> dict[str, str | int]:
    known = {
        "id": str(monitor.id),
        "name": monitor.name,
        "schedule": monitor.schedule,
        "timezone": monitor.timezone if monitor.schedule else None,
        "interval": monitor.interval,
    }
    return {name: value for name, value in known.items() if value is not None}


def _shown_incident(incident: AnyIncident) -> dict[str, str | int | None]:
    return {
        "id": incident.id,
        "opened": to_wire(incident.opened_at),
        "closed": to_wire(incident.closed_at) if incident.closed_at else None,
        "bad_slots": incident.bad_slots,
    }
