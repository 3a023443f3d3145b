"""The form of a monitor, as submitted by the dashboard."""

from typing import Any

from marshmallow import pre_load

from taskbadger.domain.monitors import CRON, INTERVAL
from taskbadger.domain.schedule import MAX_INTERVAL, MIN_INTERVAL
from taskbadger.schemas.durations import TypedDuration
from taskbadger.schemas.fields import INT32_MAX, Text
from taskbadger.schemas.global_actions import MAX_REMIND_SECONDS, MIN_REMIND_SECONDS
from taskbadger.schemas.monitors import MonitorRequest

_PLAIN = ("name", "type", "timezone", "failure_threshold", "recovery_threshold")
_OPTIONAL = ("task_name", "start_grace", "max_runtime", "early_margin")


def interval_field() -> TypedDuration:
    """Return the field for the time between two runs."""
    return TypedDuration(min_value=MIN_INTERVAL, max_value=MAX_INTERVAL)


def grace_field() -> TypedDuration:
    """Return the field for how late a run may start."""
    return TypedDuration(max_value=MAX_INTERVAL, allow_none=True)


def reminder_field() -> TypedDuration:
    """Return the field for when to remind of what still fails; 0 for never."""
    return TypedDuration(min_value=MIN_REMIND_SECONDS, max_value=MAX_REMIND_SECONDS, or_zero=True)


class MonitorForm(MonitorRequest):
    """A monitor as submitted; fields of the other type are ignored.

    Its channels and its escalation are read separately.
    """

    schedule = Text(max_length=255)
    timezone = Text(max_length=64)
    interval = interval_field()
    start_grace = grace_field()
    max_runtime = TypedDuration(min_value=1, max_value=INT32_MAX, allow_none=True)
    early_margin = TypedDuration(max_value=MAX_INTERVAL, allow_none=True)
    remind_after = reminder_field()

    @pre_load
    def shape(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the fields of a MonitorRequest."""
        shaped: dict[str, Any] = {name: data[name] for name in _PLAIN if name in data}
        shaped |= {name: data.get(name, "").strip() or None for name in _OPTIONAL}
        if data.get("slug", "").strip():
            shaped["slug"] = data["slug"]
        shaped["remind_after"] = data.get("remind_after", "").strip() or "0"
        if data.get("type") == CRON:
            shaped["schedule"] = data.get("schedule", "")
        if data.get("type") == INTERVAL:
            shaped["interval"] = data.get("interval", "")
            shaped["anchor"] = data.get("anchor", "start")
        return shaped
