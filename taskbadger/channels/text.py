"""The texts of messages; chat services and e-mail share them."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from taskbadger.channels import INVITATION, Message
from taskbadger.domain.time_words import duration

BAD_STATUSES = frozenset({"error", "stale"})
BAD_KINDS = frozenset(
    {"monitor_failing", "channel_disabled", "task.failing", "task.new_failure", "task.reminder"}
)
GOOD_KINDS = frozenset({"monitor_recovered", "task.recovered"})
_WHAT_HAPPENED = {
    "monitor_failing": "is failing",
    "task.failing": "is failing",
    "task.new_failure": "fails in a new way",
    "task.reminder": "is still failing",
}
_MAX_TAGS = 10
_INVITATION = (
    ("Organization", "organization"),
    ("Role", "role"),
    ("Invited by", "invited_by"),
    ("Valid until", "expires"),
)
_MAX_FAILURE = 200
"""Characters of an error that a title shows."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def task_title(
    task: Mapping[str, Any], trigger: str | None = None, error: str | None = None
) -> str:
    """Return the title of a message about *task*: ``import: error at 62 %: ValueError: no``.

    *error* says why it failed.
    """
    status = str(task["status"]).replace("_", " ")
    if trigger == "max_runtime_exceeded":
        status = "ran too long"
    percent = task.get("value_percent")
    progress = "" if percent is None or task["status"] == "success" else f" at {percent} %"
    why = f": {cut(error, _MAX_FAILURE)}" if error else ""
    return f"{task['name']}: {status}{progress}{why}"


def incident_title(
    kind: str,
    name: str,
    incident: Mapping[str, Any],
    *,
    now: datetime,
    failure: str = "",
    quiet_for: float | None = None,
    unacknowledged_for: float | None = None,
) -> str:
    """Return the title of a message about an incident, which says what happened.

    *name* is that of the tasks or of the monitor, *incident* the object of the API, and *failure*
    why the task failed, or the title of the failure kind. *quiet_for* is the number of seconds
    without a failure after which it was closed, *unacknowledged_for* the number after which a step
    of the escalation is told.
    """
    count = incident["runs"]
    missed = " or missed" if kind.startswith("monitor_") else ""
    if kind in GOOD_KINDS:
        length = duration(_seconds_of(incident, now))
        runs = counted(count, f"failed{missed} run")
        if quiet_for is not None:
            return f"{name}: no failure for {_hours(quiet_for)}, after {runs} in {length}"
        return f"{name} recovered after {length}, {runs}"
    title = f"{name} {_WHAT_HAPPENED[kind]}"
    if unacknowledged_for is not None:
        title += f", and nobody has acknowledged it for {duration(unacknowledged_for)}"
    if failure:
        title += f": {cut(failure, _MAX_FAILURE)}"
    runs = counted(count, f"failed{missed} run" if missed else "run")
    title += f" ({runs} since {_since(incident, now)})"
    on_it = incident.get("acknowledged_by")
    return f"{title}; {on_it} is on it" if on_it else title


def _seconds_of(incident: Mapping[str, Any], now: datetime) -> float:
    opened, closed = _time(incident["opened"]) or now, _time(incident.get("closed")) or now
    return (closed - opened).total_seconds()


def _since(incident: Mapping[str, Any], now: datetime) -> str:
    opened = (_time(incident["opened"]) or now).astimezone(UTC)
    day = "" if opened.date() == now.astimezone(UTC).date() else f"{opened:%Y-%m-%d} "
    return f"{day}{opened:%H:%M} UTC"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 run``, ``2 runs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _hours(seconds: float) -> str:
    """Format a duration in hours if it is a whole number of them: ``24 h``, not ``1 d``."""
    return duration(seconds) if seconds % 3600 else f"{seconds / 3600:.0f} h"


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
    if message.kind in BAD_KINDS:
        return "bad"
    if message.kind in GOOD_KINDS:
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


