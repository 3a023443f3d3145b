"""Turns: of all threads and processes that write to one SQLite database, one writes at a time.

SQLite's own busy handler backs off to 100 ms, which makes latecomers wait long and unevenly.
"""

import fcntl
import os
import random
import threading
import time
from collections import deque
from typing import IO

HOLD_SECONDS = 0.01
"""How long the threads of a process pass the file lock on before others get a chance."""
_MIN_PAUSE, _MAX_PAUSE = 0.0003, 0.001
"""Seconds between attempts to take the file lock."""


class Turns:
    """A fair lock on the file *path* for all threads of this process, and for other processes.

    The threads of a process queue. Only the first one tries the file lock, again and again: a
    thread that waits in the kernel could not stop at its deadline. The kernel releases that lock
    when a process dies. SQLite's own lock remains what protects the data.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._begin()
        os.register_at_fork(after_in_child=self._begin_in_child)

    def _begin(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_taken = False
        """Whether a thread of this process has the turn, or is the first to get it."""
        self._has_lock = False
        """Whether this process has the file lock."""
        self._locked_at = 0.0
        self._must_rest = False
        """Whether other processes are to get a chance before this one tries the file lock."""

    def take(self, deadline: float) -> None:
        """Wait for the turn until *deadline* on the monotonic clock.

        Raises TimeoutError, and OSError if there can be no file lock.
        """
        self._wait_for_threads(deadline)
        try:
            self._lock(deadline)
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Pass the turn on to the next thread, or to other processes."""
        with self._mutex:
            if self._has_lock and not (self._waiting and self._may_keep_lock()):
                fcntl.flock(self._open(), fcntl.LOCK_UN)
                self._has_lock = False
                self._must_rest = bool(self._waiting)
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False

    def close(self) -> None:
        """Close the file, unless a thread has the turn; the next one opens it again."""
        with self._mutex:
            if not self._is_taken:
                self._close_file()

    def _begin_in_child(self) -> None:
        self._close_file()  # The parent keeps the lock that it has.
        self._begin()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _may_keep_lock(self) -> bool:
        return time.monotonic() - self._locked_at < HOLD_SECONDS

    def _wait_for_threads(self, deadline: float) -> None:
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return
            place = threading.Lock()
            place.acquire()
            self._waiting.append(place)
        seconds = max(deadline - time.monotonic(), 0)
        try:
            has_turn = place.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))
        except BaseException:  # A signal's, in the main thread.
            if not self._leave(place):
                self.give_back()
            raise
        if not has_turn and self._leave(place):
            raise TimeoutError("another thread did not finish in time")

    def _leave(self, place: threading.Lock) -> bool:
        """Leave the queue; say whether that is possible, or the turn came at the last moment."""
        with self._mutex:
            if place not in self._waiting:
                return False
            self._waiting.remove(place)
            return True

    def _lock(self, deadline: float) -> None:
        if self._has_lock:
            return
        file = self._open()
        if self._must_rest:
            self._must_rest = False
            time.sleep(_MAX_PAUSE)
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        "another process did not finish its write in time"
                    ) from error
            time.sleep(random.uniform(_MIN_PAUSE, _MAX_PAUSE))  # noqa: S311 - not a secret
        self._has_lock = True
        self._locked_at = time.monotonic()

    def _open(self) -> IO[bytes]:
        if self._file is None:
            self._file = open(self._path, "ab")  # noqa: SIM115 - open until close()
        return self._file
