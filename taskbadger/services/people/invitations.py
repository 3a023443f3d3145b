"""Invitations: links, each shown once, that make one person a member."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, select, update
from sqlalchemy.orm import contains_eager, joinedload

from taskbadger.domain import roles
from taskbadger.domain.identity import Actor
from taskbadger.domain.invitation_links import digest_of
from taskbadger.domain.keys import digest
from taskbadger.errors import NotFound, PermissionDenied, ValidationFailed
from taskbadger.extensions import db, delete_some
from taskbadger.models import Invitation, Membership, Organization, User
from taskbadger.services.organizations import audit
from taskbadger.services.people import members, sessions

KEPT = timedelta(days=90)
"""How long invitations are kept after they expired."""
_TABLE = cast(Table, Invitation.__table__)


class InvitationGone(NotFound):
    """This invitation was used or withdrawn, or it has expired. Ask for a new one."""

    title = "This invitation is no longer valid"
    """The title of the page that shows this error."""


def invite(
    organization: Organization,
    *,
    email: str,
    role: str,
    lasting: timedelta,
    actor: Actor,
    actor_role: str,
    now: datetime,
) -> str:
    """Invite an address; return the token for the link, which is not stored.

    Earlier invitations of the same address end. Raises PermissionDenied and ValidationFailed.
    """
    if not roles.may_grant(actor_role, role):
        raise PermissionDenied(f"Your role ({actor_role}) cannot grant the role {role}.")
    if _is_member(organization.id, email):
        raise ValidationFailed.one("email", f"{email} is already a member.", "unique")
    for earlier in list_open(organization.id, now=now):
        if earlier.email == email:
            db.session.delete(earlier)
    token = sessions.new_token()
    db.session.add(
        Invitation(
            organization_id=organization.id,
            email=email,
            role=role,
            digest=digest(token),
            invited_by=actor.name,
            created=now,
            expires=now + lasting,
        )
    )
    audit.record(actor, organization.id, "member.invite", email, role, now=now)
    return token


def list_open(organization_id: int, *, now: datetime) -> Sequence[Invitation]:
    """Return the valid invitations of an organization, oldest first."""
    return db.session.scalars(
        select(Invitation)
        .where(
            Invitation.organization_id == organization_id,
            Invitation.used.is_(None),
            Invitation.expires > now,
        )
        .order_by(Invitation.id)
    ).all()


def list_for(email: str, *, now: datetime) -> Sequence[Invitation]:
    """Return the valid invitations of an address, with their organizations."""
    return db.session.scalars(
        select(Invitation)
        .where(Invitation.email == email, Invitation.used.is_(None), Invitation.expires > now)
        .options(joinedload(Invitation.organization))
        .order_by(Invitation.id)
    ).all()


def find(token: str, *, now: datetime, secret_keys: str | Sequence[str] = "") -> Invitation:
    """Return the invitation of a link, with its organization; raises InvitationGone.

    One of *secret_keys* has signed the links of mails.
    """
    invitation = db.session.scalar(
        select(Invitation)
        .join(Invitation.organization)
        .where(
            Invitation.digest == digest_of(token, secret_keys),
            Invitation.used.is_(None),
            Invitation.expires > now,
        )
        .options(contains_eager(Invitation.organization))
    )
    if invitation is None:
        raise InvitationGone()
    return invitation


def take(invitation: Invitation, *, now: datetime) -> None:
    """Mark an invitation as used; raises InvitationGone if another request used it first."""
    taken = db.session.execute(
        update(Invitation)
        .where(Invitation.id == invitation.id, Invitation.used.is_(None))
        .values(used=now)
        .returning(Invitation.id)
    ).first()
    if taken is None:
        raise InvitationGone()


def join(invitation: Invitation, user: User, *, now: datetime) -> None:
    """Make *user* a member by an invitation that was just taken; members keep their role."""
    organization, actor = invitation.organization, Actor("user", user.email)
    verb = "member.join"
    if _is_member(organization.id, user.email):
        audit.record(actor, organization.id, verb, user.email, "already a member", now=now)
    else:
        members.add_member(user, organization, invitation.role, actor=actor, now=now, verb=verb)


def withdraw(organization_id: int, invitation_id: int, *, actor: Actor, now: datetime) -> None:
    """Withdraw an invitation; raises NotFound, also for one that was used."""
    invitation = db.session.get(Invitation, invitation_id)
    if invitation is None or invitation.organization_id != organization_id or invitation.used:
        raise NotFound()
    audit.record(actor, organization_id, "member.uninvite", invitation.email, now=now)
    db.session.delete(invitation)


def _is_member(organization_id: int, email: str) -> bool:
    query = (
        select(Membership.id)
        .join(Membership.user)
        .where(Membership.organization_id == organization_id, User.email == email)
    )
    return db.session.scalar(query) is not None


def purge(*, now: datetime, limit: int = 500) -> int:
    """Delete up to *limit* invitations, used or not, that expired long ago; return how many."""
    return delete_some(_TABLE, _TABLE.c.expires < now - KEPT, limit=limit)
