"""What a delivery waits for, in words."""

from datetime import datetime
from typing import NamedTuple


class Waiting(NamedTuple):
    """What a delivery waits for."""

    state: str
    """``waiting``, ``held`` or ``retrying``."""
    before: str = ""
    until: datetime | None = None
    """The time between the words; None if it is due."""
    after: str = ""


def explain(
    *,
    attempts: int,
    next_attempt_at: datetime | None,
    window: str | None,
    waits_for_retry: bool,
    paused_until: datetime | None,
    now: datetime,
) -> Waiting:
    """Say what a delivery in the state *waiting* waits for.

    *window* is the name of the one that has held it back, and *paused_until* is when the hold on
    its receiver ends. A new delivery is due at once, unless it waits for another attempt of its
    run or for the end of a quiet period.
    """
    if next_attempt_at is None:
        return Waiting("waiting")
    if paused_until is not None and paused_until > now:
        state, until = "retrying" if attempts else "waiting", max(next_attempt_at, paused_until)
        return Waiting(state, "paused while the receiver is failing, next attempt", until)
    if attempts:
        return Waiting("retrying", "next attempt", next_attempt_at)
    if next_attempt_at <= now:
        return Waiting("waiting")
    return Waiting("held", "held until", next_attempt_at, _why(window, waits_for_retry))


def _why(window: str | None, waits_for_retry: bool) -> str:
    if window is not None:
        return f"by the window {window}"
    if waits_for_retry:
        return "in case the run is tried again"
    return "by a quiet period"
