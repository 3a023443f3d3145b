"""The interface of channels, and the registry of those that can be used.

A plug-in's channel is a subclass of `Channel`, registered with ``channels.add(Pager())``.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from ssl import SSLContext
from typing import Any, ClassVar

from marshmallow import Schema

from taskbadger.clock import utcnow
from taskbadger.outbound import Sender
from taskbadger.schemas.coded import coded
from taskbadger.settings import Settings

Json = dict[str, Any]
"""A JSON object."""
Config = Mapping[str, Any]
"""The configuration of a channel, or of an action that uses one: a JSON object."""

MESSAGE_KINDS = (
    "task",
    "test",
    "monitor_failing",
    "monitor_recovered",
    "channel_disabled",
    "task.failing",
    "task.new_failure",
    "task.recovered",
    "task.reminder",
    "digest",
    "invitation",
)
"""``task.reminder`` tells again that a name or a monitor is failing: a reminder, or a step of the
escalation, which its first reason says. ``digest`` and ``invitation`` are only
for e-mail."""
DIGEST = "digest"
INVITATION = "invitation"


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message, the same for every channel. A delivery stores it as JSON."""

    id: str
    """The delivery's id, the same on every retry: letters, digits, ``-`` and ``_``."""
    kind: str
    """One of MESSAGE_KINDS."""
    created: datetime
    """When the reported event happened; timezone-aware."""
    organization: str
    """The organization's slug."""
    title: str
    """A summary in one line, made by `text.task_title` or `text.incident_title`."""
    project: str | None = None
    """The project's slug."""
    task: dict[str, Any] | None = None
    """The task as the API returns it, at the time of the change."""
    action: dict[str, Any] | None = None
    """The action or global action that fired, without secrets."""
    trigger: str | None = None
    """The trigger point that was reached, such as ``25%`` or ``error``."""
    reasons: tuple[dict[str, Any], ...] = ()
    """Why it fired: `domain.triggers.Reason` as JSON, or any ``{"text": "A sentence."}``."""
    held_back: int = 0
    """The number of firings that a quiet period or a window held back since the last message."""
    url: str | None = None
    """The page that the message links to."""
    monitor: dict[str, Any] | None = None
    """The monitor: ``id``, ``name`` and, where known, ``schedule`` or ``interval``."""
    incident: dict[str, Any] | None = None
    """The incident, as `schemas.incidents.show_incident` returns it."""
    failure: dict[str, Any] | None = None
    """The kind of the failure: ``id`` and ``title``."""
    error: str | None = None
    """Why the task failed, in one line; None if it did not, or does not say."""
    digest: dict[str, Any] | None = None
    """What a digest says, and to whom: written by `services.digests.writing`."""
    invitation: dict[str, Any] | None = None
    """What an invitation says: written by `services.invitation_mails`."""
    links: dict[str, str] | None = None
    """Signed URLs to ``acknowledge`` and to ``snooze`` the incident, to ``unsubscribe`` from
    digests, or to ``join``. They are made when the message is sent, so that none is stored."""

    def to_json(self) -> str:
        """Return the message as JSON, for `from_json`."""
        values = vars(self) | {"created": self.created.astimezone(UTC).isoformat()}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Message":
        """Read what `to_json` of any version wrote; unknown fields are ignored."""
        names = {field.name for field in fields(cls)}
        values = {name: value for name, value in json.loads(text).items() if name in names}
        values["created"] = datetime.fromisoformat(values["created"])
        values["reasons"] = tuple(values["reasons"])
        return cls(**values)


