"""Notices: the messages that a monitor fails or has recovered, once for each incident."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from taskbadger.channels import Message
from taskbadger.channels.text import incident_title
from taskbadger.clock import to_wire
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.models.monitor_rows import AnyIncident, AnyMonitor
from taskbadger.services.delivery import incident_keys, outbox
from taskbadger.services.delivery.outbox import Outgoing
from taskbadger.services.incidents import messages, noting, timeline
from taskbadger.services.incidents.noting import ToldMonitor
from taskbadger.services.incidents.tellers import ShownMonitor


class Notice(NamedTuple):
    """A message to all targets of a monitor."""

    kind: str
    monitor: AnyMonitor
    incident: AnyIncident
    targets: Sequence[NotificationTarget] = ()
    """By default those of the monitor now."""
    error: str | None = None
    """Why its last run failed, in one line; None if it did not, or does not say."""
    acknowledged_by: str | None = None
    """Who is on it."""


def notify(
    notices: Sequence[Notice],
    found: Mapping[int, ProjectRef],
    entries: Sequence[timeline.Entry] = (),
    *,
    now: datetime,
    base_url: str,
) -> None:
    """Queue the messages of all notices, and write the timelines, also *entries*.

    *found* are the projects of the monitors.
    """
    sent = [
        (notice, targets)
        for notice in notices
        if (targets := notice.targets or json.loads(notice.monitor.targets))
    ]
    outgoing, told = [], []
    for notice, targets in sent:
        project = found[notice.monitor.project_id]
        message = _message(notice, project, now, base_url)
        outgoing += [
            Outgoing(
                message,
                project.organization_id,
                target["integration"],
                target["config"],
                incident_keys.of_monitor(notice.kind, notice.monitor.id, notice.incident.id, place),
            )
            for place, target in enumerate(targets)
        ]
        names = ", ".join(target["integration"] for target in targets)
        detail = f"{message.title} ({names})"
        told.append(timeline.entry(notice.incident.id, now, "told", detail))
    timeline.write([*entries, *told])
    noting.note_monitors(
        [_told(notice) for notice in notices if notice.kind == "monitor_failing"], now=now
    )
    outbox.queue_all(outgoing, now=now)


def _told(notice: Notice) -> ToldMonitor:
    monitor = notice.monitor
    return ToldMonitor(
        notice.incident.id, monitor.targets, monitor.remind_after, monitor.escalation
    )


def _message(notice: Notice, project: ProjectRef, now: datetime, base_url: str) -> Message:
    monitor = notice.monitor
    path = f"/a/{quote(project.organization)}/monitors/{monitor.id}/"
    shown = _shown_incident(notice.incident)
    known = {**shown, "runs": shown["bad_slots"], "acknowledged_by": notice.acknowledged_by}
    return Message(
        id="",
        kind=notice.kind,
        created=now,
        organization=project.organization,
        project=project.slug,
        title=incident_title(notice.kind, monitor.name, known, now=now, failure=notice.error or ""),
        url=f"{base_url}{path}" if base_url else None,
        monitor=_shown_monitor(monitor),
        incident=shown,
        error=notice.error,
    )


def _shown_monitor(monitor: AnyMonitor) -> dict[str, object]:
    shown = ShownMonitor(
        monitor.id, monitor.name, monitor.schedule, monitor.timezone, monitor.interval
    )
    return messages.shown_monitor(shown)


def _shown_incident(incident: AnyIncident) -> dict[str, str | int | None]:
    return {
        "id": incident.id,
        "opened": to_wire(incident.opened_at),
        "closed": to_wire(incident.closed_at) if incident.closed_at else None,
        "bad_slots": incident.bad_slots,
    }
