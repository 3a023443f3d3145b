"""Monitors on the wire."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import EXCLUDE, fields, validates_schema

from taskbadger.clock import to_wire
from taskbadger.domain.monitors import ANCHORS, HEALTH, STATUSES, TYPES
from taskbadger.domain.schedule import MAX_INTERVAL
from taskbadger.domain.slots import SlotState
from taskbadger.schemas.actions import Config, IntegrationField, checked_config
from taskbadger.schemas.fields import (
    INT32_MAX,
    Choice,
    Message,
    Moment,
    RequestSchema,
    Text,
    WholeNumber,
)

MAX_NOTICES = 10
MAX_THRESHOLD = 720

NAME = {"description": "Name of the monitor"}
SCHEDULE = {
    "description": "Type cron only: five fields as in a crontab, or @hourly, @daily, @weekly, "
    "@monthly, @yearly.",
    "example": "30 2 * * *",
}
INTERVAL = {"description": "Type interval only: seconds between runs, 60 to one year."}
ANCHOR = {"description": "Type interval only: counts from the start or the end of the last run."}
TIMEZONE = {"description": "IANA name; UTC unless given.", "example": "Europe/Paris"}
START_GRACE = {
    "description": "Seconds that a start may be late. Null for the default: 60, or a tenth of the "
    "interval where that is more."
}
MAX_RUNTIME = {"description": "Seconds that a run may take from its start; null for no limit."}
EARLY_MARGIN = {
    "description": "Seconds that a run may come before its slot. Null for the default: a quarter "
    "of the time between slots, 300 at most."
}
FAILURE_THRESHOLD = {"description": "Bad slots in a row that open an incident."}
RECOVERY_THRESHOLD = {"description": "Good slots in a row that close an incident."}
STATUS = {
    "description": "active; paused: slots are skipped; muted: slots are recorded, nothing is sent."
}
MUTED_UNTIL = {"description": "Status muted only: when it is active again; null for never."}
ACTION = {"description": "Where notices go: channels, as for any action."}


class MonitorAction(RequestSchema):
    """A channel that is told when the monitor fails and recovers."""

    integration = IntegrationField(required=True)
    config = Config(load_default=dict)

    @validates_schema
    def check_config(self, data: Mapping[str, Any], **_: Any) -> None:
        """Check the config, once both fields are right by themselves."""
        data["config"] = checked_config(data["integration"], data["config"])  # type: ignore[index] # a dict


class Notices(fields.List[Any]):
    """The channels that are told."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "invalid": Message("invalid", "Expected a list of channels."),
        "null": Message("null", "This field may not be null."),
        "max_length": Message(
            "max_length", "Ensure this field has no more than {max_length} channels."
        ),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(MonitorAction, unknown=EXCLUDE), **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > MAX_NOTICES:
            raise self.make_error("max_length", max_length=MAX_NOTICES)
        return super()._deserialize(value, attr, data, **kwargs)


class PatchedMonitorRequest(RequestSchema):
    """Some fields of a monitor."""

    name = Text(max_length=255, min_length=1, metadata=NAME)
    type = Choice(TYPES)
    schedule = Text(max_length=255, allow_none=True, metadata=SCHEDULE)
    interval = WholeNumber(min_value=60, max_value=MAX_INTERVAL, allow_none=True, metadata=INTERVAL)
    anchor = Choice(ANCHORS, allow_none=True, metadata=ANCHOR)
    timezone = Text(max_length=64, metadata=TIMEZONE)
    start_grace = WholeNumber(max_value=MAX_INTERVAL, allow_none=True, metadata=START_GRACE)
    max_runtime = WholeNumber(
        min_value=1, max_value=INT32_MAX, allow_none=True, metadata=MAX_RUNTIME
    )
    early_margin = WholeNumber(max_value=MAX_INTERVAL, allow_none=True, metadata=EARLY_MARGIN)
    failure_threshold = WholeNumber(
        min_value=1, max_value=MAX_THRESHOLD, metadata=FAILURE_THRESHOLD
    )
    recovery_threshold = WholeNumber(
        min_value=1, max_value=MAX_THRESHOLD, metadata=RECOVERY_THRESHOLD
    )
    status = Choice(STATUSES, metadata=STATUS)
    muted_until = Moment(allow_none=True, metadata=MUTED_UNTIL)
    action = Notices(metadata=ACTION)


class MonitorRequest(PatchedMonitorRequest):
    """A new monitor, or the whole of one."""

    name = Text(required=True, max_length=255, min_length=1, metadata=NAME)
    type = Choice(TYPES, required=True)


