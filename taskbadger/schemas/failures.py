"""The API schemas of failure kinds."""

from typing import Any

from marshmallow import fields

from taskbadger.clock import to_wire
from taskbadger.domain.fingerprints import OVERDUE
from taskbadger.domain.status import ERROR, STALE
from taskbadger.models.failure import STATES
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.fields import Choice, Moment, RequestSchema
from taskbadger.schemas.pagination import RESULTS, PageOfList

STATE = {
    "description": "open, resolved (opened again by its next failure) or ignored (counted, but "
    "global actions do not fire for it)."
}
UNTIL = {"description": "When an ignored kind is open again; null for never."}


class PatchedFailureRequest(RequestSchema):
    """A new state of a failure kind; ignored without ignored_until is forever."""

    state = Choice(STATES, metadata=STATE)
    ignored_until = Moment(allow_none=True, metadata=UNTIL)


class Failure(RequestSchema):
    """What failed tasks of one name with the same cause have in common."""

    id = fields.Integer(required=True, metadata={"description": "ID of the failure kind"})
    name = fields.String(required=True, metadata={"description": "Name of the tasks"})
    title = fields.String(
        required=True,
        metadata={
            "description": "The error; what varies in its message is replaced.",
            "example": "ValueError: invalid literal for int() with base 10: ‹text›",
        },
    )
    cause = Choice(
        (ERROR, STALE, OVERDUE),
        required=True,
        metadata={"description": "error, stale, or max_runtime_exceeded."},
    )
    state = Choice(STATES, required=True, metadata=STATE)
    count = fields.Integer(
        required=True, metadata={"description": "How many failures there have been."}
    )
    first_seen = Moment(required=True, metadata={"description": "Time of the first failure."})
    last_seen = Moment(required=True, metadata={"description": "Time of the latest failure."})
    sample_task = fields.String(
        required=True,
        metadata={"description": "ID of the task that failed last; it may have been deleted."},
    )
    ignored_until = Moment(required=True, allow_none=True, metadata=UNTIL)


class PaginatedFailureList(PageOfList):
    """A page of failure kinds, the one with the latest failure first."""

    results = fields.List(fields.Nested(Failure), required=True, metadata=RESULTS)


def show_failure(kind: Any, state: str) -> dict[str, Any]:
    """Return what *Failure* describes; *state* is the kind's state now."""
    return {
        "id": kind.id,
        "name": kind.name,
        "title": kind.title,
        "cause": kind.cause,
        "state": state,
        "count": kind.count,
        "first_seen": to_wire(kind.first_seen),
        "last_seen": to_wire(kind.last_seen),
        "sample_task": kind.sample_task,
        "ignored_until": show_moment(kind.ignored_until if state == kind.state else None),
    }