class DeliveryError(Exception):
    """A message was not delivered, or not to everyone.

    *detail* is for people; it must not contain secrets or parts of a response's body.
    *permanent* means that another attempt is useless. *retry_after* is the number of seconds that
    the receiver asked us to wait. *status* is an HTTP status or an SMTP reply code. *error_class*
    is a short, stable identifier. *remaining* is set after a partial success: the action's config
    for every further attempt. With the original config, some people would get the message twice.
    """

    def __init__(
        self,
        detail: str,
        *,
        error_class: str,
        permanent: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
        remaining: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.error_class = error_class
        self.permanent = permanent
        self.retry_after = retry_after
        self.status = status
        self.remaining = remaining


@dataclass(frozen=True, kw_only=True)
class SendContext:
    """What channels need from the server. All threads share one."""

    http: Sender = field(default_factory=Sender)
    base_url: str = ""
    """What links to this server start with; empty where it is unknown."""
    secret_key: str = field(default="", repr=False)
    """Signs links; without it there are none."""
    smtp_url: str = ""
    """The setting SMTP_URL; empty for no mail server."""
    mail_from: str = "Task Badger <taskbadger@localhost>"
    smtp_seconds: float = 15.0
    """How long sending one mail may take in total."""
    smtp_tls: SSLContext | None = None
    """Checks the mail server's certificate; None for the system's certificate authorities."""
    apprise_schemes: tuple[str, ...] = ()
    """URL schemes that the Apprise channel may use; empty for none."""
    clock: Callable[[], datetime] = utcnow

    @classmethod
    def from_settings(cls, settings: Settings) -> "SendContext":
        """Return the context for a server with these *settings*."""
        return cls(
            http=Sender.allowing(settings.OUTBOUND_ALLOW),
            base_url=settings.BASE_URL.rstrip("/"),
            secret_key=settings.SECRET_KEY,
            smtp_url=settings.SMTP_URL,
            mail_from=settings.MAIL_FROM,
            apprise_schemes=settings.APPRISE_SCHEMES,
        )


class Channel:
    """A way to deliver messages. Stateless: one instance serves all threads and organizations."""

    kind: ClassVar[str]
    """The first part of an integration: ``webhook`` in ``webhook:ops``."""
    label: ClassVar[str]
    """The name on the pages."""
    guide: ClassVar[str] = ""
    """Where people find what the config asks for, in a sentence or two; empty for nothing."""
    guide_url: ClassVar[str] = ""
    """A page of the service that says more; empty for none."""
    config_schema: ClassVar[type[Schema]] = Schema
    """Checks the config of a channel when it is saved, not when it is used."""
    action_schema: ClassVar[type[Schema]] = Schema
    """Checks the ``config`` of an action that uses the channel; by default it is empty."""
    secret_fields: ClassVar[tuple[str, ...]] = ()
    """Fields of the config that are never shown again once they are saved."""

    def missing(self, context: SendContext) -> str | None:
        """Return what the operator must set up first, as a sentence; None if nothing is missing."""
        return None

    def check(self, config: Config, context: SendContext) -> None:
        """Check what the schema cannot; raises marshmallow's ValidationError."""

    def load_action(self, action_config: Any, config: Config) -> dict[str, Any]:
        """Return an action's config, validated; raises ValidationError.

        *config* is the channel's.
        """
        loaded: dict[str, Any] = coded(self.action_schema()).load(action_config)
        return loaded

    def destination(self, config: Config, action_config: Config) -> str:
        """Return a key of the receiver for rate limits: no secrets, at most 255 characters."""
        raise NotImplementedError

    def send(
        self, message: Message, config: Config, action_config: Config, context: SendContext
    ) -> None:
        """Deliver *message* within 20 seconds, or raise DeliveryError."""
        raise NotImplementedError


_channels: dict[str, Channel] = {}


def add(channel: Channel) -> None:
    """Register a channel. It may replace one of the same class.

    Raises ValueError if a channel of another class has its kind.
    """
    known = _channels.get(channel.kind)
    if known is not None and type(known) is not type(channel):
        raise ValueError(f"a channel of kind {channel.kind!r} is already registered: {known!r}")
    _channels[channel.kind] = channel


def get(kind: str) -> Channel | None:
    """Return the channel of that kind, or None."""
    return _channels.get(kind)


def kinds() -> list[str]:
    """Return the registered kinds, in the order of their registration."""
    return list(_channels)


def load_config(channel: Channel, config: Config, context: SendContext) -> Json:
    """Return *config* validated and with its defaults, to be saved; raises ValidationError."""
    loaded: Json = coded(channel.config_schema()).load(config)
    channel.check(loaded, context)
    return loaded
