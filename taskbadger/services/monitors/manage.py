"""Monitors: find, create, change and delete them. Every change is recorded in the audit log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, false, select
from sqlalchemy.exc import IntegrityError

from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.monitors import (
    CRON,
    INTERVAL,
    MAX_SLUG,
    MUTED,
    PAUSED,
    MonitorSettings,
    is_monitor_slug,
)
from taskbadger.domain.schedule import parse_cron
from taskbadger.domain.slots import SlotEvent, SlotState
from taskbadger.domain.slugs import first_free, from_name
from taskbadger.domain.zones import check_timezone
from taskbadger.errors import FieldError, NotFound, ScheduleError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.models.types import Condition
from taskbadger.schemas.fields import printable
from taskbadger.services.alerts.global_actions import (
    check_escalation,
    check_reminder,
    stored_steps,
)
from taskbadger.services.delivery import held, windows
from taskbadger.services.delivery.channels import check_integration
from taskbadger.services.monitors import incidents, slots
from taskbadger.services.organizations import audit

HEADER = "X-TASKBADGER-MONITOR"

_SETTINGS = tuple(field.name for field in fields(MonitorSettings))
_LISTS = ("action", "escalation")
"""The settings that are stored as JSON."""
_TIMING = ("type", "schedule", "interval", "anchor", "timezone", "start_grace", "early_margin")
"""The settings whose change restarts the schedule."""
_TIMES = (*_TIMING, "max_runtime")
"""The settings that pings may give a monitor, until somebody else changes one."""
_FIELDS_OF_TYPE = {CRON: ("schedule",), INTERVAL: ("interval", "anchor")}
"""The settings that only one type has, the required one first."""


def find_monitor_id(project: ProjectRef, text: str) -> UUID:
    """Return the monitor that a task's header names by id or slug; raises ValidationFailed."""
    found = db.session.scalar(
        select(Monitor.id).where(Monitor.project_id == project.id, _is_named(text))
    )
    if found is not None:
        return found
    detail = f"There is no monitor “{printable(text[:100])}” in this project."
    raise ValidationFailed.one(HEADER, detail, "does_not_exist")


def _is_named(text: str) -> Condition:
    try:
        return Monitor.id == UUID(text)
    except ValueError:
        return Monitor.slug == text if is_monitor_slug(text) else false()


def get_monitor(project: ProjectRef, monitor_id: UUID) -> Monitor:
    """Return a monitor of a project; raises NotFound."""
    monitor = db.session.get(Monitor, monitor_id)
    if monitor is None or monitor.project_id != project.id:
        raise NotFound()
    return monitor


def settings_of(monitor: Monitor) -> MonitorSettings:
    """Return what people set up of a monitor."""
    values = {name: getattr(monitor, name) for name in _SETTINGS if name not in _LISTS}
    return MonitorSettings(
        **values, action=json.loads(monitor.targets), escalation=json.loads(monitor.escalation)
    )


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
    if settings.slug is None:
        settings = replace(settings, slug=_free_slug(project, settings.name))
    monitor = Monitor(
        id=ids.to_uuid(ids.new_id(now)),
        project_id=project.id,
        seen=False,
        epoch=0,
        ping_id=uuid4(),
        created=now,
        updated=now,
    )
    _save(monitor, settings)
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
    monitor.updated = now
    _save(monitor, after)
    if after.status == PAUSED and before.status != PAUSED:
        _pause(monitor, now)
    is_resumed = before.status == PAUSED and after.status != PAUSED
    if is_resumed or any(getattr(before, name) != getattr(after, name) for name in _TIMING):
        slots.restart_schedule(monitor, now=now)
    if any(getattr(before, name) != getattr(after, name) for name in _TIMES):
        monitor.timed_by_pings = False
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
    get_monitor(project, monitor_id)
    # Its windows are deleted with it. Who changes a window locks it first, then its monitors.
    names = windows.names_of_monitor(monitor_id)
    monitor = _lock(project, monitor_id)
    subject = _subject(project, monitor)
    audit.record(actor, project.organization_id, "monitor.delete", subject, now=now)
    for name in names:
        held.release(project.organization_id, name, now=now)
    db.session.flush()
    db.session.execute(delete(Monitor).where(Monitor.id == monitor_id))


