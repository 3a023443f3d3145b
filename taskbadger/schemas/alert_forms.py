"""Forms of global actions and channels. A channel's fields come from the schema of its kind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, fields, missing, pre_load, validate

from taskbadger.domain.rates import MAX_WITHIN
from taskbadger.models.action import EVERY, INCIDENT
from taskbadger.schemas.channels import ChannelSlug
from taskbadger.schemas.durations import TypedDuration
from taskbadger.schemas.fields import RequestSchema, Text
from taskbadger.schemas.global_actions import (
    MAX_QUIET_SECONDS,
    MAX_WAIT_SECONDS,
    DryRunRequest,
    PatchedGlobalActionRequest,
)
from taskbadger.schemas.monitor_forms import reminder_field
from taskbadger.schemas.name_patterns import NamePatternForm, read_pattern
from taskbadger.schemas.trigger_forms import read_trigger


class GlobalActionForm(NamePatternForm, PatchedGlobalActionRequest):
    """A global action as submitted; its channels and its escalation are read separately.

    Fields that the mode does not have are ignored.
    """

    quiet_period = TypedDuration(max_value=MAX_QUIET_SECONDS)
    remind_after = reminder_field()
    wait_for_retry = TypedDuration(max_value=MAX_WAIT_SECONDS)
    within = TypedDuration(min_value=1, max_value=MAX_WITHIN, allow_none=True)

    @pre_load
    def shape(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the API's request for the submitted fields."""
        is_incident = data.get("mode") == INCIDENT
        return {
            "name": data.get("name", ""),
            "trigger": read_trigger(data),
            "project": data.get("project") or None,
            **read_pattern(data),
            "quiet_period": data.get("quiet_period", "").strip() or "0",
            "remind_after": (is_incident and data.get("remind_after", "").strip()) or "0",
            "enabled": "enabled" in data,
            **_limits(data),
        }


def _limits(data: dict[str, Any]) -> dict[str, Any]:
    """Return what decides, beside the trigger, whether a message is sent."""
    return {
        "mode": data.get("mode", EVERY),
        "wait_for_retry": data.get("wait_for_retry", "").strip() or "0",
        "at_least": data.get("at_least", "").strip() or None,
        "within": data.get("within", "").strip() or None,
    }


class DryRunForm(NamePatternForm, DryRunRequest):
    """A draft of a global action as submitted."""

    wait_for_retry = TypedDuration(max_value=MAX_WAIT_SECONDS)
    within = TypedDuration(min_value=1, max_value=MAX_WITHIN, allow_none=True)

    @pre_load
    def shape(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the API's request for the submitted fields."""
        shaped = {"trigger": read_trigger(data), "project": data.get("project") or None}
        return shaped | read_pattern(data) | _limits(data)


class ChannelForm(RequestSchema):
    """The name of a channel."""

    name = Text(max_length=255, min_length=1, required=True)


class NewChannelForm(ChannelForm):
    """The name of a new channel, and the slug by which actions refer to it; it may be empty."""

    slug = ChannelSlug(load_default="")

    @pre_load
    def leave_out_empty(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Take an empty slug for none."""
        return {name: text for name, text in data.items() if name != "slug" or text.strip()}


@dataclass(frozen=True, slots=True)
class ConfigField:
    """A field of a form, for one field of a channel's config."""

    name: str
    label: str
    help: str
    kind: str
    """``text``, ``number``, ``tick``, ``choice`` or ``lines`` (one ``name: value`` per line)."""
    required: bool
    secret: bool
    default: str
    choices: tuple[str, ...] = ()

    @property
    def input(self) -> str:
        """The name of its input element, unique in the form."""
        return f"config.{self.name}"


def config_fields(schema: type[Schema], secret: tuple[str, ...]) -> list[ConfigField]:
    """Return the form's fields for a channel's config; *secret* names the secret ones."""
    return [
        _config_field(name, field, secret=name in secret)
        for name, field in schema().fields.items()
        if not field.dump_only
    ]


def _config_field(name: str, field: Any, *, secret: bool) -> ConfigField:
    default = field.load_default
    plain = default if isinstance(default, str | int | float) else ""
    return ConfigField(
        name=name,
        label=str(field.metadata.get("label") or name.replace("_", " ").capitalize()).replace(
            "Url", "URL"
        ),
        help=str(field.metadata.get("description", "")),
        kind=_kind(field),
        required=bool(field.required),
        secret=secret,
        default="" if default is missing or secret else str(plain),
        choices=_choices(field),
    )


def _kind(field: Any) -> str:
    if isinstance(field, fields.Boolean):
        return "tick"
    if isinstance(field, fields.Integer):
        return "number"
    if isinstance(field, fields.Mapping):
        return "lines"
    return "choice" if _choices(field) else "text"


def _choices(field: Any) -> tuple[str, ...]:
    return next(
        (
            tuple(str(choice) for choice in rule.choices)
            for rule in field.validators
            if isinstance(rule, validate.OneOf)
        ),
        (),
    )


def read_config(typed: Mapping[str, str], known: list[ConfigField]) -> dict[str, Any]:
    """Return the submitted config, without empty fields."""
    config: dict[str, Any] = {}
    for field in known:
        text = typed.get(field.input, "").strip()
        if field.kind == "tick":
            config[field.name] = field.input in typed
        elif text:
            config[field.name] = _value(field, text)
        if field.secret and f"remove.{field.name}" in typed:
            config[field.name] = None
    return config


def _value(field: ConfigField, text: str) -> Any:
    if field.kind == "number":
        is_number = text.removeprefix("-").isdecimal() and len(text) < 20
        return int(text) if is_number else text
    if field.kind == "lines":
        pairs = (line.partition(":") for line in text.splitlines() if line.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}
    return text


def show_value(field: ConfigField, config: Mapping[str, Any]) -> str:
    """Return a saved value as text for a form. Never call it for a secret."""
    value = config.get(field.name)
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {text}" for name, text in value.items())
    return value if isinstance(value, str) else json.dumps(value)
