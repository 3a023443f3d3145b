"""The commands of ``taskbadger-server``, also available from ``flask --app wsgi …``."""

import sys
from copy import copy
from typing import Any, Never

import click
from flask import Flask
from flask.cli import FlaskGroup

from taskbadger.app import create_app
from taskbadger.cli.apply import apply_file
from taskbadger.cli.backup import backup_command, restore_command
from taskbadger.cli.commands import placeholder_settings, plain_errors
from taskbadger.cli.doctor import doctor_command
from taskbadger.cli.keys import key_commands
from taskbadger.cli.openapi import openapi
from taskbadger.cli.organizations import organization_commands, project_commands
from taskbadger.cli.seed import seed_command
from taskbadger.cli.serve import serve, worker
from taskbadger.cli.users import user_commands
from taskbadger.errors import SettingsError

_APP_LOAD_ERROR = 4
"""The exit status that tells gunicorn not to restart the process."""


class Cli(FlaskGroup):
    """``taskbadger-server``: our commands, Flask's own, and those of plug-ins.

    Help needs no settings: without them, commands come from an application with placeholder
    settings, which only lists its commands.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List all commands. Touches no database and makes no folder."""
        self._load_plugin_commands()
        return sorted({*self.commands, *_described_commands(ctx)})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command. If the settings are invalid, a plug-in's can only show its help."""
        if name in ctx.meta.get(_DESCRIBED, {}):
            return _described_commands(ctx)[name]
        try:
            return super().get_command(ctx, name)
        except click.ClickException as error:
            command = _described_commands(ctx).get(name)
            return command and _failing(command, error)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; errors are printed as one line."""
        with plain_errors():
            return super().invoke(ctx)


_DESCRIBED = "taskbadger.cli.described"


def _described_commands(ctx: click.Context) -> dict[str, click.Command]:
    """Return the commands that plug-ins add, from an application without real settings."""
    if _DESCRIBED not in ctx.meta:
        try:
            ctx.meta[_DESCRIBED] = create_app(placeholder_settings()).cli.commands
        except Exception as error:
            # Help is also for those whose plug-in is broken.
            notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
            click.echo(f"Error: {error}{notes}", err=True)
            ctx.meta[_DESCRIBED] = {}
    commands: dict[str, click.Command] = ctx.meta[_DESCRIBED]
    return commands


def _failing(command: click.Command, error: click.ClickException) -> click.Command:
    """Return a command with the help of *command* that raises *error* when it is run."""

    def invoke(_ctx: click.Context) -> Never:
        raise error

    failing = copy(command)
    failing.invoke = invoke  # type: ignore[assignment, method-assign]  # of a copy
    return failing


def _load() -> Flask:
    with plain_errors():
        return create_app()


def load_wsgi() -> Flask:
    """Return the application for a WSGI server or ``flask``; exit if the settings are invalid."""
    try:
        app = create_app()
    except SettingsError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_APP_LOAD_ERROR)
    for command in COMMANDS:
        app.cli.add_command(command)
    return app


COMMANDS: tuple[click.Command, ...] = (
    serve,
    worker,
    key_commands,
    user_commands,
    organization_commands,
    project_commands,
    doctor_command,
    backup_command,
    restore_command,
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
