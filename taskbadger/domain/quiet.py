"""Quiet periods: one message, then silence; what was held back is told when the silence ends."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Quiet:
    """Where an action stands: until when it is silent, and how much it has held back so far."""

    until: datetime | None = None
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a firing."""

    send_at: datetime
    """Now, or the end of the quiet period."""
    held_back: bool
    quiet: Quiet
    """Where the action stands afterwards."""


def judge(quiet: Quiet, period: timedelta, *, now: datetime) -> Verdict:
    """Return what becomes of a firing at *now*.

    When a period ends that held something back, one message tells of it, and that message begins
    the next period: an action never sends twice within *period*.
    """
    until = quiet.until
    if until and quiet.held_back and until <= now:
        quiet, until = Quiet(), until + period
    if until is None or until <= now:
        return Verdict(now, held_back=False, quiet=Quiet(now + period))
    # A clock that was set back, or a shorter period, must not make the silence longer than it.
    until = min(until, now + period)
    return Verdict(until, held_back=True, quiet=Quiet(until, quiet.held_back + 1))
