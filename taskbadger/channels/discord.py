"""Discord webhooks (docs.discord.com, Execute Webhook)."""

import re
from datetime import UTC
from typing import Any

from marshmallow import Schema

from taskbadger.channels import Config, Message, SendContext, text
from taskbadger.channels.http import HttpChannel, Request, json_request, url_field

TITLE_LENGTH = 256
DESCRIPTION_LENGTH = 1500
MIN_NOTES_LENGTH = 200
MAX_FIELDS = 12
VALUE_LENGTH = 300  # Discord accepts 6,000 characters in all texts of a message.
COLORS = {"bad": 0xD1242F, "good": 0x1A7F37, "neutral": 0x0969DA}
_MARKUP = re.compile(r"([\\*_~`|<>\[\]()#:@-])")


class DiscordConfigSchema(Schema):
    """The config of a Discord channel."""

    url = url_field(required=True, metadata={"description": "The webhook's URL."})


def escape(value: str) -> str:
    """Escape what Discord interprets as Markdown, a mention or a link."""
    return _MARKUP.sub(r"\\\1", value)


class Discord(HttpChannel):
    """Posts an embed. A 404 (Unknown Webhook) is permanent."""

    kind = "discord"
    label = "Discord"
    guide = (
        "In Discord, open the settings of the channel, choose Integrations and then "
        "Webhooks, make one and copy its URL."
    )
    guide_url = "https://support.discord.com/hc/en-us/articles/228383668-Intro-to-Webhooks"
    config_schema = DiscordConfigSchema
    secret_fields = ("url",)
    permanent_statuses = frozenset({404, 410})

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the request with the message as an embed."""
        return json_request(config["url"], payload(message))


def payload(message: Message) -> dict[str, Any]:
    """Return the body. Mentions in the texts notify nobody."""
    embed: dict[str, Any] = {
        "title": text.cut(text.title(message), TITLE_LENGTH, escape),
        "color": COLORS[text.mood(message)],
        "timestamp": message.created.astimezone(UTC).isoformat(),
        "fields": [
            {"name": label, "value": text.cut(value, VALUE_LENGTH, escape), "inline": True}
            for label, value in text.facts(message)[:MAX_FIELDS]
        ],
    }
    # Only webhooks of an application may send buttons.
    links = " · ".join(f"[{label}]({url})" for label, url in text.links(message) if label != "Open")
    room = max(DESCRIPTION_LENGTH - len(links), MIN_NOTES_LENGTH)
    notes = text.cut("\n".join(text.notes(message)), room, escape)
    if notes or links:
        embed["description"] = "\n".join(filter(None, (notes, links)))
    link = text.link(message)
    if link:
        embed["url"] = link
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}