def _lock(project: ProjectRef, monitor_id: UUID) -> Monitor:
    monitor = slots.lock_monitor(monitor_id)
    if monitor is None or monitor.project_id != project.id:
        raise NotFound()
    return monitor


def _save(monitor: Monitor, settings: MonitorSettings) -> None:
    """Write what people set up.

    Raises ValidationFailed if another monitor of the project has the slug or the task name.
    """
    project_id, monitor_id = monitor.project_id, monitor.id
    try:
        with db.session.begin_nested():
            _write(monitor, settings)
            db.session.add(monitor)
    except IntegrityError as error:
        errors = [
            FieldError("invalid", f"Another monitor of this project has the {words} “{value}”.", at)
            for at, words in _UNIQUE.items()
            if _is_taken(project_id, monitor_id, at, value := getattr(settings, at))
        ]
        if not errors:
            raise
        raise ValidationFailed(errors) from error


_UNIQUE = {"slug": "slug", "task_name": "task name"}
"""The settings that only one monitor of a project may have, in words."""


def _is_taken(project_id: int, monitor_id: UUID, attr: str, value: str | None) -> bool:
    if value is None:
        return False
    query = select(Monitor.id).where(
        Monitor.project_id == project_id,
        Monitor.id != monitor_id,
        getattr(Monitor, attr) == value,
    )
    with db.session.no_autoflush:
        return db.session.scalar(query) is not None


def _free_slug(project: ProjectRef, name: str) -> str:
    """Return a slug made of *name* that no monitor of the project has."""
    wanted = from_name(name, MAX_SLUG) or "monitor"
    query = select(Monitor.slug).where(
        Monitor.project_id == project.id, Monitor.slug.startswith(wanted[: MAX_SLUG // 2])
    )
    return first_free(wanted, set(db.session.scalars(query)), MAX_SLUG)


def _write(monitor: Monitor, settings: MonitorSettings) -> None:
    values = asdict(settings)
    monitor.targets = json.dumps(values.pop("action"))
    monitor.escalation = json.dumps(stored_steps(values.pop("escalation")))
    for name, value in values.items():
        setattr(monitor, name, value)


def _subject(project: ProjectRef, monitor: Monitor) -> str:
    """Return what the audit log calls a monitor. Names are for people and may repeat."""
    return f"{project.slug}/{monitor.name}"


def _pause(monitor: Monitor, now: datetime) -> None:
    for slot in slots.open_slots(monitor):
        if slot.state == SlotState.RUNNING:
            slots.apply_event(slot, SlotEvent.PAUSED)
    incidents.pause(monitor, now=now)


def _check(
    project: ProjectRef, settings: MonitorSettings, sent: Mapping[str, Any], now: datetime
) -> MonitorSettings:
    """Return *settings*, normalized; raises ValidationFailed, also for unused fields in *sent*."""
    settings = settings.normalized()
    errors = [
        *_check_type(settings, sent),
        *check_schedule(settings.timezone, settings.schedule),
        *_check_mute(settings, sent, now),
        *check_reminder(sent.get("remind_after", 0)),
        *check_notified(project.organization_id, sent),
    ]
    if errors:
        raise ValidationFailed(errors)
    return settings


def check_notified(organization_id: int, sent: Mapping[str, Any]) -> Sequence[FieldError]:
    """Return an error for each wrong channel, also of the escalation."""
    errors = list(check_escalation(organization_id, sent.get("escalation", ())))
    for place, target in enumerate(sent.get("action", ())):
        integration, attr = target["integration"], f"action.{place}.integration"
        try:
            check_integration(organization_id, integration, attr, target["config"])
        except ValidationFailed as error:
            errors += error.errors
    return errors


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
