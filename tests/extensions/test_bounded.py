"""Waits for PostgreSQL end on our side, whatever the server does."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import psycopg
import pytest
from clusters import Pipe, place_of
from conftest import settings
from flask import Flask
from processes import wait_until
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from taskbadger import look_ups, time_limit
from taskbadger.app import create_app
from taskbadger.extensions import bounded, db, end_session, is_outage, reading, writing
from taskbadger.extensions.bounded import Gate, SilentDatabase, with_addresses

TIMEOUT = 0.5


@contextmanager
def an_app(url: str, **changes: object) -> Iterator[Flask]:
    app = create_app(settings(**{"DATABASE_URL": url, "DATABASE_TIMEOUT": TIMEOUT, **changes}))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def pipe(postgresql_server: str) -> Iterator[Pipe]:
    with Pipe(place_of(postgresql_server)) as pipe:
        yield pipe


@pytest.fixture
def app(pipe: Pipe, new_postgresql: Callable[[], str]) -> Iterator[Flask]:
    """An application whose database is behind the pipe."""
    name = new_postgresql().partition("?")[0].rpartition("/")[2]
    with an_app(f"postgresql://postgres@127.0.0.1:{pipe.port}/{name}") as app:
        yield app


def seconds_until_error(statement: str = "SELECT 1") -> float:
    """Run a statement that fails because of an outage; return how long that took."""
    began = time.monotonic()
    with pytest.raises(DBAPIError) as failure, reading():
        db.session.execute(text(statement))
    assert is_outage(failure.value)
    return time.monotonic() - began


def works() -> bool:
    try:
        with reading():
            return bool(db.session.scalar(text("SELECT 1")))
    except DBAPIError:
        return False


def wait_until_it_works() -> float:
    began = time.monotonic()
    while not works():
        assert time.monotonic() < began + 10
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_server_that_says_nothing_is_waited_for_once(app: Flask, pipe: Pipe) -> None:
    assert works()

    pipe.block()
    first = seconds_until_error()
    others = [seconds_until_error() for _ in range(20)]
    pipe.unblock()

    assert TIMEOUT < first < TIMEOUT + 1
    assert max(others) < 0.2
    assert wait_until_it_works() < 2


def test_a_connection_that_is_never_made_is_waited_for_as_long(app: Flask, pipe: Pipe) -> None:
    pipe.block()
    took = seconds_until_error()
    pipe.unblock()

    assert TIMEOUT < took < TIMEOUT + 1
    assert wait_until_it_works() < 2


def test_an_idle_connection_and_a_new_one_share_the_time(
    app: Flask, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert works()
    monkeypatch.setattr("taskbadger.extensions.postgresql.PING_AFTER_SECONDS", 0.0)

    pipe.block()
    time_limit.begin()
    took = seconds_until_error()
    pipe.unblock()

    assert took < TIMEOUT + 1
    time_limit.end()
    assert wait_until_it_works() < 2


def test_an_idle_connection_that_is_lost_takes_no_other_with_it(
    new_postgresql: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbadger.extensions.postgresql.PING_AFTER_SECONDS", 0.0)
    url = new_postgresql()
    with an_app(url):
        before = backends(3)
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [before[0]])
            alive = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
            wait_until(lambda: not admin.execute(alive, before[:1]).fetchone(), "the end of one")

        after = backends(3)

    assert set(before) - set(after) == {before[0]}


def backends(count: int) -> list[int]:
    """Return the process ids of the server behind *count* connections of the pool."""
    with ExitStack() as stack:
        connections = [stack.enter_context(db.engine.connect()) for _ in range(count)]
        return [one.scalar(text("SELECT pg_backend_pid()")) for one in connections]


def test_a_transaction_that_breaks_off_leaves_nothing(app: Flask, pipe: Pipe) -> None:
    with writing():
        db.session.execute(text("CREATE TABLE kept (id integer)"))
        db.session.commit()
    with writing():
        db.session.execute(text("INSERT INTO kept VALUES (1)"))
        pipe.block()
        with pytest.raises(DBAPIError):
            db.session.commit()
    pipe.unblock()

    wait_until_it_works()
    assert db.session.scalar(text("SELECT count(*) FROM kept")) == 0


def test_a_statement_that_takes_too_long_is_cancelled(new_postgresql: Callable[[], str]) -> None:
    url = new_postgresql()
    for session_features in (True, False):
        with an_app(url, DATABASE_SESSION_FEATURES=session_features):
            with reading():
                before = db.session.scalar(text("SELECT pg_backend_pid()"))
            took = seconds_until_error("SELECT pg_sleep(60)")
            with reading():
                after = db.session.scalar(text("SELECT pg_backend_pid()"))

        # The connection is as good as before.
        assert took < TIMEOUT + 1
        assert before == after


def test_what_a_request_waited_for_a_thread_counts(new_postgresql: Callable[[], str]) -> None:
    with an_app(new_postgresql(), DATABASE_TIMEOUT=30.0):
        works()
        time_limit.begin(time.monotonic() - 60)
        took = seconds_until_error("SELECT pg_sleep(10)")
        time_limit.end()

    assert took < 1.5


def test_a_migration_may_take_longer(new_postgresql: Callable[[], str]) -> None:
    with (
        an_app(new_postgresql(), DATABASE_SESSION_FEATURES=False),
        time_limit.unlimited(),
        reading(),
    ):
        assert db.session.scalar(text("SELECT 1 FROM pg_sleep(2)")) == 1


def test_no_thread_asks_any_more_once_the_server_answers(app: Flask, pipe: Pipe) -> None:
    pipe.block()
    seconds_until_error()
    assert "probe" in {thread.name for thread in threading.enumerate()}
    pipe.unblock()
    wait_until_it_works()

    deadline = time.monotonic() + 10
    while "probe" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shut_gate(gate: Gate, probe: Callable[[], object]) -> None:
    gate.probe = probe
    gate.note_silence(gate.timeout)


def test_gate_opens_again_when_the_server_cannot_even_be_tried() -> None:
    def probe() -> None:
        raise OSError("too many open files")

    gate = Gate(TIMEOUT)
    shut_gate(gate, probe)

    wait_until(lambda: not gate.is_shut, "an open gate")


def test_gate_stays_open_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    gate = Gate(TIMEOUT)

    shut_gate(gate, lambda: None)

    assert not gate.is_shut


def test_second_server_of_the_url_is_asked_where_the_first_is_silent(
    new_postgresql: Callable[[], str], postgresql_server: str
) -> None:
    server = psycopg.conninfo.conninfo_to_dict(postgresql_server)
    name = new_postgresql().partition("?")[0].rpartition("/")[2]
    with Pipe(9) as silent:
        silent.block()
        answers = f"{server['host']}:{server.get('port') or 5432}"
        hosts = f"host=127.0.0.1:{silent.port}&host={answers}"
        with an_app(f"postgresql://postgres@/{name}?{hosts}", DATABASE_TIMEOUT=1.0), reading():
            assert db.session.scalar(text("SELECT 1")) == 1


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A name server that answers for ``localhost`` only once the event is set."""
    released = threading.Event()

    def resolver(host: str, port: int) -> Sequence[str]:
        if host == "localhost":
            released.wait(60)
        return look_ups.resolve(host, port)

    monkeypatch.setattr(bounded, "look_up", partial(look_ups.look_up, resolver=resolver))
    yield released
    released.set()


