"""Rates: whether enough has happened within a time, such as 5 errors in 10 minutes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_AT_LEAST = 100
MAX_WITHIN = 86_400
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The latest times, oldest first, and whether the rate was reached at the last of them."""

    times: Sequence[datetime] = ()
    is_reached: bool = False


def count(
    rate: Rate, at: datetime, *, at_least: int, within: timedelta, now: datetime | None = None
) -> tuple[Rate, bool]:
    """Return the rate after something happened *at* that time, and whether to speak.

    It speaks when the rate is reached, and again only after it has fallen below: at one of the
    times, or because nothing happened for so long. *now* is later than *at* if that is known late.
    """
    # Times of a clock that was ahead must not count for longer than others.
    known = [time for time in rate.times if time <= (now or at) + within]
    newest = max([*known, at])
    recent = sorted(time for time in [*known, at] if time > newest - within)[-at_least:]
    is_reached = len(recent) >= at_least
    was_reached = rate.is_reached and any(time > newest - within for time in known)
    return Rate(recent, is_reached), is_reached and not was_reached


def was_reached(times: Sequence[datetime], *, at_least: int, within: timedelta) -> bool:
    """Say whether so many of *times* have ever come within so long."""
    ordered = sorted(times)
    return any(
        last - first < within for first, last in zip(ordered, ordered[at_least - 1 :], strict=False)
    )
