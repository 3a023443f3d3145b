"""Monitors: set up, change, list. What becomes of their slots is in ``runs`` and ``slot_sweep``."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select

from taskbadger.clock import to_wire
from taskbadger.domain import ids
from taskbadger.domain.monitors import ACTIVE, CRON, INTERVAL, MUTED, PAUSED
from taskbadger.domain.schedule import ScheduleError, check_timezone, parse_cron
from taskbadger.domain.slots import SlotEvent, SlotState
from taskbadger.errors import FieldError, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Slot, SlotRun
from taskbadger.schemas.fields import parse_moment, printable
from taskbadger.services import audit, incidents, slots
from taskbadger.services.accounts import Actor, ProjectRef
from taskbadger.services.channels import check_integration
from taskbadger.services.pagination import Cursor, InvalidCursor, Page, cut_page

HEADER = "X-TASKBADGER-MONITOR"

_DEFAULTS: dict[str, Any] = {
    "schedule": None,
    "interval": None,
    "anchor": None,
    "timezone": "UTC",
    "start_grace": None,
    "max_runtime": None,
    "early_margin": None,
    "failure_threshold": 1,
    "recovery_threshold": 1,
    "status": ACTIVE,
    "muted_until": None,
}
_FIELDS = ("name", "type", *_DEFAULTS)
_TIMING = frozenset(
    {"type", "schedule", "interval", "anchor", "timezone", "start_grace", "early_margin"}
)
"""What makes a monitor expect its runs anew when it changes."""
_OF_TYPE = {CRON: ("schedule",), INTERVAL: ("interval", "anchor")}


def find_monitor(project: ProjectRef, text: str) -> UUID:
    """Return the id of the monitor that a task's header names; raises ValidationFailed."""
    try:
        monitor_id = UUID(text)
    except ValueError:
        monitor_id = None
    if monitor_id is not None and _exists(project, monitor_id):
        return monitor_id
    detail = f"There is no monitor “{printable(text[:100])}” in this project."
    raise ValidationFailed.one(HEADER, detail, "does_not_exist")


def _exists(project: ProjectRef, monitor_id: UUID) -> bool:
    where = (Monitor.id == monitor_id, Monitor.project_id == project.id)
    return db.session.scalar(select(Monitor.id).where(*where)) is not None


def get_monitor(project: ProjectRef, monitor_id: UUID) -> Monitor:
    """Return a monitor of a project; raises NotFound."""
    monitor = db.session.get(Monitor, monitor_id)
    if monitor is None or monitor.project_id != project.id:
        raise NotFound()
    return monitor


def create_monitor(
    project: ProjectRef, data: Mapping[str, Any], *, now: datetime, actor: Actor
) -> Monitor:
    """Make a monitor from a loaded MonitorRequest; raises ValidationFailed."""
    values = _checked(project, None, data, now)
    monitor = Monitor(
        id=ids.to_uuid(ids.new_id(now)),
        project_id=project.id,
        **values,
        action=json.dumps(data.get("action", [])),
        seen=False,
        epoch=0,
        created=now,
        updated=now,
    )
    db.session.add(monitor)
    db.session.flush()
    slots.begin_anew(monitor, now=now)
    subject = _subject(project, monitor)
    audit.record(actor, project.organization_id, "monitor.create", subject, now=now)
    db.session.flush()
    return monitor


def update_monitor(
    project: ProjectRef,
    monitor_id: UUID,
    changes: Mapping[str, Any],
    *,
    now: datetime,
    actor: Actor,
) -> Monitor:
    """Change a monitor by a loaded (Patched)MonitorRequest; raises NotFound, ValidationFailed."""
    monitor = _lock(project, monitor_id)
    values = _checked(project, monitor, changes, now)
    before = _fields(monitor)
    was_paused = monitor.status == PAUSED
    timing = {name for name in _TIMING if getattr(monitor, name) != values[name]}
    for name, value in values.items():
        setattr(monitor, name, value)
    if "action" in changes:
        monitor.action = json.dumps(changes["action"])
    monitor.updated = now
    if monitor.status == PAUSED and not was_paused:
        _pause(monitor, now)
    if timing or (was_paused and monitor.status != PAUSED):
        slots.begin_anew(monitor, now=now)
    audit.record_change(
        actor,
        project.organization_id,
        "monitor.change",
        _subject(project, monitor),
        before,
        _fields(monitor),
        now=now,
    )
    db.session.flush()
    return monitor


def delete_monitor(project: ProjectRef, monitor_id: UUID, *, now: datetime, actor: Actor) -> None:
    """Delete a monitor with its slots and incidents; its tasks stay. Raises NotFound."""
    monitor = _lock(project, monitor_id)
    subject = _subject(project, monitor)
    audit.record(actor, project.organization_id, "monitor.delete", subject, now=now)
    db.session.flush()
    db.session.execute(delete(Monitor).where(Monitor.id == monitor_id))


def _subject(project: ProjectRef, monitor: Monitor) -> str:
    """Return what the audit log calls a monitor; names are for people, and need not differ."""
    return f"{project.slug}/{monitor.name}"


def _fields(monitor: Monitor) -> dict[str, Any]:
    values = {name: getattr(monitor, name) for name in _FIELDS}
    return {**values, "action": json.loads(monitor.action)}


def expected_runs(monitor: Monitor, count: int) -> list[datetime]:
    """Return when the next *count* runs are expected, in UTC, if each comes on time.

    There are none for one that is paused, and for an interval that does not know yet.
    """
    if monitor.expected_at is None or monitor.status == PAUSED or count < 1:
        return []
    following = slots.schedule_of(monitor).next_runs(count - 1, after=monitor.expected_at)
    return [monitor.expected_at, *following]


