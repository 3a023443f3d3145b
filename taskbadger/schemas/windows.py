"""The API schemas of maintenance windows."""

from datetime import datetime
from typing import Any

from marshmallow import fields

from taskbadger.clock import to_wire
from taskbadger.domain.windows import MAX_DURATION, Span, Timing
from taskbadger.models import MaintenanceWindow
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.fields import Flag, Moment, RequestSchema, Text, WholeNumber
from taskbadger.schemas.pagination import RESULTS, PageOfList

NAME = {"description": "Name of the window"}
PROJECT = {"description": "Slug of the project that it covers, if it covers one project."}
MONITOR = {"description": "ID of the monitor that it covers with its tasks, if it covers one."}
PATTERN = {
    "description": "RE2 pattern: it covers the tasks whose names match anywhere. Empty, with no "
    "project and no monitor: it covers the organization.",
    "example": "^nightly-",
}
STARTS = {"description": "When it starts, if it is active once."}
ENDS = {"description": "When it ends, if it is active once."}
SCHEDULE = {
    "description": "When it starts each time, if it recurs: five crontab fields, or @daily, "
    "@weekly, @monthly, @yearly.",
    "example": "0 2 * * 0",
}
DURATION = {"description": "Seconds that it lasts each time, if it recurs; at most 7 days."}
TIMEZONE = {
    "description": "IANA time zone of the schedule; defaults to UTC.",
    "example": "Europe/Paris",
}


class PatchedWindowRequest(RequestSchema):
    """Some settings of a maintenance window."""

    name = Text(max_length=255, min_length=1, metadata=NAME)
    project = Text(max_length=50, allow_none=True, metadata=PROJECT)
    monitor = Text(max_length=36, allow_none=True, metadata=MONITOR)
    name_pattern = Text(max_length=255, blank=True, trim=False, metadata=PATTERN)
    starts = Moment(allow_none=True, metadata=STARTS)
    ends = Moment(allow_none=True, metadata=ENDS)
    schedule = Text(max_length=255, allow_none=True, metadata=SCHEDULE)
    duration = WholeNumber(min_value=1, max_value=MAX_DURATION, allow_none=True, metadata=DURATION)
    timezone = Text(max_length=64, metadata=TIMEZONE)


class WindowRequest(PatchedWindowRequest):
    """A new maintenance window: with starts and ends, or with schedule and duration."""

    name = Text(required=True, max_length=255, min_length=1, metadata=NAME)


class Window(RequestSchema):
    """A maintenance window as the API shows it."""

    id = fields.Integer(required=True, metadata={"description": "ID of the window"})
    name = fields.String(required=True, metadata=NAME)
    project = fields.String(required=True, allow_none=True, metadata=PROJECT)
    monitor = fields.String(required=True, allow_none=True, metadata=MONITOR)
    name_pattern = fields.String(required=True, metadata=PATTERN)
    starts = Moment(required=True, allow_none=True, metadata=STARTS)
    ends = Moment(required=True, allow_none=True, metadata=ENDS)
    schedule = fields.String(required=True, allow_none=True, metadata=SCHEDULE)
    duration = fields.Integer(required=True, allow_none=True, metadata=DURATION)
    timezone = fields.String(required=True, metadata=TIMEZONE)
    active = Flag(required=True, metadata={"description": "Whether it is active now."})
    next_start = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it starts next; null if it does not start again."},
    )
    created = Moment(required=True, metadata={"description": "When it was created."})
    updated = Moment(required=True, metadata={"description": "When it was last changed."})


class PaginatedWindowList(PageOfList):
    """A page of maintenance windows, newest first."""

    results = fields.List(fields.Nested(Window), required=True, metadata=RESULTS)


def show_window(
    window: MaintenanceWindow,
    timing: Timing,
    span: Span | None,
    *,
    project: str | None,
    now: datetime,
) -> dict[str, Any]:
    """Return what *Window* describes; *project* is the slug of the project that it covers.

    *span* is the active one, or else the next.
    """
    is_active = span is not None and span.contains(now)
    return {
        "id": window.id,
        "name": window.name,
        "project": project,
        "monitor": str(window.monitor_id) if window.monitor_id else None,
        "name_pattern": window.name_pattern,
        "starts": show_moment(window.starts),
        "ends": show_moment(window.ends),
        "schedule": window.schedule,
        "duration": window.duration,
        "timezone": window.timezone,
        "active": is_active,
        "next_start": show_moment(timing.next_start(now) if is_active else span and span.start),
        "created": to_wire(window.created),
        "updated": to_wire(window.updated),
    }
