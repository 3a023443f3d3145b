"""Files: who may read secrets, and how much room is left."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from taskbadger.doctor.findings import ERROR, FINE, WARNING, Finding
from taskbadger.extensions import db
from taskbadger.settings import PREFIX, SECRET_KEY_FILE, Settings

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LITTLE, _LESS = 100 * 1024**2, 1024**3
"""Bytes left on a disk: an error below the first, a warning below the second."""


def look_at_modes(_settings: Settings) -> Iterator[Finding]:
    """Say which files with secrets others may read."""
    private = [SECRET_KEY_FILE, *_secret_files()]
    if db.engine.dialect.name == "sqlite":
        private.append(Path(str(db.engine.url.database)))
    open_ones = [path for path in private if path.is_file() and path.stat().st_mode & _OTHERS]
    for path in open_ones:
        mode = stat.S_IMODE(path.stat().st_mode)
        said = f"{path} has mode {mode:04o}, so others than its owner may use it"
        yield Finding(WARNING, "files", said, f"Run: chmod 600 {path}")
    if not open_ones:
        yield Finding(FINE, "files", "only their owner may read secrets and the database")


def _secret_files() -> Iterator[Path]:
    for name, value in os.environ.items():
        # Secrets that systemd or Docker mounts belong to the service anyway.
        if name.startswith(PREFIX) and name.endswith("_FILE") and not value.startswith("/run/"):
            yield Path(value)


def look_at_disk(_settings: Settings) -> Iterator[Finding]:
    """Say how much room the disk of the database has, if it is here."""
    if db.engine.dialect.name != "sqlite":
        return
    folder = Path(str(db.engine.url.database)).parent
    free = shutil.disk_usage(folder).free
    said = f"{free / 1024**3:,.1f} GiB are free at {folder}"
    if free < _LESS:
        state = ERROR if free < _LITTLE else WARNING
        advice = "Make room, or let projects keep less: docs/operating.md#what-is-deleted-when"
        yield Finding(state, "disk", said, advice)
    else:
        yield Finding(FINE, "disk", said)
