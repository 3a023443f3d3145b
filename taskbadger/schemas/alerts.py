"""Why a task alerted, or did not, on the wire."""

from marshmallow import fields

from taskbadger.models.delivery import STATES
from taskbadger.schemas.fields import Choice, Moment, RequestSchema


class AlertDelivery(RequestSchema):
    """One message of a firing, and what became of it."""

    id = fields.String(required=True)
    integration = fields.String(required=True)
    to = fields.String(
        required=True,
        metadata={"description": "The addresses of an e-mail; empty where the channel knows."},
    )
    state = Choice(STATES, required=True)
    attempts = fields.Integer(required=True)
    error = fields.String(required=True, allow_none=True)


class AlertReason(RequestSchema):
    """The point that was reached, and what it looked at before and after the change."""

    point = fields.String(required=True)
    kind = fields.String(required=True)
    reached = fields.Raw(required=True)
    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)


class AlertFiring(RequestSchema):
    """One firing."""

    created = Moment(required=True)
    point = fields.String(required=True)
    reason = fields.Nested(AlertReason, required=True)
    held_back = fields.Boolean(
        required=True,
        metadata={"description": "Whether a quiet period kept it from being told at once."},
    )
    deliveries = fields.List(fields.Nested(AlertDelivery), required=True)


class Alert(RequestSchema):
    """An action or a global action, as far as one task is concerned."""

    kind = Choice(("action", "global_action"), required=True)
    id = fields.Integer(required=True)
    name = fields.String(required=True, allow_none=True)
    trigger = fields.String(required=True)
    integrations = fields.List(fields.String(), required=True)
    fired = fields.List(
        fields.Nested(AlertFiring),
        required=True,
        metadata={"description": "What it fired, the latest first."},
    )
    conditions = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "What keeps it from firing, in sentences."},
    )
