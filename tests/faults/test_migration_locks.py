"""The locks of migrations on PostgreSQL: they give up soon, together, and only ours are taken."""

import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from faults.upgrading import beside, count, migrate
from processes import wait_until
from psycopg import sql

HELD = ("action", "api_key", "audit_entry", "channel", "delivery", "incident", "task")
"""Tables, in the order in which they are locked."""
STEP_SECONDS = 0.2
WAITING = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LOCK TABLE%'"
IS_WAITING = f"SELECT pid {WAITING} AND wait_event_type = 'Lock'"


@pytest.fixture
def url(new_postgresql: Callable[[], str]) -> str:
    """A database that lacks the last migration."""
    made = new_postgresql()
    migrate(made, "0018")
    return made


def test_migration_that_deadlocks_with_a_server_tries_again(url: str) -> None:
    """It is the one that PostgreSQL ends, because it looks for deadlocks sooner here."""
    with psycopg.connect(url, autocommit=True) as admin:
        name = sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '200ms'").format(name))
    holds = threading.Event()

    def serve() -> None:
        with psycopg.connect(url) as server, psycopg.connect(url, autocommit=True) as watch:
            server.execute("SET deadlock_timeout = '1min'")
            server.execute("LOCK TABLE task IN ACCESS SHARE MODE")
            holds.set()
            wait_until(lambda: watch.execute(IS_WAITING).fetchone(), "a migration that waits")
            server.execute("LOCK TABLE audit_entry IN ACCESS SHARE MODE")

    with beside(serve):
        holds.wait()
        migrate(url)

    assert count(url, "form_draft") == 0


def test_waits_for_several_tables_are_limited_together(url: str) -> None:
    """Each table is free again soon after the one before it."""
    longest, holds, done = [0.0], threading.Event(), threading.Event()

    def hold() -> None:
        readers = [psycopg.connect(url) for _ in HELD]
        for reader, table in zip(readers, HELD, strict=True):
            reader.execute(
                sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.Identifier(table))
            )
        holds.set()
        with psycopg.connect(url, autocommit=True) as watch:
            wait_until(lambda: watch.execute(IS_WAITING).fetchone(), "a migration that waits")
        for reader in readers:
            time.sleep(STEP_SECONDS)
            reader.close()

    def measure() -> None:
        query = f"SELECT extract(epoch FROM max(clock_timestamp() - query_start)) {WAITING}"
        with psycopg.connect(url, autocommit=True) as watch:
            while not done.wait(0.02):
                row = watch.execute(f"{query} AND state = 'active'").fetchone()
                longest.append(float(row[0] or 0) if row else 0.0)

    with beside(hold), beside(measure):
        holds.wait()
        migrate(url)
        done.set()

    assert 0.1 < max(longest) < 0.8


@pytest.fixture
def shared_url(new_postgresql: Callable[[], str]) -> Iterator[str]:
    """An empty database, but for a table of its administrator; the URL is that of another role."""
    url, name = new_postgresql(), f"tb_test_{uuid4().hex[:12]}"
    role = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE TABLE spatial_ref_sys (srid integer PRIMARY KEY)")
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'plain'").format(role))
        admin.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(role))
        yield of_role(url, name)
        admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


def of_role(url: str, role: str) -> str:
    """Return the URL with another user."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:plain@{host}").geturl()


def test_tables_of_others_in_the_schema_are_left_alone(shared_url: str) -> None:
    """PostGIS has tables that belong to the administrator."""
    migrate(shared_url)

    assert count(shared_url, "form_draft") == 0
