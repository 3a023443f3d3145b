"""The texts of messages; chat services and e-mail share them."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from taskbadger.channels import Message

BAD_STATUSES = frozenset({"error", "stale"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def task_title(task: Mapping[str, Any], trigger: str | None = None) -> str:
    """Return the title of a message about *task*, such as ``nightly import: error at 62 %``."""
    status = str(task["status"]).replace("_", " ")
    if trigger == "max_runtime_exceeded":
        status = "ran too long"
    percent = task.get("value_percent")
    progress = "" if percent is None or task["status"] == "success" else f" at {percent} %"
    return f"{task['name']}: {status}{progress}"


def monitor_title(name: str, kind: str) -> str:
    """Return the title of a message of *kind* ``monitor_failing`` or ``monitor_recovered``."""
    return f"{name}: {'failing' if kind == 'monitor_failing' else 'recovered'}"


def one_line(value: object) -> str:
    """Return *value* as text on one line, without characters that change the reading direction."""
    return " ".join(_CONTROL.sub(" ", str(value)).split())


def cut(text: str, limit: int, escape: Callable[[str], str] = str) -> str:
    """Return *text* escaped, and cut so that the result has at most *limit* characters.

    It is cut before it is escaped, so no escape sequence is split. *escape* must never shorten.
    """
    if len(text) <= limit and len(escaped := escape(text)) <= limit:
        return escaped
    length = min(len(text), limit) - 1
    while len(escaped := escape(text[:length].rstrip() + "…")) > limit:
        length -= max(1, (len(escaped) - limit) // 8)
    return escaped


def cut_bytes(text: str, limit: int) -> str:
    """Return *text*, cut to at most *limit* bytes in UTF-8."""
    data = text.encode()
    if len(data) <= limit:
        return text
    return data[: limit - 3].decode(errors="ignore") + "…"


def mood(message: Message) -> str:
    """Return ``bad``, ``good`` or ``neutral``, which decides colours and priorities."""
    if message.kind in ("monitor_failing", "channel_disabled"):
        return "bad"
    if message.kind == "monitor_recovered":
        return "good"
    status = (message.task or {}).get("status")
    if status in BAD_STATUSES or message.trigger == "max_runtime_exceeded":
        return "bad"
    return "good" if status == "success" else "neutral"


def where(message: Message) -> str:
    """Return ``organization/project``, or the organization alone."""
    return "/".join(part for part in (message.organization, message.project) if part)


def title(message: Message) -> str:
    """Return the title, on one line."""
    return one_line(message.title)


def link(message: Message) -> str | None:
    """Return the URL to open, if it is http or https."""
    if message.url and urlsplit(message.url).scheme in ("http", "https"):
        return message.url
    return None


def facts(message: Message) -> list[tuple[str, str]]:
    """Return the facts of the message: pairs of a label and a text on one line."""
    found: list[tuple[str, object]] = [("Where", where(message))]
    found += _task_facts(message)
    found += _monitor_facts(message)
    found.append(("When", moment(message.created, _zone_of(message))))
    return [(label, one_line(value)) for label, value in found]


def reason_lines(message: Message) -> list[str]:
    """Return the reasons for the message, one sentence each."""
    lines = [_reason_line(reason) for reason in message.reasons]
    if not lines and message.trigger:
        lines.append(f"The trigger {one_line(message.trigger)} was reached.")
    if message.kind == "test":
        lines.append("This is a test message. Nothing is wrong.")
    return lines


def _reason_line(reason: Mapping[str, Any]) -> str:
    """Return a reason as a sentence: one of `domain.triggers`, or a ready ``text``."""
    if reason.get("text"):
        return one_line(reason["text"])
    kind, reached, before = reason.get("kind"), reason.get("reached"), reason.get("before")
    if kind == "max_runtime_exceeded":
        return "The task ran longer than its maximum run time."
    if kind == "status":
        was = "" if before is None else f" from {before}"
        return one_line(f"The status changed{was} to {reached}.".replace("_", " "))
    if kind in ("percent", "percent_multiple"):
        return _progress_line("Progress", reason, " %")
    if kind in ("value", "value_multiple"):
        return _progress_line("The value", reason, "")
    return f"The trigger {one_line(reason.get('point', '?'))} was reached."


def _progress_line(what: str, reason: Mapping[str, Any], unit: str) -> str:
    before = reason.get("before")
    was = "" if before is None else f"from {before}{unit} to "
    now = f"{was}{reason.get('after')}{unit}"
    return one_line(f"{what} reached {reason['reached']}{unit}: {now} (trigger {reason['point']}).")


def held_back_line(message: Message) -> str | None:
    """Return the sentence about alerts that a quiet period held back; None if there are none."""
    if message.held_back < 1:
        return None
    if message.held_back == 1:
        return "1 alert was held back since the last message."
    return f"{message.held_back} alerts were held back since the last message."


def notes(message: Message) -> list[str]:
    """Return the sentences below the facts: the reasons, and how many alerts were held back."""
    held_back = held_back_line(message)
    return reason_lines(message) + ([held_back] if held_back else [])


def plain(message: Message) -> str:
    """Return everything but the title as lines of plain text."""
    lines = [f"{label}: {value}" for label, value in facts(message)]
    return "\n".join([*lines, *notes(message)])


def moment(value: datetime, zone: ZoneInfo | None = None) -> str:
    """Format a time, in UTC and in *zone*."""
    there = value.astimezone(UTC)
    text = there.strftime("%Y-%m-%d %H:%M:%S UTC")
    if zone is None:
        return text
    here = value.astimezone(zone)
    day = "" if here.date() == there.date() else f"{here:%Y-%m-%d} "
    return f"{text} ({day}{here:%H:%M:%S} {zone.key})"


def _zone_of(message: Message) -> ZoneInfo | None:
    """Return the time zone of the message's monitor; None if it is UTC or unknown."""
    name = (message.monitor or {}).get("timezone")
    try:
        return ZoneInfo(name) if name and name != "UTC" else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def duration(seconds: float) -> str:
    """Format a duration in its two largest units, such as ``2 h 5 min``."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def _task_facts(message: Message) -> list[tuple[str, object]]:
    task = message.task
    if task is None:
        return []
    found: list[tuple[str, object]] = [
        ("Task", task["name"]),
        ("Status", str(task["status"]).replace("_", " ")),
    ]
    if task.get("value") is not None:
        found.append(("Progress", _progress(task)))
    for label, name in (("Queue", "queue"), ("External ID", "external_id")):
        if task.get(name):
            found.append((label, task[name]))
    return found + _task_times(task, message.created)


def _progress(task: Mapping[str, Any]) -> str:
    amount = f"{task['value']:,} of {task.get('value_max') or 0:,}"
    percent = task.get("value_percent")
    return amount if percent is None else f"{percent} % ({amount})"


def _task_times(task: Mapping[str, Any], now: datetime) -> list[tuple[str, object]]:
    start, end = _time(task.get("start_time")), _time(task.get("end_time"))
    if start is None:
        created = _time(task.get("created"))
        return [] if created is None else [("Created", moment(created))]
    label = "Running for" if end is None else "Run time"
    length = ((end or now) - start).total_seconds()
    return [("Started", moment(start)), (label, duration(length))]


def _monitor_facts(message: Message) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    monitor, incident = message.monitor or {}, message.incident or {}
    if monitor.get("name"):
        found.append(("Monitor", monitor["name"]))
    if monitor.get("schedule"):
        found.append(("Schedule", f"{monitor['schedule']} {monitor.get('timezone', 'UTC')}"))
    elif monitor.get("interval"):
        found.append(("Schedule", f"every {duration(monitor['interval'])}"))
    opened, closed = _time(incident.get("opened")), _time(incident.get("closed"))
    if opened:
        found.append(("Failing since", moment(opened, _zone_of(message))))
    if opened and closed:
        found.append(("Duration", duration((closed - opened).total_seconds())))
    if incident.get("bad_slots"):
        found.append(("Missed or failed runs", incident["bad_slots"]))
    return found


def _time(value: object) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
