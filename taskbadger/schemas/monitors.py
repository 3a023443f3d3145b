"""The API schemas of monitors."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import EXCLUDE, fields

from taskbadger.clock import to_wire
from taskbadger.domain.monitors import ANCHORS, HEALTH, MAX_SLUG, STATUSES, TYPES, is_monitor_slug
from taskbadger.domain.schedule import MAX_INTERVAL
from taskbadger.domain.slots import SlotState
from taskbadger.models import Incident as IncidentRow
from taskbadger.models import Monitor as MonitorRow
from taskbadger.models import Slot as SlotRow
from taskbadger.schemas.actions import Target
from taskbadger.schemas.fields import (
    INT32_MAX,
    Choice,
    Message,
    Moment,
    RequestSchema,
    Text,
    WholeNumber,
    invalid,
)
from taskbadger.schemas.global_actions import (
    ESCALATION,
    MAX_REMIND_SECONDS,
    REMIND,
    Escalation,
    EscalationStep,
)
from taskbadger.schemas.pagination import RESULTS, PageOfList

MAX_TARGETS = 10
MAX_THRESHOLD = 720

NAME = {"description": "Name of the monitor"}
SLUG = {
    "description": "What pings and files call the monitor: a-z, 0-9, - and _. Unique in the "
    "project; made from the name by default.",
    "example": "nightly-import",
}
TASK_NAME = {
    "description": "Tasks of this name are runs of the monitor; null for those that name the "
    "monitor in a header. Only one monitor of a project may have it.",
    "example": "nightly import",
}
TYPE = {
    "description": "cron: runs at the times of a schedule; interval: runs some seconds after each "
    "other."
}
SCHEDULE = {
    "description": "Only for type cron: five crontab fields, or @hourly, @daily, @weekly, "
    "@monthly, @yearly.",
    "example": "30 2 * * *",
}
INTERVAL = {"description": "Only for type interval: seconds between runs, 60 to one year."}
ANCHOR = {"description": "Only for type interval: count from the start or the end of the last run."}
TIMEZONE = {"description": "IANA time zone name; defaults to UTC.", "example": "Europe/Paris"}
START_GRACE = {
    "description": "Seconds that a run may start late. Null for the default: 60, or a tenth of "
    "the interval if that is longer."
}
MAX_RUNTIME = {"description": "Seconds that a run may take; null for no limit."}
EARLY_MARGIN = {
    "description": "Seconds that a run may start early and still count for its slot. Null for "
    "the default: a quarter of the time between slots, at most 300."
}
FAILURE_THRESHOLD = {"description": "Failed or missed slots in a row that open an incident."}
RECOVERY_THRESHOLD = {"description": "Successful slots in a row that close an incident."}
STATUS = {
    "description": "active; paused: slots are skipped; muted: slots are recorded, but nobody is "
    "notified until the mute ends."
}
MUTED_UNTIL = {
    "description": "Only for status muted: when the monitor becomes active again; null for never."
}
ACTION = {"description": "Channels to notify, written as in an action."}


class MonitorAction(Target):
    """A channel that is notified when the monitor fails and when it recovers."""


class MonitorSlug(Text):
    """The slug of a monitor."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_SLUG, min_length=1, **kwargs)

    def check(self, text: str) -> str:
        text = super().check(text)
        if not is_monitor_slug(text):
            raise invalid("Use a-z, 0-9, - and _.")
        return text


class MonitorTargets(fields.List[Any]):
    """The channels that are notified."""

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
        if isinstance(value, list) and len(value) > MAX_TARGETS:
            raise self.make_error("max_length", max_length=MAX_TARGETS)
        return super()._deserialize(value, attr, data, **kwargs)


class PatchedMonitorRequest(RequestSchema):
    """Some fields of a monitor."""

    name = Text(max_length=255, min_length=1, metadata=NAME)
    slug = MonitorSlug(metadata=SLUG)
    task_name = Text(max_length=255, min_length=1, allow_none=True, metadata=TASK_NAME)
    type = Choice(
        TYPES,
        metadata=TYPE,
    )
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
    action = MonitorTargets(metadata=ACTION)
    remind_after = WholeNumber(max_value=MAX_REMIND_SECONDS, metadata=REMIND)
    escalation = Escalation(metadata=ESCALATION)


class MonitorRequest(PatchedMonitorRequest):
    """A new monitor, or all fields of an existing one."""

    name = Text(required=True, max_length=255, min_length=1, metadata=NAME)
    type = Choice(
        TYPES,
        required=True,
        metadata=TYPE,
    )


