"""SQLite: the driver, the pragmas, and a fair lock for writers."""

import fcntl
import logging
import os
import random
import sqlite3
import time
from types import ModuleType
from typing import IO, Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from taskbadger import time_limit
from taskbadger.errors import SettingsError
from taskbadger.extensions.transactions import is_read_only

try:
    from pysqlite3 import dbapi2 as _pysqlite3
except ImportError:  # pragma: no cover - platforms without its wheel
    _pysqlite3 = None

log = logging.getLogger(__name__)

_FILES = ("", "-journal", "-wal", "-shm", ".lock")
"""How the names of a database's files end; the last is ours."""


def sqlite_module() -> ModuleType:
    """Return the SQLite driver: the bundled, fixed one where its wheel exists."""
    return _pysqlite3 or sqlite3


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Say whether this SQLite is free of the WAL-reset race (sqlite.org/wal.html#walresetbug)."""
    if version >= (3, 51, 3):
        return True
    return (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def connect_options(timeout: float) -> dict[str, Any]:
    """Return SQLite's own arguments for ``create_engine``; *timeout* in seconds."""
    return {
        "module": sqlite_module(),
        "connect_args": {"timeout": timeout, "check_same_thread": False},
    }


def prepare_sqlite(engine: Engine, *, synchronous: str, timeout: float) -> None:
    """Set up each connection, and take the locks of a write in order; *timeout* in seconds."""
    pragmas = _pragmas(sqlite_module().sqlite_version_info, synchronous)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy sends BEGIN, not the driver.
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        record.info["lock"] = _open_lock(f"{engine.url.database}.lock")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A read needs no BEGIN: each statement sees one state of the database anyway.
        if not is_read_only(connection):
            deadline = time.monotonic() + time_limit.remaining(timeout)
            _wait_for_lock(connection.info["lock"], deadline)
            _set_busy_timeout(connection, deadline - time.monotonic(), timeout)
            _execute(connection, "BEGIN IMMEDIATE")

    @event.listens_for(engine, "checkin")
    def release_lock(_connection: Any, record: Any) -> None:
        fcntl.flock(record.info["lock"], fcntl.LOCK_UN)

    @event.listens_for(engine, "close")
    def close_lock(_connection: Any, record: Any) -> None:
        record.info["lock"].close()


def check_access(engine: Engine) -> None:
    """Raise SettingsError unless we may write to the database and its folder.

    Only for the start: later on, a disk that has become read-only is an outage, which may end.
    """
    path = str(engine.url.database)
    for needed in (os.path.dirname(path), *(path + suffix for suffix in _FILES)):
        if os.path.exists(needed) and not os.access(needed, os.W_OK):
            raise SettingsError(f"TASKBADGER_DATABASE_URL: no permission to write to {needed}")


def _pragmas(version: tuple[int, ...], synchronous: str) -> list[str]:
    journal = ["journal_mode=WAL", f"synchronous={synchronous}"]
    if not wal_is_safe(version):
        log.warning(
            "this SQLite has the WAL-reset bug; using the slower rollback journal",
            extra={"sqlite_version": ".".join(map(str, version))},
        )
        journal = ["journal_mode=DELETE", "synchronous=EXTRA"]
    return [
        *journal,
        "foreign_keys=ON",
        "cache_size=-16000",
        "temp_store=MEMORY",
        "journal_size_limit=67108864",
    ]


def _open_lock(path: str) -> IO[bytes]:
    try:
        return open(path, "ab")
    except OSError as error:
        # A full disk, a read-only one, or too many open files.
        raise sqlite_module().OperationalError(f"unable to open {path}: {error}") from error


def _set_busy_timeout(connection: Connection, left: float, timeout: float) -> None:
    """Let SQLite wait for others for what is *left* of *timeout* seconds, not for all of it again.

    Usually nearly all is left, and the connection keeps the timeout it has.
    """
    shortened = left < timeout * 0.9
    if shortened or connection.info.get("shortened"):
        milliseconds = int(max(left if shortened else timeout, time_limit.MIN_SECONDS) * 1000)
        _execute(connection, f"PRAGMA busy_timeout={milliseconds}")
        connection.info["shortened"] = shortened


def _execute(connection: Connection, text: str) -> None:
    """Run a statement on the driver's connection; SQLAlchemy's way would take ten times as long."""
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(text)
    except sqlite_module().OperationalError as error:
        raise OperationalError(text, None, error) from error


def _wait_for_lock(lock: IO[bytes], deadline: float) -> None:
    """Wait for the write lock of our processes; raises OperationalError after *deadline*.

    SQLite's own busy handler backs off to 100 ms, which makes latecomers wait long and unevenly.
    Trying a file lock about every millisecond treats all writers alike and costs little. The
    kernel releases it when a process dies. SQLite's own lock remains what protects the data.
    """
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise OperationalError("BEGIN IMMEDIATE", None, error) from error
        time.sleep(random.uniform(0.0005, 0.0015))  # noqa: S311 - not a secret
