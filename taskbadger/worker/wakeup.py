"""The wake-up: after a commit that queued deliveries, a hint makes a worker look at once.

Hints may get lost, come twice, or come for nothing: polling is what deliveries rely on. On
PostgreSQL the hint is a NOTIFY, on SQLite, where all is on one machine, a datagram, and with
Celery the ids themselves go to the broker.
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
from typing import Any, Self

import psycopg
from flask import Flask
from flask_smorest import Api
from sqlalchemy import Engine, event

from taskbadger.extensions import db
from taskbadger.services import deliveries

log = logging.getLogger(__name__)

CHANNEL = "taskbadger"
_MOST_HINTS = 10_000
"""Hints that wait for a broker that does not answer; more are dropped."""

_RETRY_SECONDS = 2.0
_CONNECT_SECONDS = 2


def register(app: Flask, api: Api) -> None:
    """Poke the worker after each commit that queued something."""
    app.extensions["taskbadger_poke"] = make_poke(app)
    for name, listener in (
        ("after_commit", deliveries.poke_after_commit),
        ("after_rollback", deliveries.forget_after_rollback),
    ):
        if not event.contains(db.session, name, listener):
            event.listen(db.session, name, listener)


def make_poke(app: Flask) -> deliveries.Poke:
    """Return the function that passes a hint on."""
    if app.config["BROKER_URL"]:
        # An extra: only who sets a broker needs Celery.
        from taskbadger.worker.celery import make_publisher  # noqa: PLC0415

        return Courier(make_publisher(app)).carry
    with app.app_context():
        engine = db.engine
    if engine.dialect.name == "postgresql":
        return Courier(Notifier(engine).notify).carry
    return Datagram(engine).send


class Courier:
    """Passes hints on in a thread of its own, so that no request waits for a network."""

    def __init__(self, deliver: Callable[[list[str]], None]) -> None:
        self._deliver = deliver
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._hints: queue.Queue[list[str]] = queue.Queue(_MOST_HINTS)

    def carry(self, delivery_ids: list[str]) -> None:
        """Take a hint and return at once."""
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
                self._deliver(hint)
            except Exception as error:
                log.warning("a hint was lost", extra={"error": type(error).__name__})
                time.sleep(_RETRY_SECONDS)


class Notifier:
    """Sends NOTIFY over a connection of its own.

    Not in the transaction itself: PostgreSQL lets only one transaction that notifies commit at a
    time.
    """

    def __init__(self, engine: Engine) -> None:
        self._url = _url(engine)
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None

    def notify(self, _delivery_ids: list[str]) -> None:
        """Wake the workers."""
        try:
            if self._connection is None:
                self._connection = _connect(self._url)
            self._connection.execute(f"NOTIFY {CHANNEL}")
        except psycopg.Error:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            raise


class Datagram:
    """Sends a datagram to the worker that shares the SQLite file."""

    def __init__(self, engine: Engine) -> None:
        self._address = _address(engine)
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, _delivery_ids: list[str]) -> None:
        """Wake the worker, if there is one."""
        with suppress(OSError):
            self._socket.sendto(b"1", self._address)


class Listener:
    """Calls *wake* for each hint while the context is entered; with Celery there are none here."""

    def __init__(self, app: Flask, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._stopping = threading.Event()
        with app.app_context():
            self._engine = db.engine
        is_postgresql = self._engine.dialect.name == "postgresql"
        target = self._listen_postgresql if is_postgresql else self._listen_datagrams
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
                with _connect(_url(self._engine)) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._wake()  # For what was queued while nobody listened.
                    self._pass_on(connection)
            except psycopg.Error as error:
                log.info("not listening for hints", extra={"error": type(error).__name__})
                self._stopping.wait(_RETRY_SECONDS)

    def _pass_on(self, connection: psycopg.Connection[Any]) -> None:
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
                return  # Another worker listens already; this one polls.
            receiver.settimeout(0.5)
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    receiver.recv(16)
                    self._wake()


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS)


def _url(engine: Engine) -> str:
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def _address(engine: Engine) -> str:
    """Return the address of the socket that belongs to a SQLite file."""
    digest = hashlib.sha256(os.path.realpath(str(engine.url.database)).encode()).hexdigest()[:24]
    if sys.platform == "linux":
        return f"\0taskbadger-{digest}"
    return os.path.join(tempfile.gettempdir(), f"taskbadger-{digest}.sock")
