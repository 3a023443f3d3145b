"""A database of version 0001 with rows in every table, and a client that goes on writing."""

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from faults.upgrading import LoopingWriter
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    NullPool,
    String,
    Table,
    Uuid,
    create_engine,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError

from taskbadger.clock import to_wire
from taskbadger.domain.status import STATUSES
from taskbadger.extensions import database_url, sqlite_module

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MANY = ("task", "task_tag", "task_event", "action", "firing", "delivery", "delivery_attempt",
        "slot", "slot_run", "audit_entry")  # fmt: skip
"""The tables with a row for each task."""
ONE = ("run_stat_cursor", "worker_tick")
FEW = 10
"""The rows of all others."""
AT_ONCE = 2_000
TIME_LENGTH = 27
"""Of the text that is a time on SQLite."""

Rows = Mapping[str, set[bytes]]
"""A digest of each row, by table."""


def connect(url: str) -> Engine:
    """Return an engine for a database, whatever its version."""
    options: dict[str, Any] = {}
    if url.startswith("sqlite"):
        # Two libraries in one process would end each other's locks.
        options = {"module": sqlite_module(), "connect_args": {"timeout": 300}}
    return create_engine(database_url(url), poolclass=NullPool, **options)


def read_tables(engine: Engine) -> list[Table]:
    """Return the tables that the database has, but for Alembic's own; parents first."""
    found = MetaData()
    found.reflect(engine)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def fill(engine: Engine, tables: list[Table], tasks: int) -> None:
    """Insert rows, *tasks* of them into each of MANY."""
    with engine.begin() as connection:
        for table in tables:
            number = tasks if table.name in MANY else 1 if table.name in ONE else FEW
            for start in range(0, number, AT_ONCE):
                some = range(start, min(start + AT_ONCE, number))
                connection.execute(insert(table), [_row(table, each, tasks) for each in some])
            if engine.dialect.name == "postgresql" and isinstance(_first(table).type, Integer):
                name = f"pg_get_serial_sequence('{table.name}', '{_first(table).name}')"
                connection.execute(text(f"SELECT setval({name}, {number} + 1)"))


def _first(table: Table) -> Column[Any]:
    return next(iter(table.primary_key.columns))


def _row(table: Table, number: int, tasks: int) -> dict[str, Any]:
    row = {column.name: _value(column, number, tasks) for column in table.columns}
    if table.name == "task":
        row |= {"parent": None, "status": STATUSES[number % len(STATUSES)]}
    if table.name == "run_stat":
        row |= {"seconds": 86_400, "last": row["start"]}
    return row


def _value(column: Column[Any], number: int, tasks: int) -> Any:
    for key in column.foreign_keys:
        parent = key.column
        count = tasks if parent.table.name in MANY else FEW
        return _value(parent, number % count, tasks)
    kind = column.type
    moment = BEGIN + timedelta(seconds=number, microseconds=number)
    if isinstance(kind, DateTime):
        return moment
    if isinstance(kind, Uuid):
        return UUID(int=number + 1)
    if isinstance(kind, LargeBinary):
        return UUID(int=number + 1).bytes
    if isinstance(kind, Boolean):
        return bool(number % 2)
    if isinstance(kind, Integer):
        return number + 1
    assert isinstance(kind, String), column
    if kind.length == TIME_LENGTH:
        return to_wire(moment)
    if kind.length == 32 and column.name in ("id", "monitor_id"):
        return UUID(int=number + 1).hex
    return f"{column.name} ‹{number}›"[-(kind.length or 100) :]


def read_rows(engine: Engine, tables: list[Table]) -> Rows:
    """Return what these tables hold in the columns that they have here."""
    found: dict[str, set[bytes]] = {}
    with engine.connect() as connection:
        for table in tables:
            rows = connection.execution_options(yield_per=AT_ONCE).execute(select(table))
            found[table.name] = {
                hashlib.blake2b(repr(tuple(row)).encode(), digest_size=12).digest() for row in rows
            }
    return found


def missing(before: Rows, after: Rows) -> dict[str, int]:
    """Return how many rows are gone or changed, by table."""
    lost = {name: len(rows - after[name]) for name, rows in before.items()}
    return {name: number for name, number in lost.items() if number}


@dataclass
class Writer(LoopingWriter):
    """Creates tasks in a loop, as a server of version 0001 does; remembers how long each took."""

    engine: Engine
    seconds: list[float] = field(default_factory=list)
    failed: list[DBAPIError] = field(default_factory=list)

    def _write(self, stop: threading.Event) -> None:
        with self.engine.connect() as connection:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    connection.execute(text(_TASK), self._values())
                    connection.commit()
                except DBAPIError as error:
                    connection.rollback()
                    self.failed.append(error)
                self.seconds.append(time.monotonic() - began)
                time.sleep(0.005)

    def _values(self) -> dict[str, Any]:
        is_sqlite = self.engine.dialect.name == "sqlite"
        number, now = uuid4(), datetime.now(UTC)
        return {
            "id": number.bytes if is_sqlite else number,
            "now": to_wire(now) if is_sqlite else now,
            "no": False,
        }


_TASK = """
INSERT INTO task (id, project_id, version, has_children, has_actions, name, name_folded, queue,
    external_id, status, value_max, tags, created, updated, progress_count, progress_step)
VALUES (:id, 1, 1, :no, :no, 'job', 'job', '', '', 'pending', 100, '{}', :now, :now, 0, 1)
"""
