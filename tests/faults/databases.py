"""The databases of trials: how to kill their processes, and check that they are sound."""

import os
import signal
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg
from clusters import Cluster
from processes import wait_until
from psycopg import sql

from taskbadger.clock import utcnow
from taskbadger.extensions import sqlite_module

_ANY_BACKEND = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    ORDER BY random() LIMIT 1
"""
_TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
_CORRUPT_INDEXES = """
    SELECT bt_index_check(index.indexrelid, true)
    FROM pg_index index
    JOIN pg_class class ON class.oid = index.indexrelid
    JOIN pg_am method ON method.oid = class.relam AND method.amname = 'btree'
    WHERE class.relpersistence = 'p'
"""
_CORRUPT_TABLES = """
    SELECT class.relname, bad.*
    FROM pg_class class, verify_heapam(class.oid) bad
    WHERE class.relkind = 'r' AND class.relpersistence = 'p'
"""


def is_sound(url: str) -> bool:
    """Say whether all tables and indexes of a PostgreSQL database are sound.

    Without the extension *amcheck*, this only reads all rows.
    """
    available = "SELECT FROM pg_available_extensions WHERE name = 'amcheck'"
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            for (table,) in connection.execute(_TABLES).fetchall():
                reading = sql.SQL("SELECT count(md5(row::text)) FROM {} row")
                connection.execute(reading.format(sql.Identifier(table)))
            if connection.execute(available).fetchone() is None:
                return True
            connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
            connection.execute(_CORRUPT_INDEXES)
            return connection.execute(_CORRUPT_TABLES).fetchall() == []
        except psycopg.Error:
            return False


@dataclass
class Sqlite:
    """A SQLite database: it has no process of its own."""

    name = "SQLite"
    folder: Path
    returns: list[datetime] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/test.db"

    @property
    def kills(self) -> dict[str, Callable[[], bool]]:
        return {}

    def is_sound(self) -> bool:
        with closing(sqlite_module().connect(self.folder / "test.db")) as connection:
            wrong = connection.execute("PRAGMA integrity_check").fetchall()
            wrong += connection.execute("PRAGMA foreign_key_check").fetchall()
        return wrong == [("ok",)]


@dataclass
class Postgresql:
    """A PostgreSQL database, in a cluster of its own."""

    name = "PostgreSQL"
    cluster: Cluster
    returns: list[datetime] = field(default_factory=list)
    """When the database was back after each kill that ended all of it."""

    def __post_init__(self) -> None:
        self.url = self.cluster.create("trial")

    @property
    def kills(self) -> dict[str, Callable[[], bool]]:
        """What can be killed; each says whether there was something to kill."""
        return {
            "backend ended": self.end_backend,
            "backend killed": self.kill_backend,
            "PostgreSQL killed": self.kill_all,
        }

    def end_backend(self) -> bool:
        """End one backend by pg_terminate_backend: the client loses its connection."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.url) as connection:
            ending = f"SELECT pg_terminate_backend(pid) FROM ({_ANY_BACKEND}) any_backend"
            return connection.execute(ending).fetchone() is not None
        return False

    def kill_backend(self) -> bool:
        """Kill one backend: the postmaster then ends all others, and recovers the database."""
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            found = connection.execute(_ANY_BACKEND).fetchone()
            if found is None:
                return False
            try:
                os.kill(found[0], signal.SIGKILL)
            except ProcessLookupError:
                return False  # It has just ended by itself.
            wait_until(lambda: not _works(connection), "PostgreSQL to end all connections")
        wait_until(self.cluster.answers, "PostgreSQL")
        self.returns.append(utcnow())
        return True

    def kill_all(self) -> bool:
        """Kill the postmaster and all its processes, and start it again."""
        self.cluster.kill()
        self.cluster.start()
        self.returns.append(utcnow())
        return True

    def is_sound(self) -> bool:
        return is_sound(self.url)


Database = Sqlite | Postgresql


def _works(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
