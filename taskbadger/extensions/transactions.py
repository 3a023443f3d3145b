"""Whether a transaction may write: chosen when it begins, and enforced for each statement."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable, Row, event
from sqlalchemy.exc import DBAPIError

from taskbadger.errors import WriteInReadOnlyTransaction
from taskbadger.extensions.base import db, joined_connection
from taskbadger.extensions.outages import is_conflict

log = logging.getLogger(__name__)

R = TypeVar("R")

_RETRIES = 3

_read_only: ContextVar[bool] = ContextVar("read_only", default=False)

_READ = re.compile(r"\s*(?:SELECT|WITH|PRAGMA(?![^=]*=))\b", re.IGNORECASE)
_CHANGE = re.compile(
    r"\b(?<!FOR )(?<!KEY )(INSERT|UPDATE|DELETE|MERGE)\s+(?:INTO\b|FROM\b|[\w\".]+\s+SET\b)",
    re.IGNORECASE,
)
_LOCK = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?(?:UPDATE|(?:KEY\s+)?SHARE)\b", re.IGNORECASE)


def set_transactions(*, read_only: bool) -> None:
    """Choose whether the transactions that begin in this context only read.

    A read-only transaction does not exist in the database: each statement runs by itself, in
    autocommit, without a lock. Anything but a plain SELECT then raises WriteInReadOnlyTransaction.
    """
    _read_only.set(read_only)


def is_read_only(connection: Connection) -> bool:
    """Say whether the transaction of *connection* only reads, as chosen by now."""
    return bool(connection.info.get("read_only"))


@contextmanager
def writing() -> Iterator[None]:
    """Let a block write, also in a request that otherwise only reads; the block commits.

    Ends the session's open transaction first; otherwise every statement here would autocommit.
    What the block does not commit is rolled back.
    """
    with _transactions(read_only=False):
        yield


@contextmanager
def reading() -> Iterator[None]:
    """Let a block read without holding a lock afterwards, also in a request that writes.

    Rolls back what the session has not committed.
    """
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


def end_session() -> None:
    """Roll back, give the connection back and forget the session, whatever the database says.

    The answer of a request, and the next turn of the worker, must not depend on it.
    """
    if not db.session.registry.has():
        return
    try:
        db.session.remove()
    except Exception:
        log.warning("a session could not be ended; its connection is dropped", exc_info=True)
        with suppress(Exception):
            db.session().invalidate()
        db.session.registry.clear()


def roll_back() -> None:
    """Roll back; a session that cannot is forgotten."""
    try:
        db.session.rollback()
    except Exception:
        end_session()


@contextmanager
def transaction() -> Iterator[None]:
    """Run a block in one transaction that writes, and commit it; roll back if the block raises.

    For the hot paths: it costs less than a session's own. What the block does in the session
    belongs to the same transaction.
    """
    with writing(), db.engine.connect() as connection, connection.begin():
        token = joined_connection.set(connection)
        try:
            yield
            if db.session.registry.has():
                db.session.commit()  # Of the session only: it has joined this transaction.
        finally:
            _end_transaction()
            joined_connection.reset(token)


def retried(do: Callable[[], R]) -> R:
    """Return what *do* returns; do it again after a conflict with another transaction.

    *do* is a transaction of its own, whose effects are all in the database. Raises what it raises.
    """
    for _ in range(_RETRIES):
        try:
            return do()
        except DBAPIError as error:
            if not is_conflict(error):
                raise
    return do()


def current_connection() -> Connection:
    """Return the connection of the transaction that this context is in."""
    return joined_connection.get() or db.session.connection()


@contextmanager
def reading_connection() -> Iterator[Connection]:
    """Let a block read on a connection of its own, without a lock.

    Nothing has to begin there: each statement is sent alone.
    """
    token = _read_only.set(True)
    try:
        with db.engine.connect() as connection:
            yield connection
    finally:
        _read_only.reset(token)


def read_outside_session(
    statement: Executable, parameters: Mapping[str, Any]
) -> Sequence[Row[Any]]:
    """Run one SELECT on a connection of its own, in one round trip and without a lock.

    For the hot paths. It does not see what the session has written but not committed.
    """
    with reading_connection() as connection:
        return connection.execute(statement, parameters).all()


def enforce_read_only(engine: Engine) -> None:
    """Note on each connection how its transaction begins, and refuse writes accordingly.

    Call this before other listeners for ``checkout`` and ``begin``: they rely on the note.
    """

    @event.listens_for(engine, "checkout")
    def note_early(_connection: Any, record: Any, _proxy: Any) -> None:
        record.info["read_only"] = _read_only.get()

    @event.listens_for(engine, "begin")
    def note(connection: Connection) -> None:
        connection.info["read_only"] = _read_only.get()

    @event.listens_for(engine, "before_cursor_execute")
    def refuse_writes(
        connection: Connection,
        _cursor: Any,
        statement: str,
        _parameters: Any,
        context: Any,
        _executemany: bool,
    ) -> None:
        if not connection.info.get("read_only"):
            return
        kind = _kind_of_write(statement, context)
        if kind is not None:
            raise WriteInReadOnlyTransaction(kind)


def _kind_of_write(statement: str, context: Any) -> str | None:
    """Return the kind of a statement that is not a plain read, such as ``INSERT``, else None."""
    # SQLite's dialect drops FOR UPDATE from the text, so the statement itself is asked too.
    compiled = context.compiled if context is not None else None
    if compiled is not None and getattr(compiled.statement, "_for_update_arg", None) is not None:
        return "SELECT FOR UPDATE"
    return _kind_of_text(statement)


@lru_cache(maxsize=256)
def _kind_of_text(statement: str) -> str | None:
    if not _READ.match(statement):
        return statement.split(None, 1)[0].upper()
    change = _CHANGE.search(statement)
    if change is not None:
        return change[1].upper()
    return "SELECT FOR UPDATE" if _LOCK.search(statement) else None