def links(message: Message) -> list[tuple[str, str]]:
    """Return what the message offers to open: pairs of a label and a URL."""
    found = [("Open", link(message))]
    signed = message.links or {}
    found += [(name.capitalize(), signed.get(name)) for name in ("acknowledge", "snooze", "join")]
    return [(label, url) for label, url in found if url]


def thread(message: Message) -> str | None:
    """Return what messages about the same incident have in common: ``incident-7``; or None."""
    number = (message.incident or {}).get("id")
    return f"incident-{number}" if isinstance(number, int) else None


def facts(message: Message) -> list[tuple[str, str]]:
    """Return the facts of the message: pairs of a label and a text on one line."""
    if message.invitation is not None:
        return [(label, one_line(message.invitation[name])) for label, name in _INVITATION]
    found: list[tuple[str, object]] = [("Error", message.error)] if message.error else []
    found.append(("Where", where(message)))
    rule = (message.action or {}).get("name")
    found += [("Alert rule", rule)] if rule else []
    found += _task_facts(message)
    found += _monitor_facts(message)
    found += _incident_facts(message)
    found.append(("When", moment(message.created, _zone_of(message))))
    return [(label, one_line(value)) for label, value in found]


def reason_lines(message: Message) -> list[str]:
    """Return the reasons for the message, one sentence each."""
    lines = [_reason_line(reason) for reason in message.reasons]
    if not lines and message.trigger and not message.kind.startswith("task."):
        lines.append(f"The trigger {one_line(message.trigger)} was reached.")
    if message.kind == "test":
        lines.append("This is a test message. Nothing is wrong.")
    if message.kind == INVITATION:
        lines.append("Task Badger watches background jobs. The link works once.")
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
    if message.digest is not None:
        return "\n".join(_digest_lines(message.digest))
    lines = [f"{label}: {value}" for label, value in facts(message)]
    return "\n".join([*lines, *notes(message)])


def _digest_lines(digest: Mapping[str, Any]) -> list[str]:
    lines = [str(digest["period"])]
    for section in digest["sections"]:
        lines.append(f"{section['title']}:")
        lines += [f"- {entry['title']}: {entry['detail']}" for entry in section["entries"]]
        lines += [section["more"]] if section["more"] else []
    return lines


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
    if task.get("tags"):
        found.append(("Tags", _tags(task["tags"])))
    return found + _task_times(task, message.created)


def _tags(tags: Mapping[str, str]) -> str:
    """Return the first tags in words, and how many more there are."""
    shown = [f"{name}: {value}" for name, value in list(tags.items())[:_MAX_TAGS]]
    rest = len(tags) - len(shown)
    return ", ".join([*shown, *([f"and {rest} more"] if rest else [])])


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
    monitor = message.monitor or {}
    if monitor.get("name"):
        found.append(("Monitor", monitor["name"]))
    if monitor.get("schedule"):
        found.append(("Schedule", f"{monitor['schedule']} {monitor.get('timezone', 'UTC')}"))
    elif monitor.get("interval"):
        found.append(("Schedule", f"every {duration(monitor['interval'])}"))
    return found


def _incident_facts(message: Message) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    incident = message.incident or {}
    if incident.get("name") and message.task is None:
        found.append(("Task", incident["name"]))
    if message.failure and not message.error:
        found.append(("Failure", message.failure["title"]))
    opened, closed = _time(incident.get("opened")), _time(incident.get("closed"))
    if opened:
        found.append(("Failing since", moment(opened, _zone_of(message))))
    if opened and closed:
        found.append(("Duration", duration((closed - opened).total_seconds())))
    if incident.get("bad_slots") or incident.get("runs"):
        label = "Failed runs" if message.monitor is None else "Missed or failed runs"
        found.append((label, incident.get("bad_slots") or incident["runs"]))
    if incident.get("acknowledged_by"):
        found.append(("Acknowledged by", incident["acknowledged_by"]))
    if incident.get("id"):
        found.append(("Incident", incident["id"]))
    return found


def _time(value: object) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
