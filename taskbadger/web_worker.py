"""gunicorn's thread worker, with threads that never wait for a client.

In gunicorn's own worker a thread reads a request from its socket and writes the answer to it, so a
few clients that send or read slowly stop the server for all. Here the main thread buffers
requests and answers of all connections (``connections.py``); a thread gets a request when it is
whole, and is free once the answer is computed and at most 4 MiB of it are unsent.
"""

import errno
import re
import resource
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from taskbadger import time_limit
from taskbadger.connections import MAX_HEAD_BYTES, WRITE_SECONDS, Arrival, Connection
from taskbadger.refusals import refusal, status_of
from taskbadger.settings import Settings

HEAD_SECONDS = 10.0
"""How long a client may take to send a request's headers, from their first byte."""
BODY_SECONDS = 60.0
"""How long a client may take to send a request's body, from the end of its headers."""
CLOSE_SECONDS = 2.0
"""How long a connection may stay open after its last answer, for the client to read that."""
SMALL_BYTES = MAX_HEAD_BYTES
"""A request of up to this size is never refused to save memory."""
LOOK_SECONDS = 0.25
"""How often the time limits are checked."""
MAX_BUFFERED_BYTES = 64 * 1024 * 1024
"""How much of a worker's memory all its requests may hold: those that are still coming in, and
those that wait for their answer. It is twice MAX_BODY_BYTES if that is more."""
MAX_OPEN_FILES = 65_536

_HEALTH = re.compile(rb"(?:GET|HEAD) /healthz[ ?]")
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
_GONE = (errno.EAGAIN, errno.ECONNABORTED)
_STATUS_OF_ARRIVAL = {
    Arrival.MALFORMED: HTTPStatus.BAD_REQUEST,
    Arrival.UNSUPPORTED: HTTPStatus.NOT_IMPLEMENTED,
    Arrival.TOO_MANY_CHUNKS: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Arrival.LONG_HEAD: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
}
"""The status for each request that is refused before it is complete."""


Step = Callable[[Connection], None]


@dataclass(eq=False)
class _Wait:
    """What a connection waits for: its client, until *deadline* on the monotonic clock."""

    react: Step
    give_up: Step
    deadline: float


class BufferingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """Buffers requests and answers, so that slow clients do not delay others.

    Whatever goes wrong with a connection ends that connection only: an error in the main thread
    would end the worker and all requests in it.
    """

    def init_process(self) -> None:
        """Prepare the worker's process."""
        _allow_many_files()
        self._health_thread = ThreadPoolExecutor(1, thread_name_prefix="health")
        """Answers ``/healthz``, while all other threads may wait for the database."""
        self._max_body = Settings.from_env().MAX_BODY_BYTES
        self._max_buffered_bytes = max(MAX_BUFFERED_BYTES, 2 * self._max_body)
        self._lock = threading.Lock()
        """Held while a connection begins to wait in one thread, or stops in another."""
        self._waits: dict[Connection, _Wait] = {}
        """The connections that wait for their client, oldest first."""
        self._buffered_bytes = 0
        """How much memory all requests take, from their first byte to their answer."""
        self._next_look = 0.0
        # With TLS or the PROXY protocol, gunicorn reads from the client before the request.
        self._is_buffering = (
            self.cfg.protocol == "http" and not self.cfg.is_ssl and self.cfg.proxy_protocol == "off"
        )
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Take a new connection, and begin to buffer its first request."""
        if not self._is_buffering:
            super().accept(listener)
            return
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in _GONE and not (
                error.errno in _TOO_MANY_FILES and self._make_room()
            ):
                time.sleep(0.01)  # No files or memory are left; an error would end the worker.
            return
        if self.nr_conns + 1 >= self.worker_connections:
            self._make_room()
        self.nr_conns += 1
        conn = Connection(self.cfg, client, address, listener.getsockname(), self._max_body)
        self._guard(conn, self._await_request)

    def _guard(self, conn: Connection, step: Step) -> None:
        """Do a *step* of a connection; an error closes the connection."""
        try:
            step(conn)
        except OSError:
            self._close(conn)
        except Exception:
            self.log.exception("a connection failed")
            self._close(conn)

    def _await_request(self, conn: Connection) -> None:
        """Collect the next request, beginning with what has come in behind the last one."""
        seconds = self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER
        self._wait(conn, selectors.EVENT_READ, self._receive, seconds, self._close)
        if conn.early:
            early, conn.early = conn.early, b""
            self._take(conn, early)

    def _wait(
        self, conn: Connection, event: int, react: Step, seconds: float, give_up: Step
    ) -> None:
        self._watch(conn, event)
        self._waits[conn] = _Wait(react, give_up, time.monotonic() + seconds)

    def _all_waits(self) -> list[tuple[Connection, _Wait]]:
        with self._lock:
            return list(self._waits.items())

    def _watch(self, conn: Connection, event: int) -> None:
        """Let the poller watch a connection for *event*, or no longer if that is 0."""
        if event == conn.watched_for:
            return
        if conn.watched_for:
            conn.watched_for = 0
            self.poller.unregister(conn.sock)
        if event:
            self.poller.register(conn.sock, event, lambda _sock: self._on_event(conn))
        conn.watched_for = event

    def _on_event(self, conn: Connection) -> None:
        with self._lock:
            wait = self._waits.get(conn)
            if wait is None:  # It is served, or closed: what has come in stays in the kernel.
                self._watch(conn, 0)
                return
        self._guard(conn, wait.react)

    def _receive(self, conn: Connection) -> None:
        try:
            data = conn.sock.read_now()
        except BlockingIOError:
            return
        if data:
            self._take(conn, data)
        else:
            self._close(conn)

    def _take(self, conn: Connection, data: bytes) -> None:
        """Add *data* to a connection's next request; hand it to a thread once it is whole."""
        had_begun, had_head = conn.incoming.has_begun, conn.incoming.has_head
        arrival = conn.incoming.feed(data)
        self._note_size(conn, len(conn.incoming.data))
        if arrival in _STATUS_OF_ARRIVAL:
            self._refuse(conn, _STATUS_OF_ARRIVAL[arrival])
            return
        is_whole = arrival in (Arrival.WHOLE, Arrival.CUT)
        if not is_whole and conn.incoming.has_head and not had_head:
            self._expect(conn, BODY_SECONDS)
        elif not is_whole and not had_begun:
            self._expect(conn, HEAD_SECONDS)
        wait = self._waits[conn]
        self._limit_memory()
        if self._waits.get(conn) is not wait:
            return  # This connection was the one refused.
        if is_whole:
            conn.is_cut = arrival is Arrival.CUT
            del self._waits[conn]
            self.enqueue_req(conn)
        elif conn.incoming.has_head and not had_head and conn.incoming.expects_continue:
            conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            conn.sock.flush()

    def _expect(self, conn: Connection, seconds: float) -> None:
        """Limit the time for the rest of the request."""
        wait = self._waits[conn]
        wait.deadline = time.monotonic() + seconds
        wait.give_up = partial(self._refuse, status=HTTPStatus.REQUEST_TIMEOUT)

    def _note_size(self, conn: Connection, size: int) -> None:
        with self._lock:
            self._buffered_bytes += size - conn.buffered_bytes
            conn.buffered_bytes = size

    def _limit_memory(self) -> None:
        while self._buffered_bytes > self._max_buffered_bytes:
            largest = max(list(self._waits), key=lambda conn: conn.buffered_bytes, default=None)
            if largest is None or largest.buffered_bytes <= SMALL_BYTES:
                return  # Nearly all of it is being served.
            if self._waits[largest].react == self._send_more:
                self._close(largest)
            else:
                self._guard(largest, partial(self._refuse, status=HTTPStatus.SERVICE_UNAVAILABLE))

    def _make_room(self) -> bool:
        """Close the longest-waiting connection, new ones first; say whether there was one."""
        waiting = list(self._waits)
        if not waiting:
            return False
        self._close(next((conn for conn in waiting if not conn.buffered_bytes), waiting[0]))
        return True

    def _refuse(self, conn: Connection, status: HTTPStatus) -> None:
        """Answer *status* without the application, and close."""
        self.log.warning(
            "refused a request", extra={"status": status, "address": _host_of(conn.client)}
        )
        self._waits.pop(conn, None)
        conn.incoming.take()
        self._note_size(conn, 0)
        conn.stays_open = False
        conn.sock.sendall(refusal(status))
        self._finish(conn)

    def enqueue_req(self, conn: Any) -> None:
        """Hand a whole request to a thread."""
        if not isinstance(conn, Connection):
            super().enqueue_req(conn)
            return
        conn.arrived = time.monotonic()
        is_health = _HEALTH.match(conn.incoming.data)
        pool = self._health_thread if is_health else self.tpool
        pool.submit(self._serve, conn)

    def _serve(self, conn: Connection) -> None:
        """Serve a request in a thread; leave all but the usual ending to the main thread."""
        try:
            conn.stays_open = bool(self.handle(conn))
            if conn.stays_open:
                conn.keep_early()
        except OSError:  # The client is gone.
            conn.stays_open = False
        except BaseException:
            self.log.exception("a request failed")
            conn.stays_open = False
        if not self._awaits_next(conn):
            self.method_queue.defer(self._end_request, conn)

    def handle(self, conn: Any) -> Any:
        """Serve a request in a thread; its time limit counts from when it was whole."""
        time_limit.begin(conn.arrived if isinstance(conn, Connection) else time.monotonic())
        result = super().handle(conn)
        if isinstance(conn, Connection):
            conn.sock.flush()
        return result

    def _awaits_next(self, conn: Connection) -> bool:
        """Await the next request, if nothing else is to be done; say whether that is so.

        The poller still watches the connection, so that the main thread need not be woken.
        """
        if not conn.stays_open or conn.early or conn.sock.unsent():
            return False
        self._note_size(conn, 0)
        wait = _Wait(self._receive, self._close, time.monotonic() + self.cfg.keepalive)
        with self._lock:
            if conn.watched_for != selectors.EVENT_READ or not self.alive:
                return False
            self._waits[conn] = wait
        return True

    def _end_request(self, conn: Connection) -> None:
        """Send what is left of an answer; then await the next request, or close."""
        self._guard(conn, self._finish)

    def _finish(self, conn: Connection) -> None:
        is_sent = conn.sock.flush()
        self._note_size(conn, conn.sock.unsent())
        if not is_sent:
            self._wait(conn, selectors.EVENT_WRITE, self._send_more, WRITE_SECONDS, self._close)
        elif conn.stays_open:
            self._await_request(conn)
        else:
            self._say_goodbye(conn)

    def _send_more(self, conn: Connection) -> None:
        del self._waits[conn]
        self._finish(conn)

    def _say_goodbye(self, conn: Connection) -> None:
        """Close our side, and wait a moment for the client's (RFC 9112 section 9.6).

        Closing both at once while more of the request comes in would reset the connection, and
        the client might lose the answer.
        """
        conn.sock.shutdown(socket.SHUT_WR)
        self._wait(conn, selectors.EVENT_READ, self._discard, CLOSE_SECONDS, self._close)

    def _discard(self, conn: Connection) -> None:
        try:
            data = conn.sock.read_now()
        except BlockingIOError:
            return
        if not data:
            self._close(conn)

    def _close(self, conn: Connection) -> None:
        """Close a connection that waits, or has just been answered."""
        if conn.is_closed:
            return
        conn.is_closed = True
        self._waits.pop(conn, None)
        self._watch(conn, 0)
        self._note_size(conn, 0)
        self.nr_conns -= 1
        conn.sock.release()

    def murder_keepalived(self, force: bool = False) -> None:
        """End every wait whose time is up, or all. gunicorn calls this after each event."""
        super().murder_keepalived(force)
        now = time.monotonic()
        if now < self._next_look and not force:
            return
        self._next_look = now + LOOK_SECONDS
        for conn, wait in self._all_waits():
            if force:
                self._close(conn)
            elif wait.deadline <= now and self._waits.get(conn) is wait:
                self._guard(conn, wait.give_up)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Run the application; the last request of a connection is announced as such."""
        if isinstance(conn, Connection) and conn.is_cut:
            req.force_close()
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        """Say whether another request may follow. An error here comes after a whole answer."""
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except Exception as error:
            self.log.debug("closed after an answer", extra={"reason": type(error).__name__})
            return False

    def _cap_keepalive(self, deadline: float) -> None:
        """Free the address, and do not wait long for requests that have not begun.

        gunicorn calls this once, when the worker stops. Other processes still listen on the same
        socket; once none does, another server can start while this one still answers.
        """
        self.alive = False  # It is still true if the worker stops because gunicorn is gone.
        for listener in self.sockets:
            listener.close()
        super()._cap_keepalive(deadline)
        for conn, wait in self._all_waits():
            if wait.react == self._receive and not conn.incoming.has_begun:
                wait.deadline = min(wait.deadline, deadline)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what reaches no application in the standard error shape; log none of its content.

        A header without its colon is refused, and may hold a key; so may a query.
        """
        status = status_of(exc)
        facts = {"status": status, "reason": type(exc).__name__, "address": _host_of(addr)}
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            path = getattr(req, "path", None)
            self.log.error("a request failed", exc_info=exc, extra={**facts, "path": path})
        else:
            self.log.warning("refused a request", extra=facts)
        client.sendall(refusal(status))


def _host_of(address: Any) -> str:
    """Return the address of a client; empty behind a Unix socket."""
    return str(address[0]) if isinstance(address, tuple) else ""


def _allow_many_files() -> None:
    """Let this process open as many files as its hard limit allows: a connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
