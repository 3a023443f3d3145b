"""PostgreSQL: timeouts, autocommit for reads, and which connections are of no more use."""

import math
import time
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, PoolResetState, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError, OperationalError

from taskbadger.errors import SettingsError
from taskbadger.extensions.bounded import Gate, connections_of
from taskbadger.extensions.outages import ends_connections
from taskbadger.extensions.transactions import is_read_only

PING_AFTER_SECONDS = 5.0
"""A connection that was idle for longer than this is checked before use."""


ENCODING = "UTF8"


def connect_options(timeout: float, *, session_features: bool) -> dict[str, Any]:
    """Return PostgreSQL's own arguments for ``create_engine``; *timeout* in seconds.

    With *session_features*, the server gets its timeouts at connect, which PgBouncer refuses.
    Without, nothing outlives a transaction either: there the next one may run elsewhere.
    """
    milliseconds = int(timeout * 1000)
    connect: dict[str, Any] = {
        "connect_timeout": max(2, math.ceil(timeout)),
        "client_encoding": ENCODING,
        "application_name": "taskbadger",
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": milliseconds,
    }
    if session_features:
        # The server's timeouts end before ours, so the connection stays usable.
        connect["options"] = (
            f"-c statement_timeout={milliseconds + 200} -c lock_timeout={milliseconds} "
            f"-c idle_in_transaction_session_timeout=30000 -c timezone=UTC "
            # Compiling a search of many conditions takes longer than running it.
            f"-c jit=off"
        )
    else:
        connect["prepare_threshold"] = None
    return {
        "pool_recycle": 1800,
        "pool_reset_on_return": None,  # `_listen_for_uses` does, where there is something to do.
        "connect_args": connect,
    }


def prepare_postgresql(engine: Engine, timeout: float) -> None:
    """Bound each wait, let reads run in autocommit, and replace connections of no more use."""
    connect = connections_of(Gate(timeout))

    @event.listens_for(engine, "do_connect")
    def connect_within_limits(
        _dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]
    ) -> Any:
        connection = connect(*arguments, **options)
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in (ENCODING, None):
            name = connection.info.dbname
            connection.close()
            raise SettingsError(_wrong_encoding(name, encoding))
        return connection

    @event.listens_for(engine, "handle_error")
    def drop_connections(context: ExceptionContext) -> None:
        if ends_connections(context.original_exception):
            context.is_disconnect = True

    _listen_for_uses(engine)


def _wrong_encoding(name: str, encoding: str) -> str:
    return (
        f"TASKBADGER_DATABASE_URL: the encoding of the database {name!r} is {encoding}, which "
        f"cannot hold every text. Create one with CREATE DATABASE … ENCODING '{ENCODING}' TEMPLATE "
        f"template0; pg_dump and psql take along what is in {name!r}."
    )


def _listen_for_uses(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        try:
            _choose_mode(driver, read_only=is_read_only(connection))
        except psycopg.Error as error:  # The dialect wraps none that an event raises.
            connection.connection.invalidate(error)
            raise OperationalError("BEGIN", None, error, connection_invalidated=True) from error

    @event.listens_for(engine, "reset")
    def roll_back(connection: Any, _record: Any, state: PoolResetState) -> None:
        is_idle = connection.info.transaction_status == TransactionStatus.IDLE
        if not (state.transaction_was_reset or is_idle):
            connection.rollback()

    @event.listens_for(engine, "checkin")
    def note_use(_connection: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def prepare_for_use(connection: Any, record: Any, _proxy: Any) -> None:
        try:
            if time.monotonic() - record.info.get("used", math.inf) >= PING_AFTER_SECONDS:
                engine.dialect.do_ping(connection)
            _choose_mode(connection, read_only=record.info["read_only"])
        except psycopg.OperationalError as error:
            raise DisconnectionError("the connection was lost while idle") from error


def _choose_mode(driver: Any, *, read_only: bool) -> None:
    """Let a read send its statement alone: BEGIN and ROLLBACK would be two more round trips."""
    if driver.autocommit is not read_only:
        driver.autocommit = read_only
