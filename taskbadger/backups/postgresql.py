"""Backups of PostgreSQL: archives of ``pg_dump``, in its custom format.

Its programs get the connection as libpq takes it, with the password in the environment: a command
line is visible to all users of a machine.
"""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import URL, text

from taskbadger import time_limit
from taskbadger.backups.files import BackupError, new_file
from taskbadger.extensions import db, writing

MAGIC = b"PGDMP"
_PACKAGE = (
    "Install PostgreSQL's client programs (Debian: postgresql-client) of the server's version"
)
_HAS_TABLES = text(
    "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = current_schema()"
    " AND tablename = ANY(:names))"
)


def back_up(url: URL, path: Path) -> None:
    """Write a backup of the database at *url*; raises BackupError."""
    with new_file(path) as unfinished:
        _run("pg_dump", "--format=custom", f"--file={unfinished}", url=url)


def read_version(path: Path) -> str | None:
    """Return the version of the tables in an archive; None if it has none. Raises BackupError."""
    dumped = _run("pg_restore", "--data-only", "--table=alembic_version", "--file=-", str(path))
    lines = iter(dumped.splitlines())
    for line in lines:
        if line.startswith("COPY ") and "alembic_version" in line:
            version = next(lines, "").strip()
            return version if version != "\\." else None
    return None


def verify(path: Path) -> None:
    """Read a whole archive; raises BackupError if any of it is damaged or missing."""
    _run("pg_restore", f"--file={os.devnull}", str(path))


def restore(url: URL, path: Path) -> None:
    """Load a backup into the database at *url*, all of it or nothing; raises BackupError.

    The database must exist, and have none of our tables. Its user owns them afterwards.
    """
    with db.engine.connect() as connection:
        ours = ["alembic_version", *db.metadata.tables]
        if connection.execute(_HAS_TABLES, {"names": ours}).scalar():
            raise BackupError("the database is not empty. Create another one, and restore into it")
    db.engine.dispose()
    options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    _run("pg_restore", *options, str(path), url=url)
    _analyze()


def _analyze() -> None:
    """Gather statistics, which archives do not have."""
    with time_limit.unlimited(), writing():
        db.session.execute(text("SET LOCAL statement_timeout = 0"))
        db.session.execute(text("ANALYZE"))
        db.session.commit()
    db.session.remove()
    db.engine.dispose()


def _run(program: str, *arguments: str, url: URL | None = None) -> str:
    """Run a program of PostgreSQL, connected to *url*; return what it printed."""
    found = shutil.which(program)
    if found is None:
        raise BackupError(f"the program {program} is missing. {_PACKAGE}, or newer")
    variables, target = dict(os.environ), []
    if url is not None:
        connection, password = _connection(url)
        target = [f"--dbname={connection}", "--no-password"]
        if password is not None:
            variables["PGPASSWORD"] = password
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
        [found, *target, *arguments], env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BackupError("\n".join(line.removeprefix("pg_dump: ") for line in said[:5]))
    return done.stdout


def _connection(url: URL) -> tuple[str, str | None]:
    """Return a URL as text for libpq, and its password."""
    from psycopg import conninfo  # noqa: PLC0415 - it takes 10 MB in each process, also for SQLite

    _, options = url.get_dialect()().create_connect_args(url)
    password = options.pop("password", None)
    return conninfo.make_conninfo(**options), password
