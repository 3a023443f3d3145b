"""Invitations: a link, shown once, that makes one person a member."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import contains_eager, joinedload

from taskbadger.domain import roles
from taskbadger.domain.keys import digest
from taskbadger.errors import NotFound, PermissionDenied, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Invitation, Membership, Organization, User
from taskbadger.services import accounts, audit, sessions
from taskbadger.services.accounts import Actor


class InvitationGone(NotFound):
    """This invitation was used, withdrawn or is too old. Ask for another one."""

    title = "This invitation is over"
    """What a page about it is called."""


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
    """Invite an address; return the token for the link, which cannot be shown again.

    An earlier invitation of the same address ends. Raises PermissionDenied and ValidationFailed.
    """
    if not roles.may_grant(actor_role, role):
        raise PermissionDenied(f"Your role, {actor_role}, cannot give the role {role}.")
    if _is_member(organization.id, email):
        raise ValidationFailed.one("email", f"{email} is a member already.", "unique")
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
    """Return the invitations that still work, oldest first."""
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
    """Return the invitations of an address that still work, with their organizations."""
    return db.session.scalars(
        select(Invitation)
        .where(Invitation.email == email, Invitation.used.is_(None), Invitation.expires > now)
        .options(joinedload(Invitation.organization))
        .order_by(Invitation.id)
    ).all()


def find(token: str, *, now: datetime) -> Invitation:
    """Return the invitation of a link, with its organization; raises InvitationGone."""
    invitation = db.session.scalar(
        select(Invitation)
        .join(Invitation.organization)
        .where(
            Invitation.digest == digest(token), Invitation.used.is_(None), Invitation.expires > now
        )
        .options(contains_eager(Invitation.organization))
    )
    if invitation is None:
        raise InvitationGone()
    return invitation


def take(invitation: Invitation, *, now: datetime) -> None:
    """Use an invitation up; raises InvitationGone when somebody was faster."""
    taken = db.session.execute(
        update(Invitation)
        .where(Invitation.id == invitation.id, Invitation.used.is_(None))
        .values(used=now)
        .returning(Invitation.id)
    ).first()
    if taken is None:
        raise InvitationGone()


def join(invitation: Invitation, user: User, *, now: datetime) -> None:
    """Make *user* a member by an invitation that was just taken; a member keeps their role."""
    organization = invitation.organization
    if not _is_member(organization.id, user.email):
        accounts.set_membership(user, organization, invitation.role, now=now)
    actor = Actor("user", user.email)
    audit.record(actor, organization.id, "member.join", user.email, invitation.role, now=now)


def withdraw(organization_id: int, invitation_id: int, *, actor: Actor, now: datetime) -> None:
    """Make an invitation's link useless; raises NotFound."""
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
