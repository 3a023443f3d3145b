"""``apply``: make projects, channels, global actions, monitors and windows match a file."""

import os
from typing import IO

import click
from flask.cli import with_appcontext

from taskbadger.cli.commands import Command
from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.process import current_process
from taskbadger.services.apply import apply, diff
from taskbadger.services.apply.file import read as read_apply_file


@click.command("apply", cls=Command)
@click.argument("file", type=click.File("rb"), metavar="FILE.yaml")
@click.option("--org", help="The organization. Default: the one in the file, or the only one.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option(
    "--prune",
    is_flag=True,
    help="Also delete what the file does not name, in the sections that it has.",
)
@with_appcontext
def apply_file(file: IO[bytes], org: str | None, *, dry_run: bool, prune: bool) -> None:
    """Apply a file of channels, global actions, monitors and windows.

    Shows the changes and makes all or none of them. ${NAME} in the file is replaced by the
    environment variable.
    """
    document = read_apply_file(file.read(), file.name, os.environ)
    organization = apply.find_organization(document, org)
    changes = apply.apply(
        document, organization, prune=prune, context=current_process().send_context, now=utcnow()
    )
    if not changes:
        click.echo("nothing to change")
        return
    click.echo(diff.write(changes))
    if dry_run:
        db.session.rollback()
        click.echo("dry run: nothing was changed")
        return
    db.session.commit()
