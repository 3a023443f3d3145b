"""A database that is away, locked or full is a 503 with Retry-After, and heals by itself."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clusters import Pipe, place_of
from conftest import ApiClient, make_key
from flask import Flask
from sqlalchemy import event
from werkzeug.test import TestResponse

from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.extensions import db, sqlite_module

UNAVAILABLE = {
    "type": "server_error",
    "errors": [
        {
            "code": "service_unavailable",
            "detail": "The database is temporarily unavailable. Please try again.",
            "attr": None,
        }
    ],
}

MakeApp = Callable[..., Flask]


@pytest.fixture
def client(app: Flask, project: object, make_app: MakeApp) -> ApiClient:
    """A client of an application that waits for its database for a moment only."""
    key = make_key()
    db.session.remove()
    return ApiClient(make_app(DATABASE_TIMEOUT=0.3).test_client(), key)


def assert_unavailable(answer: TestResponse) -> None:
    assert (answer.status_code, answer.json) == (503, UNAVAILABLE)
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_locked_database_is_a_503_until_the_lock_is_gone(
    client: ApiClient, database_url: str
) -> None:
    client.create()

    with locked(database_url):
        assert_unavailable(client.post(json={"name": "job"}))

    assert client.post(json={"name": "job"}).status_code == 201


def test_an_outage_is_one_line_in_the_log_and_not_one_per_request(
    client: ApiClient, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    client.create()

    with locked(database_url):
        for _ in range(3):
            assert_unavailable(client.post(json={"name": "job"}))

    assert caplog.messages == ["database not available"]


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the lock that every change of a task needs, in a connection that is not ours."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as another:
            another.execute("LOCK TABLE task IN ACCESS EXCLUSIVE MODE")
            yield
            another.rollback()
        return
    # The same library as the server's: two of them in one process do not see each other's locks.
    path = url.removeprefix("sqlite:///")
    with closing(sqlite_module().connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_a_writer_that_keeps_its_turn_is_a_503(client: ApiClient, database_url: str) -> None:
    if database_url.startswith("postgresql"):
        pytest.skip("writers take turns at a file only beside SQLite")
    client.create()

    with Path(database_url.removeprefix("sqlite:///") + ".lock").open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        assert_unavailable(client.post(json={"name": "job"}))

    assert client.post(json={"name": "job"}).status_code == 201


def test_reads_go_on_while_sqlite_is_locked(client: ApiClient, database_url: str) -> None:
    if database_url.startswith("postgresql"):
        pytest.skip("the lock of the other tests is one that also stops readers")
    task = client.create()

    with locked(database_url):
        answer = client.get(f"/tasks/{task['id']}/")

    assert (answer.status_code, answer.json) == (200, task)


def test_a_full_database_is_a_503_until_there_is_room(client: ApiClient, database_url: str) -> None:
    if database_url.startswith("postgresql"):
        pytest.skip("see test_a_full_disk_of_postgresql_is_a_503")
    task = client.create()

    with full(client.client.application):
        assert_unavailable(client.post(json={"name": "job", "data": "x" * 100_000}))
        assert client.get(f"/tasks/{task['id']}/").json == task

    assert client.post(json={"name": "job", "data": "x" * 100_000}).status_code == 201


@contextmanager
def full(app: Flask) -> Iterator[None]:
    """Let SQLite add no page to its file."""
    with app.app_context():
        engine = db.engine
    with closing(sqlite_module().connect(str(engine.url.database))) as other:
        other.execute("VACUUM")  # Earlier tests left free pages.
    most: list[int] = []

    def forbid(connection: Any, _record: Any, _proxy: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        most.append(connection.execute("PRAGMA max_page_count").fetchone()[0])
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(engine, "checkout", forbid)
    try:
        yield
    finally:
        event.remove(engine, "checkout", forbid)
        engine.dispose()


def test_a_full_disk_of_postgresql_is_a_503(
    client: ApiClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("PostgreSQL's own error")
    client.create()
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        admin.execute("CREATE TRIGGER no_room BEFORE INSERT ON task EXECUTE FUNCTION no_room()")
        try:
            assert_unavailable(client.post(json={"name": "job"}))
        finally:
            admin.execute("DROP TRIGGER no_room ON task")
            admin.execute("DROP FUNCTION no_room")

    assert client.post(json={"name": "job"}).status_code == 201


def test_a_database_that_is_away_is_a_503_until_it_is_back(
    client: ApiClient, database_url: str, postgresql_server: str
) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("SQLite's file does not go away")
    task = client.create()
    ready = client.client.get("/readyz")

    with away(database_url, postgresql_server):
        answers = [client.get(f"/tasks/{task['id']}/"), client.post(json={"name": "job"})]
        not_ready = client.client.get("/readyz")
        alive = client.client.get("/healthz")

    for answer in answers:
        assert_unavailable(answer)
    assert (ready.status_code, ready.json) == (200, {"status": "ready", "worker": "stale"})
    assert (not_ready.status_code, not_ready.json, not_ready.headers["Retry-After"]) == (
        503,
        {"status": "the database cannot be reached"},
        "2",
    )
    assert (alive.status_code, alive.json) == (200, {"status": "ok"})
    assert client.get(f"/tasks/{task['id']}/").json == task
    assert client.client.get("/readyz").status_code == 200


@contextmanager
def away(url: str, server: str) -> Iterator[None]:
    """End all connections to a database, and let none in."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    db.session.remove()
    db.engine.dispose()
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            yield
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_a_read_only_database_is_a_503_until_it_is_writable(
    client: ApiClient, database_url: str, postgresql_server: str
) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("a file system that is read-only needs root")
    task = client.create()
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]

    with psycopg.connect(postgresql_server, autocommit=True) as admin:
        # Connections keep what was set when they began, so each must be a new one.
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        try:
            with client.client.application.app_context():
                db.engine.dispose()
            answers = [client.post(json={"name": "job"}) for _ in range(3)]
            read = client.get(f"/tasks/{task['id']}/")
            not_ready = client.client.get("/readyz")
        finally:
            admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    ready = client.client.get("/readyz")

    for answer in answers:
        assert_unavailable(answer)
    assert (read.status_code, read.json) == (200, task)
    assert (not_ready.status_code, not_ready.json, not_ready.headers["Retry-After"]) == (
        503,
        {"status": "the database is read-only"},
        "2",
    )
    assert ready.status_code == 200
    assert client.post(json={"name": "job"}).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/acme/web/tasks/"),
        ("POST", "/api/acme/web/tasks/"),
        ("GET", "/a/acme/"),
        ("GET", "/sign-in"),
        ("GET", "/readyz"),
    ],
)
def test_a_database_that_hangs_is_a_503_everywhere(
    make_app: MakeApp, project: object, database_url: str, method: str, path: str
) -> None:
    if not database_url.startswith("postgresql"):
        pytest.skip("SQLite has no server")
    key = make_key()
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with Pipe(place_of(database_url)) as pipe:
        url = f"postgresql://postgres@127.0.0.1:{pipe.port}/{name}"
        browser = make_app(DATABASE_URL=url, DATABASE_TIMEOUT=0.5).test_client()
        db.session.rollback()

        def send() -> TestResponse:
            body = {"name": "job"} if method == "POST" else None
            browser.set_cookie(COOKIE, "of nobody")
            return browser.open(
                path, method=method, json=body, headers={"Authorization": f"Bearer {key}"}
            )

        before = send()
        pipe.block()
        began = time.monotonic()
        answer = send()
        took = time.monotonic() - began

    assert before.status_code < 400
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert took < 1.5
