"""Checks on the wire, as Healthchecks has them: https://healthchecks.io/docs/api/."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields
from marshmallow.validate import Equal

from taskbadger.domain.checks import (
    MAX_NAME,
    MAX_SCHEDULE,
    MAX_SECONDS,
    MIN_SECONDS,
    STARTED,
    Status,
    unique_key,
)
from taskbadger.domain.monitors import CRON, MAX_DESCRIPTION, MAX_SLUG, MAX_TAGS
from taskbadger.domain.pings import ping_url
from taskbadger.models import ChannelConfig, Monitor
from taskbadger.models import Ping as PingRow
from taskbadger.schemas.fields import Flag, Message, RequestSchema, Text
from taskbadger.schemas.monitors import MonitorSlug

UNIQUE = ("name", "slug", "tags", "timeout", "grace")
"""The fields that may tell whether a check exists."""
_MAX_CHANNELS = 2000
_MAX_KEYWORDS = 200
_TEXT = {
    "invalid": Message("invalid", "is not a string"),
    "null": Message("null", "is not a string"),
    "max_length": Message("max_length", "is too long"),
    "nul": Message("invalid", "contains a null character"),
    "surrogate": Message("invalid", "contains a lone surrogate"),
}


def _text(max_length: int, *, trim: bool = False) -> Text:
    return Text(max_length=max_length, blank=True, trim=trim, error_messages=_TEXT)


class _Slug(MonitorSlug):
    """A slug; an empty one stands for one that is made of the name."""

    def __init__(self) -> None:
        super().__init__(error_messages=_TEXT)

    def check(self, text: str) -> str:
        try:
            return super().check(text) if text else ""
        except ValidationError as error:
            if len(text) > MAX_SLUG:
                raise
            raise ValidationError(Message("invalid", "does not match pattern")) from error


class _Seconds(fields.Integer):
    """A number of seconds; no other type will do."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "invalid": Message("invalid", "is not a number"),
        "null": Message("null", "is not a number"),
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid")
        if value < MIN_SECONDS:
            raise ValidationError(Message("min_value", "is too small"))
        if value > MAX_SECONDS:
            raise ValidationError(Message("max_value", "is too large"))
        return value


