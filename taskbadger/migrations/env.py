"""How Alembic runs the migrations: online only, one process at a time, in one transaction."""

from typing import Any, Literal

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text

from taskbadger.extensions import db
from taskbadger.models import Task

LOCK_NAME = "taskbadger migrations"


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our own column types with the module that they live in."""
    if kind == "type" and type(item).__module__ == "taskbadger.models.types":
        return f"types.{type(item).__name__}()"
    return False


def run_migrations() -> None:
    """Upgrade or downgrade as asked, while others wait."""
    engine = db.engine
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            _run_on_sqlite(connection)
        else:
            _run_on_postgresql(connection)


def _run_on_sqlite(connection: Connection) -> None:
    # Batch mode re-creates tables; with foreign keys on, dropping the old one would delete its
    # children. The pragma does nothing inside a transaction, so it comes before BEGIN, which
    # also is the lock: BEGIN IMMEDIATE.
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
    with connection.begin():
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": LOCK_NAME}
        )
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Task.metadata,
        render_item=render_item,
        transaction_per_migration=False,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()


run_migrations()