class Monitor(RequestSchema):
    """A monitor as the API shows it."""

    id = fields.UUID(required=True, metadata={"description": "Monitor ID"})
    organization = fields.String(
        required=True, metadata={"description": "Slug of the organization"}
    )
    project = fields.String(required=True, metadata={"description": "Slug of the project"})
    name = fields.String(required=True, metadata=NAME)
    slug = fields.String(required=True, allow_none=True, metadata=SLUG)
    ping_url = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Where jobs ping the monitor: a secret, so only keys with the scope "
            "ping or admin see it."
        },
    )
    task_name = fields.String(required=True, allow_none=True, metadata=TASK_NAME)
    type = Choice(
        TYPES,
        required=True,
        metadata=TYPE,
    )
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
    remind_after = fields.Integer(required=True, metadata=REMIND)
    escalation = fields.List(fields.Nested(EscalationStep), required=True, metadata=ESCALATION)
    health = Choice(
        HEALTH,
        required=True,
        metadata={"description": "new until the first run; failing while an incident is open."},
    )
    expected_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the next run is expected; null when none is."},
    )
    created = Moment(required=True, metadata={"description": "When the monitor was created."})
    updated = Moment(required=True, metadata={"description": "When it was last changed."})


class MonitorSlot(RequestSchema):
    """One expected run, or the rest of a long gap as one entry."""

    expected_at = Moment(required=True, metadata={"description": "When the run was expected."})
    last_expected_at = Moment(
        required=True,
        metadata={
            "description": "Differs from expected_at when the entry stands for several slots."
        },
    )
    count = fields.Integer(
        required=True, metadata={"description": "Number of slots that the entry stands for."}
    )
    deadline_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "Deadline for the run to start or, once started, to end."},
    )
    state = Choice(
        tuple(state.value for state in SlotState),
        required=True,
        metadata={"description": "How the run went."},
    )
    started_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it started; null if it did not."},
    )
    ended_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it ended; null if it did not."},
    )
    task = fields.String(
        required=True, allow_none=True, metadata={"description": "ID of the first run's task"}
    )
    extra_runs = fields.Integer(
        required=True, metadata={"description": "Number of further runs that started in this slot."}
    )


class MonitorIncident(RequestSchema):
    """A period in which the monitor was failing."""

    id = fields.Integer(required=True, metadata={"description": "ID of the incident"})
    opened_at = Moment(required=True, metadata={"description": "When the monitor began to fail."})
    closed_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it recovered; null while it is failing."},
    )
    bad_slots = fields.Integer(
        required=True, metadata={"description": "Number of failed or missed slots."}
    )


class ExpectedRun(RequestSchema):
    """The time at which a run is expected."""

    expected_at = Moment(required=True, metadata={"description": "When the run is expected."})
    local_time = fields.String(
        required=True, metadata={"description": "The same time in the monitor's time zone."}
    )


class PaginatedMonitorList(PageOfList):
    """A page of monitors, newest first."""

    results = fields.List(fields.Nested(Monitor), required=True, metadata=RESULTS)


class PaginatedMonitorSlotList(PageOfList):
    """A page of slots, newest first."""

    results = fields.List(fields.Nested(MonitorSlot), required=True, metadata=RESULTS)


class PaginatedMonitorIncidentList(PageOfList):
    """A page of incidents, newest first."""

    results = fields.List(fields.Nested(MonitorIncident), required=True, metadata=RESULTS)


def show_monitor(
    monitor: MonitorRow,
    *,
    organization: str,
    project: str,
    status: str,
    health: str,
    ping_url: str | None,
) -> dict[str, Any]:
    """Return what *Monitor* describes."""
    muted = status == "muted"
    return {
        "id": str(monitor.id),
        "organization": organization,
        "project": project,
        "name": monitor.name,
        "slug": monitor.slug,
        "ping_url": ping_url,
        "task_name": monitor.task_name,
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
        "action": json.loads(monitor.targets),
        "remind_after": monitor.remind_after,
        "escalation": json.loads(monitor.escalation),
        "health": health,
        "expected_at": _moment(monitor.expected_at),
        "created": to_wire(monitor.created),
        "updated": to_wire(monitor.updated),
    }


def show_slot(slot: SlotRow, task: str | None) -> dict[str, Any]:
    """Return what *MonitorSlot* describes; *task* is the id of its first run's task."""
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


def show_incident(incident: IncidentRow) -> dict[str, Any]:
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
