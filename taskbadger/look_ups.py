"""Looks up host names within a time limit.

The system's look-up cannot be stopped, so it runs in a thread of its own; after the time limit the
caller no longer waits for it. Concurrent look-ups of a name and port share a thread, so a name
server that never answers costs one thread for each.
"""

import os
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

Resolver = Callable[[str, int], Sequence[str]]
"""Turns a host name and a port into addresses; raises OSError when there is none."""

_lock = threading.Lock()
_pending: dict[tuple[Resolver, str, int], Future[Sequence[str]]] = {}


def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of *host*, in the order to try them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def look_up(host: str, port: int, *, seconds: float, resolver: Resolver = resolve) -> Sequence[str]:
    """Return the addresses of *host*; raises OSError or UnicodeError, TimeoutError when late."""
    key = (resolver, host, port)
    with _lock:
        answer = _pending.get(key)
        if answer is None:
            answer = Future()
            _start(key, answer)
            _pending[key] = answer
    return answer.result(min(max(seconds, 0), threading.TIMEOUT_MAX))


def _start(key: tuple[Resolver, str, int], answer: "Future[Sequence[str]]") -> None:
    thread = threading.Thread(target=_ask, args=(key, answer), name="look-up", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # The process has as many threads as it may.
        raise OSError(str(error)) from error


def _ask(key: tuple[Resolver, str, int], answer: "Future[Sequence[str]]") -> None:
    resolver, host, port = key
    found: Sequence[str] = ()
    wrong: Exception | None = None
    try:
        found = resolver(host, port)
    except Exception as error:
        wrong = error
    # Before the result is set, so that the next caller starts a new look-up.
    with _lock:
        _pending.pop(key, None)
    if wrong is None:
        answer.set_result(found)
    else:
        answer.set_exception(wrong)


def _forget() -> None:
    """Forget the threads of the parent process: a fork does not copy them."""
    global _lock
    _lock = threading.Lock()
    _pending.clear()


os.register_at_fork(after_in_child=_forget)
