"""The API schemas of actions."""

import json
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from taskbadger.domain.mail import MAX_RECIPIENTS
from taskbadger.domain.triggers import TriggerError, parse
from taskbadger.schemas.fields import (
    Message,
    Moment,
    RequestSchema,
    Text,
    email_addresses,
    invalid,
)

INTEGRATION = {"description": "email, or the channel as kind:slug."}
CONFIG = {"description": "For email: its addresses, separated by commas, as `to`. Otherwise empty."}


class TriggerField(Text):
    """A trigger, stored as written. For the grammar see docs/contract.md#triggers."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=255, min_length=1, **kwargs)

    def check(self, text: str) -> str:
        text = super().check(text)
        try:
            parse(text)
        except TriggerError as error:
            raise invalid(str(error)) from error
        return text


class IntegrationField(Text):
    """``email``, or the ``kind:slug`` of a channel. The service checks that it exists."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=50, min_length=1, **kwargs)

    def check(self, text: str) -> str:
        text = super().check(text)
        kind, _, slug = text.partition(":")
        if text == "email" or (kind and slug):
            return text
        raise invalid("Use “email”, or the “kind:slug” of a channel, e.g. “webhook:ops”.")


class Config(fields.Raw):
    """Any JSON; ``checked_config`` checks it for each integration."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "null": Message("null", "This field may not be null."),
    }


class ConfigChecked(RequestSchema):
    """What has an integration and its config."""

    @validates_schema
    def check_config(self, data: dict[str, Any], **_: Any) -> None:
        """Check the config if the integration is known; otherwise the service does."""
        if "integration" in data and "config" in data:
            data["config"] = checked_config(data["integration"], data["config"])


class Target(ConfigChecked):
    """A channel to notify, and the config of its messages."""

    integration = IntegrationField(required=True, metadata=INTEGRATION)
    config = Config(load_default=dict, metadata=CONFIG)


class ActionRequest(ConfigChecked):
    """A new action, or all fields of an existing one, in the order of the hosted document."""

    trigger = TriggerField(required=True)
    integration = IntegrationField(required=True)
    config = Config(load_default=dict)


class PatchedActionRequest(ActionRequest):
    """Some fields of an action."""

    trigger = TriggerField()
    integration = IntegrationField()
    config = Config()


class Action(RequestSchema):
    """An action as the API shows it."""

    id = fields.Integer(required=True, dump_only=True)
    task = fields.String(required=True, dump_only=True)
    trigger = Text(required=True, max_length=255)
    integration = Text(required=True, max_length=50)
    status = fields.String(required=True, dump_only=True)
    config = fields.Raw()
    created = Moment(required=True, dump_only=True)
    updated = Moment(required=True, dump_only=True)


def checked_config(integration: str, config: Any) -> dict[str, Any]:
    """Return the config of an action as it is stored; raises ValidationError for ``config…``."""
    try:
        return _email_config(config) if integration == "email" else _empty_config(config)
    except ValidationError as error:
        raise ValidationError({"config": error.messages}) from error


def _email_config(config: Any) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise invalid('Expected an object, e.g. {"to": "a@example.com,b@example.com"}.')
    if "to" not in config:
        raise ValidationError({"to": Message("required", "This field is required.")})
    to = config["to"]
    if not isinstance(to, str):
        raise ValidationError(
            {"to": invalid(f"Give 1 to {MAX_RECIPIENTS} e-mail addresses.").messages}
        )
    try:
        return {"to": ",".join(email_addresses(to))}
    except ValidationError as error:
        raise ValidationError({"to": error.messages}) from error


def _empty_config(config: Any) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise invalid("Expected an object.")
    try:
        json.dumps(config, allow_nan=False)
    except ValueError as error:
        raise invalid("It contains a number that is too large.") from error
    return dict(config)
