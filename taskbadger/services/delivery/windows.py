"""Maintenance windows, as far as messages are concerned: which one covers what, and until when."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table, bindparam, exists, or_, select

from taskbadger.domain.windows import Scope, Span, Timing
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow, Project
from taskbadger.models.monitor_rows import AnyMonitor
from taskbadger.models.task_rows import columns_of
from taskbadger.models.types import Column, Condition, Query


class WindowRow(NamedTuple):
    """A window that is active or may become so."""

    id: int
    organization_id: int
    name: str
    project_id: int | None
    monitor_id: UUID | None
    name_pattern: str
    starts: datetime | None
    ends: datetime | None
    schedule: str | None
    duration: int | None
    timezone: str
    ends_at: datetime | None


class Covering(NamedTuple):
    """The window that holds messages back."""

    window_id: int
    name: str
    span: Span


_WINDOW = cast(Table, MaintenanceWindow.__table__)
_window = _WINDOW.c
_CURRENT = select(*columns_of(WindowRow, _WINDOW)).where(_window.ends_at.is_not(None))
_HAS_STARTED = _window.starts_at <= bindparam("now", type_=_window.starts_at.type)
_HAS_ACTIVE = select(
    exists().where(
        _window.organization_id == bindparam("organization"),
        _window.ends_at.is_not(None),
        _HAS_STARTED,
    )
)
_STARTED_OF_MANY = _CURRENT.where(
    _HAS_STARTED, _window.organization_id.in_(bindparam("organizations", expanding=True))
)
_OF_MONITORS = (
    _CURRENT.add_columns(Project.id)
    .join(Project, Project.organization_id == _window.organization_id)
    .where(
        Project.id.in_(bindparam("projects", expanding=True)),
        _window.name_pattern == "",
        or_(_window.project_id.is_(None), _window.project_id == Project.id),
        or_(
            _window.monitor_id.is_(None),
            _window.monitor_id.in_(bindparam("monitors", expanding=True)),
        ),
    )
)
_STARTED_OF_MONITORS = _OF_MONITORS.where(_HAS_STARTED)
_PAST_OF_MONITORS = _OF_MONITORS.where(or_(_HAS_STARTED, _window.schedule.is_not(None)))


def timing_of(window: WindowRow | MaintenanceWindow) -> Timing:
    """Return when a window is active."""
    return Timing(
        starts=window.starts,
        ends=window.ends,
        schedule=window.schedule,
        duration=window.duration,
        timezone=window.timezone,
    )


def move_on(window: MaintenanceWindow, now: datetime) -> None:
    """Note the span that is active, or else the next one; if there is neither, that it is over."""
    span = timing_of(window).current_span(now)
    window.starts_at, window.ends_at = (span.start, span.end) if span else (None, None)


def stored_span(window: WindowRow | MaintenanceWindow) -> Span | None:
    """Return the active or next span as the worker has stored it; None for one that is over.

    It may have ended a moment ago: then ``timing_of`` knows the next one.
    """
    if window.ends_at is None:
        return None
    start = window.starts or window.ends_at - timedelta(seconds=window.duration or 0)
    return Span(start, window.ends_at)


def active_span(window: WindowRow | MaintenanceWindow, now: datetime) -> Span | None:
    """Return the span that contains *now*; no schedule is computed if that one is stored."""
    span = stored_span(window)
    return span if span and span.contains(now) else timing_of(window).active_span(now)


def scope_of(window: WindowRow | MaintenanceWindow) -> Scope:
    """Return what a window covers."""
    return Scope(
        project_id=window.project_id,
        monitor_id=window.monitor_id,
        name_pattern=window.name_pattern,
    )


def covering(
    organization_id: int,
    *,
    project_id: int | None,
    name: str,
    monitor_id: UUID | None,
    now: datetime,
) -> Covering | None:
    """Return what holds back messages about a task now; of several windows, the one to end last.

    *monitor_id* is the monitor that the task is a run of.
    """
    found = list_active(organization_id, now=now)
    return first_covering(found, project_id=project_id, name=name, monitor_id=monitor_id, now=now)


def first_covering(
    windows: Iterable[WindowRow],
    *,
    project_id: int | None,
    name: str | None,
    monitor_id: UUID | None,
    now: datetime,
) -> Covering | None:
    """Return what ``covering`` returns, of *windows*. Without a *name* it is about a monitor."""
    found = [
        Covering(window.id, window.name, span)
        for window in windows
        if _covers(window, project_id, name, monitor_id) and (span := active_span(window, now))
    ]
    return max(found, key=lambda each: (each.span.end, each.window_id), default=None)


def _covers(
    window: WindowRow, project_id: int | None, name: str | None, monitor_id: UUID | None
) -> bool:
    if name is not None:
        return scope_of(window).covers_task(project_id, name, monitor_id)
    if project_id is None or monitor_id is None:
        return False
    return scope_of(window).covers_monitor(project_id, monitor_id)


class Subject(NamedTuple):
    """What a message is about: a task or the tasks of a name, or a monitor."""

    project_id: int | None
    name: str | None
    """None for a monitor."""
    monitor_id: UUID | None
    """The monitor, or the one that the tasks are runs of."""


def keep_covering(
    active: Iterable[WindowRow], subject: Subject, *, now: datetime
) -> Covering | None:
    """Return the window that covers a subject now, and keep it as it is until the commit."""
    left = list(active)
    while covering := first_covering(left, **subject._asdict(), now=now):
        left = [window for window in left if window.id != covering.window_id]
        locked = lock(covering.window_id)
        if locked is not None:  # Somebody may have changed it meanwhile.
            covering = first_covering([locked], **subject._asdict(), now=now)
            if covering is not None:
                return covering
    return None


def has_active(organization_id: int, *, now: datetime) -> bool:
    """Say whether a window of an organization is active, or was a moment ago."""
    place = {"organization": organization_id, "now": now}
    return bool(db.session.scalar(_HAS_ACTIVE, place))


def list_active(organization_id: int, *, now: datetime) -> list[WindowRow]:
    """Return the windows of an organization that are active."""
    return list_active_of([organization_id], now=now)


def list_active_of(organization_ids: Collection[int], *, now: datetime) -> list[WindowRow]:
    """Return the windows of several organizations that are active."""
    among = {"organizations": sorted(organization_ids), "now": now}
    rows = db.session.execute(_STARTED_OF_MANY, among) if organization_ids else ()
    return [row for row in map(WindowRow._make, rows) if active_span(row, now)]


def list_all(organization_id: int, limit: int = 100) -> Sequence[WindowRow]:
    """Return the newest windows of an organization, also those that are over."""
    rows = db.session.execute(
        select(*columns_of(WindowRow, _WINDOW))
        .where(_window.organization_id == organization_id)
        .order_by(_window.id.desc())
        .limit(limit)
    ).all()
    return cast(Sequence[WindowRow], rows)


class WindowOfProject(NamedTuple):
    """A window, and a project of whose monitors it covers some."""

    window: WindowRow
    project_id: int


def list_active_of_monitors(
    monitors: Sequence[AnyMonitor], *, now: datetime
) -> list[WindowOfProject]:
    """Return the active windows that cover any of these monitors."""
    found = _list_of_monitors(_STARTED_OF_MONITORS, monitors, now)
    return [each for each in found if active_span(each.window, now)]


def list_past_of_monitors(
    monitors: Sequence[AnyMonitor], *, now: datetime
) -> list[WindowOfProject]:
    """Return the windows that cover any of these monitors or have, unless they are over."""
    return _list_of_monitors(_PAST_OF_MONITORS, monitors, now)


def _list_of_monitors(
    query: Query, monitors: Sequence[AnyMonitor], now: datetime
) -> list[WindowOfProject]:
    if not monitors:
        return []
    projects = sorted({monitor.project_id for monitor in monitors})
    ids = [monitor.id for monitor in monitors]
    rows = db.session.execute(query, {"projects": projects, "monitors": ids, "now": now})
    return [WindowOfProject(WindowRow._make(row[:-1]), row[-1]) for row in rows]


def covers_now(monitor: Column, project: Column, organization: Column, now: datetime) -> Condition:
    """Return the condition that an active window covers the monitor of the given columns."""
    return exists().where(
        _window.organization_id == organization,
        _window.starts_at <= now,
        _window.ends_at > now,
        _window.name_pattern == "",
        or_(_window.project_id.is_(None), _window.project_id == project),
        or_(_window.monitor_id.is_(None), _window.monitor_id == monitor),
    )


def names_of_monitor(monitor_id: UUID) -> Sequence[str]:
    """Return the names of the windows of one monitor, and lock them until the commit."""
    query = select(_window.name).where(_window.monitor_id == monitor_id).order_by(_window.id)
    return db.session.scalars(query.with_for_update()).all()


def lock(window_id: int) -> WindowRow | None:
    """Return a window as it is now, and keep it so until the commit; None if it is gone."""
    row = db.session.execute(
        _CURRENT.where(_window.id == window_id).with_for_update(read=True)
    ).first()
    return cast(WindowRow | None, row)
