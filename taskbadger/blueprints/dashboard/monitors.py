"""Monitors: the list with what became of the last runs, and everything about one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import Response, request, url_for

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard.access import blp, current_member
from taskbadger.blueprints.dashboard.rows import make_row
from taskbadger.blueprints.dashboard.shared import (
    chosen_projects,
    organization_projects,
    render_shared,
    share,
)
from taskbadger.blueprints.dashboard.snippets import make_monitor_snippets
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.monitors import health, status_at
from taskbadger.domain.schedule import ScheduleError
from taskbadger.domain.slots import SlotState, default_start_grace
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Slot
from taskbadger.services import monitor_overview, monitors, slots, task_search
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.pagination import Cursor, read_cursor
from taskbadger.services.task_list import Filters

PAGE_SIZE = 50
STRIP = 30
LONG_STRIP = 60
RUNS = 10
INCIDENTS = 10
SLOTS = 25
LEGEND = ("ok", "late", "error", "missed", "timeout", "unknown", "skipped", "running", "waiting")
"""The marks of a strip, in the order in which they are explained."""
MUTE_HOURS = ((1, "for 1 hour"), (8, "for 8 hours"), (24, "for a day"), (168, "for a week"))
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
    """The one that counts now: a mute may have run out."""
    health: str
    words: str
    strip: list[Mark]
    incident: Incident | None
    is_overdue: bool
    """Whether a run was expected before now."""

    @property
    def is_running(self) -> bool:
        """Whether a run is going on, so that no other may be expected."""
        return bool(self.strip) and self.strip[-1].status == SlotState.RUNNING


@blp.page(f"{BASE}/", role=roles.READ)
def monitor_list() -> Response:
    """Show the monitors."""
    projects = chosen_projects(request.args.get("project", ""))
    if not projects:
        raise NotFound()
    found = _find_page(projects)
    ids = [monitor.id for monitor in found.rows]
    version = share(("monitors", tuple(ids)), lambda: _version(found.rows, STRIP))
    return render_shared(
        "dashboard/monitors.html", f"{version}|{ids}", lambda: _list_context(found, projects)
    )


def _find_page(projects: Sequence[ProjectRef]) -> Any:
    return monitor_overview.list_page(
        [project.id for project in projects],
        _cursor(request.args.get("cursor")),
        PAGE_SIZE,
        only_failing=_only_failing(),
        search=_search(),
    )


def _search() -> str:
    """Return the part of a name that is searched for; no more of it than a name has."""
    return request.args.get("q", "").strip().replace("\0", "")[:255]


def _only_failing() -> bool:
    return request.args.get("state") == "failing"


def _version(rows: Sequence[Monitor], strip: int) -> str:
    now, ids = utcnow(), [monitor.id for monitor in rows]
    incidents = monitor_overview.open_incidents(ids)
    stamps = [
        (
            monitor.updated,
            monitor.seen,
            monitor.expected_at,
            _is_overdue(monitor, now),
            status_at(monitor.status, monitor.muted_until, now),
        )
        for monitor in rows
    ]
    failing = sorted(incident.id for incident in incidents.values())
    return f"{stamps}|{failing}|{monitor_overview.slots_version(ids, strip)}"


def _is_overdue(monitor: Monitor, now: datetime) -> bool:
    return monitor.expected_at is not None and monitor.expected_at < now


def _list_context(found: Any, projects: Sequence[ProjectRef]) -> dict[str, Any]:
    arguments = {
        name: value
        for name in ("project", "state")
        if (value := request.args.get(name, "")) and len(value) < 100
    }
    if search := _search():
        arguments["q"] = search
    return {
        "rows": make_rows(found.rows, STRIP),
        "local_time": local_time,
        "projects": organization_projects(),
        "project": request.args.get("project", ""),
        "only_failing": _only_failing(),
        "search": search,
        "tab_href": lambda **state: url_for("dashboard.monitor_list", **arguments | state),
        "legend": LEGEND,
        "newer": _page_href(found.previous, **arguments),
        "older": _page_href(found.next, **arguments),
    }


def _cursor(text: str | None) -> Cursor | None:
    return read_cursor(text, parts=1) if text else None


def _page_href(cursor: Cursor | None, **arguments: Any) -> str | None:
    if cursor is None:
        return None
    return url_for("dashboard.monitor_list", **arguments, cursor=cursor.write())


def make_rows(found: Sequence[Monitor], strip: int) -> list[MonitorRow]:
    """Return monitors as a page shows them, each with its last slots."""
    now, ids = utcnow(), [monitor.id for monitor in found]
    slugs = {project.id: project.slug for project in organization_projects()}
    incidents = monitor_overview.open_incidents(ids)
    recent = monitor_overview.recent_slots(ids, strip)
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
    """Return a monitor's schedule in words, or why it has none any more."""
    try:
        return slots.schedule_of(monitor).explain()
    except ScheduleError as error:
        return str(error)