def is_failing(monitor: Monitor) -> bool:
    """Say whether the monitor is in an incident."""
    return incidents.open_incident(monitor) is not None


def list_monitors(
    project: ProjectRef, cursor: Cursor | None, size: int
) -> Page[tuple[Monitor, bool]]:
    """Return a page of a project's monitors, newest first, each with whether it is failing."""
    query = (
        select(Monitor, Incident.id.isnot(None))
        .outerjoin(Incident, (Incident.monitor_id == Monitor.id) & Incident.closed_at.is_(None))
        .where(Monitor.project_id == project.id)
    )
    query = _from(query, Monitor.id, cursor, _read_uuid).limit(size + 1)
    rows = [(row[0], row[1]) for row in db.session.execute(query)]
    return cut_page(rows, size, cursor, key=lambda row: (str(row[0].id),))


def list_slots(monitor_id: UUID, cursor: Cursor | None, size: int) -> Page[tuple[Slot, str | None]]:
    """Return a page of a monitor's slots, newest first, each with the id of its first task."""
    query = (
        select(Slot, SlotRun.task_id)
        .outerjoin(SlotRun, (SlotRun.slot_id == Slot.id) & ~SlotRun.is_extra)
        .where(Slot.monitor_id == monitor_id)
    )
    query = _from(query, Slot.expected_at, cursor, _read_moment).limit(size + 1)
    rows = [(row[0], row[1]) for row in db.session.execute(query)]
    return cut_page(rows, size, cursor, key=lambda row: (to_wire(row[0].expected_at),))


def list_incidents(monitor_id: UUID, cursor: Cursor | None, size: int) -> Page[Incident]:
    """Return a page of a monitor's incidents, newest first."""
    query = select(Incident).where(Incident.monitor_id == monitor_id)
    query = _from(query, Incident.id, cursor, _read_number).limit(size + 1)
    rows = db.session.scalars(query).all()
    return cut_page(rows, size, cursor, key=lambda row: (str(row.id),))


def _from(query: Any, column: Any, cursor: Cursor | None, read: Any) -> Any:
    """Let *query* begin at *cursor*, the greatest of *column* first; raises InvalidCursor."""
    if cursor is None:
        return query.order_by(column.desc())
    key = read(cursor.key[0])
    if cursor.backwards:
        return query.where(column > key).order_by(column)
    return query.where(column < key).order_by(column.desc())


def _read_uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidCursor() from error


def _read_moment(text: str) -> datetime:
    moment = parse_moment(text)
    if moment is None:
        raise InvalidCursor()
    return moment


def _read_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidCursor()
    return int(text)


def _lock(project: ProjectRef, monitor_id: UUID) -> Monitor:
    monitor = slots.lock_monitor(monitor_id)
    if monitor is None or monitor.project_id != project.id:
        raise NotFound()
    return monitor


def _pause(monitor: Monitor, now: datetime) -> None:
    for slot in slots.open_slots(monitor):
        if slot.state == SlotState.RUNNING:
            slots.turn(slot, SlotEvent.PAUSED)
    incidents.drop(monitor, now=now)


def _checked(
    project: ProjectRef, monitor: Monitor | None, changes: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return all fields of a monitor as they are after *changes*; raises ValidationFailed."""
    before = dict(_DEFAULTS)
    if monitor is not None:
        before = {name: getattr(monitor, name) for name in _FIELDS}
    values = before | {name: changes[name] for name in _FIELDS if name in changes}
    errors = [
        *_check_type(values, changes),
        *check_schedule(values["timezone"], values["schedule"]),
        *_check_mute(values, changes, now),
    ]
    if errors:
        raise ValidationFailed(errors)
    for place, notice in enumerate(changes.get("action", ())):
        check_integration(
            project.organization_id,
            notice["integration"],
            f"action.{place}.integration",
            notice["config"],
        )
    return values


def _check_type(values: dict[str, Any], changes: Mapping[str, Any]) -> Sequence[FieldError]:
    """Drop what belongs to the other type; return what is missing, or was sent all the same."""
    kind = values["type"]
    other = INTERVAL if kind == CRON else CRON
    errors = [
        FieldError("invalid", f"Only for monitors of type {other}.", name)
        for name in _OF_TYPE[other]
        if changes.get(name) is not None
    ]
    values.update(dict.fromkeys(_OF_TYPE[other]))
    if kind == INTERVAL:
        values["anchor"] = values["anchor"] or "start"
    needed = _OF_TYPE[kind][0]
    if values[needed] is None:
        errors.append(FieldError("required", "This field is required.", needed))
    return errors


def check_schedule(timezone: str, expression: str | None) -> Sequence[FieldError]:
    """Return what is wrong with a zone, and with a cron expression where there is one."""
    errors = []
    try:
        check_timezone(timezone)
    except ScheduleError as error:
        errors.append(FieldError("invalid", str(error), "timezone"))
    if expression is not None:
        try:
            parse_cron(expression)
        except ScheduleError as error:
            errors.append(FieldError("invalid", str(error), "schedule"))
    return errors


def _check_mute(
    values: dict[str, Any], changes: Mapping[str, Any], now: datetime
) -> Sequence[FieldError]:
    until = changes.get("muted_until")
    if values["status"] != MUTED:
        values["muted_until"] = None
        if until is not None:
            return [FieldError("invalid", "Only for the status muted.", "muted_until")]
    elif until is not None and until <= now:
        return [FieldError("invalid", "Give a time in the future.", "muted_until")]
    return []
