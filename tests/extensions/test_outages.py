"""Outages of the database are recognised by the code of an error."""

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from taskbadger.extensions import db, describe, is_outage


def failure_of(*statements: str) -> DBAPIError:
    """Run statements, the last of which fails; return its error."""
    *before, last = statements
    for statement in before:
        db.session.execute(text(statement))
    with pytest.raises(DBAPIError) as failure:
        db.session.execute(text(last))
    db.session.rollback()
    return failure.value


def raised(state: str) -> DBAPIError:
    """Let PostgreSQL raise an error with this SQLSTATE."""
    raising = f"RAISE EXCEPTION 'on purpose' USING ERRCODE = '{state}'"
    return failure_of(f"DO $$ BEGIN {raising}; END $$")


@pytest.mark.parametrize(
    ("state", "is_away", "ends_connection"),
    [
        ("08006", True, True),
        ("25006", True, True),
        ("57P01", True, True),
        ("57P02", True, True),
        ("57P03", True, True),
        ("53100", True, False),
        ("53200", True, False),
        ("53300", True, False),
        ("55P03", True, False),
        ("57014", True, False),
        ("58030", True, False),
        ("40001", True, False),
        ("40P01", True, False),
        ("22012", False, False),
        ("42P01", False, False),
        ("54001", False, False),
        ("55000", False, False),
        ("XX000", False, False),
    ],
)
def test_the_code_of_postgresql_decides(
    app: Flask, state: str, is_away: bool, ends_connection: bool
) -> None:
    if db.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has codes of its own")

    error = raised(state)

    assert (is_outage(error), error.connection_invalidated) == (is_away, ends_connection)


def test_after_a_goodbye_no_old_connection_is_used(app: Flask) -> None:
    if db.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no server")
    pid = text("SELECT pg_backend_pid()")
    with db.engine.connect() as one, db.engine.connect() as another:
        old = {one.scalar(pid), another.scalar(pid)}

    raised("25006")

    with db.engine.connect() as one, db.engine.connect() as another:
        assert not old & {one.scalar(pid), another.scalar(pid)}


@pytest.mark.parametrize(
    ("statements", "is_away"),
    [
        (("SELECT * FROM no_such_table",), False),
        (("SELECT nonsense(",), False),
        (("PRAGMA query_only = ON", "DELETE FROM task"), True),
    ],
)
def test_the_code_of_sqlite_decides(app: Flask, statements: tuple[str, ...], is_away: bool) -> None:
    if db.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL has codes of its own")

    error = failure_of(*statements)
    db.engine.dispose()

    assert is_outage(error) == is_away


def test_an_error_without_a_code_is_an_outage_if_it_is_of_the_operation() -> None:
    assert is_outage(OperationalError("BEGIN IMMEDIATE", None, BlockingIOError()))
    assert not is_outage(ValueError())


def test_a_description_is_one_line() -> None:
    error = OperationalError("SELECT 1", None, Exception("connection failed\nIs it running?"))

    assert describe(error) == "connection failed"
    assert describe(ValueError()) == "ValueError"
