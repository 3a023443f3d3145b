"""How Alembic runs the migrations: online only, one process at a time, in one transaction."""

from typing import Any, Literal

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text

from taskbadger import time_limit
from taskbadger.extensions import db

LOCK_NAME = "taskbadger migrations"


TIME = 'sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")'
PLAIN_TYPES = {
    "UTCDateTime": TIME,
    "WireDateTime": TIME,
    "TaskId": 'sa.LargeBinary(length=16).with_variant(sa.Uuid(), "postgresql")',
    "Microseconds": "sa.BigInteger()",
}
"""What generated migrations write for our column types, because they import no models."""


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Return the text of a column type of ours; False leaves it to Alembic."""
    if kind == "type":
        return PLAIN_TYPES.get(type(item).__name__, False)
    return False


def run_migrations() -> None:
    """Upgrade or downgrade under a lock, on which other processes wait."""
    engine = db.engine
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            _run_on_sqlite(connection)
        else:
            _run_on_postgresql(connection)


def _run_on_sqlite(connection: Connection) -> None:
    # Batch mode re-creates tables; with foreign keys on, dropping the old one would delete its
    # children. The pragma has no effect inside a transaction, so it precedes BEGIN IMMEDIATE,
    # which is also the lock.
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        with connection.begin():
            _migrate(connection)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if broken:
                raise RuntimeError(f"the migration broke foreign keys: {broken[:5]}")
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _run_on_postgresql(connection: Connection) -> None:
    with connection.begin(), time_limit.unlimited():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": LOCK_NAME}
        )
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_item=render_item,
        transaction_per_migration=False,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()


run_migrations()
