"""Microsoft Teams: a Workflow that starts "when a Teams webhook request is received"."""

from typing import Any

from marshmallow import Schema

from taskbadger.channels import Config, Message, SendContext, text
from taskbadger.channels.http import HttpChannel, Request, json_request, url_field

# Teams rejects messages over 28 KB; a character takes up to 4 bytes.
TITLE_LENGTH = 300
LINE_LENGTH = 300
MAX_LINES = 22
COLORS = {"bad": "attention", "good": "good", "neutral": "accent"}


class TeamsConfigSchema(Schema):
    """The config of a Teams channel."""

    url = url_field(required=True, metadata={"description": "The workflow's URL."})


class Teams(HttpChannel):
    """Posts an Adaptive Card, the only format that Workflows accept."""

    kind = "teams"
    label = "Microsoft Teams"
    guide = (
        "In Teams, open the menu of the channel, choose Workflows and then the template "
        "that posts webhook alerts to a channel, and copy the URL of the workflow."
    )
    guide_url = (
        "https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/"
        "add-incoming-webhook"
    )
    config_schema = TeamsConfigSchema
    secret_fields = ("url",)

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the request with the message as a card."""
        return json_request(config["url"], payload(message))


def payload(message: Message) -> dict[str, Any]:
    """Return the body. All texts are text runs, which interpret neither Markdown nor mentions."""
    title = {
        "text": text.cut(text.title(message), TITLE_LENGTH),
        "size": "large",
        "weight": "bolder",
        "color": COLORS[text.mood(message)],
    }
    lines = [
        _line({"text": f"{label}: ", "weight": "bolder"}, value)
        for label, value in text.facts(message)
    ]
    lines += [_line(None, note) for note in text.notes(message)]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "fallbackText": title["text"],
        "body": [_block([title]), *lines[:MAX_LINES]],
    }
    links = text.links(message)
    if links:
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": label, "url": url} for label, url in links
        ]
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _line(label: dict[str, str] | None, value: str) -> dict[str, Any]:
    run = {"text": text.cut(value, LINE_LENGTH)}
    return _block([label, run] if label else [run]) | {"spacing": "small"}


def _block(runs: list[dict[str, str]]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}
