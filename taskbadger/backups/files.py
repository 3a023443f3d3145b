"""Files that appear whole or not at all, only for their owner, and never in place of another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_PRIVATE = 0o600


class BackupError(Exception):
    """A backup cannot be made, read or restored. The text says why, and what to do."""


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give the path of an empty file to fill; at the end it is on disk, and is called *path*.

    If the block raises, nothing is left. Raises BackupError if there is something at *path*, also
    if it has come meanwhile, and if the folder cannot be written to.
    """
    refuse_existing(path)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE))
        yield unfinished
        _sync(unfinished)
        _name(unfinished, path)
        _sync(path.parent)
    except OSError as error:
        raise BackupError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def refuse_existing(path: Path) -> None:
    """Raise BackupError if there is something at *path*."""
    if path.is_symlink() or path.exists():
        raise BackupError(f"there already is a file {path}")


def _name(unfinished: Path, path: Path) -> None:
    """Give a file its name; unlike renaming, a link never takes the place of another file."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise BackupError(f"there already is a file {path}") from None
    except OSError:  # Some file systems have no links.
        refuse_existing(path)
        os.rename(unfinished, path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
