"""Turns: of all threads and processes that write to one SQLite database, one writes at a time.

SQLite's own busy handler backs off to 100 ms, which makes latecomers wait long and unevenly.
"""

import errno
import fcntl
import os
import threading
import time
from collections import deque
from enum import Enum
from io import FileIO
from queue import SimpleQueue

HOLD_SECONDS = 0.01
"""How long the threads of a process pass the file lock on before others get a chance."""
_REST_SECONDS = 0.001
"""How long a process that had the lock for so long leaves it to others: enough to wake up."""


class _State(Enum):
    FREE = "no thread of this process waits or has the turn"
    ASKED = "the keeper waits for the file lock"
    TAKEN = "a thread has the turn, and this process the file lock"


class _Place:
    """The place of a thread in the queue."""

    def __init__(self) -> None:
        self.has_turn = False
        self.error: Exception | None = None
        self._is_called = threading.Lock()
        self._is_called.acquire()

    def call(self) -> None:
        """Wake the thread up; it has its turn, or an error instead."""
        self._is_called.release()

    def wait(self, deadline: float) -> bool:
        """Return whether the thread was called before *deadline*."""
        seconds = max(deadline - time.monotonic(), 0)
        return self._is_called.acquire(timeout=min(seconds, threading.TIMEOUT_MAX))


def _open_private(path: str, flags: int) -> int:
    """Open a file; if it is new, only its owner may."""
    return os.open(path, flags, 0o600)


class Turns:
    """A fair lock on the file *path* for all threads of this process, and for other processes.

    The threads of a process queue, each with its deadline. If the file lock is free, the first one
    takes it. Otherwise a thread of ours, the keeper, waits for it in the kernel, without a
    deadline, and then calls the first of those who still wait; if nobody does, it gives the lock
    back. So no thread waits unless the state is ASKED or TAKEN, and whoever ends that state calls
    the next one, or asks the keeper, or leaves the lock to other processes.

    The kernel releases the lock when a process dies. SQLite's own lock remains what protects the
    data.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._begin()
        os.register_at_fork(after_in_child=self._begin_in_child)

    def _begin(self) -> None:
        self._mutex = threading.Lock()
        """For all that follows; nobody waits for the file lock while holding it."""
        self._state = _State.FREE
        self._waiting: deque[_Place] = deque()
        self._locked_at = 0.0
        self._requests: SimpleQueue[float | None] | None = None
        """The keeper's, if there is one: how long to rest before the next wait; None to end."""

    def take(self, deadline: float) -> None:
        """Wait for the turn until *deadline* on the monotonic clock.

        Raises TimeoutError, and OSError if there can be no file lock.
        """
        place = _Place()
        try:
            with self._mutex:
                self._waiting.append(place)
                if self._state is _State.FREE:
                    self._lock_or_ask()
            if not place.wait(deadline):
                raise TimeoutError(self._reason())
        except BaseException:  # Also a signal's, in the main thread.
            self._leave(place)
            raise
        if place.error is not None:
            raise place.error

    def give_back(self) -> None:
        """Pass the turn on to the next thread, or to other processes."""
        with self._mutex:
            if self._state is _State.TAKEN:  # Not so in a process that was forked during a turn.
                self._pass_on()

    def close(self) -> None:
        """Close the file and end the keeper, unless a thread waits or has the turn.

        The next turn opens the file again.
        """
        with self._mutex:
            if self._state is _State.FREE:
                self._close_file()
                if self._requests is not None:
                    self._requests.put(None)
                    self._requests = None

    def _begin_in_child(self) -> None:
        self._close_file()  # The parent keeps the lock that it has.
        self._begin()

    def _open(self) -> FileIO:
        if self._file is None:
            self._file = FileIO(self._path, "a", opener=_open_private)
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lock_or_ask(self) -> None:
        try:
            fcntl.flock(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not self._has_keeper():
                raise OSError(errno.EAGAIN, "no thread can wait for another process") from error
            self._ask()
        else:
            self._begin_hold()

    def _begin_hold(self) -> None:
        self._locked_at = time.monotonic()
        self._call_next()

    def _call_next(self) -> None:
        place = self._waiting[0]
        self._state, place.has_turn = _State.TAKEN, True  # First: see `_leave`.
        self._waiting.popleft()
        place.call()

    def _pass_on(self) -> None:
        if self._waiting and (self._may_keep_lock() or not self._has_keeper()):
            self._call_next()
            return
        self._unlock()
        if self._waiting:
            self._ask(rest=_REST_SECONDS)

    def _may_keep_lock(self) -> bool:
        return time.monotonic() - self._locked_at < HOLD_SECONDS

    def _unlock(self) -> None:
        fcntl.flock(self._open(), fcntl.LOCK_UN)
        self._state = _State.FREE

    def _leave(self, place: _Place) -> None:
        """Leave the queue; pass on a turn that came at the last moment.

        A signal may have come anywhere in `take`, right after the file lock for instance.
        """
        with self._mutex:
            if place in self._waiting:
                self._waiting.remove(place)
            if place.has_turn:
                self._pass_on()
            elif self._state is _State.FREE and self._file is not None:
                self._unlock()

    def _reason(self) -> str:
        if self._state is _State.ASKED:
            return "another process did not finish its write in time"
        return "another thread did not finish in time"

    def _has_keeper(self) -> bool:
        """Start the keeper unless there is one; say whether that was possible."""
        if self._requests is None:
            requests: SimpleQueue[float | None] = SimpleQueue()
            keeper = threading.Thread(target=self._keep, args=[requests], name="turns", daemon=True)
            try:
                keeper.start()
            except RuntimeError:  # Too many threads, or the interpreter is about to end.
                return False
            self._requests = requests
        return True

    def _ask(self, rest: float = 0.0) -> None:
        assert self._requests is not None  # noqa: S101 - for mypy
        self._state = _State.ASKED
        self._requests.put(rest)

    def _keep(self, requests: SimpleQueue[float | None]) -> None:
        """Wait for the file lock whenever somebody asks."""
        for rest in iter(requests.get, None):
            if rest:  # Even a sleep of no time would let other threads go first.
                time.sleep(rest)
            try:
                self._wait_for_lock()
            except Exception as error:
                self._fail(error)

    def _wait_for_lock(self) -> None:
        fcntl.flock(self._open(), fcntl.LOCK_EX)
        with self._mutex:
            if self._waiting:
                self._begin_hold()
            else:
                self._unlock()

    def _fail(self, error: Exception) -> None:
        """Give the error to the first waiting thread, and try again for the next one."""
        with self._mutex:
            if self._waiting:
                place = self._waiting.popleft()
                place.error = error
                place.call()
            if self._waiting:
                self._ask()
            else:
                self._state = _State.FREE
