"""ntfy (docs.ntfy.sh/publish, "Publish as JSON"), on ntfy.sh or your own server."""

from typing import Any

from marshmallow import Schema, fields, validate

from taskbadger.channels import Config, Message, SendContext, text
from taskbadger.channels.http import (
    HttpChannel,
    Request,
    check_header_value,
    json_request,
    url_field,
)

SERVER = "https://ntfy.sh"
TITLE_LENGTH = 250
MESSAGE_BYTES = 4096  # A longer one would become an attachment.
SEQUENCE_LENGTH = 64
PRIORITIES = {"bad": 4, "good": 3, "neutral": 3}
TAGS = {"bad": "rotating_light", "good": "white_check_mark", "neutral": "information_source"}


class NtfyConfigSchema(Schema):
    """The config of an ntfy channel."""

    topic = fields.String(required=True, validate=validate.Regexp(r"\A[A-Za-z0-9_-]{1,64}\Z"))
    token = fields.String(
        validate=[validate.Length(1, 200), check_header_value],
        metadata={"description": "An access token, if the topic is protected."},
    )
    server = url_field(load_default=SERVER)


class Ntfy(HttpChannel):
    """Publishes to a topic. 401 and 403 mean a wrong token."""

    kind = "ntfy"
    label = "ntfy"
    guide = (
        "Make up a topic that nobody can guess, and subscribe to it in the ntfy app. Your "
        "own ntfy server works as well as ntfy.sh."
    )
    guide_url = "https://docs.ntfy.sh/subscribe/phone/"
    config_schema = NtfyConfigSchema
    secret_fields = ("token",)
    permanent_statuses = frozenset({401, 403, 404, 410})

    def url(self, config: Config) -> str:
        """Return the server's root, to which JSON is posted."""
        return f"{config['server'].rstrip('/')}/"

    def destination(self, config: Config, action_config: Config) -> str:
        """Return a key of the server and the topic."""
        return f"{super().destination(config, action_config)}/{config['topic']}"

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the request that publishes the message."""
        headers = {}
        if config.get("token"):
            headers["Authorization"] = f"Bearer {config['token']}"
        return json_request(self.url(config), payload(message, config["topic"]), headers)


def payload(message: Message, topic: str) -> dict[str, Any]:
    """Return the body."""
    mood = text.mood(message)
    body: dict[str, Any] = {
        "topic": topic,
        "title": text.cut(text.title(message), TITLE_LENGTH),
        "message": text.cut_bytes(text.plain(message), MESSAGE_BYTES),
        "priority": PRIORITIES[mood],
        "tags": [TAGS[mood]],
    }
    link = text.link(message)
    if link:
        body["click"] = link
    actions = [
        {"action": "view", "label": label, "url": url}
        for label, url in text.links(message)
        if label != "Open"
    ]
    if actions:
        body["actions"] = actions
    thread = text.thread(message)
    if thread:
        # A later message about the incident takes the place of the earlier one, from ntfy 2.16 on.
        body["sequence_id"] = f"taskbadger-{message.organization}-{thread}"[-SEQUENCE_LENGTH:]
    return body
