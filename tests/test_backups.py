"""``backup`` and ``restore``: one file with everything, or a clear error and no change."""

import os
import stat
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from clusters import programs
from conftest import SECRET_KEY, make_key, make_project
from faults.test_database_outages import fill, small_disk
from flask import Flask
from processes import run_server
from sqlalchemy import create_engine, make_url, text

from taskbadger import seed
from taskbadger.clock import utcnow
from taskbadger.extensions import db, own_schema, sqlite_module, writing
from taskbadger.extensions.engines import database_url
from taskbadger.process import process_of

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def url(app: Flask) -> str:
    """The URL of a database with some of everything."""
    with writing():
        seed.bulk(make_project(), 200, now=utcnow())
        make_key()
        db.session.commit()
    return process_of(app).settings.DATABASE_URL


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run one of our commands in a folder."""

    def run(url: str, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
        variables = {"TASKBADGER_SECRET_KEY": SECRET_KEY, "TASKBADGER_DATABASE_URL": url}
        variables["PATH"] = path or f"{programs()}{os.pathsep}{os.environ['PATH']}"
        return run_server(*arguments, home=tmp_path, **variables)

    return run


def kind(url: str) -> str:
    return "SQLite" if url.startswith("sqlite") else "PostgreSQL"


def empty_one(new_database: Callable[[], str], url: str, tmp_path: Path) -> str:
    """Return the URL of an empty database of the same kind."""
    return f"sqlite:///{tmp_path}/new/restored.db" if kind(url) == "SQLite" else new_database()


def rows_of(url: str) -> dict[str, int]:
    """Return how many rows each table of a database has."""
    # Two builds of SQLite in one process would undo each other's locks.
    options = {"module": sqlite_module()} if kind(url) == "SQLite" else {}
    engine = create_engine(database_url(url), **options)
    with engine.connect() as connection:
        rows = {
            name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one()
            for name in db.metadata.tables
        }
    engine.dispose()
    return rows


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_backup_is_restored_whole(
    url: str, command: Command, new_database: Callable[[], str], tmp_path: Path
) -> None:
    target, backup = empty_one(new_database, url, tmp_path), tmp_path / "one.bak"

    made = command(url, "backup", "one.bak")
    checked = command(url, "backup", "--verify", "one.bak")
    restored = command(target, "restore", "one.bak")

    said = (
        f"one.bak: {kind(url)}, tables of version {own_schema()}, {backup.stat().st_size:,} bytes."
    )
    assert [(done.returncode, done.stdout, done.stderr) for done in (made, checked, restored)] == [
        (0, f"{said} Keep the secret key with it.\n", ""),
        (0, f"{said} It is whole.\n", ""),
        (0, f"Restored. {said}\n", ""),
    ]
    assert rows_of(target) == rows_of(url)
    assert rows_of(target)["task"] == 200
    assert mode_of(backup) == 0o600
    if kind(url) == "SQLite":
        assert mode_of(tmp_path / "new" / "restored.db") == 0o600
        assert mode_of(tmp_path / "new") == 0o700


def test_nothing_is_overwritten(url: str, command: Command, tmp_path: Path) -> None:
    before = rows_of(url)
    command(url, "backup", "one.bak")
    (tmp_path / "two.bak").write_text("mine")

    again = command(url, "backup", "two.bak")
    restored = command(url, "restore", "one.bak")

    assert (again.returncode, again.stderr) == (1, "Error: there already is a file two.bak\n")
    assert (tmp_path / "two.bak").read_text() == "mine"
    path = make_url(url).database
    wanted = {
        "SQLite": f"Error: there already is a file {path}\n",
        "PostgreSQL": "Error: the database is not empty. Create another one, and restore into it\n",
    }
    assert (restored.returncode, restored.stderr) == (1, wanted[kind(url)])
    assert rows_of(url) == before


def test_a_damaged_backup_is_found_and_not_restored(
    url: str, command: Command, new_database: Callable[[], str], tmp_path: Path
) -> None:
    target, backup = empty_one(new_database, url, tmp_path), tmp_path / "one.bak"
    command(url, "backup", "one.bak")
    whole = backup.read_bytes()

    for damaged in (whole[: len(whole) // 2], whole[:-1]):
        backup.write_bytes(damaged)
        checked = command(url, "backup", "--verify", "one.bak")
        restored = command(target, "restore", "one.bak")
        assert (checked.returncode, restored.returncode) == (1, 1), checked.stdout
        assert checked.stderr == restored.stderr != ""
        assert "Traceback" not in checked.stderr

    backup.write_bytes(whole)
    assert command(target, "restore", "one.bak").returncode == 0


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"hello", "one.bak is no backup: it is neither of SQLite nor of pg_dump's custom format"),
        (b"", "one.bak is no backup: it is neither of SQLite nor of pg_dump's custom format"),
        (None, "cannot read one.bak: No such file or directory"),
    ],
)
def test_what_is_no_backup_is_refused(
    command: Command, tmp_path: Path, content: bytes | None, error: str
) -> None:
    if content is not None:
        (tmp_path / "one.bak").write_bytes(content)
    url = f"sqlite:///{tmp_path}/restored.db"

    for arguments in (("backup", "--verify", "one.bak"), ("restore", "one.bak")):
        done = command(url, *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {error}\n")
    assert not (tmp_path / "restored.db").exists()


def test_a_database_without_our_tables_has_no_backup(command: Command, tmp_path: Path) -> None:
    missing = command(f"sqlite:///{tmp_path}/other.db", "backup", "one.bak")
    with closing(sqlite_module().connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE something (id INTEGER)")
        connection.commit()

    other = command(f"sqlite:///{tmp_path}/other.db", "backup", "one.bak")

    assert missing.stderr == f"Error: there is no database {tmp_path}/other.db\n"
    assert other.stderr == "Error: one.bak has no tables of a Task Badger server\n"
    assert not (tmp_path / "one.bak").exists()


def test_a_backup_of_the_other_kind_is_refused(
    url: str, command: Command, new_database: Callable[[], str], tmp_path: Path
) -> None:
    other = {"SQLite": "postgresql://127.0.0.1:1/none", "PostgreSQL": f"sqlite:///{tmp_path}/r.db"}
    command(url, "backup", "one.bak")

    done = command(other[kind(url)], "restore", "one.bak")

    [named] = {"SQLite", "PostgreSQL"} - {kind(url)}
    assert done.stderr == (
        f"Error: one.bak is a backup of {kind(url)}, and TASKBADGER_DATABASE_URL names {named}\n"
    )


def test_a_backup_of_a_newer_version_is_refused(
    url: str, command: Command, new_database: Callable[[], str], tmp_path: Path
) -> None:
    set_version = text("UPDATE alembic_version SET version_num = :version")
    db.session.execute(set_version, {"version": "9999"})
    db.session.commit()
    db.session.remove()
    try:
        made = command(url, "backup", "one.bak")
    finally:
        db.session.execute(set_version, {"version": own_schema()})
        db.session.commit()
    target = empty_one(new_database, url, tmp_path)

    checked = command(url, "backup", "--verify", "one.bak")
    restored = command(target, "restore", "one.bak")

    assert made.returncode == 0
    assert checked.stderr == restored.stderr
    assert checked.stderr.startswith("Error: the database has version 9999 of the tables, and this")


def test_a_full_disk_leaves_no_file(url: str, command: Command) -> None:
    with small_disk(1) as disk:
        fill(disk)
        done = command(url, "backup", str(disk / "one.bak"))
        left = [path.name for path in disk.iterdir()]

    assert done.returncode == 1
    assert "full" in done.stderr or "No space left" in done.stderr
    assert left == ["filler"]


def test_files_of_another_database_beside_the_place_are_not_taken_for_ours(
    command: Command, tmp_path: Path, app: Flask
) -> None:
    if db.engine.dialect.name != "sqlite":
        return
    command(process_of(app).settings.DATABASE_URL, "backup", "one.bak")
    (tmp_path / "restored.db-wal").write_bytes(b"left")

    done = command(f"sqlite:///{tmp_path}/restored.db", "restore", "one.bak")

    assert done.stderr == (
        f"Error: {tmp_path}/restored.db-wal is left of another database."
        " Stop its server and move it away\n"
    )
    assert not (tmp_path / "restored.db").exists()


def test_a_database_in_use_is_no_backup(app: Flask, command: Command) -> None:
    if db.engine.dialect.name != "sqlite":
        return
    make_project()
    path = str(db.engine.url.database)

    checked = command(process_of(app).settings.DATABASE_URL, "backup", "--verify", path)

    assert checked.stderr == f"Error: {path} is a database in use. Make a backup of it\n"


def test_a_missing_program_is_named(url: str, command: Command, tmp_path: Path) -> None:
    if kind(url) == "SQLite":
        return
    done = command(url, "backup", "one.bak", path=str(tmp_path))

    assert done.stderr == (
        "Error: the program pg_dump is missing. Install PostgreSQL's client programs "
        "(Debian: postgresql-client) of the server's version, or newer\n"
    )


def test_a_new_database_is_private(command: Command, tmp_path: Path) -> None:
    done = command("sqlite:///instance/taskbadger.db", "db", "upgrade")

    assert done.returncode == 0
    folder = tmp_path / "instance"
    assert mode_of(folder) == 0o700
    assert {mode_of(path) for path in folder.iterdir()} == {0o600}
