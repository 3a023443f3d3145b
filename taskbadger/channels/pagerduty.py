"""PagerDuty's Events API v2 (developer.pagerduty.com)."""

from datetime import UTC
from typing import Any

from marshmallow import Schema, fields, validate

from taskbadger.channels import Config, Message, SendContext, text
from taskbadger.channels.http import HttpChannel, Request, json_request, url_field

SERVER = "https://events.pagerduty.com"
SUMMARY_LENGTH = 1024
KEY_LENGTH = 255
DETAIL_LENGTH = 1000
SEVERITIES = {"bad": "error", "good": "info", "neutral": "warning"}


class PagerDutyConfigSchema(Schema):
    """The config of a PagerDuty service."""

    routing_key = fields.String(
        required=True,
        validate=validate.Regexp(r"\A[A-Za-z0-9]{32}\Z"),
        metadata={"description": "The integration key for the Events API v2 (32 characters)."},
    )
    server = url_field(
        load_default=SERVER,
        metadata={"description": "Accounts in Europe use https://events.eu.pagerduty.com."},
    )


class PagerDuty(HttpChannel):
    """Triggers an alert, and resolves it when the task succeeds, or the incident is over.

    A 400 means an invalid event or key, which PagerDuty asks clients not to retry.
    """

    kind = "pagerduty"
    label = "PagerDuty"
    guide = (
        "In PagerDuty, open the service, add an integration of the kind Events API V2 and "
        "copy its integration key."
    )
    guide_url = "https://support.pagerduty.com/main/docs/services-and-integrations"
    config_schema = PagerDutyConfigSchema
    secret_fields = ("routing_key",)
    permanent_statuses = frozenset({400, 410})

    def url(self, config: Config) -> str:
        """Return the URL to which events are posted."""
        return f"{config['server'].rstrip('/')}/v2/enqueue"

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the request with the event."""
        return json_request(self.url(config), payload(message, config["routing_key"]))


def payload(message: Message, routing_key: str) -> dict[str, Any]:
    """Return the body."""
    mood = text.mood(message)
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "resolve" if mood == "good" else "trigger",
        "dedup_key": dedup_key(message),
        "client": "Task Badger",
        "payload": {
            "summary": text.cut(text.title(message), SUMMARY_LENGTH),
            "source": text.where(message),
            "severity": "info" if message.kind == "test" else SEVERITIES[mood],
            "timestamp": message.created.astimezone(UTC).isoformat(),
            "component": text.cut(_subject(message), KEY_LENGTH),
            "class": _class_of(message),
            "custom_details": {
                **{label: text.cut(value, DETAIL_LENGTH) for label, value in text.facts(message)},
                "Why": text.cut("\n".join(text.notes(message)), DETAIL_LENGTH),
            },
        },
    }
    link = text.link(message)
    if link:
        event["client_url"] = link
    links = [{"href": url, "text": label} for label, url in text.links(message)]
    if links:
        event["links"] = links
    return event


def dedup_key(message: Message) -> str:
    """Return the key of the alert: one per incident or task, so that a recovery resolves it."""
    parts: tuple[object, ...] = ("message", message.id)
    if message.incident is not None:
        parts = ("incident", message.incident["id"])
    elif message.monitor is not None:
        parts = ("monitor", message.monitor["id"])
    elif message.task is not None:
        parts = ("task", message.task["id"])
    return "/".join(("taskbadger", message.organization, *map(str, parts)))[:KEY_LENGTH]


def _class_of(message: Message) -> str:
    is_about_incident = message.kind.startswith("task.")
    return message.kind if is_about_incident else message.trigger or message.kind


def _subject(message: Message) -> str:
    named = message.monitor or message.task or message.incident or {}
    return text.one_line(named.get("name") or message.organization)
