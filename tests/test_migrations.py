"""Migrations: they make what the models say, can be taken back, and readiness waits for them."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import flask_migrate
import pytest
from conftest import FIXTURES, settings
from flask import Flask
from sqlalchemy import Table, inspect, select, text

from taskbadger import seed
from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.extensions import MIGRATIONS, db
from taskbadger.services.organizations import organizations, projects


@pytest.fixture
def empty(new_database: Callable[[], str]) -> Iterator[Flask]:
    """An application on a database without any table."""
    app = create_app(settings(DATABASE_URL=new_database()))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def tables() -> set[str]:
    found = set(inspect(db.engine).get_table_names())
    db.engine.dispose()
    return found


def test_models_and_migrations_agree(empty: Flask) -> None:
    flask_migrate.upgrade()

    flask_migrate.check()  # Exits when a migration is missing.

    assert tables() == {"alembic_version", *db.metadata.tables}


def test_a_generated_migration_imports_nothing_of_ours_and_makes_the_models(
    empty: Flask, tmp_path: Path
) -> None:
    copy = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, copy, ignore=shutil.ignore_patterns("0*.py", "__pycache__"))
    flask_migrate.migrate(directory=str(copy), rev_id="0001", message="all of it")

    [written] = copy.glob("versions/0001*.py")
    flask_migrate.upgrade(directory=str(copy))
    flask_migrate.check(directory=str(copy))  # Exits when models and tables differ.

    assert re.findall(r"^(?:from|import) .*", written.read_text(), re.MULTILINE) == [
        "import sqlalchemy as sa",
        "from alembic import op",
    ]
    assert tables() == {"alembic_version", *db.metadata.tables}


def test_migrations_go_up_down_and_up_again(empty: Flask) -> None:
    flask_migrate.upgrade()
    flask_migrate.downgrade(revision="base")
    assert tables() == {"alembic_version"}

    flask_migrate.upgrade()

    assert tables() == {"alembic_version", *db.metadata.tables}


def test_upgrade_of_an_up_to_date_database_changes_no_row(empty: Flask) -> None:
    flask_migrate.upgrade()
    now = utcnow()
    organization = organizations.ensure_organization("demo", actor=FIXTURES, now=now)
    project = projects.ensure_project(organization, "demo", actor=FIXTURES, now=now)
    seed.demo(projects.project_ref(project, organization), now=now)
    db.session.commit()
    before = rows()

    flask_migrate.upgrade()

    assert rows() == before


def rows() -> dict[str, list[tuple[object, ...]]]:
    """Return everything that the database holds."""

    def read(table: Table) -> list[tuple[object, ...]]:
        return [tuple(row) for row in db.session.execute(select(table)).all()]

    found = {name: sorted(read(table), key=repr) for name, table in db.metadata.tables.items()}
    db.session.rollback()
    return found


def test_server_is_ready_only_when_all_migrations_are_applied(empty: Flask) -> None:
    client = empty.test_client()
    before = client.get("/readyz")
    db.session.rollback()

    flask_migrate.upgrade()

    after = client.get("/readyz")
    assert (before.status_code, before.json) == (503, {"status": "migrations are not applied"})
    assert (after.status_code, after.json) == (200, {"status": "ready"})


def test_planner_of_postgresql_knows_nothing_about_ids_of_long_lists(app: Flask) -> None:
    """With statistics it would read the newest rows of all organizations to find those of one."""
    if db.engine.dialect.name != "postgresql":
        return
    found = db.session.execute(
        text(
            "SELECT CAST(attrelid::regclass AS text) FROM pg_attribute"
            " WHERE attname = 'id' AND attstattarget = 0"
        )
    ).scalars()

    assert set(found) == {"task", "delivery", "audit_entry"}
