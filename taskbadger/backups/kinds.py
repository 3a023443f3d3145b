"""What a backup can be: a file of SQLite or of PostgreSQL, each for its own kind of database."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from taskbadger.backups import postgresql, sqlite
from taskbadger.backups.files import BackupError
from taskbadger.errors import NewerSchema
from taskbadger.extensions import db, is_known_schema, own_schema

_KINDS = {"SQLite": sqlite, "PostgreSQL": postgresql}


@dataclass(frozen=True)
class Backup:
    """A backup that was read."""

    path: Path
    kind: str
    """``SQLite`` or ``PostgreSQL``."""
    version: str
    """The version of its tables, as of migrations."""

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.path.stat().st_size


def back_up(path: Path) -> Backup:
    """Write a backup of this application's database, and return it; it is not read again.

    It contains all that was committed before it began. Raises BackupError if the file exists, the
    database has no tables of ours, or anything fails; then there is no file.
    """
    url = db.engine.url
    kind = _kind_of_database(url)
    _KINDS[kind].back_up(url, path)
    try:
        return _read(path)
    except BackupError:
        path.unlink()
        raise


def verify(path: Path) -> Backup:
    """Read every byte of a backup; raises BackupError and NewerSchema."""
    backup = _read(path)
    _KINDS[backup.kind].verify(path)
    if not is_known_schema(backup.version):
        raise NewerSchema(backup.version, own_schema())
    return backup


def restore(path: Path) -> Backup:
    """Fill this application's database, which must be empty, from a backup, and return that.

    The backup is verified first. Raises BackupError and NewerSchema, and changes nothing then.
    """
    url = db.engine.url
    backup, kind = verify(path), _kind_of_database(url)
    if backup.kind != kind:
        raise BackupError(
            f"{path} is a backup of {backup.kind}, and TASKBADGER_DATABASE_URL names {kind}"
        )
    _KINDS[kind].restore(url, path)
    return backup


def _kind_of_database(url: URL) -> str:
    return "SQLite" if url.get_backend_name() == "sqlite" else "PostgreSQL"


def _read(path: Path) -> Backup:
    """Say what a file is; raises BackupError if it is no backup."""
    kind = _kind_of_file(path)
    version = _KINDS[kind].read_version(path)
    if version is None:
        raise BackupError(f"{path} has no tables of a Task Badger server")
    return Backup(path, kind, version)


def _kind_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(len(sqlite.MAGIC))
    except OSError as error:
        raise BackupError(f"cannot read {path}: {error.strerror}") from error
    for kind, module in _KINDS.items():
        if start.startswith(module.MAGIC):
            return kind
    raise BackupError(
        f"{path} is no backup: it is neither of SQLite nor of pg_dump's custom format"
    )
