"""Ways to deliver a message: the plug-in interface, and the channels that are known.

A channel of a third party is a subclass of `Channel`, made known with ``channels.add(Pager())``.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from ssl import SSLContext
from typing import Any, ClassVar

from marshmallow import Schema

from taskbadger.clock import utcnow
from taskbadger.outbound import Sender
from taskbadger.schemas.coded import coded
from taskbadger.settings import Settings

Config = Mapping[str, Any]

MESSAGE_KINDS = ("task", "test", "monitor_failing", "monitor_recovered", "channel_disabled")


@dataclass(frozen=True, kw_only=True)
class Message:
    """One thing to tell, whatever the channel; a delivery keeps it as JSON."""

    id: str
    """The delivery's id, the same on every retry: letters, digits, ``-`` and ``_``."""
    kind: str
    """One of MESSAGE_KINDS."""
    created: datetime
    """When the thing happened that is told, aware."""
    organization: str
    """The organization's slug."""
    title: str
    """The one line that says it all; `text.task_title` and `text.monitor_title` make it."""
    project: str | None = None
    """The project's slug."""
    task: dict[str, Any] | None = None
    """The task as the API shows it, at the moment of the change."""
    action: dict[str, Any] | None = None
    """The action, or global action, that fired, without secrets."""
    trigger: str | None = None
    """The point that was reached, as ``25%`` or ``error``."""
    reasons: tuple[dict[str, Any], ...] = ()
    """Why it fired: `domain.triggers.Reason` as JSON, or any ``{"text": "A sentence."}``."""
    held_back: int = 0
    """Notices that a quiet period has held back since the last message."""
    url: str | None = None
    """The page to open."""
    monitor: dict[str, Any] | None = None
    """The monitor: ``id``, ``name`` and, where known, ``schedule`` or ``interval``."""
    incident: dict[str, Any] | None = None
    """The incident: ``id``, ``opened``, ``closed`` (ISO 8601 or null) and ``bad_slots``."""

    def to_json(self) -> str:
        """Write the message as JSON; `from_json` reads it back."""
        values = asdict(self) | {"created": self.created.astimezone(UTC).isoformat()}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Message":
        """Read what `to_json` wrote, in this version or another: unknown fields are left out."""
        names = {field.name for field in fields(cls)}
        values = {name: value for name, value in json.loads(text).items() if name in names}
        values["created"] = datetime.fromisoformat(values["created"])
        values["reasons"] = tuple(values["reasons"])
        return cls(**values)


class DeliveryError(Exception):
    """A message was not delivered, or not to everyone.

    *detail* is for people and holds no secret and nothing of an answer's body. *permanent* says
    that another attempt is useless. *retry_after* are the seconds that the receiver asked for.
    *status* is an HTTP status or an SMTP reply code. *error_class* is a short stable word.
    *remaining*, when given, is the action's config to go on with, because the rest is done:
    the next attempt, by the clock or by hand, must use it, or people get the message twice.
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
    """What channels need from the server they run in. One is enough for all threads."""

    http: Sender = field(default_factory=Sender)
    smtp_url: str = ""
    """The mail server, as the setting SMTP_URL has it; empty: none."""
    mail_from: str = "Task Badger <taskbadger@localhost>"
    smtp_seconds: float = 15.0
    """How long the delivery of one mail may take in all."""
    smtp_tls: SSLContext | None = None
    """Whom to trust as the mail server; None for the system's authorities."""
    apprise_schemes: tuple[str, ...] = ()
    """URL schemes that the Apprise channel may use; empty: none."""
    clock: Callable[[], datetime] = utcnow

    @classmethod
    def from_settings(cls, settings: Settings) -> "SendContext":
        """Make the context of a server."""
        return cls(
            http=Sender.allowing(settings.OUTBOUND_ALLOW),
            smtp_url=settings.SMTP_URL,
            mail_from=settings.MAIL_FROM,
            apprise_schemes=settings.APPRISE_SCHEMES,
        )


class Channel:
    """A way to deliver messages. Stateless: one instance serves all threads and organizations."""

    kind: ClassVar[str]
    """What integrations begin with: ``webhook`` in ``webhook:ops``."""
    label: ClassVar[str]
    """The name that people see."""
    config_schema: ClassVar[type[Schema]] = Schema
    """The settings of a configured channel; checked when saved, never when it fires."""
    action_schema: ClassVar[type[Schema]] = Schema
    """The ``config`` of an action that uses the channel; by default empty."""
    secret_fields: ClassVar[tuple[str, ...]] = ()
    """Fields of the config that are written but never shown again."""

    def missing(self, context: SendContext) -> str | None:
        """Say what the operator has to set up before the channel can be used; None when ready."""
        return None

    def check(self, config: Config, context: SendContext) -> None:
        """Check what a schema cannot know; raises marshmallow's ValidationError."""

    def load_action(self, action_config: Any, config: Config) -> dict[str, Any]:
        """Return an action's config, checked; raises ValidationError. *config*: the channel's."""
        loaded: dict[str, Any] = coded(self.action_schema()).load(action_config)
        return loaded

    def destination(self, config: Config, action_config: Config) -> str:
        """Return the key of the receiver, for limits: no secrets, at most 255 characters."""
        raise NotImplementedError

    def send(
        self, message: Message, config: Config, action_config: Config, context: SendContext
    ) -> None:
        """Deliver *message* within 20 seconds, or raise DeliveryError."""
        raise NotImplementedError


_channels: dict[str, Channel] = {}


def add(channel: Channel) -> None:
    """Make a channel known. The same class again replaces it; another of its kind is refused."""
    known = _channels.get(channel.kind)
    if known is not None and type(known) is not type(channel):
        raise ValueError(f"there is a channel of kind {channel.kind!r} already: {known!r}")
    _channels[channel.kind] = channel


def get(kind: str) -> Channel | None:
    """Return the channel of that kind, or None."""
    return _channels.get(kind)


def kinds() -> list[str]:
    """Return the kinds that are known, in the order in which they were added."""
    return list(_channels)


def load_config(channel: Channel, config: Any, context: SendContext) -> dict[str, Any]:
    """Return *config* as it is to be saved, defaults filled in; raises ValidationError."""
    loaded: dict[str, Any] = coded(channel.config_schema()).load(config)
    channel.check(loaded, context)
    return loaded
