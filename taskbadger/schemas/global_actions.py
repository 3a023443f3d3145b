"""The API schemas of global actions."""

import json
from typing import Any

from marshmallow import EXCLUDE, fields

from taskbadger.clock import to_wire
from taskbadger.domain.rates import MAX_AT_LEAST, MAX_WITHIN
from taskbadger.models.action import EVERY, MODES
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.actions import Target, TriggerField
from taskbadger.schemas.fields import (
    Choice,
    Flag,
    Message,
    Moment,
    RequestSchema,
    Text,
    WholeNumber,
)
from taskbadger.schemas.pagination import RESULTS, PageOfList

MAX_DAYS = 90
MAX_QUIET_SECONDS = 7 * 86_400
MAX_WAIT_SECONDS = 86_400
MAX_SHOWN = 100
MIN_REMIND_SECONDS = 300
MAX_REMIND_SECONDS = 30 * 86_400
MAX_STEP_SECONDS = 30 * 86_400

PROJECT = {"description": "Slug of the project whose tasks are watched; null for all projects."}
PATTERN = {
    "description": "RE2 pattern that may match anywhere in the task name; empty for all tasks.",
    "example": "^nightly-",
}
CHANNELS = {"description": "The 1 to 10 channels to notify."}
QUIET = {
    "description": "Seconds to wait between messages: firings in between are combined into one "
    "message. 0 to send each at once."
}
MODE = {
    "description": "every: a message for each firing. incident: messages when a name begins to "
    "fail, when a new kind of failure appears, and when it recovers."
}
REMIND = {
    "description": "Seconds after a message until an open incident is told again, if nobody has "
    f"acknowledged it: {MIN_REMIND_SECONDS} or more, or 0 for never."
}
ESCALATION = {
    "description": "At most 5 steps: who else is told while an incident is open and nobody has "
    "acknowledged it."
}
AFTER = {"description": "Seconds after the first message."}
AT_LEAST = {
    "description": "How many firings it takes to send a message, within *within* seconds; null for "
    "one."
}
WITHIN = {"description": "Seconds; null without *at_least*."}
WAIT = {
    "description": "Seconds that a message about a failure (error, stale or max_runtime_exceeded) "
    "waits, and is dropped if the run is tried again meanwhile: a later task with the same "
    "project, name and external_id. 0 to send it at once."
}


class GlobalActionChannel(Target):
    """A channel of a global action, and the config of its messages."""


class GlobalActionChannels(fields.List[Any]):
    """The channels of a global action. The service checks their number and that they exist."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "required": Message("required", "This field is required."),
        "null": Message("null", "This field may not be null."),
        "invalid": Message("invalid", "Expected a list of channels."),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(GlobalActionChannel, unknown=EXCLUDE), **kwargs)


class EscalationStep(RequestSchema):
    """Whom to tell, and when."""

    after = WholeNumber(required=True, min_value=1, max_value=MAX_STEP_SECONDS, metadata=AFTER)
    channels = GlobalActionChannels(required=True, metadata=CHANNELS)


class Escalation(fields.List[Any]):
    """The steps of an escalation. The service checks their number, order and channels."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "required": Message("required", "This field is required."),
        "null": Message("null", "This field may not be null."),
        "invalid": Message("invalid", "Expected a list of steps."),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(EscalationStep, unknown=EXCLUDE), **kwargs)


class PatchedGlobalActionRequest(RequestSchema):
    """Some settings of a global action."""

    name = Text(max_length=255, min_length=1, metadata={"description": "Name of the global action"})
    project = Text(max_length=50, allow_none=True, metadata=PROJECT)
    name_pattern = Text(max_length=255, blank=True, trim=False, metadata=PATTERN)
    trigger = TriggerField(metadata={"description": "When to fire: points, separated by commas."})
    channels = GlobalActionChannels(metadata=CHANNELS)
    enabled = Flag(metadata={"description": "Whether it fires."})
    quiet_period = WholeNumber(max_value=MAX_QUIET_SECONDS, metadata=QUIET)
    mode = Choice(MODES, metadata=MODE)
    remind_after = WholeNumber(max_value=MAX_REMIND_SECONDS, metadata=REMIND)
    escalation = Escalation(metadata=ESCALATION)
    at_least = WholeNumber(allow_none=True, min_value=1, max_value=MAX_AT_LEAST, metadata=AT_LEAST)
    within = WholeNumber(allow_none=True, min_value=1, max_value=MAX_WITHIN, metadata=WITHIN)
    wait_for_retry = WholeNumber(max_value=MAX_WAIT_SECONDS, metadata=WAIT)


class GlobalActionRequest(PatchedGlobalActionRequest):
    """A new global action."""

    name = Text(
        required=True,
        max_length=255,
        min_length=1,
        metadata={"description": "Name of the global action"},
    )
    trigger = TriggerField(
        required=True, metadata={"description": "When to fire: points, separated by commas."}
    )
    channels = GlobalActionChannels(required=True, metadata=CHANNELS)


