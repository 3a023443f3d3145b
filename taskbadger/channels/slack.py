"""Slack's incoming webhooks (docs.slack.dev), and compatible servers such as Mattermost."""

from typing import Any

from marshmallow import Schema

from taskbadger.channels import Config, Message, SendContext, text
from taskbadger.channels.http import HttpChannel, Request, json_request, url_field

HEADER_LENGTH = 150
SECTION_LENGTH = 3000
FACT_LENGTH = 300
ICONS = {"bad": "🔴", "good": "🟢", "neutral": "🔵"}


class SlackConfigSchema(Schema):
    """The config of a Slack channel."""

    url = url_field(required=True, metadata={"description": "The incoming webhook's URL."})


def escape(value: str) -> str:
    """Escape what Slack interprets as markup, a mention or a link."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Slack(HttpChannel):
    """Posts blocks. Incoming webhooks cannot answer in a thread, so the facts name the incident.

    404 (no_service) and 410 (channel_is_archived) are permanent.
    """

    kind = "slack"
    label = "Slack"
    guide = (
        "In Slack, make an app at api.slack.com/apps, turn on its incoming webhooks, add "
        "one for the channel and copy its URL. Mattermost has incoming webhooks, too."
    )
    guide_url = "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/"
    config_schema = SlackConfigSchema
    secret_fields = ("url",)
    permanent_statuses = frozenset({404, 410})

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the request with the message as blocks."""
        return json_request(config["url"], payload(message))


def payload(message: Message) -> dict[str, Any]:
    """Return the body; ``verbatim`` keeps names with ``#`` or ``@`` from becoming links."""
    title = f"{ICONS[text.mood(message)]} {text.title(message)}"
    header = text.cut(title, HEADER_LENGTH, escape)
    lines = [
        f"*{label}:* {text.cut(value, FACT_LENGTH, escape)}" for label, value in text.facts(message)
    ]
    lines += [text.cut(note, FACT_LENGTH, escape) for note in text.notes(message)]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": header, "emoji": True}},
        _section(lines),
    ]
    buttons = [_button(label, url) for label, url in text.links(message)]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return {
        "text": f"{header} ({escape(text.where(message))})",
        "blocks": blocks,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _button(label: str, url: str) -> dict[str, Any]:
    return {
        "type": "button",
        "text": {"type": "plain_text", "text": label},
        "url": url,
        "action_id": label.lower(),
    }


def _section(lines: list[str]) -> dict[str, Any]:
    while len("\n".join(lines)) > SECTION_LENGTH:
        lines = lines[:-1]
    mrkdwn = {"type": "mrkdwn", "text": "\n".join(lines), "verbatim": True}
    return {"type": "section", "text": mrkdwn}