def local_time(moment: datetime, timezone: str, form: str = "%a %d %b %H:%M %Z") -> str:
    """Return *moment* on the wall clock of a zone, as ``Mon 01 Jun 02:30 CEST``; else in UTC."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):  # Gone from the machine's database.
        zone = ZoneInfo("UTC")
    return moment.astimezone(zone).strftime(form)


def find_monitor(text: str) -> tuple[Monitor, ProjectRef]:
    """Return a monitor of this page's organization, and its project; raises NotFound."""
    try:
        monitor_id = UUID(text)
    except ValueError as error:
        raise NotFound() from error
    found = db.session.get(Monitor, monitor_id)
    for project in organization_projects():
        if found is not None and found.project_id == project.id:
            return found, project
    raise NotFound()


@blp.page(f"{BASE}/<id>/", role=roles.READ)
def monitor(id: str) -> Response:
    """Show one monitor."""
    found, project = find_monitor(id)
    cursor = _cursor(request.args.get("cursor"))
    version = f"{_version([found], LONG_STRIP)}|{monitor_overview.runs_version(found.id, RUNS)}"
    return render_shared(
        "dashboard/monitor.html", version, lambda: _context(found, project, cursor)
    )


def _context(found: Monitor, project: ProjectRef, cursor: Cursor | None) -> dict[str, Any]:
    page = monitors.list_slots(found.id, cursor, SLOTS)
    runs = task_search.search_tasks([project], Filters(monitor=(found.id,)), None, RUNS)
    row = make_rows([found], LONG_STRIP)[0]
    return {
        "row": row,
        "local_time": local_time,
        "monitor": found,
        "project": project,
        "next_runs": _next_runs(found),
        "grace": _grace(found),
        "notices": json.loads(found.action),
        "mute_hours": MUTE_HOURS,
        "slots": page.rows,
        "newer": _slots_href(found, page.previous),
        "older": _slots_href(found, page.next),
        "is_first": cursor is None,
        "incidents": monitors.list_incidents(found.id, None, INCIDENTS),
        "runs": [make_row(one, {project.id: project.slug}) for one in runs.rows],
        "snippets": make_monitor_snippets(
            host=base_url(),
            organization=current_member().organization,
            project=project.slug,
            monitor=str(found.id),
            name=found.name,
            crontab=_crontab_times(found),
            timezone=found.timezone,
        ),
        "moving": any(mark.status == SlotState.RUNNING for mark in row.strip),
    }


def _next_runs(found: Monitor) -> list[datetime]:
    try:
        return monitors.expected_runs(found, 5)
    except ScheduleError:
        return []


def _grace(found: Monitor) -> int | None:
    if found.start_grace is not None:
        return found.start_grace
    try:
        return default_start_grace(slots.schedule_of(found))
    except ScheduleError:
        return None


def _crontab_times(found: Monitor) -> str | None:
    try:
        return slots.schedule_of(found).in_crontab()
    except ScheduleError:
        return None


def _slots_href(found: Monitor, cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    href = url_for("dashboard.monitor", id=str(found.id), cursor=cursor.write())
    return f"{href}#slots"
