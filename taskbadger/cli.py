"""The commands of ``taskbadger-server``, which ``flask --app wsgi …`` has as well."""

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any, cast

import click
import email_validator
import flask_migrate
from flask import Flask, current_app
from flask.cli import FlaskGroup, ScriptInfo, with_appcontext
from sqlalchemy.exc import DBAPIError, OperationalError

from taskbadger import seed, serving
from taskbadger.app import create_app, is_loopback
from taskbadger.clock import to_wire, utcnow
from taskbadger.errors import NotFound, SettingsError, TaskBadgerError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ApiKey, Organization, Project, User
from taskbadger.models.account import DEFAULT_SCOPES, ROLES
from taskbadger.services import accounts, apply, apply_diff, audit, members, passwords, sending
from taskbadger.services.accounts import SERVER
from taskbadger.services.apply_file import read as read_apply_file
from taskbadger.settings import Settings, unknown_variables
from taskbadger.worker import embedded

DATABASE_WAIT_SECONDS = 30
"""How long ``serve`` waits for a database that is still starting."""
_APP_LOAD_ERROR = 4
"""What gunicorn takes for “do not try again”."""


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Show what people can mend as one line, without a traceback."""
    try:
        yield
    except (SettingsError, TaskBadgerError) as error:
        raise click.ClickException(str(error)) from error
    except DBAPIError as error:
        raise click.ClickException(_explain(error)) from error


def _explain(error: DBAPIError) -> str:
    reason = str(error.orig).strip().partition("\n")[0]
    if "no such table" in reason or "UndefinedTable" in type(error.orig).__name__:
        return "the database has no tables yet; run: taskbadger-server db upgrade"
    return f"the database: {reason}"


class Command(click.Command):
    """A command whose errors are lines for people."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _plain_errors():
            return super().invoke(ctx)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


class Cli(FlaskGroup):
    """``taskbadger-server``: our commands, Flask's own, and those of plug-ins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands; without good settings, those that need none."""
        try:
            ctx.ensure_object(ScriptInfo).load_app()
        except click.ClickException as error:
            error.show()
            return sorted(self.commands)
        return super().list_commands(ctx)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _plain_errors():
            return super().invoke(ctx)


def _load() -> Flask:
    with _plain_errors():
        return create_app()


def load_wsgi() -> Flask:
    """Return the application for a WSGI server or ``flask``; bad settings end the process."""
    try:
        app = create_app()
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_APP_LOAD_ERROR)
    for command in COMMANDS:
        app.cli.add_command(command)
    return app


def _settings() -> Settings:
    return cast(Settings, current_app.extensions["taskbadger_settings"])


