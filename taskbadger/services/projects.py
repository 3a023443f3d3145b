"""Projects of an organization: making, naming and changing them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Organization, Project
from taskbadger.services import accounts, audit
from taskbadger.services.accounts import Actor

CHANGEABLE = ("name", "public_pages", "public_data", "public_tags", "retention_days")


@dataclass(frozen=True, slots=True)
class NewProject:
    """What a new project or organization is called, and what stands for it in URLs."""

    name: str
    slug: str


def list_projects(organization_id: int) -> list[Project]:
    """Return the projects of an organization, by name."""
    query = select(Project).where(Project.organization_id == organization_id)
    return list(db.session.scalars(query.order_by(Project.name, Project.id)))


def create_project(
    organization: Organization, wanted: NewProject, *, actor: Actor, now: datetime
) -> Project:
    """Make a project; raises ValidationFailed for a slug that is wrong or taken."""
    project = Project(
        organization_id=organization.id,
        slug=accounts.checked_slug(wanted.slug),
        name=wanted.name,
        created=now,
    )
    try:
        with db.session.begin_nested():
            db.session.add(project)
    except IntegrityError as error:
        detail = f"This organization has a project “{wanted.slug}” already."
        raise ValidationFailed.one("slug", detail) from error
    audit.record(actor, organization.id, "project.create", project.slug, wanted.name, now=now)
    return project


def change_project(
    project: Project, values: Mapping[str, Any], *, actor: Actor, now: datetime
) -> None:
    """Change what CHANGEABLE lists; the slug stays, since keys and links hold it."""
    before = {name: getattr(project, name) for name in CHANGEABLE}
    after = before | {name: values[name] for name in CHANGEABLE if name in values}
    for name, value in after.items():
        setattr(project, name, value)
    organization_id = project.organization_id
    audit.record_change(
        actor, organization_id, "project.change", project.slug, before, after, now=now
    )
