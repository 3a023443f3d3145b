"""``keys``: create, list and revoke API keys."""

from datetime import datetime

import click
from flask.cli import with_appcontext

from taskbadger.cli.commands import Group
from taskbadger.cli.lists import json_option, print_list
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import ApiKey, Organization, Project
from taskbadger.models.account import DEFAULT_SCOPES
from taskbadger.process import current_process
from taskbadger.services.organizations import keys, organizations, projects


@click.group("keys", cls=Group)
def key_commands() -> None:
    """Create, list and revoke API keys."""


@key_commands.command("create")
@click.argument("target", metavar="ORG/PROJECT|ORG")
@click.option("--name", default="command line", show_default=True, help="What the key is for.")
@click.option(
    "--scopes",
    default=DEFAULT_SCOPES,
    show_default=True,
    help="Comma-separated: ingest, read, ping, admin.",
)
@with_appcontext
def create_key(target: str, name: str, scopes: str) -> None:
    """Create a key for a project, or for all projects of an organization, and print it.

    The organization and the project are created if they do not exist.
    """
    now = utcnow()
    organization, project = ensure_target(target, now)
    key, shown = keys.create_key(
        organization, project, name=name, actor=SERVER, now=now, scopes=scopes
    )
    db.session.commit()
    click.echo(f"Key {key.id} of {target} ({key.scopes}); it is shown only once:", err=True)
    click.echo(shown)


def ensure_target(target: str, now: datetime) -> tuple[Organization, Project | None]:
    """Return the organization and project of ``ORG/PROJECT`` or ``ORG``; create missing ones."""
    slug, slash, project_slug = target.partition("/")
    organization = organizations.ensure_organization(slug, actor=SERVER, now=now)
    if not slash:
        return organization, None
    project = projects.ensure_project(
        organization,
        project_slug,
        actor=SERVER,
        now=now,
        retention_days=current_process().settings.default_retention,
    )
    return organization, project


@key_commands.command("list")
@json_option
@with_appcontext
def list_keys(*, as_json: bool) -> None:
    """List all keys, without their secrets."""
    rows = [
        {
            "id": key.id,
            "opens": _opens(key),
            "name": key.name,
            "begins": key.prefix,
            "scopes": key.scopes,
            "last_used": to_wire(key.last_used)[:19] + "Z" if key.last_used else None,
            "state": _state(key),
        }
        for key in keys.list_keys()
    ]
    columns = ("id", "opens", "name", "begins", "scopes", "last_used", "state")
    print_list(rows, columns, as_json=as_json)


def _opens(key: ApiKey) -> str:
    return f"{key.organization.slug}/{key.project.slug if key.project else '*'}"


def _state(key: ApiKey) -> str:
    if key.revoked:
        return "revoked"
    return "expired" if key.expires and key.expires <= utcnow() else "active"


@key_commands.command("revoke")
@click.argument("key_id", type=int)
@with_appcontext
def revoke_key(key_id: int) -> None:
    """Revoke a key; it stops working within 5 seconds."""
    key = db.session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"there is no key {key_id}")
    keys.revoke_key(key, actor=SERVER, now=utcnow())
    db.session.commit()
    click.echo(f"Key {key_id} has been revoked.")
