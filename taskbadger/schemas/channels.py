"""The API schemas of channels. Requests may contain secrets; responses never do."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import fields

from taskbadger.clock import to_wire
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.deliveries import AttemptResult
from taskbadger.schemas.fields import Flag, Message, Moment, RequestSchema, Text, invalid
from taskbadger.schemas.pagination import RESULTS, PageOfList

INTEGRATION = {
    "description": "Identifier of the channel in actions: kind:slug.",
    "example": "webhook:ops",
}
CONFIG = {
    "description": "Settings of the kind. Responses omit secrets. A request that omits a secret "
    "keeps it; null removes it."
}
ENABLED = {
    "description": "Whether the channel sends messages. It is turned off after failing for 5 days."
}
MAX_SLUG = 29
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,27}[a-z0-9])?", re.ASCII)


class ChannelSlug(Text):
    """The slug of a channel: the second part of an integration."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_SLUG, min_length=1, **kwargs)

    def check(self, text: str) -> str:
        text = super().check(text)
        if not _SLUG.fullmatch(text):
            raise invalid(
                "Use a-z, 0-9, - and _. Start and end with a letter or digit.",
            )
        return text


class ChannelSettings(fields.Dict):
    """The config of a channel; each kind has a schema of its own for it."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "required": Message("required", "This field is required."),
        "null": Message("null", "This field may not be null."),
        "invalid": Message("invalid", "Expected an object."),
    }


class PatchedChannelRequest(RequestSchema):
    """Some settings of a channel."""

    name = Text(max_length=255, min_length=1, metadata={"description": "Name of the channel"})
    config = ChannelSettings(metadata=CONFIG)
    enabled = Flag(metadata=ENABLED)


class ChannelRequest(PatchedChannelRequest):
    """A new channel."""

    kind = Text(
        required=True,
        max_length=20,
        min_length=1,
        metadata={"description": "What receives the messages.", "example": "webhook"},
    )
    slug = ChannelSlug(
        required=True,
        metadata={"description": "The second part of the identifier in actions.", "example": "ops"},
    )
    name = Text(max_length=255, min_length=1, metadata={"description": "Defaults to the slug."})
    config = ChannelSettings(required=True, metadata=CONFIG)


class Channel(RequestSchema):
    """A channel as the API shows it, without its secrets."""

    integration = fields.String(required=True, metadata=INTEGRATION)
    kind = fields.String(required=True, metadata={"description": "What receives the messages."})
    slug = fields.String(
        required=True, metadata={"description": "The second part of the identifier in actions."}
    )
    name = fields.String(required=True, metadata={"description": "Name of the channel"})
    config = fields.Dict(required=True, metadata=CONFIG)
    secrets = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Names of the secrets that are set."},
    )
    enabled = Flag(required=True, metadata=ENABLED)
    disabled = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the channel was turned off; null while it is on."},
    )
    failing_since = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "First failure since the last success; null if there is none."},
    )
    created = Moment(required=True, metadata={"description": "When the channel was created."})
    updated = Moment(required=True, metadata={"description": "When it was last changed."})


class PaginatedChannelList(PageOfList):
    """A page of channels, oldest first."""

    results = fields.List(fields.Nested(Channel), required=True, metadata=RESULTS)


class ChannelTest(AttemptResult):
    """The result of a test message."""

    delivery = fields.String(required=True, metadata={"description": "ID of the delivery"})
    delivered = Flag(
        required=True, metadata={"description": "Whether the receiver accepted the message."}
    )


def show_channel(
    channel: Any, *, config: Mapping[str, Any], secrets: Sequence[str]
) -> dict[str, Any]:
    """Return what *Channel* describes; *config* has no secrets, *secrets* lists their names."""
    return {
        "integration": f"{channel.kind}:{channel.slug}",
        "kind": channel.kind,
        "slug": channel.slug,
        "name": channel.name,
        "config": dict(config),
        "secrets": list(secrets),
        "enabled": channel.disabled is None,
        "disabled": show_moment(channel.disabled),
        "failing_since": show_moment(channel.failing_since),
        "created": to_wire(channel.created),
        "updated": to_wire(channel.updated),
    }
