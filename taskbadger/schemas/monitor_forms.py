"""The form of a monitor, as submitted by the dashboard."""

from typing import Any

from marshmallow import pre_load

from taskbadger.domain.monitors import CRON, INTERVAL
from taskbadger.schemas.fields import Text
from taskbadger.schemas.monitors import MonitorRequest

UNITS = ((60, "minutes"), (3600, "hours"), (86_400, "days"), (1, "seconds"))
"""The units of an interval: seconds per unit, and its name."""
_PLAIN = ("name", "type", "timezone", "failure_threshold", "recovery_threshold")
_OPTIONAL = ("start_grace", "max_runtime", "early_margin")


class MonitorForm(MonitorRequest):
    """A monitor as submitted; fields of the other type are ignored."""

    schedule = Text(max_length=255)
    timezone = Text(max_length=64)

    @pre_load
    def shape(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the fields of a MonitorRequest."""
        shaped: dict[str, Any] = {name: data[name] for name in _PLAIN if name in data}
        shaped |= {name: data.get(name, "").strip() or None for name in _OPTIONAL}
        if data.get("type") == CRON:
            shaped["schedule"] = data.get("schedule", "")
        if data.get("type") == INTERVAL:
            shaped["interval"] = seconds(data.get("interval", ""), data.get("interval_unit", ""))
            shaped["anchor"] = data.get("anchor", "start")
        return shaped


def seconds(number: str, unit: str) -> int | str:
    """Return an interval in seconds, or *number* unchanged if it is not a number."""
    sizes = {str(size) for size, _ in UNITS}
    number = number.strip()
    if number.isascii() and number.isdigit() and len(number) < 12 and unit in sizes:
        return int(number) * int(unit)
    return number


def split_seconds(interval: int | None) -> tuple[str, str]:
    """Return an interval as number and unit, in the largest unit that divides it; both as text."""
    if interval is None:
        return "", str(UNITS[0][0])
    unit = max(size for size, _ in UNITS if interval % size == 0)
    return str(interval // unit), str(unit)
