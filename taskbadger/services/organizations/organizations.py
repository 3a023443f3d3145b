"""Organizations, and the slugs of organizations and projects."""

import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from taskbadger.domain import slugs
from taskbadger.domain.identity import Actor
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Organization
from taskbadger.services.organizations import audit

RESERVED = frozenset({"v1", "v2", "v3"})
"""Slugs that no new organization gets: the API of Healthchecks has these paths below ``/api/``."""
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,48}[a-z0-9])?", re.ASCII)


def list_organizations() -> Sequence[Organization]:
    """Return all organizations of the server, oldest first."""
    query = select(Organization).where(Organization.deleted_at.is_(None))
    return db.session.scalars(query.order_by(Organization.id)).all()


def find_organization(slug: str) -> Organization | None:
    """Return the organization *slug*, or None."""
    query = select(Organization).where(Organization.deleted_at.is_(None))
    return db.session.scalar(query.where(Organization.slug == slug))


def ensure_organization(
    slug: str, *, actor: Actor, now: datetime, name: str | None = None
) -> Organization:
    """Return the organization *slug*, created if it is missing; raises ValidationFailed."""
    organization = find_organization(slug)
    if organization is None:
        slug = checked_organization_slug(slug)
        organization = Organization(slug=slug, name=name or slug, created=now)
        db.session.add(organization)
        db.session.flush()
        audit.record(
            actor, organization.id, "organization.create", slug, organization.name, now=now
        )
    return organization


def rename_organization(
    organization: Organization, name: str, *, actor: Actor, now: datetime
) -> None:
    """Rename an organization. Its slug never changes: keys and links contain it."""
    before, organization.name = organization.name, name
    audit.record_change(
        actor,
        organization.id,
        "organization.rename",
        organization.slug,
        {"name": before},
        {"name": name},
        now=now,
    )


def is_slug(text: str) -> bool:
    """Say whether *text* is a valid slug."""
    return _SLUG.fullmatch(text) is not None


def checked_slug(slug: str) -> str:
    """Return *slug*; raises ValidationFailed if it is malformed."""
    if not is_slug(slug):
        raise ValidationFailed.one(
            "slug",
            f"“{slug}” is not a valid slug. Use 1 to 50 of a-z, 0-9, - and _; "
            "start and end with a letter or digit.",
        )
    return slug


def checked_organization_slug(slug: str) -> str:
    """Return *slug*; raises ValidationFailed if no organization may have it."""
    if slug in RESERVED:
        detail = f"“{slug}” is reserved: it is a version of the API of Healthchecks."
        raise ValidationFailed.one("slug", detail)
    return checked_slug(slug)


def slug_for(name: str) -> str:
    """Return a slug made from *name*; ``main`` if no character of it can be used."""
    return slugs.from_name(name, 50) or "main"


def organization_slug_for(name: str) -> str:
    """Return a slug for an organization, made from *name*."""
    return slugs.first_free(slug_for(name), RESERVED, 50)
