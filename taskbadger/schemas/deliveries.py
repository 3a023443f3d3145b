"""Deliveries on the wire."""

import json
from collections.abc import Sequence
from typing import Any

from marshmallow import fields

from taskbadger.clock import to_wire
from taskbadger.models.delivery import STATES
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.actions import IntegrationField
from taskbadger.schemas.fields import Choice, Moment, RequestSchema
from taskbadger.schemas.pagination import PageOfList


class Delivery(RequestSchema):
    """One message to one channel."""

    id = fields.String(required=True)
    kind = fields.String(required=True, metadata={"example": "task"})
    integration = fields.String(required=True)
    config = fields.Raw(required=True, metadata={"description": "The action's, or what is left."})
    state = Choice(STATES, required=True)
    tries = fields.Integer(
        required=True, metadata={"description": "Attempts since it was queued, or replayed."}
    )
    next_attempt_at = Moment(required=True, allow_none=True)
    error_class = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    task = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "ID of the task, if any"},
    )
    action = fields.Integer(required=True, allow_none=True)
    global_action = fields.Integer(required=True, allow_none=True)
    created = Moment(required=True)
    finished = Moment(required=True, allow_none=True)


class DeliveryAttempt(RequestSchema):
    """One try to deliver."""

    number = fields.Integer(required=True)
    started = Moment(required=True)
    duration_ms = fields.Integer(required=True)
    status = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The receiver's HTTP status or SMTP reply code."},
    )
    error_class = fields.String(
        required=True, allow_none=True, metadata={"description": "Null for a success."}
    )
    error = fields.String(required=True, allow_none=True)


class DeliveryDetail(Delivery):
    """One message to one channel, what it says, and all tries to deliver it."""

    title = fields.String(required=True)
    reasons = fields.List(fields.Raw(), required=True)
    held_back = fields.Integer(
        required=True, metadata={"description": "Firings that a quiet period held back before."}
    )
    attempts = fields.List(fields.Nested(DeliveryAttempt), required=True)


class PaginatedDeliveryList(PageOfList):
    """A page of deliveries, newest first."""

    results = fields.List(fields.Nested(Delivery), required=True)


class ReplayRequest(RequestSchema):
    """Whose dead deliveries to try again."""

    channel = IntegrationField(required=True)


class Replay(RequestSchema):
    """How many deliveries are tried again."""

    replayed = fields.Integer(required=True)


def show_delivery(delivery: Any, firing: Any) -> dict[str, Any]:
    """Return what *Delivery* describes; *firing* is what set it off, or None."""
    return {
        "id": delivery.id,
        "kind": delivery.kind,
        "integration": delivery.integration,
        "config": json.loads(delivery.config),
        "state": delivery.state,
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
