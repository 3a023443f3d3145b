"""Whether a queue is backing up: from how much waits, how long, and what came and left lately."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SPAN = timedelta(minutes=5)
"""What comes and leaves is counted in spans of this length."""
TREND_SPANS = 3
"""Whole spans that say where a queue is going, with the one that has begun."""
RATE_SPANS = 12
"""Whole spans that waits and the throughput are taken from."""
COUNT_CAP = 10_000
"""Tasks of a queue are counted up to this."""
_SHORT_WAIT = timedelta(minutes=1)
"""A queue in which nothing waits longer keeps up."""
_MIN_CHANGE = 5
"""A backlog that changes by fewer tasks holds steady,"""
_MIN_SHARE = 0.1
"""and so does one that changes by a smaller share of what arrived."""


class Trend(StrEnum):
    """Where a queue is going."""

    EMPTY = "empty"
    """Nothing waits."""
    KEEPING_UP = "keeping_up"
    """Nothing waits long."""
    STEADY = "steady"
    """The backlog stays as it is."""
    SHRINKING = "shrinking"
    GROWING = "growing"
    """It is backing up."""
    STUCK = "stuck"
    """Tasks wait, and nothing leaves."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What waits in a queue, and what came and left in the last TREND_SPANS."""

    pending: int
    longest_wait: timedelta
    """How long the oldest of them has waited."""
    arrived: int
    departed: int

    @property
    def change(self) -> int:
        """By how much the backlog grew."""
        return self.arrived - self.departed


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of a project. Tasks without a queue are one with an empty name."""

    project: str
    """The project's slug."""
    name: str
    pending: int
    """Tasks that wait, up to COUNT_CAP."""
    running: int
    """Tasks that run, up to COUNT_CAP."""
    oldest_pending: datetime | None
    """When the oldest task that waits was created."""
    wait_p95: float | None
    """How many seconds 95 % of the tasks that left since *rates_since* had waited at most."""
    finished: int
    """Runs that ended in success or error since *rates_since*."""
    arrived: int
    """Tasks that became pending since *trend_since*."""
    departed: int
    """Tasks that are no longer pending since *trend_since*."""
    trend: Trend
    time_to_empty: timedelta | None
    """How long a shrinking backlog lasts if it goes on like this."""
    backlog: list[int]
    """How much waited at the end of each span since *rates_since*."""
    rates_since: datetime
    trend_since: datetime
    finished_per_minute: float


def span_of(moment: datetime) -> datetime:
    """Return the start of the span that contains *moment*."""
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % int(SPAN.total_seconds()), moment.tzinfo)


def trend_of(flow: Flow) -> Trend:
    """Return where a queue is going."""
    if not flow.pending:
        return Trend.EMPTY
    if not flow.departed and flow.longest_wait > SPAN * TREND_SPANS:
        return Trend.STUCK
    if flow.longest_wait < _SHORT_WAIT:
        return Trend.KEEPING_UP
    if abs(flow.change) < max(_MIN_CHANGE, flow.arrived * _MIN_SHARE):
        return Trend.STEADY
    return Trend.GROWING if flow.change > 0 else Trend.SHRINKING


def time_to_empty(flow: Flow, elapsed: timedelta) -> timedelta | None:
    """Return how long a shrinking backlog lasts, if it goes on as in the time *elapsed*."""
    if flow.change >= 0:
        return None
    return elapsed * (flow.pending / -flow.change)


def backlog_of(pending: int, changes: list[int]) -> list[int]:
    """Return how much waited at the end of each span; *changes* are oldest first.

    Counted back from what waits now. Deleted tasks may make it inexact, but never negative.
    """
    found = [pending]
    for change in reversed(changes[1:]):
        found.append(max(found[-1] - change, 0))
    return found[::-1]
