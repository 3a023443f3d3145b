"""The page of a monitor: its slots, incidents, runs and the next expected runs."""

import json
from datetime import datetime
from typing import Any

from flask import Response, request, url_for

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.guide.snippets import make_monitor_snippets
from taskbadger.blueprints.dashboard.monitors.rows import (
    BASE,
    find_monitor,
    local_time,
    make_rows,
    rows_version,
)
from taskbadger.blueprints.dashboard.shared import render_shared
from taskbadger.blueprints.dashboard.tasks.rows import make_row
from taskbadger.blueprints.dashboard.visit import current_member
from taskbadger.domain import roles
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.slots import SlotState, default_start_grace
from taskbadger.errors import ScheduleError
from taskbadger.models import Monitor
from taskbadger.services.monitors import lists, manage, slots
from taskbadger.services.pagination import Cursor, read_cursor
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.pages import search_tasks

STRIP = 60
RUNS = 10
INCIDENTS = 10
SLOTS = 25
MUTE_HOURS = ((1, "for 1 hour"), (8, "for 8 hours"), (24, "for a day"), (168, "for a week"))


@blp.page(f"{BASE}/<id>/", role=roles.READ)
def monitor(id: str) -> Response:
    """Show one monitor."""
    found, project = find_monitor(id)
    text = request.args.get("cursor")
    cursor = read_cursor(text, parts=1) if text else None
    version = f"{rows_version([found], STRIP)}|{lists.runs_version(found.id, RUNS)}"
    return render_shared(
        "dashboard/monitors/monitor.html", version, lambda: _context(found, project, cursor)
    )


def _context(found: Monitor, project: ProjectRef, cursor: Cursor | None) -> dict[str, Any]:
    page = lists.list_slots(found.id, cursor, SLOTS)
    runs = search_tasks([project], Filters(monitor=(found.id,)), None, RUNS)
    row = make_rows([found], STRIP)[0]
    return {
        "row": row,
        "local_time": local_time,
        "monitor": found,
        "project": project,
        "next_runs": _next_runs(found),
        "grace": _grace(found),
        "targets": json.loads(found.targets),
        "mute_hours": MUTE_HOURS,
        "slots": page.rows,
        "newer": _slots_href(found, page.previous),
        "older": _slots_href(found, page.next),
        "is_first": cursor is None,
        "incidents": lists.list_incidents(found.id, None, INCIDENTS),
        "runs": [make_row(run, {project.id: project.slug}) for run in runs.rows],
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
        return manage.expected_runs(found, 5)
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
