"""Alerts: the maintenance windows of an organization, their form, and buttons to silence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Response as FlaskResponse
from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts.global_actions import (
    BASE,
    alerts_context,
    render_alerts,
)
from taskbadger.blueprints.dashboard.forms import NAME_KINDS, Form, read_form
from taskbadger.blueprints.dashboard.shared import organization_projects, share
from taskbadger.blueprints.dashboard.silences import CHOICES, TOMORROW
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.clock import utcnow
from taskbadger.domain import patterns, roles
from taskbadger.domain.windows import Span
from taskbadger.domain.zones import list_timezones, to_instant
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow
from taskbadger.schemas.durations import write_optional
from taskbadger.schemas.name_patterns import show_pattern
from taskbadger.schemas.window_forms import ONCE, RECURRING, WindowForm, local_text
from taskbadger.services.delivery.windows import active_span
from taskbadger.services.monitors import lists
from taskbadger.services.pagination import Cursor, Page, read_cursor, read_number
from taskbadger.services.windows import manage
from taskbadger.services.windows.manage import Place, WindowChanges

PAGE_SIZE = 50
RECENT = 10
"""How many windows that are over stand below the others."""
CURRENT, OVER = "current", "over"
_MORNING = timedelta(hours=8)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """A window as the list shows it."""

    window: MaintenanceWindow
    place: Place
    span: Span | None
    """Its span if it is active."""
    next_start: datetime | None
    """Of one that is to come."""


class _ListView(NamedTuple):
    """What the list shows."""

    state: str
    """CURRENT or OVER."""
    page: Page[MaintenanceWindow]
    rows: list[ShownWindow]
    over: list[ShownWindow]
    """The newest that are over, below the first page of the others."""


@blp.page(f"{BASE}/windows/", role=roles.READ)
def window_list() -> FlaskResponse:
    """Show the windows: those that are active and those to come, or those that are over."""
    view = cache(_read_list)
    version = share(
        ("windows", current_member().organization_id, request.query_string),
        lambda: _list_version(view()),
    )
    return render_alerts("windows.html", version, lambda: _list_context(view()))


def _read_list() -> _ListView:
    text, number, now = request.args.get("cursor"), current_member().organization_id, utcnow()
    state = OVER if request.args.get("state") == OVER else CURRENT
    cursor = read_cursor(text, parts=1 if state == OVER else 2) if text else None
    find = manage.list_over if state == OVER else manage.list_current
    page = find(number, cursor, PAGE_SIZE)
    is_first = state == CURRENT and cursor is None
    recent = manage.list_over(number, None, RECENT).rows if is_first else ()
    shown = _shown([*page.rows, *recent], now)
    return _ListView(state, page, shown[: len(page.rows)], shown[len(page.rows) :])


def _list_version(view: _ListView) -> str:
    shown = [
        (row.window.id, row.window.updated, row.span, row.next_start)
        for row in (*view.rows, *view.over)
    ]
    return f"{shown}"


def _shown(found: Sequence[MaintenanceWindow], now: datetime) -> list[ShownWindow]:
    places, shown = manage.places_of(found), []
    for window in found:
        span = manage.span_of(window, now=now)
        is_active = span is not None and span.contains(now)
        shown.append(
            ShownWindow(
                window,
                places[window.id],
                span if is_active else None,
                span.start if span and not is_active else None,
            )
        )
    return shown


def _list_context(view: _ListView) -> dict[str, Any]:
    return {
        "state": view.state,
        "rows": view.rows,
        "over": view.over,
        "tabs": [
            ("Active and planned", _list_href(CURRENT), None, view.state == CURRENT),
            ("Over", _list_href(OVER), None, view.state == OVER),
        ],
        "over_href": _list_href(OVER),
        "newer": _page_href(view.state, view.page.previous),
        "older": _page_href(view.state, view.page.next),
        "choices": CHOICES,
    }


def _list_href(state: str, cursor: str | None = None) -> str:
    state_asked = OVER if state == OVER else None
    return url_for("dashboard.window_list", state=state_asked, cursor=cursor)


def _page_href(state: str, cursor: Cursor | None) -> str | None:
    return None if cursor is None else _list_href(state, cursor.write())


def _find(text: str) -> MaintenanceWindow:
    number = read_number(text)
    if number is None:
        raise NotFound()
    return manage.get_window(current_member().organization_id, number)


@blp.page(f"{BASE}/windows/new/", role=roles.CHANGE_ALERTS)
def new_window() -> str:
    """Show an empty form; ``?monitor=`` chooses a monitor."""
    return _edit_page(None, Form())


@blp.page(f"{BASE}/windows/new/", role=roles.CHANGE_ALERTS, methods=["POST"], keeps_draft=True)
def create_window() -> Response:
    """Create a window."""
    form, made = read_form(WindowForm), None
    if not form.errors:
        try:
            made = manage.create_window(
                current_member().organization_id,
                cast(WindowChanges, form.data),
                actor=current_actor(),
                now=utcnow(),
            )
        except ValidationFailed as error:
            form.add(error)
    if made is None:
        return make_response(_edit_page(None, form), 400)
    return _saved(f"{made.name} created.")


@blp.page(f"{BASE}/windows/<window_id>/", role=roles.CHANGE_ALERTS)
def edit_window(window_id: str) -> str:
    """Show the form of a window."""
    return _edit_page(_find(window_id), Form())


@blp.page(
    f"{BASE}/windows/<window_id>/", role=roles.CHANGE_ALERTS, methods=["POST"], keeps_draft=True
)
def change_window(window_id: str) -> Response:
    """Change a window."""
    window, form = _find(window_id), read_form(WindowForm)
    if not form.errors:
        try:
            _update(window, form.data)
        except ValidationFailed as error:
            form.add(error)
    if form.errors:
        return make_response(_edit_page(window, form), 400)
    return _saved("Saved.")


@blp.page(f"{BASE}/windows/<window_id>/end", role=roles.CHANGE_ALERTS, methods=["POST"])
def end_window(window_id: str) -> Response:
    """End a window now: one that is active once. A recurring one can be changed or deleted."""
    window, now = _find(window_id), utcnow()
    if window.starts is None or active_span(window, now) is None:
        return _saved("This window is not active.", "error")
    _update(window, {"ends": max(now, window.starts + timedelta(microseconds=1))})
    return _saved(f"{window.name} has ended. What still fails is told now.")


@blp.page(f"{BASE}/windows/<window_id>/delete", role=roles.CHANGE_ALERTS, methods=["POST"])
def delete_window(window_id: str) -> Response:
    """Delete a window."""
    window = _find(window_id)
    name = window.name
    manage.delete_window(window.organization_id, window.id, actor=current_actor(), now=utcnow())
    return _saved(f"{name} has been deleted.")


@blp.page(f"{BASE}/windows/silence", role=roles.CHANGE_ALERTS, methods=["POST"])
def silence() -> Response:
    """Silence everything, a monitor, or the tasks of a name, for a while from now on."""
    now, monitor = utcnow(), request.form.get("monitor", "")
    until = _until(request.form.get("for", ""), request.form.get("zone", ""), now)
    try:
        made = manage.silence(
            current_member().organization_id,
            until=until,
            actor=current_actor(),
            now=now,
            monitor_id=_read_id(monitor) if monitor else None,
            name=request.form.get("name", ""),
        )
    except ValidationFailed as error:
        return _saved(error.errors[0].detail, "error")
    return _saved(f"{made.name} until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC.")


def _read_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound() from None


def _until(choice: str, timezone: str, now: datetime) -> datetime:
    """Return when a silence ends; the morning is that of a known time zone, or else of UTC."""
    if choice == TOMORROW:
        zone = ZoneInfo(timezone if timezone in list_timezones() else "UTC")
        midnight = now.astimezone(zone).replace(
            hour=0, minute=0, second=0, microsecond=0, tzinfo=None
        )
        return to_instant(midnight + _DAY + _MORNING, zone, fold=0)
    hours = {value: int(value) for value, _ in CHOICES if value.isdecimal()}
    if choice not in hours:
        raise NotFound()
    return now + timedelta(hours=hours[choice])


def _update(window: MaintenanceWindow, data: dict[str, Any]) -> None:
    manage.update_window(
        window.organization_id,
        window.id,
        cast(WindowChanges, data),
        actor=current_actor(),
        now=utcnow(),
    )


def _saved(message: str, category: str = "success") -> Response:
    db.session.commit()
    flash(message, category)
    return redirect(url_for("dashboard.window_list"), 303)


def _edit_page(window: MaintenanceWindow | None, form: Form) -> str:
    values = _values(window) | dict(form.typed)
    projects = [("", "all projects"), *((one.slug, one.slug) for one in organization_projects())]
    number, chosen = current_member().organization_id, values.get("monitor", "")
    return render_template(
        "dashboard/alerts/window_edit.html",
        window=window,
        form=form,
        values=values,
        projects=projects,
        monitors=[("", "–"), *lists.list_choices(number, chosen)],
        timezones=list_timezones(),
        name_kinds=NAME_KINDS,
        forms=((ONCE, "once"), (RECURRING, "on a schedule")),
        **alerts_context(),
    )


def _values(window: MaintenanceWindow | None) -> dict[str, str]:
    """Return what stands in the fields before anybody typed."""
    if window is None:
        start = utcnow().replace(second=0, microsecond=0)
        return {
            "form": ONCE,
            "monitor": request.args.get("monitor", ""),
            "name_kind": patterns.CONTAINS,
            "starts": local_text(start, "UTC"),
            "ends": local_text(start + timedelta(hours=1), "UTC"),
            "timezone": "UTC",
        }
    slugs = {project.id: project.slug for project in organization_projects()}
    return {
        "form": RECURRING if window.schedule else ONCE,
        "name": window.name,
        "project": slugs.get(window.project_id or 0, ""),
        "monitor": str(window.monitor_id or ""),
        **show_pattern(window.name_pattern),
        "starts": local_text(window.starts, window.timezone),
        "ends": local_text(window.ends, window.timezone),
        "schedule": window.schedule or "",
        "duration": write_optional(window.duration),
        "timezone": window.timezone,
    }