def test_a_name_that_is_never_found_is_waited_for_once(
    pipe: Pipe, new_postgresql: Callable[[], str], hanging: threading.Event
) -> None:
    name = new_postgresql().partition("?")[0].rpartition("/")[2]
    with an_app(f"postgresql://postgres@localhost:{pipe.port}/{name}"):
        first, second = seconds_until_error(), seconds_until_error()
        hanging.set()
        wait_until(works, "a connection")

    assert TIMEOUT * 0.9 < first < TIMEOUT + 5
    assert second < 0.2


def test_second_host_of_the_url_is_asked_where_the_first_is_not_found(
    pipe: Pipe, new_postgresql: Callable[[], str], hanging: threading.Event
) -> None:
    name = new_postgresql().partition("?")[0].rpartition("/")[2]
    hosts = f"host=localhost:{pipe.port}&host=127.0.0.1:{pipe.port}"
    with an_app(f"postgresql://postgres@/{name}?{hosts}", DATABASE_TIMEOUT=1.0), reading():
        assert db.session.scalar(text("SELECT 1")) == 1


def test_only_names_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "look_up", lambda *_, **__: ["192.0.2.1", "2001:db8::1"])
    several = {"host": "db,/run/postgresql,192.0.2.7", "port": "5432,5433,5434", "user": "a"}

    assert with_addresses(several, 1) == {
        "host": "db,db,/run/postgresql,192.0.2.7",
        "hostaddr": "192.0.2.1,2001:db8::1,,",
        "port": "5432,5432,5433,5434",
        "user": "a",
    }
    for options in (
        {"host": "127.0.0.1"},
        {"host": "/run/postgresql"},
        {"host": "db", "hostaddr": "192.0.2.7"},
        {"host": "db", "service": "main"},
        {"host": "db", "port": "none"},
        {"host": "db,other", "port": "1,2,3"},
        {},
    ):
        assert with_addresses(options, 1) == options


def test_environment_completes_what_the_url_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def look_up(name: str, port: int, *, seconds: float) -> list[str]:
        asked.append((name, port))
        return ["192.0.2.1"]

    monkeypatch.setattr(bounded, "look_up", look_up)
    monkeypatch.setenv("PGPORT", "5433")
    assert with_addresses({"host": "db"}, 1) == {"host": "db", "hostaddr": "192.0.2.1"}
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.7")
    assert with_addresses({"host": "db"}, 1) == {"host": "db"}
    assert asked == [("db", 5433)]


def test_name_without_an_address_is_an_outage() -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        with_addresses({"host": "nowhere.invalid"}, 30)

    assert not isinstance(caught.value, SilentDatabase)


def test_session_that_cannot_roll_back_is_forgotten(app: Flask, pipe: Pipe) -> None:
    with writing():
        db.session.execute(text("SELECT 1"))
        pipe.block()

        end_session()

        assert not db.session.registry.has()
