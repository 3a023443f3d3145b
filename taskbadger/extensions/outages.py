"""Which errors mean that the database is away, and not that we made a mistake.

The code of the error decides, as drivers differ in its class. Without a code, the class does.
"""

import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_CLASSES = ("08", "53", "57", "58")
"""Classes of SQLSTATE: connection, resources, the operator's intervention, the system."""

_READ_ONLY = "25006"
_STATES = {
    _READ_ONLY,
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
}
_NO_REFERENCE = "23503"
_SQLITE_NO_REFERENCE = "FOREIGN KEY constraint failed"
"""Of its own code, pysqlite3 tells only the class."""
_CONFLICTS = {
    _NO_REFERENCE,  # foreign_key_violation: the row was deleted meanwhile
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
}
_GOODBYES = {_READ_ONLY, "57P01", "57P02", "57P03", "57P05"}
"""A standby instead of a primary, a server that stops or starts, or one that ends idle sessions."""

_SQLITE_CODES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}


def is_outage(error: BaseException) -> bool:
    """Say whether *error* means that the database is away, locked, read-only or full for now."""
    if isinstance(error, PoolTimeout) or getattr(error, "connection_invalidated", False):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return state[:2] in _CLASSES or state in _STATES
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_CODES
    # Without a code: no connection was made, or it broke.
    return isinstance(error, OperationalError)


def is_conflict(error: BaseException) -> bool:
    """Say whether another transaction was in the way, so that the same one may succeed again."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) in _CONFLICTS


def lacks_reference(error: BaseException) -> bool:
    """Say whether a row was to refer to one that is not there: it was deleted meanwhile."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    return state == _NO_REFERENCE or str(cause) == _SQLITE_NO_REFERENCE


def ends_connections(error: BaseException | None) -> bool:
    """Say whether other connections to the same server can no longer be used either."""
    state = getattr(error, "sqlstate", None)
    return state is not None and (state in _GOODBYES or state.startswith("08"))


def describe(error: BaseException) -> str:
    """Return the cause of an error of the database as one short line."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return (lines[0] if lines else type(cause).__name__)[:300]
