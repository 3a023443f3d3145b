"""Webhooks: JSON, signed according to Standard Webhooks (standardwebhooks.com)."""

import base64
import binascii
import secrets
from datetime import UTC
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate
from standardwebhooks import Webhook as Signer

from taskbadger.channels import Config, Message, SendContext
from taskbadger.channels.http import (
    HttpChannel,
    Request,
    check_header_name,
    check_header_value,
    json_request,
    url_field,
)

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of every secret, not one
SECRET_BYTES = 32
EVENT_TYPES = {
    "task": "task.triggered",
    "test": "channel.test",
    "monitor_failing": "monitor.failing",
    "monitor_recovered": "monitor.recovered",
    "channel_disabled": "channel.disabled",
    "task.failing": "task.failing",
    "task.new_failure": "task.new_failure",
    "task.recovered": "task.recovered",
    "task.reminder": "task.reminder",
}
# Headers that we set ourselves, and headers of the connection.
RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
RESERVED_PREFIXES = ("webhook-", "proxy-")


def new_secret() -> str:
    """Return a new signing secret."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def check_secret(text: str) -> None:
    """Check that *text* is a signing secret of 24 to 64 bytes; raises ValidationError."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise ValidationError("A secret is whsec_ followed by 24 to 64 bytes in base64.")


def check_extra_header(name: str) -> None:
    """Check that a config may set the header *name*; raises ValidationError."""
    check_header_name(name)
    if name.lower() in RESERVED_HEADERS or name.lower().startswith(RESERVED_PREFIXES):
        raise ValidationError("The server sets this header itself.")


class WebhookConfigSchema(Schema):
    """The config of a webhook."""

    url = url_field(required=True)
    secret = fields.String(
        load_default=new_secret,
        validate=check_secret,
        metadata={"description": "Signs the messages. Generated for a new channel that has none."},
    )
    headers = fields.Dict(
        keys=fields.String(validate=[validate.Length(1, 100), check_extra_header]),
        values=fields.String(validate=[validate.Length(1, 1000), check_header_value]),
        validate=validate.Length(max=10),
        metadata={"description": "Additional headers, e.g. Authorization."},
    )


class Webhook(HttpChannel):
    """Posts the whole message.

    As Standard Webhooks defines, any 2xx is a success and a 410 ends the delivery. Everything else
    is retried, also other 4xx: most of them come from receivers that are being redeployed.
    """

    kind = "webhook"
    label = "Webhook"
    guide = (
        "The URL of a program of yours. It gets each message as JSON in a POST, signed with"
        " the secret as Standard Webhooks defines."
    )
    guide_url = "https://www.standardwebhooks.com/"
    config_schema = WebhookConfigSchema
    secret_fields = ("secret", "headers")

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the signed request."""
        request = json_request(config["url"], payload(message), dict(config.get("headers") or {}))
        now = context.clock()
        signature = Signer(config["secret"]).sign(message.id, now, request.content.decode())
        request.headers.update(
            {
                "webhook-id": message.id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signature,
            }
        )
        return request


def payload(message: Message) -> dict[str, Any]:
    """Return the body: the type of the event, its time, and all data of the message."""
    return {
        "type": EVENT_TYPES[message.kind],
        "timestamp": message.created.astimezone(UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z"),
        "data": {
            "id": message.id,
            "organization": message.organization,
            "project": message.project,
            "title": message.title,
            "url": message.url,
            "task": message.task,
            "action": message.action,
            "trigger": message.trigger,
            "reasons": list(message.reasons),
            "held_back": message.held_back,
            "monitor": message.monitor,
            "incident": message.incident,
            "failure": message.failure,
            "error": message.error,
            "links": message.links,
        },
    }
