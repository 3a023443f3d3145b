"""Maintenance windows as people manage them. Every change is recorded in the audit log.

A window that ends early, or covers less, lets go at once of what it held back.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypedDict
from uuid import UUID

from sqlalchemy import Select, select

from taskbadger.clock import to_wire
from taskbadger.domain import patterns, windows
from taskbadger.domain.identity import Actor
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow, Monitor, Project
from taskbadger.schemas.fields import parse_moment, printable
from taskbadger.services.alerts.global_actions import find_project_id
from taskbadger.services.delivery import held
from taskbadger.services.delivery.windows import move_on, scope_of, stored_span, timing_of
from taskbadger.services.monitors import restarts
from taskbadger.services.organizations import audit
from taskbadger.services.pagination import (
    Cursor,
    Keyset,
    Order,
    Page,
    keyset_of,
    read_big_number,
    walk,
)

_MAX_PATTERN = 255
_NEWEST_FIRST = keyset_of(MaintenanceWindow.id, read_big_number, Order.DESCENDING)
_BY_START: Keyset[MaintenanceWindow] = Keyset(
    (MaintenanceWindow.starts_at.expression, MaintenanceWindow.id.expression),
    Order.ASCENDING,
    lambda key: _read_start(key),
    lambda window: (to_wire(window.starts_at or window.created), str(window.id)),
)


class WindowChanges(TypedDict, total=False):
    """What people set of a window; `models.MaintenanceWindow` says what each field means."""

    name: str
    project: str | None
    """A slug."""
    monitor: str | None
    """An id."""
    name_pattern: str
    starts: datetime | None
    ends: datetime | None
    schedule: str | None
    duration: int | None
    timezone: str


class Place(NamedTuple):
    """The names of what a window covers."""

    project: str | None
    """The slug of the project that the window covers, or that its monitor is in."""
    monitor: str | None
    """The monitor's name."""


def list_page(organization_id: int, cursor: Cursor | None, size: int) -> Page[MaintenanceWindow]:
    """Return a page of the windows of an organization, newest first."""
    query = select(MaintenanceWindow).where(MaintenanceWindow.organization_id == organization_id)
    return walk(query, _NEWEST_FIRST, cursor, size)


def list_over(organization_id: int, cursor: Cursor | None, size: int) -> Page[MaintenanceWindow]:
    """Return a page of those that will not be active again, newest first."""
    query = select(MaintenanceWindow).where(
        MaintenanceWindow.organization_id == organization_id, MaintenanceWindow.ends_at.is_(None)
    )
    return walk(query, _NEWEST_FIRST, cursor, size)


def list_current(organization_id: int, cursor: Cursor | None, size: int) -> Page[MaintenanceWindow]:
    """Return a page of the others by their starts: so those that are active come first."""
    return walk(_current(organization_id), _BY_START, cursor, size)


def list_all_current(organization_id: int) -> Sequence[MaintenanceWindow]:
    """Return all that are active or to come, however many there are, by their starts."""
    return db.session.scalars(_BY_START.narrow(_current(organization_id), None)).all()


def span_of(window: MaintenanceWindow, *, now: datetime) -> windows.Span | None:
    """Return the active span of a window, or else the next one; None if there is neither."""
    span = stored_span(window)
    if span is None or span.end > now:
        return span
    return timing_of(window).current_span(now)  # The worker has not moved it on yet.


def _current(organization_id: int) -> Select[MaintenanceWindow]:
    return select(MaintenanceWindow).where(
        MaintenanceWindow.organization_id == organization_id,
        MaintenanceWindow.ends_at.is_not(None),
    )


def _read_start(key: tuple[str, ...]) -> tuple[object, ...] | None:
    starts_at, window_id = parse_moment(key[0]), read_big_number(key[1])
    return None if starts_at is None or window_id is None else (starts_at, window_id)


