"""The database: the declarative base, Flask-SQLAlchemy as glue, transactions, and both engines."""

from taskbadger.extensions.base import MIGRATIONS, Base, change_rows, db, delete_some, migrate
from taskbadger.extensions.checkpoints import make_checkpoint
from taskbadger.extensions.engines import check_access, database_url, init_database
from taskbadger.extensions.outages import describe, is_conflict, is_outage, lacks_reference
from taskbadger.extensions.schema import is_known_schema, own_schema, schema_of
from taskbadger.extensions.sqlite import sqlite_module, wal_is_safe
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
    "database_url",
    "db",
    "deferring",
    "delete_some",
    "describe",
    "end_session",
    "init_database",
    "is_conflict",
    "is_known_schema",
    "is_outage",
    "lacks_reference",
    "make_checkpoint",
    "migrate",
    "own_schema",
    "read_outside_session",
    "reading",
    "retried",
    "roll_back",
    "schema_of",
    "set_transactions",
    "sqlite_module",
    "transaction",
    "wal_is_safe",
    "writing",
]
