"""Monitors: find, create, change and delete them. Every change is recorded in the audit log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select

from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.monitors import CRON, INTERVAL, MUTED, PAUSED, MonitorSettings
from taskbadger.domain.schedule import parse_cron
from taskbadger.domain.slots import SlotEvent, SlotState
from taskbadger.domain.zones import check_timezone
from taskbadger.errors import FieldError, NotFound, ScheduleError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.schemas.fields import printable
from taskbadger.services.delivery.channels import check_integration
from taskbadger.services.monitors import incidents, slots
from taskbadger.services.organizations import audit

HEADER = "X-TASKBADGER-MONITOR"

_SETTINGS = tuple(field.name for field in fields(MonitorSettings))
_TIMING = ("type", "schedule", "interval", "anchor", "timezone", "start_grace", "early_margin")
"""The settings whose change restarts the schedule."""
_FIELDS_OF_TYPE = {CRON: ("schedule",), INTERVAL: ("interval", "anchor")}
"""The settings that only one type has, the required one first."""


def find_monitor_id(project: ProjectRef, text: str) -> UUID:
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


def settings_of(monitor: Monitor) -> MonitorSettings:
    """Return what people set up of a monitor."""
    values = {name: getattr(monitor, name) for name in _SETTINGS if name != "action"}
    return MonitorSettings(**values, action=json.loads(monitor.targets))


def expected_runs(monitor: Monitor, count: int) -> list[datetime]:
    """Return when the next *count* runs are expected, in UTC, if each is on time.

    Empty for a paused monitor, and for an interval that has no current slot.
    """
    if monitor.expected_at is None or monitor.status == PAUSED or count < 1:
        return []
    following = slots.schedule_of(monitor).next_runs(count - 1, after=monitor.expected_at)
    return [monitor.expected_at, *following]


def create_monitor(
    project: ProjectRef, data: Mapping[str, Any], *, now: datetime, actor: Actor
) -> Monitor:
    """Create a monitor from a loaded MonitorRequest; raises ValidationFailed."""
    settings = MonitorSettings(**{name: data[name] for name in _SETTINGS if name in data})
    settings = _check(project, settings, data, now)
    monitor = Monitor(
        id=ids.to_uuid(ids.new_id(now)),
        project_id=project.id,
        seen=False,
        epoch=0,
        created=now,
        updated=now,
    )
    _write(monitor, settings)
    db.session.add(monitor)
    db.session.flush()
    slots.restart_schedule(monitor, now=now)
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
    """Change a monitor by a loaded (Patched)MonitorRequest; raises NotFound, ValidationFailed.

    Its field ``status`` pauses, mutes and resumes the monitor.
    """
    monitor = _lock(project, monitor_id)
    before = settings_of(monitor)
    changed = replace(before, **{name: changes[name] for name in _SETTINGS if name in changes})
    after = _check(project, changed, changes, now)
    _write(monitor, after)
    monitor.updated = now
    if after.status == PAUSED and before.status != PAUSED:
        _pause(monitor, now)
    is_resumed = before.status == PAUSED and after.status != PAUSED
    if is_resumed or any(getattr(before, name) != getattr(after, name) for name in _TIMING):
        slots.restart_schedule(monitor, now=now)
    audit.record_change(
        actor,
        project.organization_id,
        "monitor.change",
        _subject(project, monitor),
        asdict(before),
        asdict(after),
        now=now,
    )
    db.session.flush()
    return monitor


def delete_monitor(project: ProjectRef, monitor_id: UUID, *, now: datetime, actor: Actor) -> None:
    """Delete a monitor with its slots and incidents; its tasks are kept. Raises NotFound."""
    monitor = _lock(project, monitor_id)
    subject = _subject(project, monitor)
    audit.record(actor, project.organization_id, "monitor.delete", subject, now=now)
    db.session.flush()
    db.session.execute(delete(Monitor).where(Monitor.id == monitor_id))


def _lock(project: ProjectRef, monitor_id: UUID) -> Monitor:
    monitor = slots.lock_monitor(monitor_id)
    if monitor is None or monitor.project_id != project.id:
        raise NotFound()
    return monitor


def _write(monitor: Monitor, settings: MonitorSettings) -> None:
    values = asdict(settings)
    monitor.targets = json.dumps(values.pop("action"))
    for name, value in values.items():
        setattr(monitor, name, value)


def _subject(project: ProjectRef, monitor: Monitor) -> str:
    """Return what the audit log calls a monitor. Names are for people and may repeat."""
    return f"{project.slug}/{monitor.name}"


def _pause(monitor: Monitor, now: datetime) -> None:
    for slot in slots.open_slots(monitor):
        if slot.state == SlotState.RUNNING:
            slots.apply_event(slot, SlotEvent.PAUSED)
    incidents.close_silently(monitor, now=now)


def _check(
    project: ProjectRef, settings: MonitorSettings, sent: Mapping[str, Any], now: datetime
) -> MonitorSettings:
    """Return *settings*, normalized; raises ValidationFailed, also for unused fields in *sent*."""
    settings = settings.normalized()
    errors = [
        *_check_type(settings, sent),
        *check_schedule(settings.timezone, settings.schedule),
        *_check_mute(settings, sent, now),
    ]
    if errors:
        raise ValidationFailed(errors)
    for place, target in enumerate(sent.get("action", ())):
        check_integration(
            project.organization_id,
            target["integration"],
            f"action.{place}.integration",
            target["config"],
        )
    return settings


def _check_type(settings: MonitorSettings, sent: Mapping[str, Any]) -> Sequence[FieldError]:
    """Return an error for each field of the other type that was sent, and for a missing one."""
    other = INTERVAL if settings.type == CRON else CRON
    errors = [
        FieldError("invalid", f"Only valid for monitors of type {other}.", name)
        for name in _FIELDS_OF_TYPE[other]
        if sent.get(name) is not None
    ]
    required = _FIELDS_OF_TYPE[settings.type][0]
    if getattr(settings, required) is None:
        errors.append(FieldError("required", "This field is required.", required))
    return errors


def check_schedule(timezone: str, expression: str | None) -> Sequence[FieldError]:
    """Return the errors of a time zone and of a cron expression, if there is one."""
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
    settings: MonitorSettings, sent: Mapping[str, Any], now: datetime
) -> Sequence[FieldError]:
    until: datetime | None = sent.get("muted_until")
    if until is None:
        return []
    if settings.status != MUTED:
        return [FieldError("invalid", "Only valid with the status muted.", "muted_until")]
    if until <= now:
        return [FieldError("invalid", "Give a time in the future.", "muted_until")]
    return []
