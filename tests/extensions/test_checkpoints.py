"""Checkpoints of SQLite's log are made beside the writers, not within their commits."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from conftest import settings
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from taskbadger.app import create_app
from taskbadger.extensions import (
    checkpoints,
    db,
    is_outage,
    make_checkpoint,
    sqlite_module,
    writing,
)
from taskbadger.worker.embedded import Worker

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
def app(path: Path) -> Iterator[Flask]:
    app = create_app(settings(DATABASE_URL=f"sqlite:///{path}", DATABASE_TIMEOUT=1.0))
    with app.app_context():
        with writing():
            db.session.execute(text("CREATE TABLE page (text)"))
            db.session.commit()
        yield app
        db.session.remove()
        db.engine.dispose()


def write(pages: int) -> None:
    with writing():
        db.session.execute(
            text("INSERT INTO page VALUES (zeroblob(:size))"), {"size": PAGE * pages}
        )
        db.session.commit()


def look(path: Path) -> tuple[int, int]:
    """Return how many pages the log has, and how many of them are in the database."""
    with closing(sqlite_module().connect(path)) as connection:
        _, written, moved = connection.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
    return written, moved


@contextmanager
def writer(path: Path) -> Iterator[None]:
    """Hold the lock of writers in another connection, after one page was written."""
    with closing(sqlite_module().connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO page VALUES (1)")
        yield
        other.execute("ROLLBACK")


def test_log_begins_anew_after_a_checkpoint(app: Flask, path: Path) -> None:
    write(checkpoints.DUE_PAGES)
    before = look(path)

    assert make_checkpoint() is True
    after = look(path)
    write(1)

    assert before[0] > checkpoints.DUE_PAGES
    assert before[1] == 0
    assert after == (before[0], before[0])
    assert look(path)[0] < 10


def test_short_log_is_left_alone(app: Flask, path: Path) -> None:
    write(checkpoints.DUE_PAGES - 100)
    assert make_checkpoint() is False
    assert look(path)[1] == 0


def test_what_was_moved_before_does_not_count(app: Flask, path: Path) -> None:
    write(checkpoints.DUE_PAGES)
    with closing(sqlite_module().connect(path)) as reader:
        # Whoever still reads the old state keeps the log from beginning anew.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM page").fetchall()
        assert make_checkpoint() is True
        write(1)
        assert make_checkpoint() is False


def test_commit_that_fills_the_log_makes_no_checkpoint(app: Flask, path: Path) -> None:
    write(3000)
    assert look(path)[1] == 0
    write(1500)
    written, moved = look(path)
    assert written == moved, "without a worker, the log must not grow for ever"


def test_most_is_moved_while_somebody_else_writes(app: Flask, path: Path) -> None:
    write(checkpoints.DUE_PAGES)

    with writer(path):
        with pytest.raises(OperationalError) as failure:
            make_checkpoint()
        written, moved = look(path)

    assert is_outage(failure.value)
    assert written == moved > checkpoints.DUE_PAGES


def test_writers_wait_only_for_what_was_written_meanwhile(
    app: Flask, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, seen = checkpoints._ask, []

    def asking(connection: object, mode: str) -> object:
        is_locked = False
        with closing(sqlite_module().connect(path, timeout=0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
            except sqlite_module().OperationalError:
                is_locked = True
        log = ask(connection, mode)
        seen.append((mode, is_locked, log.written - log.moved))
        return log

    monkeypatch.setattr(checkpoints, "_ask", asking)
    write(checkpoints.DUE_PAGES)
    make_checkpoint()

    assert [one[:2] for one in seen] == [("NOOP", False), ("PASSIVE", False), ("PASSIVE", True)]
    assert [one[2] for one in seen][1:] == [0, 0]


def test_failure_of_the_disk_is_an_outage(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def execute(self, _: str) -> None:
            raise sqlite_module().OperationalError("database or disk is full")

    with db.engine.connect() as connection:
        monkeypatch.setattr(type(connection.connection), "driver_connection", Full())
        with pytest.raises(OperationalError) as failure:
            checkpoints._ask(connection, "PASSIVE")
        monkeypatch.undo()
    assert is_outage(failure.value)


def test_worker_makes_checkpoints(app: Flask, path: Path) -> None:
    worker = Worker(app)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        write(checkpoints.DUE_PAGES)
        deadline = time.monotonic() + 10
        while look(path)[1] == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        _, moved = look(path)
    finally:
        worker.stop()
        thread.join()
    assert moved > 0
