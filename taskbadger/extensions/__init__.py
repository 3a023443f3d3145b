"""The database: the declarative base, Flask-SQLAlchemy as glue, transactions, and both engines."""

from taskbadger.extensions.base import MIGRATIONS, Base, change_rows, db, migrate
from taskbadger.extensions.engines import check_access, init_database
from taskbadger.extensions.outages import describe, is_conflict, is_outage
from taskbadger.extensions.sqlite import sqlite_module
from taskbadger.extensions.statements import Statement, deferring
from taskbadger.extensions.transactions import (
    current_connection,
    end_session,
    read_outside_session,
    reading,
    retried,
    roll_back,
    set_transactions,
    transaction,
    writing,
)

__all__ = [
    "MIGRATIONS",
    "Base",
    "Statement",
    "change_rows",
    "check_access",
    "current_connection",
    "db",
    "deferring",
    "describe",
    "end_session",
    "init_database",
    "is_conflict",
    "is_outage",
    "migrate",
    "read_outside_session",
    "reading",
    "retried",
    "roll_back",
    "set_transactions",
    "sqlite_module",
    "transaction",
    "writing",
]
