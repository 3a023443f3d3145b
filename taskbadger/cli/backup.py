"""``backup`` and ``restore``: the whole database as one file, and back; ``db copy``: elsewhere."""

import sys
from dataclasses import replace
from pathlib import Path

import click
from flask.cli import with_appcontext
from flask_migrate.cli import db as database_commands

from taskbadger import backups
from taskbadger.app import create_app
from taskbadger.cli.commands import Command
from taskbadger.extensions import own_schema
from taskbadger.settings import Settings

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("backup", cls=Command)
@click.argument("file", type=_FILE)
@click.option("--verify", is_flag=True, help="Check a backup instead of making one.")
@with_appcontext
def backup_command(file: Path, *, verify: bool) -> None:
    """Write all of the database to FILE, while the server works; or check such a file.

    SQLite's backup is a database file, PostgreSQL's an archive of pg_dump, which must be
    installed. FILE must not exist.
    """
    if verify:
        backup = backups.verify(file)
        click.echo(f"{_described(backup)} It is whole.")
    else:
        backup = backups.back_up(file)
        click.echo(f"{_described(backup)} Keep the secret key with it.")


@click.command("restore", cls=Command)
@click.argument("file", type=_FILE)
@with_appcontext
def restore_command(file: Path) -> None:
    """Fill an empty database, which TASKBADGER_DATABASE_URL names, from the backup FILE."""
    backup = backups.restore(file)
    click.echo(f"Restored. {_described(backup)}")
    if backup.version != own_schema():
        click.echo("Its tables are older than this program. Run: taskbadger-server db upgrade")


def _described(backup: backups.Backup) -> str:
    return (
        f"{backup.path}: {backup.kind}, tables of version {backup.version}, {backup.size:,} bytes."
    )


@click.command("copy", cls=Command)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy_command(source: str, target: str) -> None:
    """Copy the whole database at the URL FROM to the empty one at the URL TO.

    Either may be SQLite or PostgreSQL. Others may write to FROM meanwhile: the copy is what it
    was at the start. Stop the server first if nothing shall be missing.
    """
    app = create_app(replace(Settings.from_env(), DATABASE_URL=target))
    with app.app_context():
        rows = backups.count_rows(source)
        with click.progressbar(length=rows, label="Copying", file=sys.stderr) as bar:
            copied = backups.copy(source, app, bar.update)
    click.echo(f"{copied:,} rows were copied. Set TASKBADGER_DATABASE_URL to the new database.")


database_commands.add_command(copy_command)
