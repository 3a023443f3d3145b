"""How Alembic runs the migrations: online only, and one process at a time.

On SQLite they are one transaction; on PostgreSQL each is its own, so that others can write between
them.
"""

import itertools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from alembic import context
from alembic.runtime.migration import MigrationContext
from flask import current_app
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from taskbadger import time_limit
from taskbadger.extensions import db, schema_of

log = logging.getLogger(__name__)

LOCK_NAME = "taskbadger migrations"
LOCK_MILLISECONDS = 300
"""How long others wait for us while we wait for the locks on all our tables together."""
PATIENT_MILLISECONDS = 2_000
"""The same, once in a while: PostgreSQL ends an autovacuum that is in the way after a second."""
PATIENT_EVERY = 20
REST_SECONDS = 1.0
"""How long others have the tables to themselves before we try again."""
QUERY_CANCELED = "57014"
DEADLOCK = "40P01"


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
    """Upgrade or downgrade under a lock, on which other processes wait; raises NewerSchema."""
    engine = db.engine
    with engine.connect() as connection:
        schema_of(connection)
        connection.rollback()
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
            _configure(connection)
            context.run_migrations()
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            if broken:
                raise RuntimeError(f"the migration broke foreign keys: {broken[:5]}")
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _run_on_postgresql(connection: Connection) -> None:
    with time_limit.unlimited(), _alone():
        _configure(connection, transaction_per_migration=True)
        list_steps = context.get_context().opts["fn"]

        def list_in_turn(heads: Any, migration_context: MigrationContext) -> Iterator[Any]:
            """Lock our tables before each step, which commits the transaction that this begins."""
            for step in list_steps(heads, migration_context):
                _wait_without_limit(connection)
                _lock_tables(connection)
                yield step

        _configure(connection, transaction_per_migration=True, fn=list_in_turn)
        context.run_migrations()
        connection.commit()


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other processes from migrating, by a lock of a transaction on another connection."""
    with db.engine.connect() as connection, connection.begin():
        _wait_without_limit(connection)
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": LOCK_NAME}
        )
        yield


def _wait_without_limit(connection: Connection) -> None:
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))


def _lock_tables(connection: Connection) -> None:
    """Lock our tables at once, so that no server that still runs can deadlock with a migration.

    Whoever reads for long, as a backup does, would make us wait, and us everybody else. So we give
    up soon, and try again. Tables of others in the schema, such as extensions', are not ours to
    lock.
    """
    ours = sorted(db.metadata.tables.keys() & inspect(connection).get_table_names())
    names = ", ".join(f'"{name}"' for name in ours)
    for attempt in itertools.count(1):
        is_patient = attempt % PATIENT_EVERY == 0
        if not names or _try_to_lock(connection, names, is_patient=is_patient):
            return
        if attempt == 1 or is_patient:
            log.warning("migrations wait for other transactions, such as a backup")
        time.sleep(REST_SECONDS)


def _try_to_lock(connection: Connection, names: str, *, is_patient: bool) -> bool:
    milliseconds = PATIENT_MILLISECONDS if is_patient else LOCK_MILLISECONDS
    try:
        with connection.begin_nested():
            # Not lock_timeout, which begins anew with each table.
            connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds}"))
            connection.execute(text(f"LOCK TABLE {names}"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) in (QUERY_CANCELED, DEADLOCK):
            return False
        raise
    return True


def _configure(connection: Connection, **options: Any) -> None:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_item=render_item,
        **options,
        **current_app.extensions["migrate"].configure_args,
    )


run_migrations()
