"""The embedded engine: a process with a loop that claims deliveries and threads that send them.

Any number of these processes may run at once, next to the web server or on other machines (with
SQLite, only on the same machine).
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue
from typing import TypeVar, TypeVarTuple

from flask import Flask

from taskbadger.extensions import make_checkpoint
from taskbadger.services.delivery.claims import Claimed
from taskbadger.worker import steps, sweeps
from taskbadger.worker.hints import Listener
from taskbadger.worker.outage_log import outages

log = logging.getLogger(__name__)

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

SLOW_AFTER_SECONDS = 0.5
"""A delivery that takes longer no longer counts as one of WORKER_THREADS, so another may begin."""

_RETRY_SECONDS = 1.0
"""When a sweep is tried again during an outage of the database."""

_GRACE_SECONDS = 25.0
"""How long deliveries in progress may take once the worker is asked to stop."""


def run(app: Flask) -> None:
    """Work until SIGTERM or SIGINT, then finish the deliveries in progress."""
    worker = Worker(app)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    log.info("worker started", extra={"pid": os.getpid()})
    worker.run()
    log.info("worker stopped", extra={"pid": os.getpid()})


class Worker:
    """One background worker."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.threads: int = app.config["WORKER_THREADS"]
        self.poll_seconds: float = app.config["WORKER_POLL_SECONDS"]
        self._is_stopping = False
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._stopped = threading.Event()
        """Wakes the sweeper when the worker stops."""
        self._sending: dict[Future[None], float] = {}

    def stop(self) -> None:
        """Ask the worker to stop.

        Safe in a signal handler, unlike `Event.set`: that waits for a lock, which the interrupted
        code may hold.
        """
        self._is_stopping = True
        self.wake()

    def wake(self) -> None:
        """Let the worker look for deliveries now. Safe in a signal handler."""
        self._wakes.put(None)

    def run(self) -> None:
        """Work until `stop`."""
        pool = ThreadPoolExecutor(
            self.threads * steps.MAX_THREAD_FACTOR, thread_name_prefix="deliver"
        )
        sweeper = threading.Thread(target=self._sweep, name="sweep", daemon=True)
        with ExitStack() as stack:
            stack.enter_context(Listener(self.app, self.wake))
            sweeper.start()
            while not self._is_stopping:
                self._claim_and_send(pool)
        self._stopped.set()
        sweeper.join(_GRACE_SECONDS)
        deadline = time.monotonic() + _GRACE_SECONDS
        while self._sending and time.monotonic() < deadline:
            self._forget_finished()
            time.sleep(0.02)
        pool.shutdown(wait=False, cancel_futures=True)

    def _claim_and_send(self, pool: ThreadPoolExecutor) -> None:
        while not self._wakes.empty():
            self._wakes.get()
        free = self._count_free()
        claimed = self._in_context(steps.claim, free) if free else []
        for delivery in claimed or ():
            self._sending[pool.submit(self._send, delivery)] = time.monotonic()
        if not free:
            self._wait(min(self.poll_seconds, SLOW_AFTER_SECONDS / 2))
        elif not claimed:
            self._wait(self.poll_seconds)

    def _wait(self, seconds: float) -> None:
        """Wait until something wakes the worker, or so long."""
        if self._is_stopping:
            return  # What woke it may have been taken out before.
        with suppress(Empty):
            self._wakes.get(timeout=seconds)

    def _count_free(self) -> int:
        """Return how many deliveries may begin."""
        self._forget_finished()
        recent = time.monotonic() - SLOW_AFTER_SECONDS
        quick = sum(1 for began in self._sending.values() if began > recent)
        return min(
            self.threads - quick, self.threads * steps.MAX_THREAD_FACTOR - len(self._sending)
        )

    def _forget_finished(self) -> None:
        for future in [future for future in self._sending if future.done()]:
            del self._sending[future]

    def _send(self, claimed: Claimed) -> None:
        self._in_context(steps.send, claimed)
        self.wake()

    def _sweep(self) -> None:
        """Run each sweep when it is due, in turn; one that has more to do is due at once."""
        due = {step: 0.0 for step, _ in sweeps.SWEEPS}
        while not self._is_stopping:
            for step, seconds in sweeps.SWEEPS:
                if time.monotonic() < due[step] or self._is_stopping:
                    continue
                more = self._in_context(step)
                pause = min(seconds, _RETRY_SECONDS) if outages.is_on else seconds
                due[step] = 0.0 if more else time.monotonic() + pause
            self._in_context(make_checkpoint)
            idle = min(due.values()) > 0
            self._stopped.wait(min(1.0, self.poll_seconds) / 2 if idle else sweeps.REST_SECONDS)

    def _in_context(
        self, step: Callable[[*Arguments], Result], *arguments: *Arguments
    ) -> Result | None:
        with self.app.app_context():
            return steps.run_safely(step, *arguments)
