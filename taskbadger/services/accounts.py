"""Organizations, projects, members and keys: who may see what."""

import re
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import joinedload

from taskbadger.domain import keys
from taskbadger.errors import AuthenticationFailed, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ApiKey, Membership, Organization, Project, User
from taskbadger.models.account import DEFAULT_SCOPES, ROLES, SCOPES

KEY_CACHE_SECONDS = 3.0
"""How long a worker trusts what it knows of a key; the contract allows 5 seconds in all."""
_LAST_USED_EVERY = timedelta(minutes=1)
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,48}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change: an API key, a user of the dashboard, or the server itself."""

    type: str
    name: str


SERVER = Actor("server", "server")


@dataclass(frozen=True, slots=True)
class ProjectRef:
    """A project and its organization: all that services need to know of them."""

    id: int
    slug: str
    organization_id: int
    organization: str
    name: str = field(default="", compare=False)
    """For people; empty where nobody looks."""

    @property
    def label(self) -> str:
        """The name, and the slug where it is another."""
        return f"{self.name} ({self.slug})" if self.name not in ("", self.slug) else self.slug


@dataclass(frozen=True, slots=True)
class Access:
    """What a key opens."""

    key_id: int
    actor: Actor
    organization_id: int
    organization: str
    project: ProjectRef | None
    """None for an organization key, which opens every project of its organization."""
    scopes: frozenset[str]
    digest: str
    last_used: datetime | None


@dataclass(slots=True)
class KeyCache:
    """What one process knows of keys and projects, for KEY_CACHE_SECONDS each."""

    seconds: float = KEY_CACHE_SECONDS
    most: int = 10_000
    _known: dict[Any, tuple[float, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, name: Any) -> Any:
        """Return what is known under *name*, or None."""
        found = self._known.get(name)
        if found is None or found[0] < time.monotonic():
            return None
        return found[1]

    def put(self, name: Any, value: Any) -> None:
        """Remember *value* for a while."""
        with self._lock:
            if len(self._known) >= self.most:
                self._known.clear()
            self._known[name] = (time.monotonic() + self.seconds, value)

    def change(self, name: Any, value: Any) -> None:
        """Remember *value* in the place of what is known, and no longer than that."""
        with self._lock:
            found = self._known.get(name)
            if found is not None:
                self._known[name] = (found[0], value)

    def forget(self, name: Any) -> None:
        """Forget what is known under *name*."""
        self._known.pop(name, None)


def authenticate(text: str, cache: KeyCache, *, now: datetime) -> Access:
    """Return what the token *text* opens; raises AuthenticationFailed."""
    token = keys.parse_token(text)
    if token is None:
        raise AuthenticationFailed()
    digest = keys.digest(token.secret)
    access: Access | None = cache.get(digest)
    if access is None:
        access = _load_access(digest, now)
        cache.put(digest, access)
    if token.organization is not None and not _has_slugs(access, token):
        raise AuthenticationFailed()
    return access


def _has_slugs(access: Access, token: keys.Token) -> bool:
    return (
        access.project is not None
        and access.project.slug == token.project
        and access.organization == token.organization
    )


def _load_access(digest: str, now: datetime) -> Access:
    key = db.session.scalar(
        select(ApiKey)
        .where(ApiKey.digest == digest)
        .options(joinedload(ApiKey.organization), joinedload(ApiKey.project))
    )
    if key is None or key.revoked or (key.expires and key.expires <= now):
        raise AuthenticationFailed()
    organization = key.organization
    project = None
    if key.project is not None:
        project = project_ref(key.project, organization)
    return Access(
        key_id=key.id,
        actor=Actor("key", key.name),
        organization_id=organization.id,
        organization=organization.slug,
        project=project,
        scopes=frozenset(key.scopes.split(",")),
        digest=digest,
        last_used=key.last_used,
    )


def project_ref(project: Project, organization: Organization) -> ProjectRef:
    """Return what services need to know of *project*."""
    return ProjectRef(project.id, project.slug, organization.id, organization.slug, project.name)


def open_project(access: Access, organization: str, project: str, cache: KeyCache) -> ProjectRef:
    """Return the project of these slugs; raises NotFound where *access* does not open it."""
    if organization != access.organization:
        raise NotFound()
    if access.project is not None:
        if access.project.slug != project:
            raise NotFound()
        return access.project
    name = (access.organization_id, project)
    found: ProjectRef | None = cache.get(name)
    if found is None:
        found = find_project(access.organization_id, organization, project)
        cache.put(name, found)
    return found


def open_organization(access: Access, organization: str) -> None:
    """Raise NotFound unless *access* is to something of the organization of this slug."""
    if organization != access.organization:
        raise NotFound()


def find_project(organization_id: int, organization: str, slug: str) -> ProjectRef:
    """Return the project *slug* of an organization; raises NotFound."""
    if not _SLUG.fullmatch(slug):
        raise NotFound()
    row = db.session.scalar(
        select(Project.id).where(Project.organization_id == organization_id, Project.slug == slug)
    )
    if row is None:
        raise NotFound()
    return ProjectRef(row, slug, organization_id, organization)


def use_is_noted(access: Access, *, now: datetime) -> bool:
    """Say whether the last use of this key was written less than a minute ago."""
    return access.last_used is not None and now - access.last_used < _LAST_USED_EVERY


def touch_key(access: Access, cache: KeyCache, *, now: datetime) -> None:
    """Note that a key is in use, unless another worker just did."""
    db.session.execute(
        update(ApiKey)
        .where(
            ApiKey.id == access.key_id,
            or_(ApiKey.last_used.is_(None), ApiKey.last_used <= now - _LAST_USED_EVERY),
        )
        .values(last_used=now)
        .execution_options(synchronize_session=False)
    )
    # Not anew: a key that was revoked since it was read would be trusted for too long.
    cache.change(access.digest, replace(access, last_used=now))


def ensure_organization(slug: str, *, now: datetime, name: str | None = None) -> Organization:
    """Return the organization *slug*, made if it is missing; raises ValidationFailed."""
    organization = db.session.scalar(select(Organization).where(Organization.slug == slug))
    if organization is None:
        organization = Organization(slug=checked_slug(slug), name=name or slug, created=now)
        db.session.add(organization)
        db.session.flush()
    return organization


def ensure_project(
    organization: Organization, slug: str, *, now: datetime, name: str | None = None
) -> Project:
    """Return the project *slug* of *organization*, made if it is missing."""
    project = db.session.scalar(
        select(Project).where(Project.organization_id == organization.id, Project.slug == slug)
    )
    if project is None:
        project = Project(
            organization_id=organization.id, slug=checked_slug(slug), name=name or slug, created=now
        )
        db.session.add(project)
        db.session.flush()
    return project


def checked_slug(slug: str) -> str:
    """Return *slug*; raises ValidationFailed unless it can stand in a URL."""
    if not _SLUG.fullmatch(slug):
        raise ValidationFailed.one(
            "slug",
            f"“{slug}” is not a slug: use 1 to 50 of a-z, 0-9, - and _, "
            "beginning and ending with a letter or digit.",
        )
    return slug


def create_key(
    organization: Organization,
    project: Project | None,
    *,
    name: str,
    now: datetime,
    scopes: str = DEFAULT_SCOPES,
    expires: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key, of the organization when *project* is None; return it with the text to show."""
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise ValidationFailed.one("scopes", f"Scopes are {', '.join(SCOPES)}.", "invalid_choice")
    secret = keys.new_secret()
    key = ApiKey(
        organization_id=organization.id,
        project_id=project.id if project else None,
        name=name,
        prefix=keys.prefix_of(secret),
        digest=keys.digest(secret),
        scopes=",".join(scope for scope in SCOPES if scope in wanted),
        created=now,
        expires=expires,
    )
    db.session.add(key)
    db.session.flush()
    shown = keys.project_key(organization.slug, project.slug, secret) if project else secret
    return key, shown


