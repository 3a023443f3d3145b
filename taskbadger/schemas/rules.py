"""Global actions on the wire."""

import json
from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, fields, validates_schema

from taskbadger.clock import to_wire
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.actions import (
    Config,
    IntegrationField,
    TriggerField,
    checked_config,
)
from taskbadger.schemas.fields import Flag, Message, Moment, RequestSchema, Text, WholeNumber
from taskbadger.schemas.pagination import PageOfList

MOST_DAYS = 90
MOST_QUIET_SECONDS = 7 * 86_400
MOST_SHOWN = 100

PROJECT = {"description": "The slug of the only project whose tasks count; null for all."}
PATTERN = {
    "description": "RE2, searched for anywhere in the name of a task; empty for all.",
    "example": "^nightly-",
}
CHANNELS = {"description": "Where messages go: 1 to 10 channels."}
QUIET = {"description": "Seconds after a message in which no other is sent; 0 for none."}


class GlobalActionChannel(RequestSchema):
    """A channel of a global action, and what it asks of an action."""

    integration = IntegrationField(required=True)
    config = Config(load_default=dict)

    @validates_schema
    def check_config(self, data: Mapping[str, Any], **_: Any) -> None:
        """Check the config where the integration is known; else the service does it."""
        if "integration" in data and "config" in data:
            data["config"] = checked_config(data["integration"], data["config"])  # type: ignore[index]


class RuleChannels(fields.List[Any]):
    """The channels of a global action; how many, and whether they exist, the service knows."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "required": Message("required", "This field is required."),
        "null": Message("null", "This field may not be null."),
        "invalid": Message("invalid", "Expected a list of channels."),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(GlobalActionChannel, unknown=EXCLUDE), **kwargs)


class PatchedGlobalActionRequest(RequestSchema):
    """Some settings of a global action."""

    name = Text(max_length=255, min_length=1)
    project = Text(max_length=50, allow_none=True, metadata=PROJECT)
    name_pattern = Text(max_length=255, blank=True, trim=False, metadata=PATTERN)
    trigger = TriggerField()
    channels = RuleChannels(metadata=CHANNELS)
    enabled = Flag()
    quiet_period = WholeNumber(max_value=MOST_QUIET_SECONDS, metadata=QUIET)


class GlobalActionRequest(PatchedGlobalActionRequest):
    """A new global action."""

    name = Text(required=True, max_length=255, min_length=1)
    trigger = TriggerField(required=True)
    channels = RuleChannels(required=True, metadata=CHANNELS)


class GlobalAction(RequestSchema):
    """A global action as the API shows it."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    project = fields.String(required=True, allow_none=True, metadata=PROJECT)
    name_pattern = fields.String(required=True, metadata=PATTERN)
    trigger = fields.String(required=True)
    channels = fields.List(fields.Nested(GlobalActionChannel), required=True, metadata=CHANNELS)
    enabled = Flag(required=True)
    quiet_period = fields.Integer(required=True, metadata=QUIET)
    quiet_until = Moment(
        required=True, allow_none=True, metadata={"description": "When the last silence ends."}
    )
    held_back = fields.Integer(
        required=True, metadata={"description": "Firings held back in that silence."}
    )
    created = Moment(required=True)
    updated = Moment(required=True)


class PaginatedGlobalActionList(PageOfList):
    """A page of global actions, oldest first."""

    results = fields.List(fields.Nested(GlobalAction), required=True)


class DryRunRequest(RequestSchema):
    """A draft of a global action, and how far back to look."""

    trigger = TriggerField(required=True)
    project = Text(max_length=50, allow_none=True, load_default=None, metadata=PROJECT)
    name_pattern = Text(max_length=255, blank=True, trim=False, load_default="", metadata=PATTERN)
    days = WholeNumber(min_value=1, max_value=MOST_DAYS, load_default=7)


class Reason(RequestSchema):
    """The point of a trigger that a change reached."""

    point = fields.String(required=True)
    kind = fields.String(required=True)
    reached = fields.Raw(required=True)
    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)


class WouldFire(RequestSchema):
    """One firing of a dry run."""

    task = fields.String(required=True, metadata={"description": "ID of the task"})
    name = fields.String(required=True, metadata={"description": "Name of the task"})
    project = fields.String(required=True)
    when = Moment(required=True)
    reason = fields.Nested(Reason, required=True)


class DryRun(RequestSchema):
    """What a draft would have fired."""

    count = fields.Integer(required=True, metadata={"description": "All firings."})
    tasks = fields.Integer(required=True, metadata={"description": "Tasks that were looked at."})
    complete = Flag(
        required=True,
        metadata={"description": "False when there was more history than one dry run looks at."},
    )
    firings = fields.List(
        fields.Nested(WouldFire),
        required=True,
        metadata={"description": f"The first {MOST_SHOWN}, of the latest tasks."},
    )


def show_rule(rule: Any, *, project: str | None) -> dict[str, Any]:
    """Return what *GlobalAction* describes; *project* is the slug of its project, if any."""
    return {
        "id": rule.id,
        "name": rule.name,
        "project": project,
        "name_pattern": rule.name_pattern,
        "trigger": rule.trigger,
        "channels": json.loads(rule.channels),
        "enabled": rule.enabled,
        "quiet_period": rule.quiet_period,
        "quiet_until": show_moment(rule.quiet_until),
        "held_back": rule.held_back,
        "created": to_wire(rule.created),
        "updated": to_wire(rule.updated),
    }


def show_dry_run(run: Any) -> dict[str, Any]:
    """Return what *DryRun* describes."""
    return {
        "count": run.count,
        "tasks": run.tasks,
        "complete": run.complete,
        "firings": [
            {
                "task": one.task_id,
                "name": one.name,
                "project": one.project,
                "when": to_wire(one.when),
                "reason": one.reason.as_dict(),
            }
            for one in run.firings
        ],
    }
