"""Projects of an organization: finding, creating and changing them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, bindparam, select
from sqlalchemy.exc import IntegrityError

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Organization, Project
from taskbadger.services.organizations import audit, organizations, retention
from taskbadger.services.pagination import Cursor, Page, keyset_of, read_number, walk

CHANGEABLE = (
    "name",
    "public_pages",
    "public_data",
    "public_tags",
    *retention.FIELDS,
    "quiet_after",
)
_BY_ID = keyset_of(Project.id, read_number)
_REFS = (
    select(Project.id, Project.slug, Organization.id, Organization.slug)
    .join(Organization)
    .where(Project.id.in_(bindparam("ids", expanding=True)))
)


@dataclass(frozen=True, slots=True)
class NewProject:
    """The name of a new project or organization, and its slug in URLs."""

    name: str
    slug: str
    retention_days: int | None = None
    """How long the new project keeps tasks; None for ever."""


def list_projects(organization_id: int) -> list[Project]:
    """Return the projects of an organization, by name."""
    query = select(Project).where(Project.organization_id == organization_id)
    return list(db.session.scalars(query.order_by(Project.name, Project.id)))


def list_refs(project_ids: Collection[int]) -> dict[int, ProjectRef]:
    """Return these projects, as far as they exist, by their ids."""
    rows = db.session.execute(_REFS, {"ids": list(project_ids)}) if project_ids else ()
    return {row[0]: ProjectRef(*row) for row in rows}


def list_quiet_after(project_ids: Collection[int]) -> dict[int, timedelta]:
    """Return after how long without a failure incidents of names close, by their projects."""
    query = select(Project.id, Project.quiet_after).where(Project.id.in_(project_ids))
    rows = db.session.execute(query) if project_ids else ()
    return {row.id: timedelta(seconds=row.quiet_after) for row in rows}


def has_public_pages(project_id: int) -> bool:
    """Say whether a project shows public pages."""
    query = select(Project.public_pages).where(Project.id == project_id)
    return bool(db.session.scalar(query))


def page_of_projects(
    organization_id: int, cursor: Cursor | None, size: int, *, project_id: int | None = None
) -> Page[Project]:
    """Return a page of an organization's projects, or just *project_id*, oldest first."""
    return walk(_projects_of(organization_id, project_id), _BY_ID, cursor, size)


def find_project(organization_id: int, slug: str, *, project_id: int | None = None) -> Project:
    """Return the project *slug* of an organization, if it is *project_id* where that is given.

    Raises NotFound.
    """
    if not organizations.is_slug(slug):
        raise NotFound()
    query = _projects_of(organization_id, project_id).where(Project.slug == slug)
    found = db.session.scalar(query)
    if found is None:
        raise NotFound()
    return found


def _projects_of(organization_id: int, project_id: int | None) -> Select[Project]:
    query = select(Project).where(Project.organization_id == organization_id)
    return query if project_id is None else query.where(Project.id == project_id)


def list_project_refs(organization_id: int, organization: str) -> list[ProjectRef]:
    """Return the projects of an organization with their names, by slug."""
    query = (
        select(Project.id, Project.slug, Project.name)
        .where(Project.organization_id == organization_id)
        .order_by(Project.slug)
    )
    return [
        ProjectRef(row.id, row.slug, organization_id, organization, row.name)
        for row in db.session.execute(query)
    ]


def create_project(
    organization: Organization, wanted: NewProject, *, actor: Actor, now: datetime
) -> Project:
    """Create a project; raises ValidationFailed for a slug that is malformed or taken."""
    project = Project(
        organization_id=organization.id,
        slug=organizations.checked_slug(wanted.slug),
        name=wanted.name,
        retention_days=wanted.retention_days,
        created=now,
    )
    try:
        with db.session.begin_nested():
            db.session.add(project)
    except IntegrityError as error:
        detail = f"This organization already has a project “{wanted.slug}”."
        raise ValidationFailed.one("slug", detail) from error
    audit.record(actor, organization.id, "project.create", project.slug, wanted.name, now=now)
    return project


def change_project(
    project: Project, values: Mapping[str, object], *, actor: Actor, now: datetime
) -> None:
    """Change the fields in CHANGEABLE. The slug never changes: keys and links contain it.

    To be called by ``services/incidents/quiet.py``, which moves the ends of open incidents.
    """
    before = fields_of(project)
    after = before | {name: values[name] for name in CHANGEABLE if name in values}
    for name, value in after.items():
        setattr(project, name, value)
    organization_id = project.organization_id
    audit.record_change(
        actor, organization_id, "project.change", project.slug, before, after, now=now
    )


def fields_of(project: Project) -> dict[str, object]:
    """Return the fields in CHANGEABLE."""
    return {name: getattr(project, name) for name in CHANGEABLE}


def ensure_project(
    organization: Organization,
    slug: str,
    *,
    actor: Actor,
    now: datetime,
    name: str | None = None,
    retention_days: int | None = None,
) -> Project:
    """Return the project *slug* of *organization*; if it is missing, create it like this."""
    query = _projects_of(organization.id, None).where(Project.slug == slug)
    return db.session.scalar(query) or create_project(
        organization, NewProject(name or slug, slug, retention_days), actor=actor, now=now
    )


def project_ref(project: Project, organization: Organization) -> ProjectRef:
    """Return the reference that services pass around in place of *project*."""
    return ProjectRef(project.id, project.slug, organization.id, organization.slug, project.name)


def find_project_ref(organization_id: int, organization: str, slug: str) -> ProjectRef:
    """Return the project *slug* of an organization, without its name; raises NotFound."""
    if not organizations.is_slug(slug):
        raise NotFound()
    row = db.session.scalar(
        select(Project.id).where(Project.organization_id == organization_id, Project.slug == slug)
    )
    if row is None:
        raise NotFound()
    return ProjectRef(row, slug, organization_id, organization)
