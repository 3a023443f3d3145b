"""What sweeps leave out for a while: tasks that could not be marked, monitors not closed.

Otherwise the earliest of them would fill every sweep, and hide what is due behind them.
"""

import time
from typing import Generic, TypeVar

SECONDS = 60.0
"""How long a task or monitor is left out before it is tried again."""

MAX_IDS = 5_000
"""More than these are not remembered: a statement takes only so many parameters."""

Id = TypeVar("Id")


class LeftOut(Generic[Id]):
    """The ids that one sweep leaves out, as far as this process knows."""

    def __init__(self) -> None:
        self._until: dict[Id, float] = {}

    def add(self, failed: Id) -> bool:
        """Leave an id out for a while, if there is room; say whether there is."""
        if len(self._until) >= MAX_IDS:
            return False
        self._until[failed] = time.monotonic() + SECONDS
        return True

    def ids(self) -> list[Id]:
        """Return what is left out now, and forget the others."""
        now = time.monotonic()
        for each, until in list(self._until.items()):
            if until <= now:
                self._until.pop(each, None)
        return list(self._until)
