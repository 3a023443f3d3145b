"""Writers on SQLite wait once, for both of its locks together."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import settings
from flask import Flask
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from taskbadger import time_limit
from taskbadger.app import create_app
from taskbadger.extensions import (
    current_connection,
    db,
    is_outage,
    sqlite_module,
    transaction,
    writing,
)
from taskbadger.extensions.turns import Turns

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


def begin_transaction() -> None:
    with transaction():
        pass


either_way = pytest.mark.parametrize("begin", [begin, begin_transaction])


def busy_timeout() -> int:
    with writing():
        milliseconds: int = db.session.scalar(text("PRAGMA busy_timeout"))
        return milliseconds


@either_way
def test_the_wait_for_both_locks_has_one_deadline(
    app: Flask, path: Path, begin: Callable[[], None]
) -> None:
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


@either_way
def test_what_a_request_waited_for_a_thread_counts(
    app: Flask, path: Path, begin: Callable[[], None]
) -> None:
    begin()
    db.session.rollback()
    with closing(sqlite_module().connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        time_limit.begin(time.monotonic() - TIMEOUT)
        took = seconds_until_error(begin)
        time_limit.end()

    assert took < TIMEOUT / 2
    assert busy_timeout() == TIMEOUT * 1000


@either_way
def test_a_lock_file_that_cannot_be_made_is_an_outage(
    tmp_path: Path, begin: Callable[[], None]
) -> None:
    (tmp_path / "test.db.lock").mkdir()
    app = create_app(settings(DATABASE_URL=f"sqlite:///{tmp_path}/test.db"))

    with app.app_context():
        seconds_until_error(begin)
        db.session.remove()
        db.engine.dispose()


def test_transactions_that_follow_each_other_use_one_connection(app: Flask, path: Path) -> None:
    engine = db.engine
    with closing(engine.connect()), closing(engine.connect()):
        """Now the pool has two."""

    def used() -> int:
        with app.app_context(), transaction():
            time.sleep(0.001)  # The others wait.
            return id(current_connection().connection.driver_connection)

    with Path(f"{path}.lock").open("ab") as turn, ThreadPoolExecutor(6) as pool:
        fcntl.flock(turn, fcntl.LOCK_EX)
        connections = [pool.submit(used) for _ in range(12)]
        time.sleep(0.1)
        fcntl.flock(turn, fcntl.LOCK_UN)

    assert len({connection.result() for connection in connections}) == 1


def test_the_pool_gives_the_connection_that_was_used_last(app: Flask) -> None:
    first, last = db.engine.connect(), db.engine.connect()
    driver = last.connection.driver_connection
    first.close()
    last.close()

    with db.engine.connect() as connection:
        assert connection.connection.driver_connection is driver


def test_a_turn_is_passed_on_when_its_connection_is_back(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_back, taken = Turns.give_back, list[int]()

    def note(turns: Turns) -> None:
        taken.append(db.engine.pool.checkedout())  # type: ignore[attr-defined]  # of QueuePool
        give_back(turns)

    monkeypatch.setattr(Turns, "give_back", note)
    begin_transaction()
    with suppress(ZeroDivisionError), transaction():
        raise ZeroDivisionError

    assert taken == [0, 0]


def test_a_transaction_ends_the_turn_of_the_session_first(app: Flask) -> None:
    with writing():
        begin()
        began = time.monotonic()
        begin_transaction()

    assert time.monotonic() - began < TIMEOUT / 2


def test_a_transaction_without_a_connection_passes_its_turn_on(
    app: Flask, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_engine: Engine) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "connect", fail)
        with pytest.raises(ZeroDivisionError):
            begin_transaction()

    assert is_free(path)


def is_free(path: Path) -> bool:
    """Say whether another process could have its turn."""
    with Path(f"{path}.lock").open("ab") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_turn_is_for_one_database(app: Flask, path: Path, tmp_path: Path) -> None:
    other_path = tmp_path / "other.db"
    other = create_app(settings(DATABASE_URL=f"sqlite:///{other_path}"))
    with other.app_context():
        engine = db.engine

    with transaction():
        with engine.connect() as connection, connection.begin():
            assert (is_free(path), is_free(other_path)) == (False, False)
        assert (is_free(path), is_free(other_path)) == (False, True)
    assert is_free(path)
    engine.dispose()


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
