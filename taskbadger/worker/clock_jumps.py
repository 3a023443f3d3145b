"""Notices when the clock jumps ahead, by comparing it with the monotonic clock.

A lease is a time on the clock of the database. When that clock jumps, leases must not end while
their deliveries are still being sent.
"""

import threading
from datetime import datetime, timedelta

LIMIT = timedelta(seconds=5)
"""A smaller jump does no harm: a lease is much longer than an attempt."""


class ClockJumps:
    """By how much the clock has jumped ahead and nobody has dealt with yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[datetime, float] | None = None
        self.ahead = timedelta()

    def note(self, now: datetime, began: float, ended: float) -> None:
        """Compare the time *now*, which was read between *began* and *ended*, with the last one."""
        with self._lock:
            if self._last is not None:
                moment, before = self._last
                # How long the readings took is no jump.
                ahead = now - moment - timedelta(seconds=ended - before)
                if ahead > LIMIT:
                    self.ahead += ahead
            self._last = now, began

    def settle(self) -> None:
        """Note that leases have moved along."""
        self.ahead = timedelta()


jumps = ClockJumps()
"""Those that this process saw."""
