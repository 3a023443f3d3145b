"""The audit log: changes made by people, admin keys, plug-ins and the command line.

Services record their own changes; their callers do not.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import or_, select

from taskbadger.domain import changes
from taskbadger.domain.identity import Actor
from taskbadger.extensions import db
from taskbadger.models import AuditEntry, Membership

PAGE_SIZE = 50
_SEARCHED = (AuditEntry.actor_name, AuditEntry.verb, AuditEntry.subject, AuditEntry.detail)


def record(
    actor: Actor,
    organization_id: int,
    verb: str,
    subject: str,
    detail: str = "",
    *,
    now: datetime,
) -> None:
    """Record that *actor* did *verb*, such as ``key.revoke``, to *subject*.

    *detail* must not hold a secret: members with READ_AUDIT_LOG see it.
    """
    db.session.add(
        AuditEntry(
            organization_id=organization_id,
            created=now,
            actor_type=actor.type,
            actor_name=actor.name[:255],
            verb=verb,
            subject=subject[:255],
            detail=detail,
        )
    )


def record_change(
    actor: Actor,
    organization_id: int,
    verb: str,
    subject: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
    *,
    is_secret: changes.IsSecret = changes.no_secret,
    now: datetime,
) -> bool:
    """Record which fields differ, as ``name: old → new``; return whether any does."""
    lines = changes.describe(before, after, is_secret)
    if lines:
        record(actor, organization_id, verb, subject, "; ".join(lines), now=now)
    return bool(lines)


def record_for_user(
    actor: Actor, user_id: int, verb: str, subject: str, detail: str = "", *, now: datetime
) -> None:
    """Record a change of a user's account in each organization that they belong to."""
    query = select(Membership.organization_id).where(Membership.user_id == user_id)
    for organization_id in db.session.scalars(query):
        record(actor, organization_id, verb, subject, detail, now=now)


def list_entries(
    organization_id: int, *, before: int | None = None, search: str = ""
) -> list[AuditEntry]:
    """Return up to PAGE_SIZE + 1 entries, newest first, older than the entry *before*.

    *search* keeps those with this text in any field, ignoring case.
    """
    query = select(AuditEntry).where(AuditEntry.organization_id == organization_id)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    if search:
        query = query.where(
            or_(*(column.icontains(search, autoescape=True) for column in _SEARCHED))
        )
    query = query.order_by(AuditEntry.id.desc()).limit(PAGE_SIZE + 1)
    return list(db.session.scalars(query))
