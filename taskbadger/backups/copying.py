"""Copies of a database in another one, of either kind: all rows, ids and sequences are kept."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import flask_migrate
from flask import Flask
from sqlalchemy import (
    Connection,
    Engine,
    NullPool,
    Table,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)

from taskbadger.backups.files import BackupError
from taskbadger.extensions import database_url, db, own_schema, schema_of, sqlite_module

ROWS_AT_ONCE = 2_000

_SEQUENCE = "pg_get_serial_sequence(quote_ident(:name), :column)"

Report = Callable[[int], object]
"""Is told how many more rows have been copied."""


def count_rows(source: str) -> int:
    """Return how many rows a copy will take, about; raises BackupError and NewerSchema."""
    with _reading(source) as connection:
        return sum(_count(connection, table) for table in db.metadata.sorted_tables)


def copy(source: str, target: Flask, report: Report) -> int:
    """Copy everything from the database at *source* into that of *target*; return the rows.

    The copy is what the source is at one moment, whoever writes to it meanwhile, and it appears
    at once, or not at all. The tables of *target* are made if there are none; it must not be in
    use. Raises BackupError if it has any row, and if what was read and what was written differ.
    """
    with _reading(source) as connection:
        _make_tables(target)
        with target.app_context():
            engine = _engine(db.engine.url.render_as_string(hide_password=False), writes=True)
        try:
            with engine.begin() as writing:
                return _copy_tables(connection, writing, report)
        finally:
            engine.dispose()


def _copy_tables(reading: Connection, writing: Connection, report: Report) -> int:
    rows = 0
    for table in db.metadata.sorted_tables:
        if _count(writing, table):
            raise BackupError(f"the target is not empty: it has rows in the table {table.name}")
    for table in db.metadata.sorted_tables:
        copied = _copy_rows(reading, writing, table, report)
        if copied != _count(writing, table):
            raise BackupError(f"{table.name}: {copied:,} rows were read, and not as many written")
        rows += copied
    for table in db.metadata.sorted_tables:
        _set_sequence(reading, writing, table)
    if writing.dialect.name == "postgresql":
        writing.execute(text("ANALYZE"))
    return rows


def _copy_rows(reading: Connection, writing: Connection, table: Table, report: Report) -> int:
    """Copy a table; rows that refer to others of it are connected once all are there."""
    own = {
        column.name
        for column in table.columns
        if any(key.column.table is table for key in column.foreign_keys)
    }
    statement, rows = insert(table), 0
    for part in _read(reading, table):
        writing.execute(statement, [{**row, **dict.fromkeys(own)} for row in part])
        rows += len(part)
        report(len(part))
    for name in own:
        _connect(reading, writing, table, name)
    return rows


def _connect(reading: Connection, writing: Connection, table: Table, name: str) -> None:
    [key] = table.primary_key
    connect = (
        update(table).where(key == bindparam("of_row")).values({name: bindparam("referred_to")})
    )
    query = select(key, table.c[name]).where(table.c[name].is_not(None))
    found = reading.execution_options(yield_per=ROWS_AT_ONCE).execute(query)
    for part in found.partitions():
        writing.execute(connect, [{"of_row": row[0], "referred_to": row[1]} for row in part])


def _read(reading: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    found = reading.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table))
    for part in found.mappings().partitions():
        yield [dict(row) for row in part]


def _count(connection: Connection, table: Table) -> int:
    number: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return number


def _set_sequence(reading: Connection, writing: Connection, table: Table) -> None:
    """Let the next id be one that the source has never given."""
    column = table.autoincrement_column
    if column is None:
        return
    given = _last_given(reading, table, column.name)
    highest = max(reading.execute(select(func.max(column))).scalar() or 0, given)
    names = {"name": table.name, "column": column.name, "last": highest}
    if not highest:
        return
    if writing.dialect.name == "postgresql":
        writing.execute(text(f"SELECT setval({_SEQUENCE}, :last)"), names)
    elif table.dialect_options["sqlite"]["autoincrement"]:
        writing.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), names)
        writing.execute(text("INSERT INTO sqlite_sequence VALUES (:name, :last)"), names)


def _last_given(reading: Connection, table: Table, column: str) -> int:
    """Return the last id that a sequence has given; 0 where there is none."""
    values: Mapping[str, str]
    if reading.dialect.name == "postgresql":
        values = {"name": table.name, "column": column}
        query = f"SELECT pg_sequence_last_value(({_SEQUENCE})::regclass)"
    elif table.dialect_options["sqlite"]["autoincrement"]:
        values = {"name": table.name}
        query = "SELECT seq FROM sqlite_sequence WHERE name = :name"
    else:
        return 0
    return reading.execute(text(query), values).scalar() or 0


@contextmanager
def _reading(source: str) -> Iterator[Connection]:
    """Give a connection to one state of a database with our tables; raises BackupError."""
    url = database_url(source)
    if url.get_backend_name() == "sqlite" and not os.path.exists(str(url.database)):
        raise BackupError(f"there is no database {url.database}")
    engine = _engine(source, writes=False)
    try:
        with engine.connect() as connection:
            version = schema_of(connection)
            if version != own_schema():
                raise BackupError(
                    f"the tables of the source have version {version or 'none'}, and this program "
                    f"needs {own_schema()}. Run: taskbadger-server db upgrade"
                )
            yield connection
    finally:
        engine.dispose()


def _engine(address: str, *, writes: bool) -> Engine:
    """Return an engine without limits: what it does may take long."""
    url = database_url(address)
    if url.get_backend_name() != "sqlite":
        options = {} if writes else {"isolation_level": "REPEATABLE READ"}
        return create_engine(url, poolclass=NullPool, **options)
    engine = create_engine(url, poolclass=NullPool, module=sqlite_module())

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _make_tables(target: Flask) -> None:
    """Apply the migrations to a database that has no tables of ours; raises BackupError."""
    with target.app_context():
        with db.engine.connect() as connection:
            ours = db.metadata.tables.keys() & set(inspect(connection).get_table_names())
            version = schema_of(connection)
        db.engine.dispose()
        if not ours:
            flask_migrate.upgrade()
        elif version != own_schema():
            raise BackupError("the target is not empty: it has tables of another version")
        db.session.remove()
        db.engine.dispose()