@click.command(cls=Command)
@click.option("--bind", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT")
@click.option("--workers", type=click.IntRange(1), help="Web workers; default: one per processor.")
@click.option("--threads", type=click.IntRange(1), help="Threads per web worker; default: 4.")
@click.option("--no-worker", is_flag=True, help="Do not run the background worker.")
@click.option("--no-migrate", is_flag=True, help="Do not apply migrations first.")
@click.option("--demo", is_flag=True, help="On an empty server, make a project, key and login.")
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
    """Run the web server and the background worker."""
    settings = _settings()
    if current_app.debug and not is_loopback(serving.parse_bind(bind)[0]):
        raise SettingsError(f"debug mode is refused on {bind}: others than this machine reach it")
    listener = serving.listen(bind)
    _warn_of_unknown_variables()
    if not no_migrate:
        _upgrade()
    address = settings.BASE_URL or serving.address_of(listener)
    click.echo(seed.welcome(seed.first_run(now=utcnow()) if demo else None, address))
    if not no_migrate and members.needs_set_up():
        click.echo("There is no user yet: open it to become the owner.")
    db.session.remove()
    db.engine.dispose()
    children = [
        serving.gunicorn(
            listener,
            workers=workers or serving.default_workers(),
            threads=threads or settings.THREADS,
        )
    ]
    if not no_worker:
        children += serving.background(settings, address)
    serving.Supervisor(children, listener).run()


def _warn_of_unknown_variables() -> None:
    for name in unknown_variables(os.environ):
        current_app.logger.warning("unknown setting", extra={"variable": name})


def _upgrade() -> None:
    """Apply the migrations, as soon as the database can be reached."""
    deadline = time.monotonic() + DATABASE_WAIT_SECONDS
    while True:
        try:
            flask_migrate.upgrade()
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise
            current_app.logger.warning(
                "cannot migrate yet; trying again", extra={"error": _explain(error)}
            )
            time.sleep(1)
        else:
            return


@click.command(cls=Command)
@with_appcontext
def worker() -> None:
    """Run the background worker alone; with TASKBADGER_BROKER_URL, Celery's worker and beat."""
    _warn_of_unknown_variables()
    settings = _settings()
    if settings.BROKER_URL:
        serving.Supervisor(serving.background(settings)).run()
    else:
        embedded.run(cast(Any, current_app)._get_current_object())


@click.group(cls=Group)
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command("create")
@click.argument("target", metavar="ORG/PROJECT|ORG")
@click.option("--name", default="command line", show_default=True, help="What the key is for.")
@click.option("--scopes", default=DEFAULT_SCOPES, show_default=True, help="Of ingest,read,admin.")
@with_appcontext
def create_key(target: str, name: str, scopes: str) -> None:
    """Make a key for a project, or for a whole organization, and print it.

    The organization and the project are made where they are missing.
    """
    now = utcnow()
    organization, project = _ensure_target(target, now)
    key, shown = accounts.create_key(organization, project, name=name, now=now, scopes=scopes)
    detail = f"{key.prefix}, {key.scopes}, {project.slug if project else 'all projects'}"
    audit.record(SERVER, organization.id, "key.create", name, detail, now=now)
    db.session.commit()
    click.echo(f"Key {key.id} of {target} ({key.scopes}); it is not shown again:", err=True)
    click.echo(shown)


def _ensure_target(target: str, now: datetime) -> tuple[Organization, Project | None]:
    slug, slash, project_slug = target.partition("/")
    organization = accounts.ensure_organization(slug, now=now)
    if not slash:
        return organization, None
    return organization, accounts.ensure_project(organization, project_slug, now=now)


@keys.command("list")
@with_appcontext
def list_keys() -> None:
    """List all keys, without their secrets."""
    row = "{:>5}  {:30} {:20} {:14} {:18} {:20} {}"
    found = accounts.list_keys()
    click.echo(row.format("ID", "OPENS", "NAME", "BEGINS", "SCOPES", "LAST USED", "STATE"))
    for key in found:
        used = to_wire(key.last_used)[:19] + "Z" if key.last_used else "never"
        click.echo(
            row.format(key.id, _opens(key), key.name, key.prefix, key.scopes, used, _state(key))
        )


def _opens(key: ApiKey) -> str:
    return f"{key.organization.slug}/{key.project.slug if key.project else '*'}"


def _state(key: ApiKey) -> str:
    if key.revoked:
        return "revoked"
    return "expired" if key.expires and key.expires <= utcnow() else "active"


@keys.command("revoke")
@click.argument("key_id", type=int)
@with_appcontext
def revoke_key(key_id: int) -> None:
    """Revoke a key; servers refuse it within 5 seconds."""
    now = utcnow()
    try:
        key = accounts.revoke_key(key_id, now=now)
    except NotFound as error:
        raise NotFound(f"there is no key {key_id}") from error
    audit.record(SERVER, key.organization_id, "key.revoke", key.name, key.prefix, now=now)
    db.session.commit()
    click.echo(f"Key {key_id} is revoked.")


@click.group(cls=Group)
def users() -> None:
    """Make the users of the dashboard."""


@users.command("create")
@click.argument("email")
@click.option("--org", required=True, help="The organization, made if it is missing.")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    help="Default: as before; for a new member owner of a new one, else member.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@with_appcontext
def create_user(email: str, org: str, role: str | None, *, password_stdin: bool) -> None:
    """Make a user with a password, or give one another password.

    A member keeps their role unless --role is given. A new password ends the user's sessions.
    """
    now = utcnow()
    address = _checked_email(email)
    password = _ask_password(stdin=password_stdin)
    passwords.check_strength(password, email=address)
    organization = accounts.ensure_organization(org, now=now)
    user = accounts.ensure_user(address, now=now)
    member = members.put_member(user, organization, role, actor=SERVER, now=now)
    password_hash = passwords.hash_password(password)
    members.change_password(user, password_hash, actor=SERVER, now=now)
    db.session.commit()
    click.echo(f"{address} is {member.role} of {org}.")


@users.command("disable")
@click.argument("email")
@with_appcontext
def disable_user(email: str) -> None:
    """Let a user sign in no more; their sessions end at once."""
    members.disable_user(_find_user(email), actor=SERVER, now=utcnow())
    db.session.commit()
    click.echo(f"{email} is disabled.")


@users.command("enable")
@click.argument("email")
@with_appcontext
def enable_user(email: str) -> None:
    """Let a disabled user sign in again."""
    members.enable_user(_find_user(email), actor=SERVER, now=utcnow())
    db.session.commit()
    click.echo(f"{email} is enabled.")


def _find_user(email: str) -> User:
    user = members.find_user(email)
    if user is None:
        raise NotFound(f"there is no user {email}")
    return user


def _checked_email(text: str) -> str:
    try:
        checked = email_validator.validate_email(text, check_deliverability=False)
    except email_validator.EmailNotValidError as error:
        raise ValidationFailed.one("email", f"{text}: {error}") from error
    return checked.normalized.lower()


def _ask_password(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


@click.group(cls=Group)
def openapi() -> None:
    """The OpenAPI document of the API."""


@openapi.command("write")
@click.argument("file", type=click.File("w", encoding="utf-8"))
def write_openapi(file: IO[str]) -> None:
    """Write the document as JSON; needs no server, database or settings."""
    # The address is never connected to; unlike a path it makes no folder.
    settings = Settings(
        SECRET_KEY=secrets.token_hex(32),
        DATABASE_URL="postgresql://localhost/",
        LOG_REQUESTS=False,
    )
    document = create_app(settings).test_client().get("/api/schema.json").json
    file.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


@click.command("seed", cls=Command)
@click.argument("target", default="demo/demo", metavar="[ORG/PROJECT]")
@click.option("--tasks", type=click.IntRange(1), help="Add so many plain tasks instead.")
@with_appcontext
def seed_command(target: str, tasks: int | None) -> None:
    """Add demo tasks in every status, with history and tags."""
    now = utcnow()
    organization, project = _ensure_target(target, now)
    if project is None:
        raise click.UsageError("seed needs ORG/PROJECT")
    ref = accounts.project_ref(project, organization)
    db.session.commit()
    if tasks:
        seed.bulk(ref, tasks, now=now)
    else:
        tasks = seed.demo(ref, now=now)
        db.session.commit()
    click.echo(f"{tasks} tasks added to {target}.")


@click.command("apply", cls=Command)
@click.argument("file", type=click.File("rb"), metavar="FILE.yaml")
@click.option("--org", help="The organization; default: the file's, or the only one.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--prune", is_flag=True, help="Remove what the file does not name.")
@with_appcontext
def apply_file(file: IO[bytes], org: str | None, *, dry_run: bool, prune: bool) -> None:
    """Make channels, global actions and monitors what a file says.

    Shows the changes and makes all of them, or none. ${NAME} in the file is taken from the
    environment.
    """
    document = read_apply_file(file.read(), file.name, os.environ)
    organization = apply.find_organization(document, org)
    changes = apply.apply(
        document, organization, prune=prune, context=sending.send_context(), now=utcnow()
    )
    if not changes:
        click.echo("nothing to change")
        return
    click.echo(apply_diff.write(changes))
    if dry_run:
        db.session.rollback()
        click.echo("dry run: nothing was changed")
        return
    db.session.commit()


COMMANDS: tuple[click.Command, ...] = (
    serve,
    worker,
    keys,
    users,
    apply_file,
    openapi,
    seed_command,
)

cli = Cli(
    create_app=_load,
    load_dotenv=False,
    add_version_option=False,
    params=[],
    help="Run and manage a Task Badger server.",
)
click.version_option(package_name="taskbadger-server")(cli)
for _command in COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Run ``taskbadger-server``."""
    cli.main(prog_name="taskbadger-server")


if __name__ == "__main__":
    main()
