"""Migrations: they make what the models say, can be taken back, and readiness waits for them."""

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import flask_migrate
import pytest
from conftest import FIXTURES, settings
from flask import Flask
from processes import run_server
from sqlalchemy import Table, inspect, select, text

from taskbadger import seed
from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.extensions import MIGRATIONS, db, own_schema
from taskbadger.models import MaintenanceWindow
from taskbadger.process import process_of
from taskbadger.services.organizations import organizations, projects
from taskbadger.worker import sweeps


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


def test_projects_from_before_kinds_of_failures_are_noted_for_the_worker(empty: Flask) -> None:
    flask_migrate.upgrade(revision="0009")
    organization_id = add_organization()
    made = [add_project(organization_id, slug) for slug in ("web", "worker")]
    db.session.commit()

    flask_migrate.upgrade()

    found = db.session.execute(text("SELECT project_id, status, before FROM failure_backfill"))
    assert sorted(found.all()) == [
        (number, status, None) for number in sorted(made) for status in ("error", "stale")
    ]


def test_old_entries_of_the_audit_log_get_their_kinds_from_the_worker(empty: Flask) -> None:
    """Not from a migration, which would keep everybody waiting."""
    flask_migrate.upgrade(revision="0017")
    organization_id = add_organization()
    columns = "organization_id, created, actor_type, actor_name, verb, subject, detail"
    kinds = {
        ("key", "task.create"): "ingestion",
        ("key", "action.cancel"): "ingestion",
        ("key", "monitor.create"): "monitor",
        ("user", "task.cancel"): "task",
        ("user", "global-action.create"): "global-action",
        ("plug-in", "unusual"): "unusual",
        ("plug-in", "a-very-long-verb-indeed.start"): "a-very-long-verb-ind",
    }
    for actor, verb in kinds:
        db.session.execute(
            text(
                f"INSERT INTO audit_entry ({columns}) VALUES"
                " (:owner, '2026-01-01', :actor, 'ci', :verb, 'it', '')"
            ),
            {"owner": organization_id, "actor": actor, "verb": verb},
        )
    db.session.commit()

    flask_migrate.upgrade()
    before = kinds_of_entries()
    assert not sweeps.find_kinds_of_audit_entries()

    assert before == dict.fromkeys(kinds, "")
    assert kinds_of_entries() == kinds


def test_windows_of_before_know_when_they_start(empty: Flask) -> None:
    flask_migrate.upgrade(revision="0020")
    columns = "organization_id, name, name_pattern, timezone, created, updated"
    columns += ", starts, ends, schedule, duration, ends_at"
    begin, end = "2026-05-04T03:02:01.000005Z", "2026-05-04T04:00:00.000000Z"
    windows = {
        "once": (begin, end, None, None, end),
        "over": (begin, end, None, None, None),
        "recurring": (None, None, "58 2 * * *", 3720, end),
        "recurs no more": (None, None, "0 0 30 2 *", 60, None),
    }
    for name, (starts, ends, schedule, duration, ends_at) in windows.items():
        db.session.execute(
            text(
                f"INSERT INTO maintenance_window ({columns}) VALUES (:owner, :name, '', 'UTC',"
                " :ends, :ends, :starts, :ends, :schedule, :duration, :ends_at)"
            ),
            {
                "owner": add_organization(name.replace(" ", "-")),
                "name": name,
                "starts": starts,
                "ends": ends or end,
                "schedule": schedule,
                "duration": duration,
                "ends_at": ends_at,
            },
        )
    db.session.commit()

    flask_migrate.upgrade()

    found = db.session.execute(select(MaintenanceWindow.name, MaintenanceWindow.starts_at))
    assert {row.name: row.starts_at for row in found} == {
        "once": datetime.fromisoformat(begin),
        "over": None,
        "recurring": datetime.fromisoformat("2026-05-04T02:58:00Z"),
        "recurs no more": None,
    }


def kinds_of_entries() -> dict[tuple[str, str], str]:
    found = db.session.execute(text("SELECT actor_type, verb, kind FROM audit_entry")).all()
    db.session.rollback()
    return {(actor, verb): kind for actor, verb, kind in found}


def add_organization(slug: str = "acme") -> int:
    """Add an organization to a database of an earlier version; return its id."""
    added = db.session.execute(
        text(
            "INSERT INTO organization (slug, name, created)"
            " VALUES (:slug, 'acme', '2026-01-01') RETURNING id"
        ),
        {"slug": slug},
    )
    return int(added.scalar_one())


def add_project(organization_id: int, slug: str) -> int:
    """Add a project as it was before it said when incidents close; return its id."""
    columns = "organization_id, slug, name, created, public_pages, public_data, public_tags"
    added = db.session.execute(
        text(
            f"INSERT INTO project ({columns}) VALUES (:owner, :slug, :slug, '2026-01-01', true,"
            " false, false) RETURNING id"
        ),
        {"owner": organization_id, "slug": slug},
    )
    return int(added.scalar_one())


