"""The version of a database's tables: which it has, and which this program has."""

from functools import lru_cache

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from taskbadger.errors import NewerSchema
from taskbadger.extensions.base import MIGRATIONS


@lru_cache
def own_schema() -> str:
    """Return the newest version that this program knows."""
    return ScriptDirectory(MIGRATIONS).get_current_head() or ""


def is_known_schema(version: str) -> bool:
    """Say whether this program has tables of that version, or had them."""
    return version in _known()


@lru_cache
def _known() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory(MIGRATIONS).walk_revisions())


def schema_of(connection: Connection) -> str | None:
    """Return the version of a database; None if it has no tables yet.

    Raises NewerSchema if this program does not know it.
    """
    version = MigrationContext.configure(connection).get_current_revision()
    if version is not None and not is_known_schema(version):
        raise NewerSchema(version, own_schema())
    return version
