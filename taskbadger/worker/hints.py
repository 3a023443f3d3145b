"""Hints: how the web server tells a worker that deliveries were queued.

A hint may get lost, arrive twice or be needless, because workers poll as well. Over
PostgreSQL a hint is a NOTIFY, over SQLite, where everything runs on one machine, a datagram.
"""

import hashlib
import logging
import os
import queue
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from flask import Flask
from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError

from taskbadger.extensions import db
from taskbadger.worker.outage_log import outages

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger(__name__)

CHANNEL = "taskbadger"
"""The channel of NOTIFY and LISTEN."""

_MAX_HINTS = 10_000
"""How many hints wait while a broker does not answer; further ones are dropped."""

_RETRY_SECONDS = 2.0


class Courier:
    """Passes hints on in a background thread, so that no request waits for the network."""

    def __init__(self, send_hint: Callable[[list[str]], None]) -> None:
        self._send_hint = send_hint
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._hints: queue.Queue[list[str]] = queue.Queue(_MAX_HINTS)

    def carry(self, delivery_ids: list[str]) -> None:
        """Queue a hint and return at once."""
        with suppress(queue.Full):
            self._hints.put_nowait(delivery_ids)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            hint = self._hints.get()
            while not self._hints.empty():
                hint = hint + self._hints.get_nowait()
            try:
                self._send_hint(hint)
            except Exception as error:
                log.warning("hint lost", extra={"error": type(error).__name__})
                time.sleep(_RETRY_SECONDS)


class Notifier:
    """Sends NOTIFY over its own connection.

    NOTIFY stays outside the transaction that queues, because PostgreSQL commits notifying
    transactions one at a time.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        event.listen(engine, "engine_disposed", self._close)

    def _reset(self) -> None:
        self._connection: Connection[Any] | None = None
        self._process = os.getpid()

    def _close(self, _engine: Engine) -> None:
        """Close the connection with those of the engine, unless it is that of a parent process."""
        connection, self._connection = self._connection, None
        if connection is not None and self._process == os.getpid():
            connection.close()

    def notify(self, _delivery_ids: list[str]) -> None:
        """Send the hint to all workers."""
        connection = self._connection
        try:
            if connection is None:
                connection = self._connection = _connect(self._engine)
            connection.execute(f"NOTIFY {CHANNEL}")
        except self._engine.dialect.loaded_dbapi.Error:
            self._connection = None
            if connection is not None:
                connection.close()
            raise


class Datagram:
    """Sends a datagram to the worker that uses the same SQLite file."""

    def __init__(self, engine: Engine) -> None:
        self._address = _address(engine)
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, _delivery_ids: list[str]) -> None:
        """Send the hint to the worker, if one is running."""
        with suppress(OSError):
            self._socket.sendto(b"1", self._address)


class Listener:
    """Calls *wake* for each hint while the context is open. With Celery no hints arrive here."""

    def __init__(self, app: Flask, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._stopping = threading.Event()
        with app.app_context():
            self._engine = db.engine
        target: Callable[[], object] = self._listen_datagrams
        if self._engine.dialect.name == "postgresql":
            session_features = app.config["DATABASE_SESSION_FEATURES"]
            target = self._listen_postgresql if session_features else self._stopping.wait
        self._thread = threading.Thread(target=target, name="listen", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join(5)

    def _listen_postgresql(self) -> None:
        while not self._stopping.is_set():
            try:
                with _connect(self._engine) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    outages.succeeded("listen")
                    self._wake()  # Deliveries may have been queued while nobody listened.
                    self._pass_on(connection)
            except (self._engine.dialect.loaded_dbapi.Error, SQLAlchemyError) as error:
                outages.failed("listen", error)
                self._stopping.wait(_RETRY_SECONDS)

    def _pass_on(self, connection: "Connection[Any]") -> None:
        while not self._stopping.is_set():
            for _ in connection.notifies(timeout=0.5, stop_after=1):
                self._wake()

    def _listen_datagrams(self) -> None:
        address = _address(self._engine)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            if not address.startswith("\0"):
                with suppress(FileNotFoundError):
                    os.unlink(address)
            try:
                receiver.bind(address)
            except OSError:
                return  # Another worker is listening already; this one polls.
            receiver.settimeout(0.5)
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    receiver.recv(16)
                    self._wake()


def _connect(engine: Engine) -> "Connection[Any]":
    """Return a connection that belongs to no pool and needs no commit."""
    proxy = engine.raw_connection()
    connection: Any = proxy.dbapi_connection
    proxy.detach()
    connection.autocommit = True
    return cast("Connection[Any]", connection)


def _address(engine: Engine) -> str:
    """Return the address of the socket for a SQLite file: abstract on Linux, else a path."""
    digest = hashlib.sha256(os.path.realpath(str(engine.url.database)).encode()).hexdigest()[:24]
    if sys.platform == "linux":
        return f"\0taskbadger-{digest}"
    return os.path.join(tempfile.gettempdir(), f"taskbadger-{digest}.sock")
