"""Checkpoints: move what SQLite's write-ahead log holds into the database, beside the writers.

SQLite does so by itself in the commit that fills the log, while everyone else waits to write. Here
the lock is taken only for the few pages that are written meanwhile. The log then begins anew.
"""

from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from taskbadger.extensions.base import db
from taskbadger.extensions.sqlite import can_look_at_log, sqlite_module
from taskbadger.extensions.transactions import reading, writing

DUE_PAGES = 1000
"""How many pages make a checkpoint worth its two syncs of the disk."""


class _Log(NamedTuple):
    is_busy: int
    """1 if another connection makes a checkpoint."""
    written: int
    """The pages of the log."""
    moved: int
    """How many of them are in the database already."""


def make_checkpoint() -> bool:
    """Make a checkpoint of SQLite's log if it is due; say whether it was.

    Rolls back what the session has not committed.
    """
    if db.engine.dialect.name != "sqlite" or not can_look_at_log():
        return False
    with reading(), db.engine.connect() as connection:
        log = _ask(connection, "NOOP")
        if log.written - log.moved < DUE_PAGES:
            return False
        _ask(connection, "PASSIVE")
        # Now nothing may be written in between, or the log would go on at its end.
        with writing(), db.engine.begin():
            _ask(connection, "PASSIVE")
        return True


def _ask(connection: Connection, mode: str) -> _Log:
    """Run SQLite's pragma on the driver's connection: SQLAlchemy would begin a transaction."""
    statement = f"PRAGMA wal_checkpoint({mode})"
    driver: Any = connection.connection.driver_connection
    try:
        return _Log(*driver.execute(statement).fetchone())
    except sqlite_module().OperationalError as error:
        raise OperationalError(statement, None, error) from error
