"""Channels on the wire. Their secrets come in and never go out."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import fields

from taskbadger.clock import to_wire
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.fields import Flag, Message, Moment, RequestSchema, Text, invalid
from taskbadger.schemas.pagination import PageOfList

INTEGRATION = {"description": "What actions call the channel.", "example": "webhook:ops"}
CONFIG = {
    "description": "What the kind asks for. Secrets are left out of answers, and kept when they "
    "are left out of a request; null removes one."
}
ENABLED = {"description": "A channel that is turned off sends nothing; 5 days of failures do so."}
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,27}[a-z0-9])?", re.ASCII)


class ChannelSlug(Text):
    """The second half of an integration."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=29, min_length=1, **kwargs)

    def check(self, text: str) -> str:
        text = super().check(text)
        if not _SLUG.fullmatch(text):
            raise invalid(
                "Use a-z, 0-9, - and _, beginning and ending with a letter or digit.",
            )
        return text


class ChannelSettings(fields.Dict):
    """The config of a channel; what belongs in it is for the channel to say."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "required": Message("required", "This field is required."),
        "null": Message("null", "This field may not be null."),
        "invalid": Message("invalid", "Expected an object."),
    }


class PatchedChannelRequest(RequestSchema):
    """Some settings of a channel."""

    name = Text(max_length=255, min_length=1)
    config = ChannelSettings(metadata=CONFIG)
    enabled = Flag(metadata=ENABLED)


class ChannelRequest(PatchedChannelRequest):
    """A new channel."""

    kind = Text(required=True, max_length=20, min_length=1, metadata={"example": "webhook"})
    slug = ChannelSlug(required=True, metadata={"example": "ops"})
    name = Text(max_length=255, min_length=1, metadata={"description": "Default: the slug."})
    config = ChannelSettings(required=True, metadata=CONFIG)


class Channel(RequestSchema):
    """A channel as the API shows it, without its secrets."""

    integration = fields.String(required=True, metadata=INTEGRATION)
    kind = fields.String(required=True)
    slug = fields.String(required=True)
    name = fields.String(required=True)
    config = fields.Dict(required=True, metadata=CONFIG)
    secrets = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "The names of the secrets that are set."},
    )
    enabled = Flag(required=True, metadata=ENABLED)
    disabled = Moment(
        required=True, allow_none=True, metadata={"description": "When it was turned off."}
    )
    failing_since = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "The first failure that no success has followed."},
    )
    created = Moment(required=True)
    updated = Moment(required=True)


class PaginatedChannelList(PageOfList):
    """A page of channels, oldest first."""

    results = fields.List(fields.Nested(Channel), required=True)


class ChannelTest(RequestSchema):
    """What became of a test message."""

    delivery = fields.String(required=True, metadata={"description": "ID of the delivery"})
    delivered = Flag(required=True)
    status = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The receiver's HTTP status or SMTP reply code."},
    )
    error_class = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    duration_ms = fields.Integer(required=True)


def show_channel(
    channel: Any, *, config: Mapping[str, Any], secrets: Sequence[str]
) -> dict[str, Any]:
    """Return what *Channel* describes; *config* has no secrets, *secrets* are their names."""
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
