"""Incidents: when the slots of a monitor open or close one, and who is notified.

A monitor that is muted or in a maintenance window sends no notices. Once that has ended, the worker
sends that it fails, if the incident is still open, or that it recovered, to those who had the
notice of the failure.

The caller holds the lock on the monitor's row, so that concurrent workers open and close an
incident once; a unique index on open incidents enforces it.
"""

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import and_, bindparam, insert, or_, select, update

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import ACTIVE, MUTED, PAUSED, status_at
from taskbadger.domain.slots import IncidentChange, SlotState, decide_incident
from taskbadger.extensions import Statement, db
from taskbadger.models import Incident, Monitor, Project
from taskbadger.models.incident import DEFERRED
from taskbadger.models.monitor_rows import (
    INCIDENT_COLUMNS,
    INCIDENTS,
    AnyMonitor,
    AnySlot,
    IncidentRow,
)
from taskbadger.models.types import Condition, Query
from taskbadger.services.delivery import incident_keys, outbox, windows
from taskbadger.services.incidents import noting, timeline
from taskbadger.services.monitors import covers
from taskbadger.services.monitors.notices import Notice, notify
from taskbadger.services.monitors.outcomes import list_outcomes
from taskbadger.services.organizations import projects

HELD = "Held back by a mute or a maintenance window."
_OPEN = select(*INCIDENT_COLUMNS).where(
    INCIDENTS.c.monitor_id.in_(bindparam("ids", expanding=True)), INCIDENTS.c.closed_at.is_(None)
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
    error: str | None = None
    """Why its last run failed, in one line; None if it did not, or does not say."""


def update_incident(
    monitor: Monitor, *, newly_bad: int, now: datetime, base_url: str, why: str | None = None
) -> None:
    """Open or close a monitor's incident as its finished slots require, and notify once.

    *newly_bad* is the number of slots that turned bad since the last call. *base_url* is what the
    link in a message starts with; without it there is none. *why* says why its run failed.
    """
    db.session.flush()
    finished = Finished(monitor, newly_bad, error=why)
    update_incidents([finished], now=now, base_url=base_url)


def update_incidents(results: Sequence[Finished], *, now: datetime, base_url: str) -> None:
    """Open or close the incidents of several monitors, like ``update_incident``.

    The caller has flushed what it changed in the session.
    """
    active = [result for result in results if result.monitor.status != PAUSED]
    known = _list_open([result.monitor.id for result in active])
    outcomes = list_outcomes(
        (result.monitor, _threshold(result.monitor, known), result.newest) for result in active
    )
    decided = _decide(active, known, outcomes)
    covered = covers.covered((one.monitor for one in active if decided[one.monitor.id]), now=now)
    to_open, changed, notices = {}, [], []
    for result in active:
        monitor, incident = result.monitor, known.get(result.monitor.id)
        change = decided[monitor.id]
        if incident is None:
            if change == "open":
                to_open[monitor.id] = result
            continue
        after = incident._replace(bad_slots=incident.bad_slots + result.newly_bad)
        if change == "close":
            after = _closed(after, now, may_notify=_may_notify(monitor, covered, now))
            if after.notified and not after.owes_recovery:
                notices.append(Notice("monitor_recovered", monitor, after))
        if after != incident:
            changed.append(after)
    if changed:
        _UPDATE.run_each([_changes(incident) for incident in changed])
    monitors = [each.monitor for each in to_open.values()]
    monitors += [notice.monitor for notice in notices]
    found = projects.list_refs({monitor.project_id for monitor in monitors})
    opened = _open(list(to_open.values()), found, covered, now)
    for incident in opened:
        if incident.notified:
            result = to_open[incident.monitor_id]
            failing = Notice("monitor_failing", result.monitor, incident, error=result.error)
            notices.append(failing)
    closed = [incident for incident in changed if incident.closed_at is not None]
    noting.wake([incident.id for incident in closed], now=now)
    notify(notices, found, _entries(opened, closed, now), now=now, base_url=base_url)


def _entries(
    opened: Sequence[IncidentRow], closed: Sequence[IncidentRow], now: datetime
) -> list[timeline.Entry]:
    """Return what the timelines say of incidents that opened and closed."""
    held = [
        one.id
        for one in (*opened, *closed)
        if one.owes_recovery or not (one.notified or one.closed_at)
    ]
    return [
        *(timeline.entry(one.id, now, "opened") for one in opened),
        *(timeline.entry(one.id, now, "recovered") for one in closed),
        *(timeline.entry(number, now, "held", HELD) for number in held),
    ]


def _decide(
    results: Sequence[Finished],
    known: Container[UUID],
    outcomes: Mapping[UUID, Sequence[SlotState]],
) -> dict[UUID, IncidentChange | None]:
    """Return whether each monitor's incident opens or closes; *known* are those with one."""
    return {
        monitor.id: decide_incident(
            outcomes[monitor.id],
            is_open=monitor.id in known,
            failure_threshold=monitor.failure_threshold,
            recovery_threshold=monitor.recovery_threshold,
        )
        for monitor, *_ in results
    }


def _list_open(monitor_ids: Sequence[UUID]) -> dict[UUID, IncidentRow]:
    """Return the open incidents of these monitors, by their ids."""
    rows = db.session.execute(_OPEN, {"ids": monitor_ids}) if monitor_ids else ()
    return {row.monitor_id: row for row in map(IncidentRow._make, rows)}


def _threshold(monitor: AnyMonitor, open_incidents: Container[UUID]) -> int:
    is_open = monitor.id in open_incidents
    return monitor.recovery_threshold if is_open else monitor.failure_threshold


def pause(monitor: Monitor, *, now: datetime) -> None:
    """Let the open incident of a monitor that was paused rest, if somebody was told of it.

    Those are told once the monitor was resumed and has recovered. Any other is closed.
    """
    incident = open_incident(monitor)
    if incident is None:
        return
    if incident.notified:
        kind = "held"
    else:
        incident.closed_at, kind = max(now, incident.opened_at), "recovered"
    timeline.write([timeline.entry(incident.id, now, kind, "The monitor was paused.")])
    noting.wake([incident.id], now=now)


def monitors_with_deferred_notices(*, now: datetime) -> Query:
    """Select the ids of monitors that may notify again, and have a notice to send.

    Windows may cover them.
    """
    may_notify = or_(
        Monitor.status == ACTIVE, and_(Monitor.status == MUTED, Monitor.muted_until <= now)
    )
    return select(Monitor.id).where(
        Monitor.id.in_(select(Incident.monitor_id).where(DEFERRED)),
        may_notify,
    )


def is_covered(now: datetime) -> Condition:
    """Return the condition that an active window covers a monitor."""
    of_project = select(Project.organization_id).where(Project.id == Monitor.project_id)
    organization = of_project.correlate(Monitor).scalar_subquery()
    return windows.covers_now(
        Monitor.id.expression, Monitor.project_id.expression, organization, now
    )


def send_deferred(monitor: Monitor, *, now: datetime, base_url: str) -> None:
    """Send the notices that were deferred by a mute of the monitor or a window, which is over."""
    if not _may_notify(monitor, covers.covered([monitor], now=now), now):
        return
    deferred = select(Incident).where(Incident.monitor_id == monitor.id, DEFERRED)
    notices = []
    for incident in db.session.scalars(deferred.order_by(Incident.id)).all():
        if incident.owes_recovery:
            incident.owes_recovery = False
            notified = outbox.targets_of(incident_keys.of_failing(monitor.id, incident.id))
            notices.append(Notice("monitor_recovered", monitor, incident, notified))
        else:
            incident.notified = True
            by = incident.acknowledged_by
            notices.append(Notice("monitor_failing", monitor, incident, acknowledged_by=by))
    notify(notices, projects.list_refs({monitor.project_id}), now=now, base_url=base_url)


def _new_incident(
    result: Finished, project: ProjectRef, covered: Container[UUID], now: datetime
) -> dict[str, object]:
    return {
        "organization_id": project.organization_id,
        "project_id": project.id,
        "monitor_id": result.monitor.id,
        "opened_at": now,
        "bad_slots": max(result.newly_bad, result.monitor.failure_threshold),
        "told": _may_notify(result.monitor, covered, now),
        "owes_recovery": False,
    }


def _open(
    results: Sequence[Finished],
    found: Mapping[int, ProjectRef],
    covered: Container[UUID],
    now: datetime,
) -> list[IncidentRow]:
    """Insert incidents and return them, in any order."""
    rows = [
        _new_incident(result, found[result.monitor.project_id], covered, now) for result in results
    ]
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


def _may_notify(monitor: AnyMonitor, covered: Container[UUID], now: datetime) -> bool:
    if monitor.id in covered:
        return False
    return status_at(monitor.status, monitor.muted_until, now) == ACTIVE
