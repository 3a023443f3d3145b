"""Members of organizations and their roles."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import contains_eager, joinedload

from taskbadger.domain import roles
from taskbadger.domain.identity import Actor
from taskbadger.errors import Conflict, NotFound, PermissionDenied, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Membership, Organization, User
from taskbadger.services.organizations import audit
from taskbadger.services.pagination import Cursor, Page, keyset_of, read_number, walk

_BY_ID = keyset_of(Membership.id, read_number)


class LastOwner(Conflict):
    """An organization needs an owner. Make someone else an owner first."""


def list_members(organization_id: int) -> Sequence[Membership]:
    """Return the members of an organization with their users, oldest first."""
    return db.session.scalars(
        select(Membership)
        .where(Membership.organization_id == organization_id)
        .options(joinedload(Membership.user))
        .order_by(Membership.id)
    ).all()


def page_of_members(organization_id: int, cursor: Cursor | None, size: int) -> Page[Membership]:
    """Return a page of the members of an organization with their users, oldest first."""
    query = (
        select(Membership)
        .where(Membership.organization_id == organization_id)
        .options(joinedload(Membership.user))
    )
    return walk(query, _BY_ID, cursor, size)


def list_memberships(user_id: int) -> list[Membership]:
    """Return the memberships of a user with their organizations, by name."""
    query = (
        select(Membership)
        .join(Membership.organization)
        .where(Membership.user_id == user_id)
        .options(contains_eager(Membership.organization))
        .order_by(Organization.name, Organization.id)
    )
    return list(db.session.scalars(query))


def find_member(organization_id: int, membership_id: int) -> Membership:
    """Return a member of an organization; raises NotFound."""
    membership = db.session.get(Membership, membership_id)
    if membership is None or membership.organization_id != organization_id:
        raise NotFound()
    return membership


def put_member(
    user: User, organization: Organization, role: str | None, *, actor: Actor, now: datetime
) -> Membership:
    """Make *user* a member with *role*, on behalf of the server's operator.

    With *role* None a member keeps their role; a new member becomes the owner if they are the
    first, else an ordinary member. Raises LastOwner.
    """
    membership = _find_membership(user.id, organization.id)
    if membership is None:
        role = role or _default_role(organization.id)
        return add_member(user, organization, role, actor=actor, now=now)
    if role is not None:
        change_role(membership, role, actor=actor, actor_role=roles.OWNER, now=now)
    return membership


def _find_membership(user_id: int, organization_id: int) -> Membership | None:
    return db.session.scalar(
        select(Membership).where(
            Membership.user_id == user_id, Membership.organization_id == organization_id
        )
    )


def _default_role(organization_id: int) -> str:
    found = select(Membership.id).where(Membership.organization_id == organization_id).limit(1)
    return roles.OWNER if db.session.scalar(found) is None else roles.MEMBER


def add_member(
    user: User,
    organization: Organization,
    role: str,
    *,
    actor: Actor,
    now: datetime,
    verb: str = "member.add",
) -> Membership:
    """Make *user* a member with *role*; they must not be one yet.

    The audit log calls it *verb*. Raises ValidationFailed for an unknown role.
    """
    if role not in roles.ROLES:
        raise ValidationFailed.one("role", f'"{role}" is not a valid choice.', "invalid_choice")
    membership = Membership(
        user_id=user.id, organization_id=organization.id, role=role, created=now
    )
    db.session.add(membership)
    db.session.flush()
    audit.record(actor, organization.id, verb, user.email, role, now=now)
    return membership


def change_role(
    membership: Membership, role: str, *, actor: Actor, actor_role: str, now: datetime
) -> None:
    """Change the role of a member; raises PermissionDenied and LastOwner."""
    _check_grant(actor_role, membership.role, role)
    if role == membership.role:
        return
    _keep_an_owner(membership)
    before, membership.role = membership.role, role
    audit.record_change(
        actor,
        membership.organization_id,
        "member.change-role",
        membership.user.email,
        {"role": before},
        {"role": role},
        now=now,
    )


def remove_member(membership: Membership, *, actor: Actor, actor_role: str, now: datetime) -> None:
    """Remove a member from the organization; raises PermissionDenied and LastOwner."""
    _check_grant(actor_role, membership.role)
    _remove(membership, actor=actor, now=now)


def leave(membership: Membership, *, actor: Actor, now: datetime) -> None:
    """Remove a member at their own request; raises LastOwner."""
    _remove(membership, actor=actor, now=now)


def _remove(membership: Membership, *, actor: Actor, now: datetime) -> None:
    _keep_an_owner(membership)
    email = membership.user.email
    audit.record(actor, membership.organization_id, "member.remove", email, now=now)
    db.session.delete(membership)


def _check_grant(actor_role: str, *wanted: str) -> None:
    for role in wanted:
        if not roles.may_grant(actor_role, role):
            raise PermissionDenied(
                f"Your role ({actor_role}) cannot grant or remove the role {role}."
            )


def check_not_needed(user_id: int) -> None:
    """Raise LastOwner, with their names, if organizations have no other owner than a user."""
    needed = []
    # In the order of their ids, because each is locked.
    for membership in sorted(list_memberships(user_id), key=lambda each: each.organization_id):
        try:
            _keep_an_owner(membership)
        except LastOwner:
            needed.append(membership.organization.name)
    if needed:
        names = ", ".join(sorted(needed))
        raise LastOwner(
            f"No other owner would be left in: {names}. Make someone else an owner first, or delete"
            " the organization."
        )


def _keep_an_owner(membership: Membership) -> None:
    """Raise LastOwner if no other owner remains. Locks, so that two owners cannot leave at once."""
    if membership.role != roles.OWNER:
        return
    db.session.execute(
        select(Organization.id)
        .where(Organization.id == membership.organization_id)
        .with_for_update()
    )
    another = db.session.scalar(
        select(Membership.id)
        .join(Membership.user)
        .where(
            Membership.organization_id == membership.organization_id,
            Membership.id != membership.id,
            Membership.role == roles.OWNER,
            User.disabled.is_(None),
        )
        .limit(1)
    )
    if another is None:
        raise LastOwner()
