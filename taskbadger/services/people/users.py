"""Users: the first owner, finding and creating, passwords, disabling and deleting accounts."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, text
from sqlalchemy.orm import joinedload

from taskbadger.domain import roles
from taskbadger.domain.identity import Actor
from taskbadger.errors import Conflict
from taskbadger.extensions import db
from taskbadger.models import Identity, Membership, Organization, User, UserSession
from taskbadger.services.organizations import audit, organizations, projects
from taskbadger.services.organizations.projects import NewProject
from taskbadger.services.people import attempts, drafts, members, sessions

_SET_UP_LOCK = 0x7461736B  # Any number that no other advisory lock uses.


class AlreadySetUp(Conflict):
    """This server already has an owner. Sign in or ask for an invitation."""


class LastUser(Conflict):
    """This is the only user of the server: whoever opens it next would become its owner."""


def needs_set_up() -> bool:
    """Say whether there is no user yet, so that the first visitor may become the owner."""
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
    """Create the first user, as the owner of all organizations.

    Without an organization, *organization* and *project* are created; empty slugs are made from
    their names. Raises ValidationFailed for malformed slugs, and AlreadySetUp if there is a user,
    also when several visitors try at the same time.
    """
    _lock_users()
    if not needs_set_up():
        raise AlreadySetUp()
    user = ensure_user(email, name=name, now=now)
    user.password_hash = password_hash
    actor = Actor("user", user.email)
    owned = organizations.list_organizations() or [
        _first_organization(organization, project, actor=actor, now=now)
    ]
    for each in owned:
        members.add_member(user, each, roles.OWNER, actor=actor, now=now, verb="server.set-up")
    return user


def _lock_users() -> None:
    """Let nobody else become the first user, or delete the last one, in this transaction."""
    if db.engine.dialect.name == "postgresql":
        db.session.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _SET_UP_LOCK})


def _first_organization(
    wanted: NewProject, project: NewProject, *, actor: Actor, now: datetime
) -> Organization:
    slug = wanted.slug or organizations.organization_slug_for(wanted.name)
    organization = organizations.ensure_organization(slug, name=wanted.name, actor=actor, now=now)
    slug = project.slug or organizations.slug_for(project.name)
    projects.ensure_project(
        organization,
        slug,
        name=project.name,
        retention_days=project.retention_days,
        actor=actor,
        now=now,
    )
    return organization


def list_users() -> list[tuple[User, list[str]]]:
    """Return all users by address, each with the roles in organizations, as ``acme: owner``."""
    query = (
        select(User)
        .options(joinedload(User.memberships).joinedload(Membership.organization))
        .order_by(User.email)
    )
    return [
        (user, sorted(f"{each.organization.slug}: {each.role}" for each in user.memberships))
        for user in db.session.scalars(query).unique()
    ]


def find_user(email: str) -> User | None:
    """Return the user with this address, ignoring case, or None."""
    return db.session.scalar(select(User).where(User.email == email.strip().lower()))


def ensure_user(email: str, *, now: datetime, name: str = "") -> User:
    """Return the user with this address, created without a password if there is none."""
    email = email.strip().lower()
    user = db.session.scalar(select(User).where(User.email == email))
    if user is None:
        user = User(email=email, name=name, created=now)
        db.session.add(user)
        db.session.flush()
    return user


def change_password(user: User, password_hash: str, *, actor: Actor, now: datetime) -> None:
    """Set a new password and end all sessions of *user*."""
    user.password_hash = password_hash
    sessions.end_all(user.id)
    audit.record_for_user(actor, user.id, "user.change-password", user.email, now=now)


def disable_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Disable the account of *user* and end all their sessions."""
    user.disabled = now
    sessions.end_all(user.id)
    audit.record_for_user(actor, user.id, "user.disable", user.email, now=now)


def enable_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Enable the account of a disabled *user*."""
    user.disabled = None
    audit.record_for_user(actor, user.id, "user.enable", user.email, now=now)


def delete_user(user: User, *, secret_keys: Sequence[str], actor: Actor, now: datetime) -> None:
    """Delete *user* with their sessions, memberships, digests and drafts.

    What they did keeps their name: the audit log, timelines, and who is on an incident. Raises
    LastOwner and LastUser.
    """
    members.check_not_needed(user.id)
    _lock_users()
    if db.session.scalar(select(User.id).where(User.id != user.id).limit(1)) is None:
        raise LastUser()
    audit.record_for_user(actor, user.id, "user.delete", user.email, now=now)
    drafts.drop_all(drafts.mark_of(user.id, key) for key in secret_keys)
    attempts.forget_account(user.email)
    db.session.flush()
    for model in (UserSession, Identity, Membership):
        owned = delete(model).where(model.user_id == user.id)
        db.session.execute(owned.execution_options(synchronize_session=False))
    db.session.execute(
        delete(User).where(User.id == user.id).execution_options(synchronize_session=False)
    )


def unlock_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Let *user* sign in again at once after too many attempts."""
    attempts.forget_account(user.email)
    audit.record_for_user(actor, user.id, "user.unlock", user.email, now=now)
