"""Celery's beat: any number may run, and the one that holds the lease in the database sends.

Nothing here depends on the wall clock: the holder renews its lease by the monotonic clock of its
machine, and the others measure by theirs how long it has not. So a clock that jumps neither ends a
lease nor stops the schedule.
"""

import logging
import os
import socket
import time
from typing import Any
from uuid import uuid4

from celery.beat import ScheduleEntry, Scheduler
from flask import Flask

from taskbadger.extensions import db, reading
from taskbadger.services import beat_lease
from taskbadger.services.beat_lease import State
from taskbadger.worker import steps

log = logging.getLogger(__name__)

RENEW_SECONDS = 1.0
"""How often the lease is renewed, and how often the others look at it."""

LEASE_SECONDS = 5.0
"""How long a lease lasts that is not renewed."""

RETRY_SECONDS = 3.0
"""How long a beat that cannot reach the broker leaves the lease to the others."""


class Lease:
    """The lease as one process sees it."""

    def __init__(self, app: Flask) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._app = app
        self._held_until = self._next_look = float("-inf")
        self._seen: State | None = None
        self._seen_at = 0.0
        """When the state was first seen as it is."""

    @property
    def is_held(self) -> bool:
        """Whether this process may send."""
        return time.monotonic() < self._held_until

    def hold(self) -> bool:
        """Take the lease if it is free, or renew it, when it is time; say whether it is held."""
        began = time.monotonic()
        if began >= self._next_look:
            self._next_look = began + RENEW_SECONDS
            with self._app.app_context():
                is_ours = steps.run_safely(self._take)
            # None is an outage of the database: then a lease that is held goes on until its end.
            if is_ours is not None:
                self._held_until = began + LEASE_SECONDS if is_ours else began
        return self.is_held

    def release(self, seconds: float = RENEW_SECONDS) -> None:
        """Let another process have the lease at once; do not take it for so long."""
        self._held_until = time.monotonic()
        self._next_look = self._held_until + seconds
        with self._app.app_context():
            steps.run_safely(self._give_back)

    def _take(self) -> bool:
        with reading():
            state = beat_lease.read()
        now = time.monotonic()
        if state != self._seen:
            self._seen, self._seen_at = state, now
        is_silent = now - self._seen_at >= LEASE_SECONDS
        if state.holder not in (None, self.holder) and not is_silent:
            return False
        is_ours = beat_lease.replace(state, self.holder)
        db.session.commit()
        if is_ours and state.holder not in (None, self.holder):
            log.warning("beat takes over", extra={"silent": state.holder})
        return is_ours

    def _give_back(self) -> None:
        with reading():
            state = beat_lease.read()
        if state.holder == self.holder:
            beat_lease.replace(state, None)
            db.session.commit()


class OneBeat(Scheduler):  # type: ignore[misc]  # Celery ships no types
    """Sends each entry of the schedule when it is due, while this process holds the lease.

    Celery's own scheduler computes by the wall clock what is due, and waits for a broker that is
    away for as long as it is.
    """

    def __init__(self, *arguments: Any, lease: Lease, **options: Any) -> None:
        self._lease = lease
        self._due: dict[str, float] = {}
        """When to send each entry again, on the monotonic clock."""
        self._broker_failed: float | None = None
        super().__init__(*arguments, **options)

    def tick(self, *_arguments: Any, **_options: Any) -> float:
        """Send what is due; return for how many seconds there is nothing to do."""
        if not self._lease.hold():
            return RENEW_SECONDS
        try:
            self._send_due()
        except Exception as error:
            self._leave_to_others(error)
            return RENEW_SECONDS
        pause = min(self._due.values(), default=0.0) - time.monotonic()
        return max(0.0, min(pause, RENEW_SECONDS))

    def _send_due(self) -> None:
        for name, entry in self.schedule.items():
            now = time.monotonic()
            if now >= self._due.get(name, now) and self._lease.is_held:
                self._send(entry)
                self._due[name] = now + entry.schedule.seconds
        if self._broker_failed is not None:
            seconds = round(time.monotonic() - self._broker_failed, 1)
            self._broker_failed = None
            log.warning("broker available again", extra={"seconds": seconds})

    def _send(self, entry: ScheduleEntry) -> None:
        producer = self.producer
        if self._lease.is_held:  # To connect may have taken long.
            self.apply_async(entry, producer=producer, advance=False)

    def _ensure_connected(self) -> Any:
        """Connect to the broker, or fail: `tick` tries again."""
        return self.connection.ensure_connection(max_retries=0)

    def _leave_to_others(self, error: Exception) -> None:
        """Close the connection and give the lease back: others may reach the broker."""
        self.close()
        if self._broker_failed is None:
            self._broker_failed = time.monotonic()
            reason = type(error.__cause__ or error.__context__ or error).__name__
            log.error("broker not available", extra={"error": reason})
        self._lease.release(RETRY_SECONDS)