def get_window(organization_id: int, window_id: int) -> MaintenanceWindow:
    """Return one window; raises NotFound."""
    window = db.session.get(MaintenanceWindow, window_id)
    if window is None or window.organization_id != organization_id:
        raise NotFound()
    return window


def places_of(found: Sequence[MaintenanceWindow]) -> dict[int, Place]:
    """Return the names of what the windows *found* cover, by the window's id."""
    monitors = {window.monitor_id for window in found if window.monitor_id is not None}
    projects = {window.project_id for window in found if window.project_id is not None}
    names: dict[UUID | int, Place] = {}
    if projects:
        rows = db.session.execute(select(Project.id, Project.slug).where(Project.id.in_(projects)))
        names |= {row.id: Place(row.slug, None) for row in rows}
    if monitors:
        query = select(Monitor.id, Monitor.name, Project.slug).join(Project)
        rows_of_monitors = db.session.execute(query.where(Monitor.id.in_(monitors)))
        names |= {row.id: Place(row.slug, row.name) for row in rows_of_monitors}
    none = Place(None, None)
    return {
        window.id: names.get(window.monitor_id or window.project_id or 0, none) for window in found
    }


def create_window(
    organization_id: int, data: WindowChanges, *, actor: Actor, now: datetime
) -> MaintenanceWindow:
    """Create a window, and record it in the audit log.

    *data* has at least ``name`` and a time. Raises ValidationFailed.
    """
    window = MaintenanceWindow(
        organization_id=organization_id, name_pattern="", timezone="UTC", created=now
    )
    _change(window, data, now)
    db.session.add(window)
    db.session.flush()
    audit.record(
        actor, organization_id, "window.create", window.name, _describe_time(window), now=now
    )
    return window


def silence(
    organization_id: int,
    *,
    until: datetime,
    actor: Actor,
    now: datetime,
    monitor_id: UUID | None = None,
    name: str = "",
) -> MaintenanceWindow:
    """Create a window from now on: for a monitor, for the tasks of a *name*, or for everything.

    Raises ValidationFailed.
    """
    pattern = patterns.exactly(name) if name else ""
    if len(pattern) > _MAX_PATTERN:
        raise ValidationFailed.one("name", "This name is too long for a pattern.")
    monitor = None if monitor_id is None else _find_monitor(organization_id, str(monitor_id))
    subject = monitor.name if monitor else name
    data: WindowChanges = {
        "name": f"Silence of {subject or 'everything'}"[:255],
        "monitor": str(monitor_id) if monitor_id else None,
        "name_pattern": pattern,
        "starts": now,
        "ends": until,
    }
    return create_window(organization_id, data, actor=actor, now=now)


def update_window(
    organization_id: int, window_id: int, changes: WindowChanges, *, actor: Actor, now: datetime
) -> MaintenanceWindow:
    """Change the fields in *changes*, and record what differs in the audit log.

    Raises NotFound and ValidationFailed.
    """
    window = _lock(organization_id, window_id)
    before, before_name = fields_of(window), window.name
    timing, scope = timing_of(window), scope_of(window)
    span = timing.active_span(now) or _unfinished(window, timing, now)
    _change(window, changes, now)
    db.session.flush()
    is_changed = audit.record_change(
        actor, organization_id, "window.change", window.name, before, fields_of(window), now=now
    )
    if is_changed:
        held.release(organization_id, before_name, now=now)
    still_active = scope == scope_of(window) and timing_of(window).active_span(now)
    if span is not None and not still_active:
        restarts.restart_all(organization_id, scope, span, now=now)
    return window


def delete_window(organization_id: int, window_id: int, *, actor: Actor, now: datetime) -> None:
    """Delete a window, and record it in the audit log. Raises NotFound."""
    window = _lock(organization_id, window_id)
    timing, scope = timing_of(window), scope_of(window)
    span = timing.active_span(now) or _unfinished(window, timing, now)
    audit.record(actor, organization_id, "window.delete", window.name, now=now)
    held.release(organization_id, window.name, now=now)
    db.session.delete(window)
    db.session.flush()
    if span is not None:
        restarts.restart_all(organization_id, scope, span, now=now)


