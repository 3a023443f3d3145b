"""The page of a monitor: its slots, incidents, runs and the next expected runs."""

import json
from datetime import datetime
from typing import Any

from flask import Response, request, url_for

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard import silences
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.guide.ping_snippets import make_ping_snippets
from taskbadger.blueprints.dashboard.guide.snippets import make_monitor_snippets
from taskbadger.blueprints.dashboard.monitors.rows import (
    BASE,
    find_monitor,
    local_time,
    make_rows,
    rows_version,
)
from taskbadger.blueprints.dashboard.monitors.run_rows import make_run_rows
from taskbadger.blueprints.dashboard.shared import render_shared, share_figures
from taskbadger.blueprints.dashboard.sharing import share_monitor
from taskbadger.blueprints.dashboard.silences import ActiveWindows
from taskbadger.blueprints.dashboard.visit import current_member
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.pings import ping_url
from taskbadger.domain.slots import SlotState, default_start_grace
from taskbadger.errors import ScheduleError
from taskbadger.models import Monitor
from taskbadger.services.delivery.channels import EMAIL
from taskbadger.services.monitors import lists, manage, slot_runs, slots
from taskbadger.services.monitors.lists import ListedSlot
from taskbadger.services.monitors.slot_runs import ListedRun
from taskbadger.services.monitors.uptime import read_uptime
from taskbadger.services.pagination import Cursor, Page, read_cursor

STRIP = 60
RUNS = 60
"""Among how many of the latest runs to look for those that count for no slot."""
INCIDENTS = 10
SLOTS = 25
MUTE_HOURS = ((1, "for 1 hour"), (8, "for 8 hours"), (24, "for a day"), (168, "for a week"))


@blp.page(f"{BASE}/<id>/", role=roles.READ)
def monitor(id: str) -> Response:
    """Show one monitor."""
    found, project = find_monitor(id)
    text = request.args.get("cursor")
    cursor = read_cursor(text, parts=1) if text else None
    windows = silences.of_monitor(project.id, found.id)
    uptime = share_figures(("uptime", found.id), lambda: read_uptime(found.id, now=utcnow()))
    version = f"{rows_version([found], STRIP)}|{windows}|{lists.runs_version(found.id, RUNS)}"
    return render_shared(
        "dashboard/monitors/monitor.html",
        f"{version}|{uptime}",
        lambda: _context(found, project, cursor, windows) | {"uptime": uptime},
    )


def _context(
    found: Monitor, project: ProjectRef, cursor: Cursor | None, windows: ActiveWindows
) -> dict[str, Any]:
    page = lists.list_slots(found.id, cursor, SLOTS)
    row, targets = make_rows([found], STRIP)[0], json.loads(found.targets)
    return {
        "row": row,
        "local_time": local_time,
        "monitor": found,
        "project": project,
        "next_runs": _next_runs(found),
        "grace": _grace(found),
        "share": share_monitor(project, found.id, found.name),
        "targets": targets,
        "mails": any(target["integration"].partition(":")[0] == EMAIL for target in targets),
        "mute_hours": MUTE_HOURS,
        "windows": windows,
        "silence_choices": silences.CHOICES,
        "run_rows": make_run_rows(page.rows, [] if cursor else _runs_without_slot(found, page)),
        "newer": _slots_href(found, page.previous),
        "older": _slots_href(found, page.next),
        "is_first": cursor is None,
        "incidents": lists.list_incidents(found.id, None, INCIDENTS),
        "snippets": make_monitor_snippets(
            host=base_url(),
            organization=current_member().organization,
            project=project.slug,
            monitor=str(found.id),
            name=found.name,
            crontab=_crontab_times(found),
            timezone=found.timezone,
        ),
        "ping_snippets": _ping_snippets(found),
        "moving": any(mark.status == SlotState.RUNNING for mark in row.strip),
    }


def _runs_without_slot(found: Monitor, page: Page[ListedSlot]) -> list[ListedRun]:
    """Return those that belong to the first page of slots."""
    runs = slot_runs.list_runs_without_slot(found.id, RUNS)
    if page.next is None:
        return runs
    return [run for run in runs if run.created >= page.rows[-1].slot.expected_at]


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


def _ping_snippets(found: Monitor) -> list[tuple[str, str]]:
    if found.ping_id is None:
        return []
    return make_ping_snippets(
        address=ping_url(base_url(), found.ping_id),
        slug=found.slug or "job",
        crontab=_crontab_times(found),
        timezone=found.timezone,
    )


def _slots_href(found: Monitor, cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    href = url_for("dashboard.monitor", id=str(found.id), cursor=cursor.write())
    return f"{href}#slots"