def test_server_is_ready_only_when_all_migrations_are_applied(empty: Flask) -> None:
    client = empty.test_client()
    before = client.get("/readyz")
    db.session.rollback()

    flask_migrate.upgrade()

    after = client.get("/readyz")
    assert (before.status_code, before.json) == (503, {"status": "migrations are not applied"})
    assert (after.status_code, after.json) == (200, {"status": "ready", "worker": "stale"})


@pytest.mark.parametrize(
    "command", [("db", "upgrade"), ("serve",), ("serve", "--no-migrate"), ("worker",)]
)
def test_an_older_program_says_that_the_database_is_newer(
    empty: Flask, tmp_path: Path, command: tuple[str, ...]
) -> None:
    flask_migrate.upgrade()
    set_version("9999")

    done = run_server(*command, home=tmp_path, TASKBADGER_DATABASE_URL=url_of(empty))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"Error: the database has version 9999 of the tables, and this program knows {own_schema()}"
        " and older ones. Install the newer program again, or go back as docs/upgrading.md says"
    ]
    not_ready = empty.test_client().get("/readyz")
    assert (not_ready.status_code, not_ready.json) == (
        503,
        {"status": "the database is of a newer version"},
    )


def set_version(version: str) -> None:
    db.session.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": version})
    db.session.commit()
    db.session.remove()


def url_of(app: Flask) -> str:
    return process_of(app).settings.DATABASE_URL


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


ACCOUNTS = ("organization", "project", "user_account", "membership", "api_key")


def accounts() -> dict[str, list[dict[str, object]]]:
    """Return the rows of accounts, without the columns that are new."""
    found = {
        table: [
            {name: value for name, value in row.items() if not name.startswith("deleted_")}
            for row in db.session.execute(text(f"SELECT * FROM {table} ORDER BY id")).mappings()
        ]
        for table in ACCOUNTS
    }
    db.session.rollback()
    return found


def add_user(email: str) -> int:
    added = db.session.execute(
        text(
            "INSERT INTO user_account (email, name, created) VALUES (:email, '', '2026-01-01')"
            " RETURNING id"
        ),
        {"email": email},
    )
    return int(added.scalar_one())


def test_ids_of_accounts_are_used_once_and_rows_stay_both_ways(empty: Flask) -> None:
    flask_migrate.upgrade(revision="0025")
    organization_id = add_organization()
    project_id = add_project(organization_id, "web")
    user_id = add_user("ada@example.org")
    for statement in (
        "INSERT INTO membership (user_id, organization_id, role, created)"
        " VALUES (:user, :organization, 'owner', '2026-01-01')",
        "INSERT INTO api_key (organization_id, project_id, name, prefix, digest, scopes, created)"
        " VALUES (:organization, :project, 'ci', 'tb', 'x', 'read', '2026-01-01')",
    ):
        db.session.execute(
            text(statement),
            {"user": user_id, "organization": organization_id, "project": project_id},
        )
    db.session.commit()
    before = accounts()

    flask_migrate.upgrade()
    upgraded = accounts()
    last = add_user("eve@example.org")
    db.session.execute(text("DELETE FROM user_account WHERE id = :id"), {"id": last})
    next_one = add_user("eve@example.org")
    db.session.execute(text("DELETE FROM user_account WHERE id = :id"), {"id": next_one})
    db.session.commit()
    flask_migrate.downgrade(revision="0025")
    downgraded = accounts()

    assert upgraded == downgraded == before
    assert next_one > last
    assert not [row for row in tables_of_sqlite() if "AUTOINCREMENT" in row]


def tables_of_sqlite() -> list[str]:
    """Return how SQLite would make the tables of accounts."""
    if db.engine.dialect.name != "sqlite":
        return []
    names = ", ".join(f"'{name}'" for name in ACCOUNTS)
    found = db.session.scalars(text(f"SELECT sql FROM sqlite_master WHERE name IN ({names})"))
    return list(found)


def test_what_is_being_deleted_stays_so_over_a_downgrade(empty: Flask) -> None:
    flask_migrate.upgrade()
    organization_id = add_organization("~left")
    add_organization("acme")
    db.session.execute(
        text("UPDATE organization SET deleted_at = created WHERE id = :id"),
        {"id": organization_id},
    )
    db.session.commit()

    flask_migrate.downgrade(revision="0022")
    flask_migrate.upgrade()

    found = db.session.execute(text("SELECT slug FROM organization WHERE deleted_at IS NOT NULL"))
    assert list(found.scalars()) == ["~left"]