class GlobalAction(RequestSchema):
    """A global action as the API shows it."""

    id = fields.Integer(required=True, metadata={"description": "ID of the global action"})
    name = fields.String(required=True, metadata={"description": "Name of the global action"})
    project = fields.String(required=True, allow_none=True, metadata=PROJECT)
    name_pattern = fields.String(required=True, metadata=PATTERN)
    trigger = fields.String(
        required=True, metadata={"description": "When it fires: points, separated by commas."}
    )
    channels = fields.List(fields.Nested(GlobalActionChannel), required=True, metadata=CHANNELS)
    enabled = Flag(required=True, metadata={"description": "Whether it fires."})
    quiet_period = fields.Integer(required=True, metadata=QUIET)
    quiet_until = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the latest quiet period ends."},
    )
    mode = Choice(MODES, required=True, metadata=MODE)
    remind_after = fields.Integer(required=True, metadata=REMIND)
    escalation = fields.List(fields.Nested(EscalationStep), required=True, metadata=ESCALATION)
    at_least = fields.Integer(required=True, allow_none=True, metadata=AT_LEAST)
    within = fields.Integer(required=True, allow_none=True, metadata=WITHIN)
    held_back = fields.Integer(
        required=True, metadata={"description": "Firings held back in that quiet period."}
    )
    wait_for_retry = fields.Integer(required=True, metadata=WAIT)
    created = Moment(required=True, metadata={"description": "When it was created."})
    updated = Moment(required=True, metadata={"description": "When it was last changed."})


class PaginatedGlobalActionList(PageOfList):
    """A page of global actions, oldest first."""

    results = fields.List(fields.Nested(GlobalAction), required=True, metadata=RESULTS)


class DryRunRequest(RequestSchema):
    """A draft of a global action, and the number of days to check."""

    trigger = TriggerField(
        required=True, metadata={"description": "When to fire: points, separated by commas."}
    )
    project = Text(max_length=50, allow_none=True, load_default=None, metadata=PROJECT)
    name_pattern = Text(max_length=255, blank=True, trim=False, load_default="", metadata=PATTERN)
    mode = Choice(MODES, load_default=EVERY, metadata=MODE)
    wait_for_retry = WholeNumber(max_value=MAX_WAIT_SECONDS, load_default=0, metadata=WAIT)
    at_least = WholeNumber(
        allow_none=True,
        min_value=1,
        max_value=MAX_AT_LEAST,
        load_default=None,
        metadata=AT_LEAST,
    )
    within = WholeNumber(
        allow_none=True, min_value=1, max_value=MAX_WITHIN, load_default=None, metadata=WITHIN
    )
    days = WholeNumber(
        min_value=1,
        max_value=MAX_DAYS,
        load_default=7,
        metadata={"description": "Number of days to look back; defaults to 7."},
    )


class Reason(RequestSchema):
    """The point of a trigger that a change reached."""

    point = fields.String(required=True, metadata={"description": "The point, as written."})
    kind = fields.String(
        required=True,
        metadata={
            "description": "value, percent, value_multiple, percent_multiple, status or "
            "max_runtime_exceeded."
        },
    )
    # Any JSON, null included: in OpenAPI 3.0 only what has a type can be nullable.
    reached = fields.Raw(required=True, metadata={"description": "What was reached."})
    before = fields.Raw(
        required=True, metadata={"description": "The value or status before the change."}
    )
    after = fields.Raw(
        required=True, metadata={"description": "The value or status after the change."}
    )


class WouldFire(RequestSchema):
    """One firing of a dry run."""

    task = fields.String(required=True, metadata={"description": "ID of the task"})
    name = fields.String(required=True, metadata={"description": "Name of the task"})
    project = fields.String(required=True, metadata={"description": "Slug of the project"})
    when = Moment(required=True, metadata={"description": "When it would have fired."})
    reason = fields.Nested(Reason, required=True)


class DryRun(RequestSchema):
    """The firings that a draft would have caused."""

    count = fields.Integer(
        required=True,
        metadata={"description": "Number of firings; of incidents in the mode incident."},
    )
    tasks = fields.Integer(required=True, metadata={"description": "Number of tasks checked."})
    complete = Flag(
        required=True,
        metadata={"description": "False when there is more history than a dry run checks."},
    )
    firings = fields.List(
        fields.Nested(WouldFire),
        required=True,
        metadata={"description": f"Firings of the latest tasks, at most {MAX_SHOWN}."},
    )
    notes = fields.List(
        fields.String(),
        required=True,
        metadata={
            "description": "Sentences: what is left out and why, and what would have come later."
        },
    )


def show_global_action(global_action: Any, *, project: str | None) -> dict[str, Any]:
    """Return what *GlobalAction* describes; *project* is the slug of its project, if any."""
    return {
        "id": global_action.id,
        "name": global_action.name,
        "project": project,
        "name_pattern": global_action.name_pattern,
        "trigger": global_action.trigger,
        "channels": json.loads(global_action.channels),
        "enabled": global_action.enabled,
        "quiet_period": global_action.quiet_period,
        "quiet_until": show_moment(global_action.quiet_until),
        "held_back": global_action.held_back,
        "mode": global_action.mode,
        "remind_after": global_action.remind_after,
        "escalation": json.loads(global_action.escalation),
        "at_least": global_action.at_least,
        "within": global_action.within,
        "wait_for_retry": global_action.wait_for_retry,
        "created": to_wire(global_action.created),
        "updated": to_wire(global_action.updated),
    }


def show_dry_run(run: Any) -> dict[str, Any]:
    """Return what *DryRun* describes."""
    return {
        "count": run.count,
        "tasks": run.tasks,
        "complete": run.complete,
        "firings": [
            {
                "task": firing.task_id,
                "name": firing.name,
                "project": firing.project,
                "when": to_wire(firing.when),
                "reason": firing.reason.as_dict(),
            }
            for firing in run.firings
        ],
        "notes": list(run.notes),
    }
