"""Monitors as their pages show them: rows with a strip of slots, and local times."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from taskbadger.blueprints.dashboard.shared import organization_projects
from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import health, status_at
from taskbadger.domain.slots import SlotState
from taskbadger.errors import NotFound, ScheduleError
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Slot
from taskbadger.services.monitors import lists, slots

BASE = "/a/<organization_slug>/monitors"


@dataclass(frozen=True, slots=True)
class Mark:
    """One slot of a strip."""

    status: str
    expected_at: datetime


@dataclass(frozen=True, slots=True)
class MonitorRow:
    """A monitor as a page shows it."""

    monitor: Monitor
    project: str
    status: str
    """The status now: a mute may have run out."""
    health: str
    words: str
    """The schedule in words."""
    strip: list[Mark]
    incident: Incident | None
    is_overdue: bool
    """Whether a run was expected before now."""

    @property
    def is_running(self) -> bool:
        """Whether a run is in progress, so that no other may be expected."""
        return bool(self.strip) and self.strip[-1].status == SlotState.RUNNING


def make_rows(found: Sequence[Monitor], strip: int) -> list[MonitorRow]:
    """Return monitors as a page shows them, each with its last *strip* slots."""
    now, ids = utcnow(), [monitor.id for monitor in found]
    slugs = {project.id: project.slug for project in organization_projects()}
    incidents = lists.open_incidents(ids)
    recent = lists.recent_slots(ids, strip)
    rows = []
    for monitor in found:
        status = status_at(monitor.status, monitor.muted_until, now)
        incident = incidents.get(monitor.id)
        rows.append(
            MonitorRow(
                monitor=monitor,
                project=slugs[monitor.project_id],
                status=status,
                health=health(status, seen=monitor.seen, failing=incident is not None),
                words=explain(monitor),
                strip=[make_mark(slot) for slot in recent[monitor.id]],
                incident=incident,
                is_overdue=_is_overdue(monitor, now),
            )
        )
    return rows


def make_mark(slot: Slot) -> Mark:
    """Return a slot as a strip shows it."""
    status = "waiting" if slot.state == SlotState.EXPECTED else slot.state
    return Mark(status, slot.expected_at)


def explain(monitor: Monitor) -> str:
    """Return a monitor's schedule in words, or why it is not readable."""
    try:
        return slots.schedule_of(monitor).explain()
    except ScheduleError as error:
        return str(error)


def local_time(moment: datetime, timezone: str, form: str = "%a %d %b %H:%M %Z") -> str:
    """Return *moment* in a zone, as ``Mon 01 Jun 02:30 CEST``; in UTC if the zone is unknown."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):  # No longer in the machine's database.
        zone = ZoneInfo("UTC")
    return moment.astimezone(zone).strftime(form)


def find_monitor(text: str) -> tuple[Monitor, ProjectRef]:
    """Return the monitor with this id in the page's organization, and its project.

    Raises NotFound, also if *text* is not an id.
    """
    try:
        monitor_id = UUID(text)
    except ValueError as error:
        raise NotFound() from error
    found = db.session.get(Monitor, monitor_id)
    for project in organization_projects():
        if found is not None and found.project_id == project.id:
            return found, project
    raise NotFound()


def rows_version(found: Sequence[Monitor], strip: int) -> str:
    """Return a text that changes whenever what make_rows returns does."""
    now, ids = utcnow(), [monitor.id for monitor in found]
    incidents = lists.open_incidents(ids)
    states = [
        (
            monitor.updated,
            monitor.seen,
            monitor.expected_at,
            _is_overdue(monitor, now),
            status_at(monitor.status, monitor.muted_until, now),
        )
        for monitor in found
    ]
    failing = sorted(
        (incident.id, incident.bad_slots, incident.acknowledged_by)
        for incident in incidents.values()
    )
    return f"{states}|{failing}|{lists.slots_version(ids, strip)}"


def _is_overdue(monitor: Monitor, now: datetime) -> bool:
    return monitor.expected_at is not None and monitor.expected_at < now