def _unfinished(
    window: MaintenanceWindow, timing: windows.Timing, now: datetime
) -> windows.Span | None:
    """Return the last span if the worker has not yet done what is due at its end."""
    return timing.last_span(now) if window.ends_at is not None and window.ends_at <= now else None


def fields_of(window: MaintenanceWindow) -> dict[str, object]:
    """Return the fields that people set; a monitor is named by its project and its name."""
    place = places_of([window])[window.id] if window.id else Place(None, None)
    monitor = f"{place.project}/{place.monitor}" if window.monitor_id else None
    return {
        "name": window.name,
        "project": None if window.monitor_id else place.project,
        "monitor": monitor,
        "name_pattern": window.name_pattern,
        "starts": window.starts and _words(window.starts),
        "ends": window.ends and _words(window.ends),
        "schedule": window.schedule,
        "duration": window.duration,
        "timezone": window.timezone,
    }


def _words(moment: datetime) -> str:
    """Return a moment as people write it in a file."""
    return to_wire(moment).replace(".000000Z", "Z")


def _describe_time(window: MaintenanceWindow) -> str:
    if window.starts is not None and window.ends is not None:
        return f"{_words(window.starts)} to {_words(window.ends)}"
    return f"{window.schedule} ({window.timezone}), for {timedelta(seconds=window.duration or 0)}"


def _lock(organization_id: int, window_id: int) -> MaintenanceWindow:
    """Lock a window: until the commit no worker holds a delivery back because of it."""
    window = db.session.get(
        MaintenanceWindow, window_id, with_for_update=True, populate_existing=True
    )
    if window is None or window.organization_id != organization_id:
        raise NotFound()
    return window


def _change(window: MaintenanceWindow, data: WindowChanges, now: datetime) -> None:
    """Set the fields in *data*; raises ValidationFailed before anything is set."""
    organization_id = window.organization_id
    timing = windows.Timing(
        starts=data.get("starts", window.starts),
        ends=data.get("ends", window.ends),
        schedule=data.get("schedule", window.schedule),
        duration=data.get("duration", window.duration),
        timezone=data.get("timezone", window.timezone),
    )
    project_id, monitor_id = window.project_id, window.monitor_id
    if "project" in data:
        project_id = find_project_id(organization_id, data["project"])
    if "monitor" in data:
        named = data["monitor"]
        monitor_id = None if named is None else _find_monitor(organization_id, named).id
    scope = windows.Scope(
        project_id=project_id,
        monitor_id=monitor_id,
        name_pattern=data.get("name_pattern", window.name_pattern),
    )
    errors = list(windows.check(timing, scope, now))
    if errors:
        raise ValidationFailed(errors)
    window.name = data.get("name", window.name)
    window.project_id, window.monitor_id = scope.project_id, scope.monitor_id
    window.name_pattern = scope.name_pattern
    window.starts, window.ends = timing.starts, timing.ends
    window.schedule, window.duration = timing.schedule, timing.duration
    window.timezone = timing.timezone
    move_on(window, now)
    window.updated = now


def _find_monitor(organization_id: int, text: str) -> Monitor:
    """Return a monitor of the organization by its id; raises ValidationFailed."""
    try:
        monitor_id = UUID(text)
    except ValueError:
        monitor_id = None
    found = None
    if monitor_id is not None:
        found = db.session.scalar(
            select(Monitor)
            .join(Project, Project.id == Monitor.project_id)
            .where(Monitor.id == monitor_id, Project.organization_id == organization_id)
        )
    if found is None:
        detail = f"There is no monitor “{printable(text[:100])}” in this organization."
        raise ValidationFailed.one("monitor", detail, "does_not_exist")
    return found
