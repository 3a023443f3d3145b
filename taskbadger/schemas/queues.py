"""The API schemas of queues."""

from typing import Any

from marshmallow import fields

from taskbadger.clock import to_wire
from taskbadger.domain import queues
from taskbadger.domain.queues import Trend
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.fields import Choice, Moment, RequestSchema
from taskbadger.schemas.pagination import RESULTS, PageOfList


class Queue(RequestSchema):
    """What waits and runs in a queue, and where the queue is going."""

    name = fields.String(
        required=True, metadata={"description": "Name of the queue; empty for tasks without one."}
    )
    pending = fields.Integer(
        required=True, metadata={"description": f"Tasks that wait, up to {queues.COUNT_CAP:,}."}
    )
    running = fields.Integer(
        required=True, metadata={"description": f"Tasks that run, up to {queues.COUNT_CAP:,}."}
    )
    oldest_pending = Moment(
        required=True,
        allow_none=True,
        metadata={
            "description": "When the oldest task that waits was created; null if none waits."
        },
    )
    trend = Choice(
        tuple(Trend),
        required=True,
        metadata={
            "description": "empty (nothing waits), keeping_up (nothing waits long), steady, "
            "shrinking, growing (it is backing up) or stuck (tasks wait, and nothing leaves)."
        },
    )
    trend_since = Moment(
        required=True, metadata={"description": "Since when arrived and departed are counted."}
    )
    arrived = fields.Integer(
        required=True, metadata={"description": "Tasks that became pending since trend_since."}
    )
    departed = fields.Integer(
        required=True,
        metadata={"description": "Tasks that are no longer pending since trend_since."},
    )
    rates_since = Moment(
        required=True, metadata={"description": "Since when finished and wait_p95 are counted."}
    )
    finished = fields.Integer(
        required=True,
        metadata={"description": "Runs that ended in success or error since rates_since."},
    )
    wait_p95 = fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "How many seconds 95 % of the tasks that started since rates_since had "
            "waited at most, within 5 %; null if none did."
        },
    )


class PaginatedQueueList(PageOfList):
    """A page of queues, sorted by name."""

    results = fields.List(fields.Nested(Queue), required=True, metadata=RESULTS)


def show_queue(queue: queues.Queue) -> dict[str, Any]:
    """Return what *Queue* describes."""
    wait = queue.wait_p95
    return {
        "name": queue.name,
        "pending": queue.pending,
        "running": queue.running,
        "oldest_pending": show_moment(queue.oldest_pending),
        "trend": queue.trend,
        "trend_since": to_wire(queue.trend_since),
        "arrived": queue.arrived,
        "departed": queue.departed,
        "rates_since": to_wire(queue.rates_since),
        "finished": queue.finished,
        "wait_p95": None if wait is None else round(wait, 3),
    }
