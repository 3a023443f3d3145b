"""Users and members: the first owner, who is in an organization, and with which role."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import joinedload

from taskbadger.domain import roles
from taskbadger.errors import Conflict, NotFound, PermissionDenied
from taskbadger.extensions import db
from taskbadger.models import Membership, Organization, User
from taskbadger.services import accounts, audit, sessions
from taskbadger.services.accounts import Actor
from taskbadger.services.projects import NewProject

_SET_UP_LOCK = 0x7461736B  # Any number that nothing else of ours locks.


class AlreadySetUp(Conflict):
    """This server has an owner already. Sign in, or ask for an invitation."""


class LastOwner(Conflict):
    """An organization needs an owner: make somebody else one first."""


def needs_set_up() -> bool:
    """Say whether nobody was ever made a user, so that the first visitor may be the owner."""
    return db.session.scalar(select(User.id).limit(1)) is None


def set_up(
    *,
    email: str,
    name: str,
    password_hash: str,
    organization: NewProject,
    project: NewProject,
    now: datetime,
) -> User:
    """Make the owner of an empty server, of what organizations there are or else a first one.

    The names of a first one and of its project suggest slugs where those are empty. Raises
    ValidationFailed for slugs that are wrong, and AlreadySetUp for all but one of those who try
    at once.
    """
    if db.engine.dialect.name == "postgresql":
        db.session.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _SET_UP_LOCK})
    if not needs_set_up():
        raise AlreadySetUp()
    user = accounts.ensure_user(email, name=name, now=now)
    user.password_hash = password_hash
    owned = list_organizations() or [_first_organization(organization, project, now=now)]
    for each in owned:
        accounts.set_membership(user, each, roles.OWNER, now=now)
        actor = Actor("user", user.email)
        audit.record(actor, each.id, "server.set-up", f"owner {user.email}", now=now)
    return user


def list_organizations() -> Sequence[Organization]:
    """Return every organization of the server, oldest first."""
    return db.session.scalars(select(Organization).order_by(Organization.id)).all()


def _first_organization(wanted: NewProject, project: NewProject, *, now: datetime) -> Organization:
    slug = wanted.slug or slug_for(wanted.name)
    organization = accounts.ensure_organization(slug, name=wanted.name, now=now)
    slug = project.slug or slug_for(project.name)
    accounts.ensure_project(organization, slug, name=project.name, now=now)
    return organization


def slug_for(name: str) -> str:
    """Return the slug that a name suggests; ``main`` when it has no letter that fits."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:50].strip("-") or "main"


def find_user(email: str) -> User | None:
    """Return the user with this address, however it is capitalised."""
    return db.session.scalar(select(User).where(User.email == email.strip().lower()))


def list_members(organization_id: int) -> Sequence[Membership]:
    """Return the members of an organization with their users, oldest first."""
    return db.session.scalars(
        select(Membership)
        .where(Membership.organization_id == organization_id)
        .options(joinedload(Membership.user))
        .order_by(Membership.id)
    ).all()


def find_member(organization_id: int, membership_id: int) -> Membership:
    """Return a member of an organization; raises NotFound."""
    membership = db.session.get(Membership, membership_id)
    if membership is None or membership.organization_id != organization_id:
        raise NotFound()
    return membership


def put_member(
    user: User, organization: Organization, role: str | None, *, actor: Actor, now: datetime
) -> Membership:
    """Make *user* a member with *role*, for whoever runs the server.

    Without a role a member keeps theirs, and a new one gets the usual: the first is the owner.
    Raises LastOwner.
    """
    membership = _find_membership(user.id, organization.id)
    if membership is None:
        role = role or _usual_role(organization.id)
        audit.record(actor, organization.id, "member.add", user.email, role, now=now)
        return accounts.set_membership(user, organization, role, now=now)
    if role is not None:
        change_role(membership, role, actor=actor, actor_role=roles.OWNER, now=now)
    return membership


def _find_membership(user_id: int, organization_id: int) -> Membership | None:
    return db.session.scalar(
        select(Membership).where(
            Membership.user_id == user_id, Membership.organization_id == organization_id
        )
    )


def _usual_role(organization_id: int) -> str:
    found = select(Membership.id).where(Membership.organization_id == organization_id).limit(1)
    return roles.OWNER if db.session.scalar(found) is None else roles.MEMBER


def change_role(
    membership: Membership, role: str, *, actor: Actor, actor_role: str, now: datetime
) -> None:
    """Give a member another role; raises PermissionDenied and LastOwner."""
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
    """Take a member out of the organization; raises PermissionDenied and LastOwner."""
    _check_grant(actor_role, membership.role)
    _remove(membership, actor=actor, now=now)


def leave(membership: Membership, *, actor: Actor, now: datetime) -> None:
    """Let a member leave of their own accord; raises LastOwner."""
    _remove(membership, actor=actor, now=now)


def _remove(membership: Membership, *, actor: Actor, now: datetime) -> None:
    _keep_an_owner(membership)
    email = membership.user.email
    audit.record(actor, membership.organization_id, "member.remove", email, now=now)
    db.session.delete(membership)


def change_password(user: User, password_hash: str, *, actor: Actor, now: datetime) -> None:
    """Set the password of *user* and end all their sessions."""
    user.password_hash = password_hash
    sessions.end_all(user.id)
    audit.record_for_user(actor, user.id, "user.change-password", user.email, now=now)


def disable_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Let *user* sign in no more, and end all their sessions."""
    user.disabled = now
    sessions.end_all(user.id)
    audit.record_for_user(actor, user.id, "user.disable", user.email, now=now)


def enable_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Let a disabled *user* sign in again."""
    user.disabled = None
    audit.record_for_user(actor, user.id, "user.enable", user.email, now=now)


def rename_organization(
    organization: Organization, name: str, *, actor: Actor, now: datetime
) -> None:
    """Give an organization another name; its slug stays, since keys and links hold it."""
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


def _check_grant(actor_role: str, *wanted: str) -> None:
    for role in wanted:
        if not roles.may_grant(actor_role, role):
            raise PermissionDenied(f"Your role, {actor_role}, cannot give or take the role {role}.")


def _keep_an_owner(membership: Membership) -> None:
    """Raise LastOwner when nobody else is an owner, also against others doing the same."""
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
