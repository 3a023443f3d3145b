"""Check-ins: what clients of Sentry say about the runs of a monitor, and what a monitor is there.

The rules: https://develop.sentry.dev/sdk/telemetry/check-ins/. Sentry counts in minutes.
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from taskbadger.domain.monitors import CRON, INTERVAL
from taskbadger.domain.pings import Signal
from taskbadger.domain.schedule import MAX_INTERVAL

MAX_SLUG = 50
LATEST = UUID(int=0)
"""The id of a check-in that stands for the latest one that is in progress."""
DEFAULTS: Mapping[str, Any] = {"start_grace": 60, "max_runtime": 30 * 60}
"""Settings of a new monitor that its client leaves to the server."""
_SIGNALS = {"in_progress": Signal.START, "ok": Signal.SUCCESS, "error": Signal.FAIL}
_UNITS = {
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 31 * 86_400,  # The longest: a run on the same day of each month is never late.
    "year": 365 * 86_400,
}
_MAX_MINUTES = 40_320
_MAX_THRESHOLD = 720
_MAX_SCHEDULE = 255
_MAX_TIMEZONE = 64
_MAX_DURATION = 2**31 / 1000
"""Seconds: 24 days."""
_ENVIRONMENT = re.compile(r"[^\n\r\f/\0\ud800-\udfff]{0,64}")


class BadCheckIn(Exception):
    """A check-in cannot be taken. The text says why."""


class BadConfig(Exception):
    """The ``monitor_config`` of a check-in has a value that is not possible. The text says why."""


@dataclass(frozen=True, slots=True)
class CheckIn:
    """A check-in that can be taken, if there is a monitor for it."""

    slug: str
    signal: Signal
    id: UUID = LATEST
    environment: str | None = None
    duration: timedelta | None = None
    config: Mapping[str, Any] | None = None


def slug_of(text: str) -> str:
    """Return the slug that Sentry makes of what a client calls a monitor; it may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    kept = re.sub(r"[^a-z0-9_\s-]", "", plain)
    return re.sub(r"[-\s]+", "-", kept).strip("-_")[:MAX_SLUG].strip("-")


def read_check_in(found: Any) -> CheckIn:
    """Read the JSON of a check-in; raises BadCheckIn.

    Values in its ``monitor_config`` are of the right type, but not checked further.
    """
    if not isinstance(found, dict):
        raise BadCheckIn("failed to deserialize check in")
    name, status = found.get("monitor_slug"), found.get("status")
    if not isinstance(name, str) or not isinstance(status, str):
        raise BadCheckIn("failed to deserialize check in")
    slug, signal = slug_of(name), _SIGNALS.get(status)
    if not slug:
        raise BadCheckIn("the monitor slug is empty or invalid")
    if signal is None:
        raise BadCheckIn("the status is none of in_progress, ok and error")
    return CheckIn(
        slug,
        signal,
        _read_id(found.get("check_in_id")),
        _read_environment(found.get("environment")),
        _read_duration(found.get("duration")),
        _read_config(found.get("monitor_config")),
    )


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a monitor that a ``monitor_config`` names; raises BadConfig.

    Whether the schedule and the time zone exist is for the service to find out.
    """
    settings: dict[str, Any] = _schedule_of(config["schedule"])
    margin, max_runtime = config.get("checkin_margin"), config.get("max_runtime")
    if margin is not None:
        settings["start_grace"] = 60 * _within("checkin_margin", max(margin, 1), _MAX_MINUTES)
    if max_runtime is not None:
        settings["max_runtime"] = 60 * _within("max_runtime", max_runtime, _MAX_MINUTES)
    for name, ours in (
        ("failure_issue_threshold", "failure_threshold"),
        ("recovery_threshold", "recovery_threshold"),
    ):
        if config.get(name) is not None:
            settings[ours] = _within(name, config[name], _MAX_THRESHOLD)
    if config.get("timezone"):
        settings["timezone"] = _short("timezone", config["timezone"], _MAX_TIMEZONE)
    return settings


def _schedule_of(schedule: Mapping[str, Any]) -> dict[str, Any]:
    if schedule["type"] == "crontab":
        expression = " ".join(schedule["value"].split())
        expression = {"@annually": "@yearly"}.get(expression, expression)
        return {"type": CRON, "schedule": _short("schedule", expression, _MAX_SCHEDULE)}
    seconds = schedule["value"] * _UNITS[schedule["unit"]]
    if not 0 < seconds <= MAX_INTERVAL:
        raise BadConfig("schedule: an interval is at least a minute and at most a year")
    return {"type": INTERVAL, "interval": seconds, "anchor": "start"}


def _within(name: str, number: int, maximum: int) -> int:
    if not 1 <= number <= maximum:
        raise BadConfig(f"{name}: give a number from 1 to {maximum}")
    return number


def _short(name: str, text: str, max_length: int) -> str:
    if len(text) > max_length or not text.isprintable():
        raise BadConfig(f"{name}: give at most {max_length} printable characters")
    return text


def _read_id(found: Any) -> UUID:
    if found is None:
        return LATEST
    try:
        return UUID(found)
    except (ValueError, TypeError, AttributeError) as error:
        raise BadCheckIn("check_in_id is not a UUID") from error


def _read_environment(found: Any) -> str | None:
    if found is None or found == "":
        return None
    if not isinstance(found, str) or not _ENVIRONMENT.fullmatch(found):
        raise BadCheckIn("the environment has more than 64 characters, a slash or a line break")
    return found


def _read_duration(found: Any) -> timedelta | None:
    if found is None:
        return None
    if type(found) not in (int, float) or not 0 <= found < _MAX_DURATION or math.isnan(found):
        raise BadCheckIn(f"the duration is not a number of seconds from 0 to {_MAX_DURATION:.0f}")
    return timedelta(seconds=found)


def _read_config(found: Any) -> Mapping[str, Any] | None:
    if found is None or found == {}:
        return None
    numbers = ("checkin_margin", "max_runtime", "failure_issue_threshold", "recovery_threshold")
    if (
        not isinstance(found, dict)
        or not _is_schedule(found.get("schedule"))
        or not all(_is_number(found.get(name, 0) or 0) for name in numbers)
        or not isinstance(found.get("timezone") or "", str)
    ):
        raise BadCheckIn("failed to deserialize monitor_config")
    return found


def _is_schedule(schedule: Any) -> bool:
    if not isinstance(schedule, dict):
        return False
    kind, value = schedule.get("type"), schedule.get("value")
    if kind == "crontab":
        return isinstance(value, str)
    unit = schedule.get("unit")
    return kind == "interval" and _is_number(value) and isinstance(unit, str) and unit in _UNITS


def _is_number(value: Any) -> bool:
    return type(value) is int and value >= 0


def read_dsn(text: Any) -> tuple[str, str] | None:
    """Return the public key and the project id of a DSN; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        parts = urlsplit(text)
        key = parts.username
    except ValueError:
        return None
    project = parts.path.rpartition("/")[2]
    return (key, project) if key and parts.scheme in ("http", "https") else None
