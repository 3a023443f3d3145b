"""``db copy``: another database of either kind gets every row, id and sequence, or nothing."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import flask_migrate
import pytest
from blueprints.dashboard.doing import make_task
from conftest import make_key, make_project, settings
from flask import Flask
from people import make_member
from processes import run_server, serve, wait_until
from sqlalchemy import insert, select, text
from test_serving import is_ready

from taskbadger import seed
from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.extensions import db, own_schema, writing
from taskbadger.models import Incident
from taskbadger.process import process_of

Make = Callable[[str], str]


@pytest.fixture
def source(app: Flask) -> str:
    """The URL of a database with a bit of everything."""
    project = make_project()
    now = utcnow()
    with writing():
        seed.bulk(project, 300, now=now)
        seed.demo(project, now=now)
        make_key()
        make_member()
        parent = make_task(project, "Größe ✓")
        make_task(project, "child", parent=parent)
        db.session.commit()
    db.session.remove()
    return process_of(app).settings.DATABASE_URL


@pytest.fixture
def make_target(new_postgresql: Callable[[], str], tmp_path: Path) -> Iterator[Make]:
    """Return the URL of an empty database of a kind."""

    def make(kind: str) -> str:
        return f"sqlite:///{tmp_path}/target/copy.db" if kind == "sqlite" else new_postgresql()

    yield make
    db.session.remove()


def other_kind(url: str) -> str:
    return "sqlite" if url.startswith("postgresql") else "postgresql"


def copy(home: Path, source: str, target: str) -> CompletedProcess[str]:
    return run_server("db", "copy", source, target, home=home)


def rows_of(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of a database, by table."""
    app = create_app(settings(DATABASE_URL=url))
    with app.app_context():
        found = {
            table.name: [
                dict(row)
                for row in db.session.execute(
                    select(table).order_by(*table.primary_key.columns)
                ).mappings()
            ]
            for table in db.metadata.sorted_tables
        }
        db.session.remove()
        db.engine.dispose()
    return found


def test_everything_is_copied(source: str, make_target: Make, tmp_path: Path) -> None:
    target = make_target(other_kind(source))

    done = copy(tmp_path, source, target)

    wanted = rows_of(source)
    number = sum(map(len, wanted.values()))
    assert (done.returncode, done.stdout) == (
        0,
        f"{number:,} rows were copied. Set TASKBADGER_DATABASE_URL to the new database.\n",
    ), done.stderr
    assert rows_of(target) == wanted
    assert len(wanted["task"]) >= 302
    assert any(row["parent"] for row in wanted["task"])


def test_ids_that_were_given_are_not_given_again(
    app: Flask, source: str, make_target: Make, tmp_path: Path
) -> None:
    opened = {
        "organization_id": db.session.scalar(text("SELECT id FROM organization")),
        "project_id": db.session.scalar(text("SELECT id FROM project")),
        "name": "import",
        "opened_at": utcnow() - timedelta(hours=1),
        "closed_at": utcnow(),
        "bad_slots": 0,
        "notified": False,
    }
    add = insert(Incident).values(**opened).returning(Incident.id)
    with writing():
        last = db.session.scalars(add).one()
        db.session.execute(text("DELETE FROM incident WHERE id = :last"), {"last": last})
        db.session.commit()
    db.session.remove()
    target = make_target(other_kind(source))

    assert copy(tmp_path, source, target).returncode == 0

    other = create_app(settings(DATABASE_URL=target))
    with other.app_context(), writing():
        added = db.session.scalars(add).one()
        make_project("another", "one")
        db.session.remove()
        db.engine.dispose()
    assert added == last + 1


def test_a_server_runs_on_the_copy(source: str, make_target: Make, tmp_path: Path) -> None:
    target = make_target(other_kind(source))
    key = make_key_for(source)
    assert copy(tmp_path, source, target).returncode == 0
    later = make_key_for(source)

    with serve(tmp_path / "s", "--no-worker", TASKBADGER_DATABASE_URL=target) as server:
        wait_until(lambda: is_ready(server), "a server")
        path = "/api/acme/web/tasks/"
        made = server.request("POST", path, key=key, json_body={"name": "new"})[0]
        refused = server.get(path, key=later)[0]

    assert (made, refused) == (201, 401)


def make_key_for(url: str) -> str:
    app = create_app(settings(DATABASE_URL=url))
    with app.app_context(), writing():
        key = make_key()
        db.session.remove()
        db.engine.dispose()
    return key


def test_only_an_empty_database_is_filled(source: str, make_target: Make, tmp_path: Path) -> None:
    target = make_target(other_kind(source))
    app = create_app(settings(DATABASE_URL=target))
    with app.app_context(), writing():
        flask_migrate.upgrade()
        make_project("other", "web")
        db.session.remove()
        db.engine.dispose()
    before = rows_of(target)

    done = copy(tmp_path, source, target)

    assert done.returncode == 1
    assert "Error: the target is not empty: it has rows in the table organization\n" in done.stderr
    assert rows_of(target) == before


def test_a_copy_that_fails_leaves_nothing_and_can_be_repeated(
    source: str, new_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    target = new_postgresql()
    app = create_app(settings(DATABASE_URL=target))
    with app.app_context():
        flask_migrate.upgrade()
        with writing():
            db.session.execute(text("ALTER TABLE task_event ADD CHECK (type <> 'created')"))
            db.session.commit()

        failed = copy(tmp_path, source, target)
        between = rows_of(target)
        with writing():
            db.session.execute(text("ALTER TABLE task_event DROP CONSTRAINT task_event_type_check"))
            db.session.commit()
        db.session.remove()
        db.engine.dispose()

    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert {name for name, rows in between.items() if rows} == set()
    assert copy(tmp_path, source, target).returncode == 0


def test_what_cannot_be_copied_is_named(tmp_path: Path) -> None:
    missing = copy(tmp_path, f"sqlite:///{tmp_path}/none.db", f"sqlite:///{tmp_path}/target.db")
    (tmp_path / "empty.db").touch()
    empty = copy(tmp_path, f"sqlite:///{tmp_path}/empty.db", f"sqlite:///{tmp_path}/target.db")

    assert missing.stderr == f"Error: there is no database {tmp_path}/none.db\n"
    assert empty.stderr == (
        f"Error: the tables of the source have version none, and this program needs {own_schema()}."
        " Run: taskbadger-server db upgrade\n"
    )
    assert not (tmp_path / "target.db").exists()
