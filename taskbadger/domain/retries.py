"""When a failed delivery is tried again, and when its receiver is left alone."""

from datetime import datetime, timedelta

SCHEDULE = (
    timedelta(),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long after the one before each attempt comes, the first one at once.

github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, plus a last day.
"""

MOST_WAIT = timedelta(hours=24)
JITTER = 0.1
FAILURES_IN_A_ROW = 5
"""After so many a receiver is left alone but for one probe at each step."""

MOST_AT_ONCE = 4
"""Deliveries at once to a receiver that works; one that is new or has failed gets one."""


def next_attempt(
    attempts: int, *, now: datetime, chance: float, retry_after: float | None = None
) -> datetime | None:
    """Return when to try again after the *attempts*-th failure; None when that was the last.

    *chance*, 0 to 1, spreads the attempts by a tenth each way. *retry_after* are the seconds that
    the receiver asked for: it never gets the next attempt before.
    """
    if attempts >= len(SCHEDULE):
        return None
    wait = SCHEDULE[attempts] * (1 - JITTER + 2 * JITTER * chance)
    return now + max(wait, _asked(retry_after))


def hold_until(
    failures: int, *, now: datetime, chance: float, retry_after: float | None = None
) -> datetime | None:
    """Return until when a receiver is left alone after *failures* in a row; None for no wait."""
    asked = _asked(retry_after)
    if failures < FAILURES_IN_A_ROW:
        return now + asked if asked else None
    step = min(failures - FAILURES_IN_A_ROW + 2, len(SCHEDULE) - 1)
    return now + max(SCHEDULE[step] * (1 - JITTER + 2 * JITTER * chance), asked)


def most_at_once(*, proven: bool, failures: int) -> int:
    """Return how many deliveries may go to a receiver at the same time."""
    return MOST_AT_ONCE if proven and not failures else 1


def _asked(retry_after: float | None) -> timedelta:
    if retry_after is None:
        return timedelta()
    return min(timedelta(seconds=max(retry_after, 0.0)), MOST_WAIT)
