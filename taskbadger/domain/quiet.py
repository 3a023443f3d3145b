"""Quiet periods: after a message, further firings are held back and reported when it ends."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Quiet:
    """The state of an action: until when it is quiet, and how many firings it has held back."""

    until: datetime | None = None
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """When and how a firing is reported."""

    send_at: datetime
    """Now, or the end of the quiet period."""
    held_back: bool
    quiet: Quiet
    """The state of the action afterwards."""


def schedule_message(quiet: Quiet, period: timedelta, *, now: datetime) -> Decision:
    """Return when the message about a firing at *now* is sent.

    If a period held firings back, one message at its end reports them, and begins the next
    period: an action never sends twice within *period*.
    """
    until = quiet.until
    if until and quiet.held_back and until <= now:
        quiet, until = Quiet(), until + period
    if until is None or until <= now:
        return Decision(now, held_back=False, quiet=Quiet(now + period))
    # After a clock was set back, or the period shortened, never wait longer than the period.
    until = min(until, now + period)
    return Decision(until, held_back=True, quiet=Quiet(until, quiet.held_back + 1))
