"""Messages about a project or organization that was deleted since they were queued: not sent."""

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from taskbadger.channels import Message
from taskbadger.extensions import db
from taskbadger.models import Organization, Project
from taskbadger.services.delivery.claims import Claimed

ORGANIZATION = "its organization was deleted"
PROJECT = "its project was deleted"

_rest = aliased(Organization)
"""What is left of a project that was deleted."""


def why_unwanted(claimed: Claimed) -> str | None:
    """Return why a claimed delivery is not sent any more; None if it is. Read-only."""
    message = Message.from_json(claimed.message)
    deleted_at = (
        select(func.max(_rest.deleted_at))
        .join(Project, Project.organization_id == _rest.id)
        .where(_rest.deleted_from == Organization.id, Project.slug == message.project)
        .correlate(Organization)
        .scalar_subquery()
    )
    row = db.session.execute(
        select(Organization.deleted_at, Project.id, deleted_at)
        .join(
            Project,
            (Project.organization_id == Organization.id) & (Project.slug == message.project),
            isouter=True,
        )
        .where(Organization.id == claimed.organization_id)
    ).first()
    if row is None or row[0] is not None:
        return ORGANIZATION
    if message.project is None:
        return None
    # Another project may have got the same slug since.
    _, project_id, gone = row
    return PROJECT if project_id is None or (gone and message.created <= gone) else None
