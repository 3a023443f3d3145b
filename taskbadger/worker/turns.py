"""When the steps of this process last ended, which the next tick writes down."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta


class Turns:
    """The last turn of each step, as far as this process knows."""

    def __init__(self) -> None:
        self._ended: dict[str, float | None] = {}

    def expect(self, step: str) -> None:
        """Note that there is such a step."""
        self._ended[step] = None

    def ended(self, step: str) -> None:
        """Note that a step has done what was due."""
        if step in self._ended:
            self._ended[step] = time.monotonic()

    def times(self, now: datetime) -> Mapping[str, datetime | None]:
        """Return when each step last ended; None for one that has not in this process."""
        here = time.monotonic()
        return {
            step: None if ended is None else now - timedelta(seconds=here - ended)
            for step, ended in self._ended.items()
        }


turns = Turns()
"""Of this process."""
