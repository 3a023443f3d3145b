"""The database: the declarative base, Flask-SQLAlchemy as glue, and how each engine is set up.

The recipes and their measurements are in ``docs/decisions.md``.
"""

import fcntl
import logging
import math
import os
import random
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import IO, Any

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, Connection, Engine, Executable, MetaData, Row, event, make_url
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.orm import DeclarativeBase

try:
    from pysqlite3 import dbapi2 as _pysqlite3
except ImportError:  # pragma: no cover - platforms without its wheel
    _pysqlite3 = None

log = logging.getLogger(__name__)

PING_AFTER_SECONDS = 5.0
"""An idle PostgreSQL connection is tried out before use after so long."""
MIGRATIONS = os.path.join(os.path.dirname(__file__), "migrations")


class Base(DeclarativeBase):
    """The base of all models. Constraints are named, so that a migration can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base)
migrate = Migrate(directory=MIGRATIONS, render_as_batch=True)

_read_only: ContextVar[bool] = ContextVar("read_only", default=False)


def set_read_only(read_only: bool) -> None:
    """Say whether the transactions of this context only read: SQLite takes no write lock then."""
    _read_only.set(read_only)


@contextmanager
def writing() -> Iterator[None]:
    """Let a block write, also in a request that otherwise only reads; the block commits.

    A read has no BEGIN, so what the session has open is ended on the way in, or else each
    statement of the block would be a transaction of its own; likewise on the way out.
    """
    with _transactions(read_only=False):
        yield


@contextmanager
def reading() -> Iterator[None]:
    """Let a block read without a lock that would outlive it, also in a request that writes."""
    with _transactions(read_only=True):
        yield


@contextmanager
def _transactions(*, read_only: bool) -> Iterator[None]:
    _end_transaction()
    token = _read_only.set(read_only)
    try:
        yield
    finally:
        _end_transaction()
        _read_only.reset(token)


def _end_transaction() -> None:
    if db.session.registry.has():
        db.session.rollback()


def fetch_all(statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """Run one SELECT by itself, past the session and without a lock: for the hot paths."""
    token = _read_only.set(True)
    try:
        with db.engine.connect() as connection:
            return connection.execute(statement, parameters).all()
    finally:
        _read_only.reset(token)


def init_database(app: Flask) -> None:
    """Configure Flask-SQLAlchemy and Flask-Migrate for *app* by its settings."""
    url = database_url(app.config["DATABASE_URL"])
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(app.config, url)
    db.init_app(app)
    migrate.init_app(app, db)
    with app.app_context():
        _prepare(db.engine, app.config)


def database_url(text: str) -> URL:
    """Return the URL with the driver that we ship; a relative SQLite path is made absolute."""
    scheme, _, rest = text.partition("://")
    if scheme in ("postgres", "postgresql"):
        return make_url(f"postgresql+psycopg://{rest}")
    url = make_url(text)
    if url.get_backend_name() == "sqlite" and url.database:
        path = os.path.abspath(url.database)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return url.set(database=path)
    return url


def engine_options(config: dict[str, Any], url: URL) -> dict[str, Any]:
    """Return the arguments for ``create_engine``: pool sizes, timeouts and the driver."""
    threads = max(config["THREADS"], config["WORKER_THREADS"])
    timeout = config["DATABASE_TIMEOUT"]
    if url.get_backend_name() == "sqlite":
        return {
            "module": sqlite_module(),
            "hide_parameters": True,
            "pool_size": threads + 2,
            "max_overflow": 4,
            "pool_timeout": timeout,
            "connect_args": {"timeout": max(timeout, 5.0), "check_same_thread": False},
        }
    milliseconds = int(timeout * 1000)
    connect: dict[str, Any] = {
        "connect_timeout": max(2, round(timeout / 2)),
        "application_name": "taskbadger",
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": milliseconds,
    }
    if config["DATABASE_POOL_OPTIONS"]:
        connect["options"] = (
            f"-c statement_timeout={milliseconds + 5000} -c lock_timeout={milliseconds} "
            f"-c idle_in_transaction_session_timeout=30000 -c timezone=UTC"
        )
    return {
        # An error's text goes to the log, and what clients send must not.
        "hide_parameters": True,
        "pool_size": threads + 2,
        "max_overflow": 4,
        "pool_timeout": timeout,
        "pool_recycle": 1800,
        "pool_use_lifo": True,
        "connect_args": connect,
    }


def sqlite_module() -> ModuleType:
    """Return the SQLite driver: the bundled, fixed one where its wheel exists."""
    return _pysqlite3 or sqlite3


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Say whether this SQLite is free of the WAL-reset race (sqlite.org/wal.html#walresetbug)."""
    if version >= (3, 51, 3):
        return True
    return (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def _prepare(engine: Engine, config: dict[str, Any]) -> None:
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, config)
    else:
        _prepare_postgresql(engine)


def _prepare_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A read sends its statement alone: BEGIN and ROLLBACK would be two more round trips.
        driver: Any = connection.connection.driver_connection
        if driver.autocommit is not _read_only.get():
            driver.autocommit = _read_only.get()

    @event.listens_for(engine, "checkin")
    def note_use(_connection: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping_if_idle(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("used", math.inf) < PING_AFTER_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError("the connection was lost while idle") from error


def _prepare_sqlite(engine: Engine, config: dict[str, Any]) -> None:
    pragmas = _pragmas(sqlite_module().sqlite_version_info, config["SQLITE_SYNCHRONOUS"])

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy says BEGIN, not the driver.
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        record.info["lock"] = open(f"{engine.url.database}.lock", "ab")  # noqa: SIM115

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A read needs no BEGIN: each statement sees one state of the database anyway.
        if not _read_only.get():
            _take_turn(connection.info["lock"], config["DATABASE_TIMEOUT"])
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine, "checkin")
    def give_way(_connection: Any, record: Any) -> None:
        fcntl.flock(record.info["lock"], fcntl.LOCK_UN)

    @event.listens_for(engine, "close")
    def close_lock(_connection: Any, record: Any) -> None:
        record.info["lock"].close()


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


def _take_turn(lock: IO[bytes], timeout: float) -> None:
    """Wait up to *timeout* seconds for the write lock of our processes; raises OperationalError.

    SQLite's own busy handler backs off to 100 ms, which makes late comers wait long and unevenly.
    Trying a file lock every millisecond or so treats all writers alike, and costs little. The
    kernel releases it when a process dies. SQLite's lock stays what keeps the data right.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise OperationalError("BEGIN IMMEDIATE", None, error) from error
        time.sleep(random.uniform(0.0005, 0.0015))  # noqa: S311 - not a secret
