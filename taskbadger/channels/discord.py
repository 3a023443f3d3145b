"""Discord's webhooks (docs.discord.com, Execute Webhook)."""

import re
from datetime import UTC
from typing import Any

from marshmallow import Schema

from taskbadger.channels import Config, Message, SendContext, text
from taskbadger.channels.http import HttpChannel, Request, json_request, url_field

TITLE_LENGTH = 256
DESCRIPTION_LENGTH = 1500
MOST_FIELDS = 12
VALUE_LENGTH = 300  # All texts of a message together may have 6,000 characters.
COLORS = {"bad": 0xD1242F, "good": 0x1A7F37, "neutral": 0x0969DA}
_MARKUP = re.compile(r"([\\*_~`|<>\[\]()#:@-])")


class DiscordConfigSchema(Schema):
    """The config of a Discord channel."""

    url = url_field(required=True, metadata={"description": "The webhook's URL."})


def escape(value: str) -> str:
    """Escape what Discord takes for Markdown, mentions and links."""
    return _MARKUP.sub(r"\\\1", value)


class Discord(HttpChannel):
    """Posts an embed. A 404 (Unknown Webhook) is for good."""

    kind = "discord"
    label = "Discord"
    config_schema = DiscordConfigSchema
    secret_fields = ("url",)
    permanent_statuses = frozenset({404, 410})

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the request with the message as an embed."""
        return json_request(config["url"], payload(message))


def payload(message: Message) -> dict[str, Any]:
    """Return the body; nobody is pinged, whatever the texts say."""
    embed: dict[str, Any] = {
        "title": text.cut(text.title(message), TITLE_LENGTH, escape),
        "color": COLORS[text.mood(message)],
        "timestamp": message.created.astimezone(UTC).isoformat(),
        "fields": [
            {"name": label, "value": text.cut(value, VALUE_LENGTH, escape), "inline": True}
            for label, value in text.facts(message)[:MOST_FIELDS]
        ],
    }
    notes = "\n".join(text.notes(message))
    if notes:
        embed["description"] = text.cut(notes, DESCRIPTION_LENGTH, escape)
    link = text.link(message)
    if link:
        embed["url"] = link
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}
