"""Incidents: the list, and one with its timeline; acknowledging and snoozing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from flask import Response as FlaskResponse
from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts.snoozing import read_snooze
from taskbadger.blueprints.dashboard.shared import (
    chosen_projects,
    organization_projects,
    render_shared,
    share,
)
from taskbadger.blueprints.dashboard.tasks.rows import make_task_rows
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.snoozes import SNOOZES
from taskbadger.errors import Conflict, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Incident
from taskbadger.services.incidents import handling, lists
from taskbadger.services.incidents.lists import CLOSED, OPEN, Filters, ListedIncident
from taskbadger.services.pagination import Cursor, Page, read_cursor
from taskbadger.services.tasks import failures

BASE = "/a/<organization_slug>/incidents"
PAGE_SIZE = 50
RECENT = 10
"""How many closed incidents stand below the open ones."""
RUNS = 10
EVENTS = {
    "opened": ("error", "Began to fail"),
    "new_kind": ("error", "A new kind of failure"),
    "back": ("error", "A failure that was resolved came back"),
    "told": ("sending", "Told"),
    "reminded": ("sending", "Reminded"),
    "escalated": ("sending", "Escalated"),
    "held": ("muted", "Not told yet"),
    "dropped": ("muted", "Not told"),
    "acknowledged": ("active", "Acknowledged"),
    "unacknowledged": ("waiting", "Nobody is on it any more"),
    "snoozed": ("muted", "Snoozed"),
    "snooze_ended": ("waiting", "The snooze ended"),
    "recovered": ("success", "Recovered"),
    "went_quiet": ("success", "Closed, because nothing failed for long"),
}
"""How the timeline shows each event: like which status, and its words."""


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """An incident as a page shows it."""

    incident: Incident
    project: str
    subject: str
    runs: int
    """Failed runs; of a monitor, also missed ones."""
    is_snoozed: bool

    @property
    def length(self) -> timedelta | None:
        """How long it lasted; None while it is open."""
        closed = self.incident.closed_at
        return None if closed is None else closed - self.incident.opened_at


def make_incident_row(listed: ListedIncident, *, now: datetime) -> IncidentRow:
    """Return an incident as a page shows it."""
    incident = listed.incident
    return IncidentRow(
        incident=incident,
        project=listed.project,
        subject=listed.subject,
        runs=incident.runs if incident.monitor_id is None else incident.bad_slots,
        is_snoozed=lists.is_snoozed(incident.snoozed_at, incident.snoozed_until, now),
    )


class _ListView(NamedTuple):
    """What the list shows."""

    state: str
    """OPEN or CLOSED."""
    page: Page[ListedIncident]
    rows: list[IncidentRow]
    closed: list[IncidentRow]
    """The latest that are closed, below those that are open."""
    open_count: int


@blp.page(f"{BASE}/", role=roles.READ)
def incident_list() -> FlaskResponse:
    """Show the incidents: those that are open, and the latest of the others."""
    view = cache(_read_list)
    version = share(
        ("incidents", current_member().organization_id, request.query_string),
        lambda: _list_version(view()),
    )
    return render_shared("dashboard/alerts/incidents.html", version, lambda: _list_context(view()))


def _read_list() -> _ListView:
    text, now = request.args.get("cursor"), utcnow()
    cursor = read_cursor(text, parts=1) if text else None
    state = CLOSED if request.args.get("state") == CLOSED else OPEN
    page = _find(state, cursor, PAGE_SIZE)
    recent = _find(CLOSED, None, RECENT).rows if state == OPEN and cursor is None else ()
    return _ListView(
        state,
        page,
        [make_incident_row(row, now=now) for row in page.rows],
        [make_incident_row(row, now=now) for row in recent],
        lists.count_open(current_member().organization_id),
    )


def _find(state: str, cursor: Cursor | None, size: int) -> Page[ListedIncident]:
    filters = Filters(state, request.args.get("project", "")[:100], search=_search())
    return lists.list_incidents(current_member().organization_id, filters, cursor, size)


def _search() -> str:
    """Return the part of a name to search for, cut to the length of a name."""
    return request.args.get("q", "").strip()[:255]


def _list_version(view: _ListView) -> str:
    shown = [
        (
            row.incident.id,
            row.runs,
            row.incident.closed_at,
            row.incident.acknowledged_by,
            row.is_snoozed,
        )
        for row in (*view.rows, *view.closed)
    ]
    return f"{shown}|{view.open_count}"


def _list_context(view: _ListView) -> dict[str, Any]:
    arguments = {"project": request.args.get("project", "")[:100], "q": _search()}
    given = {name: value for name, value in arguments.items() if value}

    def href(**more: Any) -> str:
        return url_for("dashboard.incident_list", **{**given, **more})

    return {
        "state": view.state,
        "rows": view.rows,
        "closed": view.closed,
        "open_count": None if given else view.open_count,
        "tab_href": href,
        "is_narrowed": bool(given),
        "all_href": url_for("dashboard.incident_list"),
        "projects": organization_projects(),
        "project": arguments["project"],
        "search": arguments["q"],
        "newer": _page_href(href, view.state, view.page.previous),
        "older": _page_href(href, view.state, view.page.next),
    }


def _page_href(href: Callable[..., str], state: str, cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    return href(state=CLOSED if state == CLOSED else None, cursor=cursor.write())


@blp.page(f"{BASE}/<id>/", role=roles.READ)
def incident(id: str) -> FlaskResponse:
    """Show one incident: what failed, what happened, and who is on it."""
    number, organization_id, now = lists.read_id(id), current_member().organization_id, utcnow()
    version = share(
        ("incident", organization_id, number),
        lambda: lists.find_version(organization_id, number, now=now),
    )
    return render_shared(
        "dashboard/alerts/incident.html",
        f"{version}",
        lambda: _context(lists.get_incident(organization_id, number), now),
    )


def _context(listed: ListedIncident, now: datetime) -> dict[str, Any]:
    row = make_incident_row(listed, now=now)
    project = next(iter(chosen_projects(listed.project)), None)
    if project is None:
        raise NotFound()
    found = failures.list_failures_of(listed.incident.id, RUNS)
    runs = make_task_rows(found, {project.id: project.slug})
    kinds = lists.list_kinds(listed.incident.id)
    events = lists.list_events(listed.incident.id)
    return {
        "row": row,
        "incident": listed.incident,
        "project": project,
        "kinds": kinds,
        "why": next((run.error for run in runs if run.error), kinds[0].title if kinds else ""),
        "runs_of_incident": runs,
        "events": [(event, *EVENTS.get(event.kind, ("info", event.kind))) for event in events],
        "went_quiet": bool(events) and events[-1].kind == "went_quiet",
        "snoozes": SNOOZES,
        "subject_href": _subject_href(listed),
    }


def _subject_href(listed: ListedIncident) -> str:
    """Return the page of the monitor or the name that fails."""
    monitor_id = listed.incident.monitor_id
    if monitor_id is not None:
        return url_for("dashboard.monitor", id=str(monitor_id))
    return url_for("dashboard.name", project_slug=listed.project, name=listed.subject)


@blp.page(f"{BASE}/<id>/acknowledge", role=roles.HANDLE_INCIDENTS, methods=["POST"])
def acknowledge_incident(id: str) -> Response:
    """Say that the visitor is on it."""
    return _handle(id, handling.acknowledge, "You are on it.")


@blp.page(f"{BASE}/<id>/unacknowledge", role=roles.HANDLE_INCIDENTS, methods=["POST"])
def unacknowledge_incident(id: str) -> Response:
    """Take back that somebody is on it."""
    return _handle(id, handling.unacknowledge, "Nobody is on it any more.")


@blp.page(f"{BASE}/<id>/snooze", role=roles.HANDLE_INCIDENTS, methods=["POST"])
def snooze_incident(id: str) -> Response:
    """Silence it for a while."""
    until = read_snooze(now=utcnow())

    def snooze(*ids: int, **options: Any) -> Incident:
        return handling.snooze(*ids, until=until, **options)

    return _handle(id, snooze, "Snoozed.")


@blp.page(f"{BASE}/<id>/unsnooze", role=roles.HANDLE_INCIDENTS, methods=["POST"])
def unsnooze_incident(id: str) -> Response:
    """End the snooze."""
    return _handle(id, handling.unsnooze, "The snooze has ended.")


def _handle(id: str, change: Callable[..., Incident], done: str) -> Response:
    """Change an incident and return to its page."""
    number = lists.read_id(id)
    try:
        change(current_member().organization_id, number, actor=current_actor(), now=utcnow())
    except (Conflict, ValidationFailed) as error:
        flash(error.detail, "error")
    else:
        db.session.commit()
        flash(done, "success")
    return redirect(url_for("dashboard.incident", id=number), 303)
