"""The base classes of commands, which print errors as one line."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from taskbadger.backups import BackupError
from taskbadger.errors import NewerSchema, SettingsError, TaskBadgerError
from taskbadger.process import current_process
from taskbadger.settings import Settings


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print errors that users can fix as one line, without a traceback."""
    try:
        yield
    except (SettingsError, NewerSchema, BackupError, TaskBadgerError) as error:
        raise click.ClickException(str(error)) from error
    except DBAPIError as error:
        raise click.ClickException(explain(error)) from error


def explain(error: DBAPIError) -> str:
    """Return the cause of a database error as one line."""
    reason = str(error.orig).strip().partition("\n")[0]
    if "no such table" in reason or "UndefinedTable" in type(error.orig).__name__:
        return "the database has no tables yet. Run: taskbadger-server db upgrade"
    return f"database error: {reason}"


class Command(click.Command):
    """A command that prints errors as one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with plain_errors():
            return super().invoke(ctx)


class Group(click.Group):
    """A group of commands that print errors as one line."""

    command_class = Command


def current_settings() -> Settings:
    """Return the settings of the current application."""
    return current_process().settings


def placeholder_settings() -> Settings:
    """Return settings for an application that only describes itself: it needs no database."""
    try:
        plugins = Settings.from_env().PLUGINS
    except SettingsError:
        plugins = True
    return Settings(
        SECRET_KEY=secrets.token_hex(32),
        # Nothing connects to this database. A path to a file would create its folder.
        DATABASE_URL="postgresql://localhost/",
        LOG_REQUESTS=False,
        PLUGINS=plugins,
    )
