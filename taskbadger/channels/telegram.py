"""Telegram's Bot API (core.telegram.org/bots/api, sendMessage)."""

import html
import json
from contextlib import suppress
from datetime import datetime
from typing import Any

from marshmallow import Schema, fields, validate

from taskbadger.channels import Config, Message, SendContext, text
from taskbadger.channels.http import (
    MAX_RETRY_AFTER,
    HttpChannel,
    Request,
    json_request,
    url_field,
)
from taskbadger.outbound import Answer

SERVER = "https://api.telegram.org"
TITLE_LENGTH = 300
TEXT_LENGTH = 3500  # Telegram accepts 4,096, including the title and the link.
LINE_LENGTH = 300


class TelegramConfigSchema(Schema):
    """The config of a Telegram channel."""

    token = fields.String(
        required=True,
        validate=validate.Regexp(r"\A[0-9]{1,20}:[A-Za-z0-9_-]{10,100}\Z"),
        metadata={"description": "The bot's token, as BotFather shows it."},
    )
    chat_id = fields.String(
        required=True,
        validate=validate.Regexp(r"\A(-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64})\Z"),
        metadata={"description": "The ID of a chat, or the @name of a public channel."},
    )
    thread_id = fields.Integer(
        strict=True,
        validate=validate.Range(1, 2**53),
        metadata={"description": "The ID of a topic, in groups with topics."},
    )
    server = url_field(
        load_default=SERVER, metadata={"description": "Your own Bot API server, if you run one."}
    )


class Telegram(HttpChannel):
    """Sends HTML. 400, 401, 403 and 404 mean a wrong token or chat, or a bot that was blocked."""

    kind = "telegram"
    label = "Telegram"
    guide = (
        "In Telegram, write /newbot to @BotFather, which answers with the token. Add the "
        "bot to the chat and write something there; the method getUpdates of the bot then "
        "shows the ID of the chat."
    )
    guide_url = "https://core.telegram.org/bots/tutorial"
    config_schema = TelegramConfigSchema
    secret_fields = ("token",)
    permanent_statuses = frozenset({400, 401, 403, 404, 410})

    def url(self, config: Config) -> str:
        """Return the URL of the bot's method."""
        return f"{config['server'].rstrip('/')}/bot{config['token']}/sendMessage"

    def destination(self, config: Config, action_config: Config) -> str:
        """Return a key of the bot and the chat."""
        return f"{super().destination(config, action_config)}/{config['chat_id']}"

    def request(self, message: Message, config: Config, context: SendContext) -> Request:
        """Return the request with the message as HTML."""
        body: dict[str, Any] = {
            "chat_id": config["chat_id"],
            "text": markup(message),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
        }
        if config.get("thread_id"):
            body["message_thread_id"] = config["thread_id"]
        return json_request(self.url(config), body)

    def retry_after(self, answer: Answer, now: datetime) -> float | None:
        """Return the wait after a flood limit, which is in the response's body."""
        with suppress(ValueError, TypeError, KeyError):
            seconds = float(json.loads(answer.body)["parameters"]["retry_after"])
            return min(max(seconds, 0.0), MAX_RETRY_AFTER)
        return super().retry_after(answer, now)


def escape(value: str) -> str:
    """Escape what Telegram interprets as HTML."""
    return html.escape(value, quote=False)


def markup(message: Message) -> str:
    """Return the message in Telegram's HTML."""
    lines = [
        f"<b>{label}:</b> {text.cut(value, LINE_LENGTH, escape)}"
        for label, value in text.facts(message)
    ]
    lines += [text.cut(note, LINE_LENGTH, escape) for note in text.notes(message)]
    while len("\n".join(lines)) > TEXT_LENGTH:
        lines.pop()
    title = text.cut(text.title(message), TITLE_LENGTH, escape)
    # Not as buttons: those must not lead to hosts such as localhost.
    links = [f'<a href="{html.escape(url)}">{label}</a>' for label, url in text.links(message)]
    last = [" · ".join(links)] if links else []
    return "\n".join([f"<b>{title}</b>", *lines, *last])