def list_keys(organization_id: int | None = None) -> list[ApiKey]:
    """Return the keys of an organization, or all of them, oldest first."""
    query = (
        select(ApiKey)
        .options(joinedload(ApiKey.organization), joinedload(ApiKey.project))
        .order_by(ApiKey.id)
    )
    if organization_id is not None:
        query = query.where(ApiKey.organization_id == organization_id)
    return list(db.session.scalars(query))


def revoke_key(key_id: int, *, now: datetime, organization_id: int | None = None) -> ApiKey:
    """Revoke a key (a second time changes nothing); raises NotFound."""
    key = db.session.get(ApiKey, key_id)
    if key is None or (organization_id is not None and key.organization_id != organization_id):
        raise NotFound()
    if key.revoked is None:
        key.revoked = now
    return key


def ensure_user(email: str, *, now: datetime, name: str = "") -> User:
    """Return the user with this address, made if missing (without a password)."""
    email = email.strip().lower()
    user = db.session.scalar(select(User).where(User.email == email))
    if user is None:
        user = User(email=email, name=name, created=now)
        db.session.add(user)
        db.session.flush()
    return user


def set_membership(
    user: User, organization: Organization, role: str, *, now: datetime
) -> Membership:
    """Give *user* a role in *organization*; raises ValidationFailed for an unknown role."""
    if role not in ROLES:
        raise ValidationFailed.one("role", f'"{role}" is not a valid choice.', "invalid_choice")
    membership = db.session.scalar(
        select(Membership).where(
            Membership.user_id == user.id, Membership.organization_id == organization.id
        )
    )
    if membership is None:
        membership = Membership(
            user_id=user.id, organization_id=organization.id, role=role, created=now
        )
        db.session.add(membership)
    membership.role = role
    db.session.flush()
    return membership
