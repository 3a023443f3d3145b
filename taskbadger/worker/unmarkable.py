"""Tasks that could not be marked stale or overdue: sweeps leave them out for a while.

Otherwise the earliest of them would fill every sweep, and hide the tasks that are due behind them.
"""

import time

SECONDS = 60.0
"""How long a task is left out before it is tried again."""

MAX_TASKS = 5_000
"""More than these are not remembered: a statement takes only so many parameters."""


class Unmarkable:
    """The ids of such tasks of one sweep, as far as this process knows."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, task_id: str) -> bool:
        """Leave a task out for a while, if there is room; say whether there is."""
        if len(self._until) >= MAX_TASKS:
            return False
        self._until[task_id] = time.monotonic() + SECONDS
        return True

    def ids(self) -> list[str]:
        """Return the tasks that are left out now, and forget the others."""
        now = time.monotonic()
        for task_id, until in list(self._until.items()):
            if until <= now:
                self._until.pop(task_id, None)
        return list(self._until)
