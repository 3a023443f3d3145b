"""``serve`` and ``worker``: run the web server and the background worker."""

import os
import time
from typing import Any, cast

import click
import flask_migrate
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import DBAPIError

from taskbadger import seed, serving
from taskbadger.app import is_loopback
from taskbadger.cli.commands import Command, current_settings, explain
from taskbadger.clock import utcnow
from taskbadger.errors import SettingsError
from taskbadger.extensions import check_access, db, is_outage, schema_of
from taskbadger.services.people import users
from taskbadger.settings import unknown_variables
from taskbadger.worker import embedded

DATABASE_WAIT_SECONDS = 30
"""How long ``serve`` retries while the database is not reachable."""


@click.command(cls=Command)
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Web workers. Default: one per processor, from 2 to 8.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Threads per web worker. Default: TASKBADGER_THREADS, or 4.",
)
@click.option("--no-worker", is_flag=True, help="Do not run the background worker.")
@click.option("--no-migrate", is_flag=True, help="Do not apply migrations at start.")
@click.option(
    "--demo", is_flag=True, help="On an empty server, create a demo project, key and login."
)
@with_appcontext
def serve(
    bind: str,
    workers: int | None,
    threads: int | None,
    *,
    no_worker: bool,
    no_migrate: bool,
    demo: bool,
) -> None:
    """Run the web server and the background worker.

    A socket that systemd passes takes the place of --bind.
    """
    settings = current_settings()
    listener = serving.inherited()
    if listener is not None:
        bind = serving.address_of(listener).removeprefix("http://")
    if current_app.debug and not is_loopback(serving.parse_bind(bind)[0]):
        raise SettingsError(f"debug mode is only allowed on a loopback address, not on {bind}")
    listener = listener or serving.listen(bind)
    _warn_of_unknown_variables()
    check_access()
    if no_migrate:
        _check_database()
    else:
        _upgrade()
    address = settings.BASE_URL or serving.address_of(listener)
    _welcome(address, demo=demo, is_ready=not no_migrate)
    folder = serving.figures_folder()
    processes = [
        serving.gunicorn(
            listener,
            workers=workers or serving.default_workers(),
            threads=threads or settings.THREADS,
            folder=folder,
        )
    ]
    if not no_worker:
        processes += serving.background(settings, address)
    serving.supervise(processes, settings, listener, folder)


def _welcome(address: str, *, demo: bool, is_ready: bool) -> None:
    """Print where everything is; *is_ready* says that the database has its tables."""
    made = seed.first_run(now=utcnow()) if demo else None
    click.echo(seed.welcome(made, address, serving.place_of(db.engine.url)))
    if is_ready and users.needs_set_up():
        click.echo("There are no users yet. Open the dashboard to become the owner.")
    db.session.remove()
    db.engine.dispose()


def _warn_of_unknown_variables() -> None:
    for name in unknown_variables(os.environ):
        current_app.logger.warning("unknown setting", extra={"variable": name})


def _check_database() -> None:
    """Raise an error if the database is one that we cannot use; one that is away may be."""
    try:
        with db.engine.connect() as connection:
            schema_of(connection)
    except DBAPIError as error:
        if not is_outage(error):
            raise
    db.engine.dispose()


def _upgrade() -> None:
    """Apply the migrations; wait until the database is reachable."""
    deadline = time.monotonic() + DATABASE_WAIT_SECONDS
    while True:
        try:
            flask_migrate.upgrade()
        except DBAPIError as error:
            if time.monotonic() > deadline or not is_outage(error):
                raise
            current_app.logger.warning(
                "cannot migrate yet; trying again", extra={"error": explain(error)}
            )
            time.sleep(1)
        else:
            return


@click.command(cls=Command)
@click.option("--no-beat", is_flag=True, help="With Celery: run no beat; another machine does.")
@with_appcontext
def worker(*, no_beat: bool) -> None:
    """Run the background worker alone; with TASKBADGER_BROKER_URL, Celery's worker and beat."""
    _warn_of_unknown_variables()
    settings = current_settings()
    if no_beat and not settings.BROKER_URL:
        raise SettingsError("--no-beat needs TASKBADGER_BROKER_URL: only Celery has a beat")
    check_access()
    _check_database()
    if settings.BROKER_URL:
        serving.supervise(serving.background(settings, has_beat=not no_beat), settings)
    else:
        embedded.run(cast(Any, current_app)._get_current_object())
