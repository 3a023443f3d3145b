"""Actions on the wire."""

import json
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from taskbadger.domain.triggers import TriggerError, parse
from taskbadger.schemas.fields import (
    Message,
    Moment,
    RequestSchema,
    Text,
    email_addresses,
    invalid,
)


class TriggerField(Text):
    """A trigger, checked against the grammar of the contract, section 5; kept as written."""

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
    """``email``, or ``kind:slug`` of a channel; whether it exists is the service's question."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=50, min_length=1, **kwargs)

    def check(self, text: str) -> str:
        text = super().check(text)
        kind, _, slug = text.partition(":")
        if text == "email" or (kind and slug):
            return text
        raise invalid("Use “email”, or “kind:slug” of a channel, as in “webhook:ops”.")


class Config(fields.Raw):
    """Any JSON; ``checked_config`` knows what each integration asks for."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "null": Message("null", "This field may not be null."),
    }


class ActionRequest(RequestSchema):
    """A new action, or the whole of one."""

    trigger = TriggerField(required=True)
    integration = IntegrationField(required=True)
    config = Config(load_default=dict)

    @validates_schema
    def check_config(self, data: Mapping[str, Any], **_: Any) -> None:
        """Check the config where the integration is known; else the service does it."""
        if "integration" in data and "config" in data:
            data["config"] = checked_config(data["integration"], data["config"])  # type: ignore[index]


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
    """Return the config of an action as it is kept; raises ValidationError on ``config…``."""
    try:
        return _email_config(config) if integration == "email" else _empty_config(config)
    except ValidationError as error:
        raise ValidationError({"config": error.messages}) from error


def _email_config(config: Any) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise invalid('Expected an object, as in {"to": "a@example.com,b@example.com"}.')
    if "to" not in config:
        raise ValidationError({"to": Message("required", "This field is required.")})
    to = config["to"]
    if not isinstance(to, str):
        raise ValidationError({"to": invalid("Give 1 to 5 e-mail addresses.").messages})
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
        raise invalid("A number in it is too large.") from error
    return dict(config)
