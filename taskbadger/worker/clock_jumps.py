"""Notices when the clock jumps, by comparing it with the monotonic clock.

A lease is a time on the clock of the database. When that clock jumps, leases must not end while
their deliveries are still being sent.
"""

import threading
from datetime import datetime, timedelta
from typing import NamedTuple

LIMIT = timedelta(seconds=5)
"""A smaller jump does no harm: a lease is much longer than an attempt."""


class Seen(NamedTuple):
    """The jumps that a process has seen since it started."""

    number: int
    ahead: timedelta
    """The sum of those ahead."""


class _Reading(NamedTuple):
    now: datetime
    began: float
    ended: float


class ClockJumps:
    """The jumps of the clock, and which of them have been dealt with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: _Reading | None = None
        self._settled = Seen(0, timedelta())
        self.seen = self._settled

    @property
    def is_settled(self) -> bool:
        """Whether all jumps have been dealt with."""
        return self.seen == self._settled

    @property
    def ahead(self) -> timedelta:
        """The sum of the jumps ahead that have not been dealt with yet."""
        return self.seen.ahead - self._settled.ahead

    def note(self, now: datetime, began: float, ended: float) -> None:
        """Compare the time *now*, which was read between *began* and *ended*, with the last one."""
        reading = _Reading(now, began, ended)
        with self._lock:
            last = self._last
            if last is not None and began < last.began:
                return  # Another thread has read the clock later.
            self._last = reading
            if last is None:
                return
            # The time that the readings took is not a jump.
            passed = now - last.now
            ahead = passed - timedelta(seconds=ended - last.began)
            behind = timedelta(seconds=began - last.ended) - passed
            if max(ahead, behind) > LIMIT:
                number, total = self.seen
                self.seen = Seen(number + 1, total + max(ahead, timedelta()))

    def settle(self, seen: Seen) -> None:
        """Note that leases have been adjusted to the jumps in *seen*."""
        with self._lock:
            self._settled = max(self._settled, seen)


jumps = ClockJumps()
"""Those that this process saw."""
