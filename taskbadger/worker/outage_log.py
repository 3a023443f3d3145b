"""One log line when the database goes away, and one when it is back, not one per attempt."""

import logging
import threading
import time

from taskbadger.extensions import describe

log = logging.getLogger(__name__)

FORGET_SECONDS = 5.0
"""What has not failed for this long is no reason to think that the outage goes on."""


class OutageLog:
    """Tells what changes; several threads may report to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: float | None = None
        self._failing: dict[str, float] = {}
        """When each part of the worker failed last."""
        self._told: set[str] = set()

    @property
    def is_on(self) -> bool:
        """Whether there is an outage."""
        return self._began is not None

    def failed(self, part: str, error: BaseException) -> None:
        """Note that *part* of the worker could not work; log what nobody has said yet."""
        reason = describe(error)
        with self._lock:
            now = time.monotonic()
            self._began = now if self._began is None else self._began
            self._failing[part] = now
            is_news = reason not in self._told
            self._told.add(reason)
        if is_news:
            log.error("database not available", extra={"part": part, "error": reason})

    def succeeded(self, part: str) -> None:
        """Note that *part* could work; log the end of an outage if nothing else still fails."""
        if self._began is None or part not in self._failing:
            return
        with self._lock:
            now = time.monotonic()
            self._failing.pop(part, None)
            self._failing = {
                name: moment
                for name, moment in self._failing.items()
                if now - moment < FORGET_SECONDS
            }
            if self._failing or self._began is None:
                return
            seconds = round(now - self._began, 1)
            self._began = None
            self._told.clear()
        log.warning("database available again", extra={"seconds": seconds})


outages = OutageLog()
"""That of this process."""
