"""Organizations, and the slugs of organizations and projects."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from taskbadger.domain.identity import Actor
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Organization
from taskbadger.services.organizations import audit

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,48}[a-z0-9])?", re.ASCII)


def list_organizations() -> Sequence[Organization]:
    """Return all organizations of the server, oldest first."""
    return db.session.scalars(select(Organization).order_by(Organization.id)).all()


def ensure_organization(
    slug: str, *, actor: Actor, now: datetime, name: str | None = None
) -> Organization:
    """Return the organization *slug*, created if it is missing; raises ValidationFailed."""
    organization = db.session.scalar(select(Organization).where(Organization.slug == slug))
    if organization is None:
        organization = Organization(slug=checked_slug(slug), name=name or slug, created=now)
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


def slug_for(name: str) -> str:
    """Return a slug made from *name*; ``main`` if no character of it can be used."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:50].strip("-") or "main"
