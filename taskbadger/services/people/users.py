"""Users: the first owner, finding and creating users, passwords, and disabling accounts."""

from datetime import datetime

from sqlalchemy import select, text

from taskbadger.domain import roles
from taskbadger.domain.identity import Actor
from taskbadger.errors import Conflict
from taskbadger.extensions import db
from taskbadger.models import Organization, User
from taskbadger.services.organizations import audit, organizations, projects
from taskbadger.services.organizations.projects import NewProject
from taskbadger.services.people import attempts, members, sessions

_SET_UP_LOCK = 0x7461736B  # Any number that no other advisory lock uses.


class AlreadySetUp(Conflict):
    """This server already has an owner. Sign in or ask for an invitation."""


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
    if db.engine.dialect.name == "postgresql":
        db.session.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _SET_UP_LOCK})
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


def _first_organization(
    wanted: NewProject, project: NewProject, *, actor: Actor, now: datetime
) -> Organization:
    slug = wanted.slug or organizations.slug_for(wanted.name)
    organization = organizations.ensure_organization(slug, name=wanted.name, actor=actor, now=now)
    slug = project.slug or organizations.slug_for(project.name)
    projects.ensure_project(organization, slug, name=project.name, actor=actor, now=now)
    return organization


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


def unlock_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Let *user* sign in again at once after too many attempts."""
    attempts.forget_account(user.email)
    audit.record_for_user(actor, user.id, "user.unlock", user.email, now=now)