class Monitor(RequestSchema):
    """A monitor as the API shows it."""

    id = fields.UUID(required=True, metadata={"description": "Monitor ID"})
    organization = fields.String(required=True)
    project = fields.String(required=True)
    name = fields.String(required=True, metadata=NAME)
    type = Choice(TYPES, required=True)
    schedule = fields.String(required=True, allow_none=True, metadata=SCHEDULE)
    interval = fields.Integer(required=True, allow_none=True, metadata=INTERVAL)
    anchor = Choice(ANCHORS, required=True, allow_none=True, metadata=ANCHOR)
    timezone = fields.String(required=True, metadata=TIMEZONE)
    start_grace = fields.Integer(required=True, allow_none=True, metadata=START_GRACE)
    max_runtime = fields.Integer(required=True, allow_none=True, metadata=MAX_RUNTIME)
    early_margin = fields.Integer(required=True, allow_none=True, metadata=EARLY_MARGIN)
    failure_threshold = fields.Integer(required=True, metadata=FAILURE_THRESHOLD)
    recovery_threshold = fields.Integer(required=True, metadata=RECOVERY_THRESHOLD)
    status = Choice(STATUSES, required=True, metadata=STATUS)
    muted_until = Moment(required=True, allow_none=True, metadata=MUTED_UNTIL)
    action = fields.List(fields.Nested(MonitorAction), required=True, metadata=ACTION)
    health = Choice(
        HEALTH,
        required=True,
        metadata={"description": "new until the first run; failing while an incident is open."},
    )
    expected_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the next run is expected; null while none is."},
    )
    created = Moment(required=True)
    updated = Moment(required=True)


class MonitorSlot(RequestSchema):
    """One expected run, newest first; the rest of a long gap is one entry."""

    expected_at = Moment(required=True)
    last_expected_at = Moment(
        required=True, metadata={"description": "Differs where the entry sums up several slots."}
    )
    count = fields.Integer(required=True, metadata={"description": "How many slots it stands for."})
    deadline_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "Until when it waits for a start, or for the end of the run."},
    )
    state = Choice(tuple(state.value for state in SlotState), required=True)
    started_at = Moment(required=True, allow_none=True)
    ended_at = Moment(required=True, allow_none=True)
    task = fields.String(
        required=True, allow_none=True, metadata={"description": "ID of the first run's task"}
    )
    extra_runs = fields.Integer(required=True)


class MonitorIncident(RequestSchema):
    """A time in which the monitor was failing."""

    id = fields.Integer(required=True)
    opened_at = Moment(required=True)
    closed_at = Moment(required=True, allow_none=True)
    bad_slots = fields.Integer(required=True)


class ExpectedRun(RequestSchema):
    """When a run is expected."""

    expected_at = Moment(required=True)
    local_time = fields.String(
        required=True, metadata={"description": "The same in the zone of the monitor."}
    )


_NEXT = {"format": "uri"}


class PaginatedMonitorList(RequestSchema):
    """A page of monitors, newest first."""

    next = fields.String(allow_none=True, metadata=_NEXT)
    previous = fields.String(allow_none=True, metadata=_NEXT)
    results = fields.List(fields.Nested(Monitor), required=True)


class PaginatedMonitorSlotList(RequestSchema):
    """A page of slots, newest first."""

    next = fields.String(allow_none=True, metadata=_NEXT)
    previous = fields.String(allow_none=True, metadata=_NEXT)
    results = fields.List(fields.Nested(MonitorSlot), required=True)


class PaginatedMonitorIncidentList(RequestSchema):
    """A page of incidents, newest first."""

    next = fields.String(allow_none=True, metadata=_NEXT)
    previous = fields.String(allow_none=True, metadata=_NEXT)
    results = fields.List(fields.Nested(MonitorIncident), required=True)


def show_monitor(
    monitor: Any, *, organization: str, project: str, status: str, health: str
) -> dict[str, Any]:
    """Return what *Monitor* describes; *monitor* is a row of the table."""
    muted = status == "muted"
    return {
        "id": str(monitor.id),
        "organization": organization,
        "project": project,
        "name": monitor.name,
        "type": monitor.type,
        "schedule": monitor.schedule,
        "interval": monitor.interval,
        "anchor": monitor.anchor,
        "timezone": monitor.timezone,
        "start_grace": monitor.start_grace,
        "max_runtime": monitor.max_runtime,
        "early_margin": monitor.early_margin,
        "failure_threshold": monitor.failure_threshold,
        "recovery_threshold": monitor.recovery_threshold,
        "status": status,
        "muted_until": _moment(monitor.muted_until) if muted else None,
        "action": json.loads(monitor.action),
        "health": health,
        "expected_at": _moment(monitor.expected_at),
        "created": to_wire(monitor.created),
        "updated": to_wire(monitor.updated),
    }


def show_slot(slot: Any, task: str | None) -> dict[str, Any]:
    """Return what *MonitorSlot* describes; *task* is the id of its first run's."""
    return {
        "expected_at": to_wire(slot.expected_at),
        "last_expected_at": to_wire(slot.last_expected_at or slot.expected_at),
        "count": slot.count,
        "deadline_at": _moment(slot.deadline_at),
        "state": slot.state,
        "started_at": _moment(slot.started_at),
        "ended_at": _moment(slot.ended_at),
        "task": task,
        "extra_runs": slot.extra_runs,
    }


def show_incident(incident: Any) -> dict[str, Any]:
    """Return what *MonitorIncident* describes."""
    return {
        "id": incident.id,
        "opened_at": to_wire(incident.opened_at),
        "closed_at": _moment(incident.closed_at),
        "bad_slots": incident.bad_slots,
    }


def show_expected_run(expected_at: datetime, timezone: str) -> dict[str, Any]:
    """Return what *ExpectedRun* describes."""
    return {
        "expected_at": to_wire(expected_at.astimezone(UTC)),
        "local_time": expected_at.astimezone(ZoneInfo(timezone)).isoformat(),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else to_wire(moment)
