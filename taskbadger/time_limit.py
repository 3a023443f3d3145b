"""How long a request may wait for the database, counted from its arrival.

A request that waited for a thread has that much less time for the database, so that the client has
its answer in time. Outside of requests each wait has the whole time.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MIN_SECONDS = 0.05
"""What a request that waited too long for a thread still gets: enough for a healthy database."""

_arrival: ContextVar[float | None] = ContextVar("arrival", default=None)


def begin(moment: float | None = None) -> None:
    """Count the time of this context from *moment* on the monotonic clock, or from now."""
    _arrival.set(time.monotonic() if moment is None else moment)


def begin_unless_begun() -> None:
    """Count from now, unless the server has said when the request arrived."""
    if _arrival.get() is None:
        begin()


def end() -> None:
    """Give each later wait of this context the whole time."""
    _arrival.set(None)


def elapsed() -> float:
    """Return how many seconds ago the request of this context arrived."""
    arrival = _arrival.get()
    return 0.0 if arrival is None else time.monotonic() - arrival


@contextmanager
def unlimited() -> Iterator[None]:
    """Let each wait of a block take as long as it may."""
    token = _arrival.set(math.inf)
    try:
        yield
    finally:
        _arrival.reset(token)


def remaining(seconds: float) -> float:
    """Return how much is left of *seconds*, the time that a request may wait in all."""
    arrival = _arrival.get()
    if arrival is None:
        return seconds
    return max(arrival + seconds - time.monotonic(), MIN_SECONDS)
