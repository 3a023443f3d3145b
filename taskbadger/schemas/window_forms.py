"""The form of a maintenance window, as submitted by the dashboard."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import pre_load

from taskbadger.domain.windows import MAX_DURATION
from taskbadger.domain.zones import list_timezones, to_instant
from taskbadger.schemas.durations import TypedDuration
from taskbadger.schemas.name_patterns import NamePatternForm, read_pattern
from taskbadger.schemas.windows import WindowRequest

ONCE = "once"
RECURRING = "recurring"


class WindowForm(NamePatternForm, WindowRequest):
    """A window as submitted; fields of the other form are ignored."""

    duration = TypedDuration(min_value=1, max_value=MAX_DURATION, allow_none=True)

    @pre_load
    def shape(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the fields of a WindowRequest."""
        zone = data.get("timezone", "").strip() or "UTC"
        shaped: dict[str, Any] = {
            "name": data.get("name", ""),
            "project": data.get("project") or None,
            "monitor": data.get("monitor") or None,
            **read_pattern(data),
            "timezone": zone,
            "starts": None,
            "ends": None,
            "schedule": None,
            "duration": None,
        }
        if data.get("form") == RECURRING:
            shaped["schedule"] = data.get("schedule", "").strip() or None
            shaped["duration"] = data.get("duration", "").strip() or None
        else:
            shaped["starts"] = _moment(data.get("starts", ""), zone)
            shaped["ends"] = _moment(data.get("ends", ""), zone)
        return shaped


def _moment(text: str, zone: str) -> str | None:
    """Return a local time of a zone as the API takes it, or unchanged if it is not one."""
    text = text.strip()
    if not text:
        return None
    try:
        wall = datetime.fromisoformat(text)
        if wall.tzinfo is None and zone in list_timezones():
            return to_instant(wall, ZoneInfo(zone), fold=0).isoformat()
    except (ValueError, OverflowError):
        return text
    return text


def local_text(moment: datetime | None, zone: str) -> str:
    """Return a moment as an input for local times has it; empty for None."""
    if moment is None:
        return ""
    known = ZoneInfo(zone) if zone in list_timezones() else UTC
    local = moment.astimezone(known).replace(tzinfo=None)
    return local.isoformat(timespec="seconds" if local.second else "minutes")
