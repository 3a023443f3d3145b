"""The API schemas that explain why a task alerted or did not."""

from marshmallow import fields

from taskbadger.models.action import MODES
from taskbadger.models.delivery import STATES
from taskbadger.schemas.actions import INTEGRATION
from taskbadger.schemas.fields import Choice, Moment, RequestSchema
from taskbadger.schemas.global_actions import Reason


class AlertDelivery(RequestSchema):
    """One message of a firing, and its delivery."""

    id = fields.String(required=True, metadata={"description": "ID of the delivery"})
    integration = fields.String(required=True, metadata=INTEGRATION)
    to = fields.String(
        required=True,
        metadata={"description": "Recipients of an e-mail; empty for other channels."},
    )
    state = Choice(
        STATES,
        required=True,
        metadata={
            "description": "waiting, sending, delivered, dead (given up), dismissed or dropped."
        },
    )
    held_by = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "What holds it back or did, such as a maintenance window, or why it "
            "was dropped; null if nothing did."
        },
    )
    attempts = fields.Integer(required=True, metadata={"description": "Number of attempts so far."})
    error = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What went wrong last; null if nothing did."},
    )


class AlertReason(Reason):
    """The point that was reached, and the value it watches before and after the change."""


class AlertFiring(RequestSchema):
    """One firing."""

    created = Moment(required=True, metadata={"description": "When it fired."})
    point = fields.String(
        required=True, metadata={"description": "The point of the trigger that was reached."}
    )
    reason = fields.Nested(AlertReason, required=True)
    held_back = fields.Boolean(
        required=True,
        metadata={"description": "Whether a quiet period held the message back."},
    )
    deliveries = fields.List(
        fields.Nested(AlertDelivery),
        required=True,
        metadata={"description": "One message for each channel."},
    )


class Alert(RequestSchema):
    """An action or a global action, and its firings for one task."""

    kind = Choice(
        ("action", "global_action"),
        required=True,
        metadata={"description": "Whether it belongs to the task or to the organization."},
    )
    id = fields.Integer(
        required=True, metadata={"description": "ID of the action or global action"}
    )
    name = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Name of the global action; null for an action."},
    )
    mode = Choice(
        MODES,
        required=True,
        allow_none=True,
        metadata={
            "description": "Whether the global action tells of every firing or of incidents; null "
            "for an action."
        },
    )
    trigger = fields.String(required=True, metadata={"description": "The trigger, as written."})
    integrations = fields.List(
        fields.String(), required=True, metadata={"description": "The channels that it notifies."}
    )
    fired = fields.List(
        fields.Nested(AlertFiring),
        required=True,
        metadata={"description": "Its firings, latest first."},
    )
    conditions = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Why it has not fired, as sentences."},
    )
