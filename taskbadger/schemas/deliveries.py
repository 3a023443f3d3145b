"""The API schemas of deliveries."""

import json
from collections.abc import Sequence
from typing import Any

from marshmallow import fields

from taskbadger.clock import to_wire
from taskbadger.models.delivery import STATES
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.actions import INTEGRATION, IntegrationField
from taskbadger.schemas.fields import Choice, Moment, RequestSchema
from taskbadger.schemas.pagination import RESULTS, PageOfList


class Delivery(RequestSchema):
    """One message to one channel."""

    id = fields.String(required=True, metadata={"description": "ID of the delivery"})
    kind = fields.String(
        required=True, metadata={"description": "What the message is about.", "example": "task"}
    )
    integration = fields.String(required=True, metadata=INTEGRATION)
    config = fields.Raw(
        required=True,
        metadata={
            "description": "Config of the action; after a partial delivery, what is left of it."
        },
    )
    state = Choice(
        STATES,
        required=True,
        metadata={
            "description": "waiting, sending, delivered, dead (given up), dismissed, or dropped "
            "(not sent, because there was no reason to any more)."
        },
    )
    held_by = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "What held it back, such as a maintenance window, or why it was "
            "dropped; null if nothing did."
        },
    )
    tries = fields.Integer(
        required=True, metadata={"description": "Attempts since it was queued or last replayed."}
    )
    next_attempt_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it is tried next; null if it is not."},
    )
    error_class = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Kind of the last failure; null if there is none."},
    )
    error = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What went wrong last; null if nothing did."},
    )
    task = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "ID of the task, if any"},
    )
    action = fields.Integer(
        required=True, allow_none=True, metadata={"description": "ID of the action, if any"}
    )
    global_action = fields.Integer(
        required=True, allow_none=True, metadata={"description": "ID of the global action, if any"}
    )
    created = Moment(required=True, metadata={"description": "When the message was queued."})
    finished = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it was delivered, dropped or given up; null before."},
    )


class AttemptResult(RequestSchema):
    """What came of an attempt to deliver."""

    duration_ms = fields.Integer(
        required=True, metadata={"description": "How long the attempt took, in milliseconds."}
    )
    status = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The receiver's HTTP status or SMTP reply code."},
    )
    error_class = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Kind of failure; null on success."},
    )
    error = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What went wrong; null on success."},
    )


class DeliveryAttempt(AttemptResult):
    """One attempt to deliver."""

    number = fields.Integer(required=True, metadata={"description": "1 for the first attempt."})
    started = Moment(required=True, metadata={"description": "When the attempt began."})


class DeliveryDetail(Delivery):
    """One message to one channel, with its content and all attempts to deliver it."""

    title = fields.String(required=True, metadata={"description": "Title of the message"})
    reasons = fields.List(
        fields.Raw(), required=True, metadata={"description": "The points that were reached."}
    )
    held_back = fields.Integer(
        required=True,
        metadata={
            "description": "Firings that a quiet period or a window held back before this one."
        },
    )
    attempts = fields.List(
        fields.Nested(DeliveryAttempt),
        required=True,
        metadata={"description": "All attempts, oldest first."},
    )


class PaginatedDeliveryList(PageOfList):
    """A page of deliveries, newest first."""

    results = fields.List(fields.Nested(Delivery), required=True, metadata=RESULTS)


class ReplayRequest(RequestSchema):
    """The channel whose dead deliveries are sent again."""

    channel = IntegrationField(required=True, metadata=INTEGRATION)


class Replay(RequestSchema):
    """How many deliveries are sent again."""

    replayed = fields.Integer(
        required=True, metadata={"description": "Number of deliveries that are sent again."}
    )


def show_delivery(delivery: Any, firing: Any) -> dict[str, Any]:
    """Return what *Delivery* describes; *firing* is the firing that caused it, if any."""
    return {
        "id": delivery.id,
        "kind": delivery.kind,
        "integration": delivery.integration,
        "config": json.loads(delivery.config),
        "state": delivery.state,
        "held_by": delivery.held_by,
        "tries": delivery.attempts,
        "next_attempt_at": show_moment(delivery.next_attempt_at),
        "error_class": delivery.error_class,
        "error": delivery.error,
        "task": firing.task_id if firing else None,
        "action": firing.action_id if firing else None,
        "global_action": firing.global_action_id if firing else None,
        "created": to_wire(delivery.created),
        "finished": show_moment(delivery.finished),
    }


def show_detail(delivery: Any, firing: Any, attempts: Sequence[Any]) -> dict[str, Any]:
    """Return what *DeliveryDetail* describes."""
    message = json.loads(delivery.message)
    return {
        **show_delivery(delivery, firing),
        "title": message["title"],
        "reasons": message["reasons"],
        "held_back": message["held_back"],
        "attempts": [_show_attempt(attempt) for attempt in attempts],
    }


def _show_attempt(attempt: Any) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "started": to_wire(attempt.started),
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error_class": attempt.error_class,
        "error": attempt.error,
    }
