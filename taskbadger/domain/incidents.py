"""Incidents of names: when they open and close, and what their timelines say."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

QUIET_AFTER = 86_400
"""After how many seconds without a failed run an incident closes, unless its project differs."""
MIN_QUIET_AFTER, MAX_QUIET_AFTER = 300, 30 * 86_400

EVENTS = (
    "opened",
    "new_kind",
    "back",
    "told",
    "reminded",
    "escalated",
    "held",
    "dropped",
    "acknowledged",
    "unacknowledged",
    "snoozed",
    "snooze_ended",
    "recovered",
    "went_quiet",
)
"""What can happen to an incident.

``back``: a kind of failure that was resolved has come back. ``told``, ``reminded``, ``escalated``:
messages were queued. ``held`` and ``dropped``: they were not, and the detail says why.
``went_quiet``: it closed because nothing failed for long.
"""


class Run(NamedTuple):
    """A run that has ended, by success or failure."""

    task_id: str
    at: datetime
    has_failed: bool


@dataclass(slots=True)
class Span:
    """An incident of a name."""

    opened_at: datetime
    last_failed_at: datetime
    quiet_at: datetime
    """When it closes if nothing else fails."""
    incident_id: int | None = None
    """None for one that is new."""
    closed_at: datetime | None = None
    recovered_by: str | None = None
    """The task that succeeded; None while it is open, or if it went quiet."""
    failed: list[Run] = field(default_factory=list)
    """The failed runs that were added."""


def follow(span: Span | None, runs: Iterable[Run], *, quiet_after: timedelta) -> list[Span]:
    """Return the incidents of a name after *runs*, in order; *span* is the open one, if any.

    At most the last of them is open. Each failed run belongs to one. An incident closes when no run
    has failed for *quiet_after*.
    """
    spans = [] if span is None else [span]
    for run in runs:
        if span is not None and run.at >= span.quiet_at:
            span.closed_at, span = span.quiet_at, None
        if not run.has_failed:
            if span is not None:
                span.recovered_by = run.task_id
                span.closed_at, span = max(run.at, span.opened_at), None
            continue
        if span is None:
            span = Span(run.at, run.at, run.at)
            spans.append(span)
        span.failed.append(run)
        span.last_failed_at = max(span.last_failed_at, run.at)
        span.quiet_at = max(span.quiet_at, run.at + quiet_after)
    return spans
