"""Closing: nobody finds a deleted project or organization any more, from one moment on.

An organization loses its members, keys and invitations, and its slug becomes one that no address
can have. A project moves to such an organization of its own, which nobody belongs to. So every
question that goes by an organization, its slug or its members finds nothing, and both are the same
to whoever erases the rows: `services/deletion/erasing.py`.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

from sqlalchemy import Delete, Update, delete, or_, select, update

from taskbadger.domain.identity import Actor
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import (
    ApiKey,
    GlobalAction,
    Incident,
    Invitation,
    MaintenanceWindow,
    Membership,
    Monitor,
    Organization,
    Project,
    SavedView,
)
from taskbadger.models.types import Query
from taskbadger.services.organizations import audit

log = logging.getLogger(__name__)


class Deletion(NamedTuple):
    """Something that was deleted, and whose rows are not all gone yet."""

    id: int
    """Of the organization that what is left belongs to."""
    name: str
    label: str
    """``acme``, or ``acme/web`` for a project."""
    since: datetime
    origin: int | None
    """Of a project: the organization that it belonged to."""


def delete_project(
    organization: Organization, project_id: int, *, actor: Actor, now: datetime
) -> Deletion:
    """Take a project away from its organization; raises NotFound if somebody else just did."""
    project = db.session.scalar(
        select(Project)
        .where(Project.id == project_id, Project.organization_id == organization.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if project is None:
        raise NotFound()
    rest = Organization(
        slug=_no_slug(),
        name=project.name,
        created=now,
        deleted_at=now,
        deleted_as=f"{organization.slug}/{project.slug}",
        deleted_from=organization.id,
    )
    db.session.add(rest)
    db.session.flush()
    for statement in _moves(organization, project, rest.id):
        _execute(statement)
    audit.record(actor, organization.id, "project.delete", project.slug, project.name, now=now)
    return _deletion_of(rest.id)


def _moves(organization: Organization, project: Project, rest_id: int) -> Sequence[Delete | Update]:
    """Return what takes a project and what belongs to it out of its organization."""
    moved = {"organization_id": rest_id}
    of_monitors = select(Monitor.id).where(Monitor.project_id == project.id)
    return (
        delete(ApiKey).where(ApiKey.project_id == project.id),
        delete(SavedView).where(
            SavedView.organization_id == organization.id, SavedView.project == project.slug
        ),
        update(GlobalAction)
        .where(GlobalAction.project_id == project.id)
        .values(enabled=False, **moved),
        update(MaintenanceWindow)
        .where(
            MaintenanceWindow.organization_id == organization.id,
            or_(
                MaintenanceWindow.project_id == project.id,
                MaintenanceWindow.monitor_id.in_(of_monitors),
            ),
        )
        .values(moved),
        # Those that are closed are found by their project.
        update(Incident)
        .where(
            Incident.organization_id == organization.id,
            Incident.project_id == project.id,
            Incident.closed_at.is_(None),
        )
        .values(moved),
        update(Project).where(Project.id == project.id).values(public_pages=False, **moved),
    )


def delete_organization(organization: Organization, *, actor: Actor, now: datetime) -> Deletion:
    """Take an organization away from its members; raises NotFound if somebody else just did.

    Its audit log goes with it, so the log of the server says who did it.
    """
    found = db.session.scalar(
        select(Organization)
        .where(Organization.id == organization.id, Organization.deleted_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound()
    slug = found.slug
    found.slug, found.deleted_at, found.deleted_as = _no_slug(), now, slug
    db.session.flush()
    owned = found.id
    for statement in (
        delete(ApiKey).where(ApiKey.organization_id == owned),
        delete(Membership).where(Membership.organization_id == owned),
        delete(Invitation).where(Invitation.organization_id == owned),
        update(Project).where(Project.organization_id == owned).values(public_pages=False),
    ):
        _execute(statement)
    log.warning("organization deleted", extra={"organization": slug, "actor": actor.name})
    return _deletion_of(owned)


def _no_slug() -> str:
    """Return what no address can have in place of a slug."""
    return f"~{uuid4().hex}"


def _execute(statement: Delete | Update) -> None:
    db.session.execute(statement.execution_options(synchronize_session=False))


_DELETIONS: Query = (
    select(
        Organization.id,
        Organization.name,
        Organization.deleted_as,
        Organization.deleted_at,
        Organization.deleted_from,
    )
    .where(Organization.deleted_at.is_not(None))
    .order_by(Organization.deleted_at, Organization.id)
)


def list_deletions(*, origin: int | None = None, label: str | None = None) -> Sequence[Deletion]:
    """Return what is being deleted, the oldest first: all, of one organization, or of a label."""
    query = _DELETIONS
    if origin is not None:
        query = query.where(Organization.deleted_from == origin)
    if label is not None:
        query = query.where(Organization.deleted_as == label)
    return [Deletion(*row) for row in db.session.execute(query)]


def _deletion_of(organization_id: int) -> Deletion:
    query = _DELETIONS.where(Organization.id == organization_id)
    return Deletion(*db.session.execute(query).one())
