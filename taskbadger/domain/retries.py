"""Retries: when a failed delivery is sent again, and how long its receiver is put on hold."""

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
"""The wait before each attempt. The first attempt has no wait.

The schedule is that of Standard Webhooks, plus 24 hours at the end:
github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

MAX_WAIT = timedelta(hours=24)
JITTER = 0.1
HOLD_AFTER_FAILURES = 5
"""From this many in a row on, a receiver is put on hold; one probe at each step of SCHEDULE."""

MAX_AT_ONCE = 4
"""Concurrent deliveries to a receiver that works; one that is new or fails gets one."""


def next_attempt(
    attempts: int, *, now: datetime, chance: float, retry_after: float | None = None
) -> datetime | None:
    """Return when to try again after the *attempts*-th failure; None when that was the last.

    *chance*, 0 to 1, spreads attempts by a tenth each way. *retry_after* is the number of seconds
    that the receiver asked for; the next attempt never comes before that.
    """
    if attempts >= len(SCHEDULE):
        return None
    wait = SCHEDULE[attempts] * (1 - JITTER + 2 * JITTER * chance)
    return now + max(wait, _asked(retry_after))


def hold_until(
    failures: int, *, now: datetime, chance: float, retry_after: float | None = None
) -> datetime | None:
    """Return the end of a receiver's hold after *failures* in a row; None for no hold."""
    asked = _asked(retry_after)
    if failures < HOLD_AFTER_FAILURES:
        return now + asked if asked else None
    step = min(failures - HOLD_AFTER_FAILURES + 2, len(SCHEDULE) - 1)
    return now + max(SCHEDULE[step] * (1 - JITTER + 2 * JITTER * chance), asked)


def max_at_once(*, proven: bool, failures: int) -> int:
    """Return how many deliveries may go to a receiver at the same time."""
    return MAX_AT_ONCE if proven and not failures else 1


def _asked(retry_after: float | None) -> timedelta:
    if retry_after is None:
        return timedelta()
    return min(timedelta(seconds=max(retry_after, 0.0)), MAX_WAIT)
