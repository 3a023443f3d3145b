"""SQLite: the driver, the pragmas, and the locks of writers."""

import logging
import os
import sqlite3
import time
from contextlib import suppress
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from taskbadger import time_limit
from taskbadger.errors import SettingsError
from taskbadger.extensions.transactions import is_read_only
from taskbadger.extensions.turns import Turns

try:
    from pysqlite3 import dbapi2 as _pysqlite3
except ImportError:  # pragma: no cover - platforms without its wheel
    _pysqlite3 = None

log = logging.getLogger(__name__)

_FILES = ("", "-journal", "-wal", "-shm", ".lock")
"""How the names of a database's files end; the last is ours."""

_MAX_PAGES = 4000
"""How long the log grows before a commit makes a checkpoint, unless the worker does before."""

_HAS_TURN = "has_turn"
_SLACK_SECONDS = 0.1
"""How much too long SQLite may wait."""


def sqlite_module() -> ModuleType:
    """Return the SQLite driver: the bundled, fixed one where its wheel exists."""
    return _pysqlite3 or sqlite3


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Say whether this SQLite is free of the WAL-reset race (sqlite.org/wal.html#walresetbug)."""
    if version >= (3, 51, 3):
        return True
    return (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def can_look_at_log() -> bool:
    """Say whether SQLite tells how long its log is without a checkpoint (``NOOP``)."""
    return bool(sqlite_module().sqlite_version_info >= (3, 51))


def connect_options(timeout: float) -> dict[str, Any]:
    """Return SQLite's own arguments for ``create_engine``; *timeout* in seconds."""
    return {
        "module": sqlite_module(),
        "connect_args": {"timeout": timeout, "check_same_thread": False},
    }


def prepare_sqlite(engine: Engine, *, synchronous: str, timeout: float) -> None:
    """Set up each connection, and take the locks of a write in order; *timeout* in seconds."""
    pragmas = _pragmas(sqlite_module().sqlite_version_info, synchronous)
    turns = Turns(f"{engine.url.database}.lock")

    @event.listens_for(engine, "do_connect")
    def make_private(_dialect: object, _record: object, *_arguments: object) -> None:
        make_file(str(engine.url.database))

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy sends BEGIN, not the driver.
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A read needs no BEGIN: each statement sees one state of the database anyway.
        if not is_read_only(connection):
            deadline = time.monotonic() + time_limit.remaining(timeout)
            _take_turn(turns, connection, deadline)
            _set_busy_timeout(connection, deadline - time.monotonic(), timeout)
            _execute(connection, "BEGIN IMMEDIATE")

    @event.listens_for(engine, "checkin")
    @event.listens_for(engine, "close")
    def end_turn(_connection: Any, record: Any) -> None:
        if record.info.pop(_HAS_TURN, False):
            turns.give_back()

    @event.listens_for(engine, "engine_disposed")
    def close_turns(_engine: Engine) -> None:
        turns.close()


def make_file(path: str) -> None:
    """Create an empty file that only its owner may read, unless there is a file.

    A database holds what tasks say. SQLite gives the files beside it the same permissions.
    """
    with suppress(OSError):  # SQLite says what is wrong.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


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
        *([f"wal_autocheckpoint={_MAX_PAGES}"] if can_look_at_log() else []),
    ]


def _take_turn(turns: Turns, connection: Connection, deadline: float) -> None:
    if connection.info.get(_HAS_TURN):
        return
    try:
        turns.take(deadline)
    except OSError as error:  # Including TimeoutError; else no file, on a full disk for instance.
        raise OperationalError("BEGIN IMMEDIATE", None, error) from error
    connection.info[_HAS_TURN] = True


def _set_busy_timeout(connection: Connection, left: float, timeout: float) -> None:
    """Let SQLite wait for others for what is *left* of *timeout* seconds, not for all of it again.

    Usually nearly all is left, and the connection keeps the timeout it has.
    """
    shortened = timeout - left > _SLACK_SECONDS
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
