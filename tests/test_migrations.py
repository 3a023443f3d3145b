"""Migrations: they make what the models say, can be taken back, and readiness waits for them."""

from collections.abc import Callable, Iterator

import flask_migrate
import pytest
from conftest import settings
from flask import Flask
from sqlalchemy import Table, inspect, select

from taskbadger import create_app, seed
from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.services import accounts


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


def test_migrations_go_up_down_and_up_again(empty: Flask) -> None:
    flask_migrate.upgrade()
    flask_migrate.downgrade(revision="base")
    assert tables() == {"alembic_version"}

    flask_migrate.upgrade()

    assert tables() == {"alembic_version", *db.metadata.tables}


def test_upgrade_of_an_up_to_date_database_changes_no_row(empty: Flask) -> None:
    flask_migrate.upgrade()
    now = utcnow()
    organization = accounts.ensure_organization("demo", now=now)
    project = accounts.ensure_project(organization, "demo", now=now)
    seed.demo(accounts.project_ref(project, organization), now=now)
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
