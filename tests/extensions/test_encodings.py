"""Only a database in UTF-8 holds every text, so any other is refused at the start."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import settings
from flask import Flask
from processes import run_server

from taskbadger.app import create_app
from taskbadger.errors import SettingsError
from taskbadger.extensions import db


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def name(postgresql_server: str, encoding: str) -> Iterator[str]:
    """The name of a database in this encoding."""
    name = f"tb_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgresql_server, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 "
            "LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(postgresql_server: str, name: str) -> str:
    head, _, tail = postgresql_server.partition("?")
    return f"{head.rpartition('/')[0]}/{name}" + (f"?{tail}" if tail else "")


@pytest.fixture
def app(url: str) -> Iterator[Flask]:
    app = create_app(settings(DATABASE_URL=url))
    with app.app_context():
        yield app
        db.engine.dispose()


def test_a_connection_is_refused(app: Flask, name: str, encoding: str) -> None:
    with pytest.raises(SettingsError) as refused:
        db.engine.connect()

    assert str(refused.value) == (
        f"TASKBADGER_DATABASE_URL: the encoding of the database '{name}' is {encoding}, which "
        "cannot hold every text. Create one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE "
        f"template0; pg_dump and psql take along what is in '{name}'."
    )


@pytest.mark.parametrize(
    "command",
    [
        ("serve", "--bind", "127.0.0.1:0"),
        ("serve", "--bind", "127.0.0.1:0", "--no-migrate"),
        ("db", "upgrade"),
        ("worker",),
    ],
    ids=" ".join,
)
def test_commands_say_so_in_one_line(
    url: str, encoding: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = run_server(*command, home=tmp_path, TASKBADGER_DATABASE_URL=url)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f" is {encoding}, which cannot hold every text." in done.stderr


def test_text_is_sent_in_utf8_whatever_the_server_prefers(
    new_postgresql: Callable[[], str],
) -> None:
    url = new_postgresql()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET client_encoding = 'LATIN1'")
    app = create_app(settings(DATABASE_URL=url))

    with app.app_context():
        with db.engine.connect() as connection:
            sent = connection.exec_driver_sql("SELECT 'Größe ✓'").scalar()
        db.engine.dispose()

    assert sent == "Größe ✓"
