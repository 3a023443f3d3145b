"""``seed``: add demo tasks, or many generated ones."""

import click
from flask.cli import with_appcontext

from taskbadger import seed
from taskbadger.cli.commands import Command
from taskbadger.cli.keys import ensure_target
from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.process import current_process
from taskbadger.services.organizations import projects


@click.command("seed", cls=Command)
@click.argument("target", default="demo/demo", metavar="[ORG/PROJECT]")
@click.option("--tasks", type=click.IntRange(1), help="Add this many generated tasks instead.")
@with_appcontext
def seed_command(target: str, tasks: int | None) -> None:
    """Add demo tasks in every status, with history and tags."""
    now = utcnow()
    organization, project = ensure_target(target, now)
    if project is None:
        raise click.UsageError("seed needs ORG/PROJECT")
    ref = projects.project_ref(project, organization)
    db.session.commit()
    if tasks:
        seed.bulk(ref, tasks, now=now)
    else:
        tasks = seed.demo(ref, now=now, base_url=current_process().base_url)
        db.session.commit()
    click.echo(f"{tasks} tasks added to {target}.")
