"""Writers on SQLite wait once, for both of its locks together."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import settings
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from taskbadger import time_limit
from taskbadger.app import create_app
from taskbadger.extensions import db, is_outage, sqlite_module, writing

TIMEOUT = 1.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def app(path: Path) -> Iterator[Flask]:
    app = create_app(settings(DATABASE_URL=f"sqlite:///{path}", DATABASE_TIMEOUT=TIMEOUT))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def seconds_until_error(write: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(OperationalError) as failure, writing():
        write()
    assert is_outage(failure.value)
    return time.monotonic() - began


def begin() -> None:
    db.session.execute(text("SELECT 1"))


def busy_timeout() -> int:
    with writing():
        milliseconds: int = db.session.scalar(text("PRAGMA busy_timeout"))
        return milliseconds


def test_the_wait_for_both_locks_has_one_deadline(app: Flask, path: Path) -> None:
    begin()
    db.session.rollback()
    with (
        closing(sqlite_module().connect(path, isolation_level=None)) as other,
        Path(f"{path}.lock").open("ab") as turn,
    ):
        other.execute("BEGIN IMMEDIATE")
        fcntl.flock(turn, fcntl.LOCK_EX)
        later = threading.Timer(TIMEOUT * 0.7, fcntl.flock, (turn, fcntl.LOCK_UN))
        later.start()
        took = seconds_until_error(begin)
        later.join()

    assert TIMEOUT * 0.9 < took < TIMEOUT * 1.5
    assert busy_timeout() == TIMEOUT * 1000


def test_what_a_request_waited_for_a_thread_counts(app: Flask, path: Path) -> None:
    begin()
    db.session.rollback()
    with closing(sqlite_module().connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        time_limit.begin(time.monotonic() - TIMEOUT)
        took = seconds_until_error(begin)
        time_limit.end()

    assert took < TIMEOUT / 2
    assert busy_timeout() == TIMEOUT * 1000


def test_a_lock_file_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "test.db.lock").mkdir()
    app = create_app(settings(DATABASE_URL=f"sqlite:///{tmp_path}/test.db"))

    with app.app_context():
        seconds_until_error(begin)
        db.session.remove()
        db.engine.dispose()


CHECK_ACCESS = """
import os, sys
from sqlalchemy import create_engine
from taskbadger.errors import SettingsError
from taskbadger.extensions import sqlite

if os.getuid() == 0:
    os.setuid(65534)  # Root may write anywhere.
try:
    sqlite.check_access(create_engine(f"sqlite:///{sys.argv[1]}"))
except SettingsError as error:
    print(error)
"""


@pytest.mark.parametrize("protected", ["", "/test.db", "/test.db.lock"])
def test_files_that_we_may_not_write_are_named(protected: str) -> None:
    with TemporaryDirectory() as folder:
        for name in ("test.db", "test.db.lock"):
            (Path(folder) / name).touch()
            (Path(folder) / name).chmod(0o666)
        Path(folder).chmod(0o777)
        assert check_access(folder) == ""

        Path(folder + protected).chmod(0o555)
        said = check_access(folder)
        Path(folder).chmod(0o777)

    reason = f"no permission to write to {folder}{protected}"
    assert said == f"TASKBADGER_DATABASE_URL: {reason}\n"


def check_access(folder: str) -> str:
    """Return what an ordinary user is told about the database in *folder*."""
    command = [sys.executable, "-c", CHECK_ACCESS, f"{folder}/test.db"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


LOADED = "import sys, taskbadger_server; taskbadger_server.load_wsgi(); print(*sys.modules)"


def test_a_server_on_sqlite_does_not_load_the_driver_of_postgresql(path: Path) -> None:
    variables = {
        **os.environ,
        "TASKBADGER_SECRET_KEY": settings().SECRET_KEY,
        "TASKBADGER_DATABASE_URL": f"sqlite:///{path}",
    }
    command = [sys.executable, "-c", LOADED]
    said = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout

    assert {"taskbadger.wsgi", "psycopg"} & set(said.split()) == {"taskbadger.wsgi"}
