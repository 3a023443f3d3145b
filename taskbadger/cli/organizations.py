"""``organizations`` and ``projects``: what there is, new names, and deleting them."""

import click
from flask.cli import with_appcontext

from taskbadger.cli.commands import Group
from taskbadger.cli.deleting import confirm, erase_all, show_counts, yes_option
from taskbadger.cli.lists import json_option, print_list
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Organization, Project
from taskbadger.services.deletion import closing, counting
from taskbadger.services.organizations import organizations, projects, retention

_NAME_LENGTH = 255


@click.group("organizations", cls=Group)
def organization_commands() -> None:
    """List, rename and delete organizations."""


@organization_commands.command("list")
@json_option
@with_appcontext
def list_organizations(*, as_json: bool) -> None:
    """List all organizations, oldest first."""
    rows = [
        {
            "slug": each.slug,
            "name": each.name,
            "projects": [project.slug for project in projects.list_projects(each.id)],
            "created": to_wire(each.created),
        }
        for each in organizations.list_organizations()
    ]
    print_list(rows, ("slug", "name", "projects", "created"), as_json=as_json)


@organization_commands.command("rename")
@click.argument("slug")
@click.argument("name")
@with_appcontext
def rename_organization(slug: str, name: str) -> None:
    """Give an organization a new name. Its slug stays: keys and links contain it."""
    organization = _find(slug)
    if not name.strip() or len(name) > _NAME_LENGTH:
        raise ValidationFailed.one("name", f"A name has 1 to {_NAME_LENGTH} characters.")
    organizations.rename_organization(organization, name.strip(), actor=SERVER, now=utcnow())
    db.session.commit()
    click.echo(f"{slug} is called {name.strip()}.")


@organization_commands.command("delete")
@click.argument("slug")
@yes_option
@with_appcontext
def delete_organization(slug: str, *, yes: bool) -> None:
    """Delete an organization, with its projects and all that they have.

    Its keys and its pages end at once; then its rows are deleted, while the server goes on. If that
    is cut off, a background worker does the rest, or the same command again.
    """
    organization = organizations.find_organization(slug)
    if organization is not None:
        show_counts(slug, counting.count_organization(organization))
        confirm(slug, yes=yes)
        closing.delete_organization(_find(slug), actor=SERVER, now=utcnow())
        db.session.commit()
    _finish(slug, f"there is no organization {slug}")


def _finish(label: str, missing: str) -> None:
    """Erase what is left of all that was deleted under this name; raises NotFound."""
    deletions = closing.list_deletions(label=label)
    if not deletions:
        raise NotFound(missing)
    erase_all(deletions)
    click.echo(f"{label} has been deleted.")


def _find(slug: str) -> Organization:
    organization = organizations.find_organization(slug)
    if organization is None:
        raise NotFound(f"there is no organization {slug}")
    return organization


@click.group("projects", cls=Group)
def project_commands() -> None:
    """List and delete projects."""


@project_commands.command("list")
@click.option("--org", help="Only those of this organization.")
@json_option
@with_appcontext
def list_projects(org: str | None, *, as_json: bool) -> None:
    """List all projects, by organization."""
    chosen = [_find(org)] if org is not None else organizations.list_organizations()
    rows = [
        {
            "project": f"{organization.slug}/{project.slug}",
            "name": project.name,
            **{name: getattr(project, name) for name in retention.FIELDS},
            "created": to_wire(project.created),
        }
        for organization in chosen
        for project in projects.list_projects(organization.id)
    ]
    print_list(rows, ("project", "name", *retention.FIELDS, "created"), as_json=as_json)


@project_commands.command("delete")
@click.argument("target", metavar="ORG/PROJECT")
@yes_option
@with_appcontext
def delete_project(target: str, *, yes: bool) -> None:
    """Delete a project, with its tasks and all else that it has.

    Its keys and its pages end at once; then its rows are deleted, while the server goes on. If that
    is cut off, a background worker does the rest, or the same command again.
    """
    project = _find_project(target)
    if project is not None:
        show_counts(target, counting.count_project(project))
        confirm(target, yes=yes)
        organization = db.session.get_one(Organization, project.organization_id)
        closing.delete_project(organization, project.id, actor=SERVER, now=utcnow())
        db.session.commit()
    _finish(target, f"there is no project {target}")


def _find_project(target: str) -> Project | None:
    """Return the project ``ORG/PROJECT``, or None."""
    slug, _, project = target.partition("/")
    organization = organizations.find_organization(slug)
    if organization is None:
        return None
    try:
        return projects.find_project(organization.id, project)
    except NotFound:
        return None
