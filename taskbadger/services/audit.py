"""The audit log: every change that a person or an admin key made."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from taskbadger.domain import changes
from taskbadger.extensions import db
from taskbadger.models import AuditEntry, Membership
from taskbadger.services.accounts import Actor

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
    """Note that *actor* did *verb* (as ``key.revoke``) to *subject*, in the caller's transaction.

    Never pass a secret in *detail*: the log is shown.
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
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    is_secret: changes.IsSecret = changes.no_secret,
    now: datetime,
) -> bool:
    """Note which fields differ, as ``name: old → new``; return whether any does."""
    lines = changes.describe(before, after, is_secret)
    if lines:
        record(actor, organization_id, verb, subject, "; ".join(lines), now=now)
    return bool(lines)


def record_for_user(
    actor: Actor, user_id: int, verb: str, subject: str, detail: str = "", *, now: datetime
) -> None:
    """Note a change of a user's own account in every organization they belong to."""
    query = select(Membership.organization_id).where(Membership.user_id == user_id)
    for organization_id in db.session.scalars(query):
        record(actor, organization_id, verb, subject, detail, now=now)


def list_entries(
    organization_id: int, *, before: int | None = None, search: str = ""
) -> list[AuditEntry]:
    """Return up to PAGE_SIZE + 1 entries, newest first, older than the entry *before*.

    With *search*, those that have the text anywhere, in capitals or not.
    """
    query = select(AuditEntry).where(AuditEntry.organization_id == organization_id)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    if search:
        query = query.where(or_(*(one.icontains(search, autoescape=True) for one in _SEARCHED)))
    query = query.order_by(AuditEntry.id.desc()).limit(PAGE_SIZE + 1)
    return list(db.session.scalars(query))