class _Unique(fields.List[Any]):
    """Some of UNIQUE."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "invalid": Message("invalid", "is not an array"),
        "null": Message("null", "is not an array"),
    }

    def __init__(self) -> None:
        super().__init__(fields.Raw(allow_none=True))

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        names = super()._deserialize(value, attr, data, **kwargs)
        wrong = {
            place: [Message("invalid_choice", "has unexpected value")]
            for place, name in enumerate(names)
            if not isinstance(name, str) or name not in UNIQUE
        }
        if wrong:
            raise ValidationError(wrong)
        return names


def _missing_feature(words: str) -> Equal:
    """Refuse what turns on something that we do not have."""
    return Equal("", error=Message("invalid", f"cannot be set: {words}"))


def _text_of_missing(words: str) -> Text:
    return Text(
        max_length=_MAX_KEYWORDS,
        blank=True,
        trim=False,
        error_messages=_TEXT,
        validate=_missing_feature(words),
    )


def _flag(**options: Any) -> Flag:
    is_none = Message("invalid", "is not a boolean")
    return Flag(error_messages={"invalid": is_none, "null": is_none}, **options)


_NO_KEYWORDS = "this server does not look for keywords"


def _no_keywords() -> Text:
    return _text_of_missing(_NO_KEYWORDS)


def _no_filter() -> Flag:
    error = Message("invalid", f"cannot be true: {_NO_KEYWORDS}")
    return _flag(validate=Equal(comparable=False, error=error))


class CheckRequest(RequestSchema):
    """What a client says of a check; unknown fields are ignored, as Healthchecks does."""

    name = _text(MAX_NAME, trim=True)
    slug = _Slug()
    tags = _text(MAX_TAGS)
    desc = _text(MAX_DESCRIPTION)
    timeout = _Seconds()
    grace = _Seconds()
    schedule = _text(MAX_SCHEDULE, trim=True)
    tz = _text(64)
    channels = _text(_MAX_CHANNELS)
    unique = _Unique()
    # Both values are taken: clients send the default of theirs without being asked.
    manual_resume = _flag()
    methods = _text_of_missing("pings by HEAD, GET and POST all count")
    start_kw = _no_keywords()
    success_kw = _no_keywords()
    failure_kw = _no_keywords()
    subject = _no_keywords()
    subject_fail = _no_keywords()
    filter_subject = _no_filter()
    filter_body = _no_filter()
    filter_http_body = _no_filter()
    filter_default_fail = _no_filter()


CONSTANTS: Mapping[str, Any] = {
    "manual_resume": True,
    "methods": "",
    "subject": "",
    "subject_fail": "",
    "start_kw": "",
    "success_kw": "",
    "failure_kw": "",
    "filter_subject": False,
    "filter_body": False,
    "filter_http_body": False,
    "filter_default_fail": False,
}
"""What is true of every check here."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a check's pings and runs say."""

    status: Status
    is_running: bool
    grace: int
    pings: int
    last_ping: datetime | None
    next_ping: datetime | None
    last_duration: int | None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where things are."""

    root: str
    """Of this server."""
    version: str
    """``v1``, ``v2`` or ``v3``."""


def show_check(
    monitor: Monitor, figures: Figures, addresses: Addresses, *, badge_url: str, is_readonly: bool
) -> dict[str, Any]:
    """Return a check as its API shows it; without its secrets to a key that only reads."""
    status: str = figures.status
    if addresses.version == "v1" and figures.is_running and status != Status.DOWN:
        status = STARTED
    shown = {
        "name": monitor.name,
        "slug": monitor.slug or "",
        "tags": monitor.tags,
        "desc": monitor.description,
        "grace": figures.grace,
        "n_pings": figures.pings,
        "status": status,
        "started": figures.is_running,
        "last_ping": _moment(figures.last_ping),
        "next_ping": _moment(figures.next_ping),
        **CONSTANTS,
        "badge_url": badge_url,
    }
    if figures.last_duration is not None:
        shown["last_duration"] = figures.last_duration
    shown |= (
        {"unique_key": unique_key(monitor.id)} if is_readonly else _show_secrets(monitor, addresses)
    )
    if monitor.type == CRON:
        return {**shown, "schedule": monitor.schedule, "tz": monitor.timezone}
    return {**shown, "timeout": monitor.interval}


def _show_secrets(monitor: Monitor, addresses: Addresses) -> dict[str, Any]:
    channels = ",".join(channels_of(json.loads(monitor.targets)))
    if monitor.ping_id is None:
        urls = ("uuid", "ping_url", "update_url", "pause_url", "resume_url")
        return {**dict.fromkeys(urls), "channels": channels}
    update = check_url(addresses, monitor.ping_id)
    return {
        "uuid": str(monitor.ping_id),
        "ping_url": ping_url(addresses.root, monitor.ping_id),
        "update_url": update,
        "pause_url": f"{update}/pause",
        "resume_url": f"{update}/resume",
        "channels": channels,
    }


def check_url(addresses: Addresses, ping_id: UUID) -> str:
    """Return where the API has a check."""
    return f"{addresses.root}/api/{addresses.version}/checks/{ping_id}"


def channels_of(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the ids of the channels that a monitor notifies, with an id for each address."""
    found = set()
    for target in targets:
        if target["integration"] != "email":
            found.add(target["integration"])
        else:
            found |= {f"email:{address}" for address in target["config"].get("to", "").split(",")}
    return sorted(found)


def show_channel(channel: ChannelConfig) -> dict[str, str]:
    """Return a channel as the API of Healthchecks shows an integration."""
    return {
        "id": f"{channel.kind}:{channel.slug}",
        "name": channel.name,
        "kind": channel.kind,
    }


def show_ping(ping: PingRow, *, duration: float | None, body_url: str | None) -> dict[str, Any]:
    """Return a ping as the API of Healthchecks shows it."""
    shown = {
        "type": ping.signal,
        "date": ping.created.isoformat(timespec="microseconds"),
        "n": ping.number,
        "scheme": ping.scheme,
        "remote_addr": ping.address,
        "method": ping.method,
        "ua": ping.user_agent,
        "rid": str(ping.run_id) if ping.run_id else None,
        "body_url": body_url,
    }
    return shown if duration is None else {**shown, "duration": round(duration, 6)}


def show_flip(at: datetime, *, is_up: bool) -> dict[str, Any]:
    """Return a change of a check's status."""
    return {"timestamp": _moment(at), "up": int(is_up)}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(microsecond=0).isoformat()
