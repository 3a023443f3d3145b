"""Backups of SQLite: another database file, which ``VACUUM INTO`` writes from one snapshot."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL

from taskbadger.backups.files import BackupError, new_file, refuse_existing
from taskbadger.extensions import sqlite_module

MAGIC = b"SQLite format 3\0"
WAIT_SECONDS = 60.0
"""How long a backup waits for a database that is locked."""
_SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
_BESIDE = ("-wal", "-shm", "-journal")
"""Files that SQLite would take for the rest of a database with the name before."""


def back_up(url: URL, path: Path) -> None:
    """Write a backup of the database at *url*; raises BackupError."""
    source = _path_of(url)
    if not source.exists():
        raise BackupError(f"there is no database {source}")
    with new_file(path) as unfinished, _connected(source, "mode=rw") as connection:
        connection.execute("VACUUM INTO ?", (str(unfinished),))


def read_version(path: Path) -> str | None:
    """Return the version of the tables in a file; None if it has none. Raises BackupError."""
    if any(Path(f"{path}{suffix}").exists() for suffix in _BESIDE):
        raise BackupError(f"{path} is a database in use. Make a backup of it")
    with _connected(path, "mode=ro&immutable=1") as connection:
        has_version = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
        if connection.execute(has_version).fetchone() is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return row and str(row[0])


def verify(path: Path) -> None:
    """Read a whole backup; raises BackupError if anything in it is damaged."""
    with _connected(path, "mode=ro&immutable=1") as connection:
        [size] = connection.execute(_SIZE).fetchone()
        if size != path.stat().st_size:
            raise BackupError(f"the backup {path} is damaged: it has not {size:,} bytes")
        wrong = [
            str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)") if row[0] != "ok"
        ]
        wrong += [
            f"a row of {row[0]} refers to a row of {row[2]} that is missing"
            for row in connection.execute("PRAGMA foreign_key_check").fetchmany(5)
        ]
    if wrong:
        raise BackupError(f"the backup {path} is damaged: {'; '.join(wrong)}")


def restore(url: URL, path: Path) -> None:
    """Put a backup in the place of the database at *url*, which must not exist yet.

    Raises BackupError.
    """
    target = _path_of(url)
    if target.exists() and target.stat().st_size == 0:
        target.unlink()
    refuse_existing(target)
    for beside in (Path(f"{target}{suffix}") for suffix in _BESIDE):
        if beside.exists():
            raise BackupError(
                f"{beside} is left of another database. Stop its server and move it away"
            )
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with new_file(target) as unfinished:
        shutil.copyfile(path, unfinished)


def _path_of(url: URL) -> Path:
    return Path(str(url.database))


@contextmanager
def _connected(path: Path, options: str) -> Iterator[Any]:
    """Connect to a file that exists; SQLite's errors become BackupErrors."""
    module = sqlite_module()
    try:
        with closing(
            module.connect(
                f"file:{quote(str(path))}?{options}",
                uri=True,
                timeout=WAIT_SECONDS,
                isolation_level=None,
            )
        ) as connection:
            yield connection
    except module.Error as error:
        raise BackupError(f"{path}: {error}") from error
