"""API keys: authenticating requests, and creating, listing and revoking keys."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import joinedload

from taskbadger.caches import TimedCache
from taskbadger.domain import keys
from taskbadger.domain.identity import Access, Actor, ProjectRef
from taskbadger.domain.scopes import ADMIN, PING
from taskbadger.errors import AuthenticationFailed, NotFound, ValidationFailed
from taskbadger.extensions import db, reading
from taskbadger.models import ApiKey, Organization, Project
from taskbadger.models.account import DEFAULT_SCOPES, SCOPES
from taskbadger.services.organizations import audit, projects
from taskbadger.services.pagination import Cursor, Page, keyset_of, read_number, walk

_LAST_USED_EVERY = timedelta(minutes=1)
_BY_ID = keyset_of(ApiKey.id, read_number)


def authenticate(text: str, cache: TimedCache[str, Access], *, now: datetime) -> Access:
    """Return the access that the token *text* gives; raises AuthenticationFailed.

    What is not in the cache is read; then the session is rolled back, here and in `open_project`.
    """
    token = keys.parse_token(text)
    if token is None:
        raise AuthenticationFailed()
    digest = keys.digest(token.secret)
    access = cache.get(digest)
    if access is None:
        with reading():
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
        project = projects.project_ref(key.project, organization)
    key_scopes = frozenset(key.scopes.split(","))
    return Access(
        key_id=key.id,
        actor=Actor("key", key.name, is_admin=ADMIN in key_scopes),
        organization_id=organization.id,
        organization=organization.slug,
        project=project,
        scopes=key_scopes,
        digest=digest,
        last_used=key.last_used,
    )


def open_project(
    access: Access,
    organization: str,
    project: str,
    cache: TimedCache[tuple[int, str], ProjectRef],
) -> ProjectRef:
    """Return the project of these slugs; raises NotFound where *access* does not open it."""
    if organization != access.organization:
        raise NotFound()
    if access.project is not None:
        if access.project.slug != project:
            raise NotFound()
        return access.project
    name = (access.organization_id, project)
    found = cache.get(name)
    if found is None:
        with reading():
            found = projects.find_project_ref(access.organization_id, organization, project)
        cache.put(name, found)
    return found


def open_organization(access: Access, organization: str) -> None:
    """Raise NotFound unless *access* is to something of the organization of this slug."""
    if organization != access.organization:
        raise NotFound()


def use_is_noted(access: Access, *, now: datetime) -> bool:
    """Say whether the last use in the database is less than a minute old."""
    return access.last_used is not None and now - access.last_used < _LAST_USED_EVERY


def touch_key(access: Access, cache: TimedCache[str, Access], *, now: datetime) -> None:
    """Store the last use of a key, unless another process just did."""
    db.session.execute(
        update(ApiKey)
        .where(
            ApiKey.id == access.key_id,
            or_(ApiKey.last_used.is_(None), ApiKey.last_used <= now - _LAST_USED_EVERY),
        )
        .values(last_used=now)
        .execution_options(synchronize_session=False)
    )
    # Keeps the expiry time: otherwise a key revoked meanwhile would be trusted for too long.
    cache.change(access.digest, replace(access, last_used=now))


def create_key(
    organization: Organization,
    project: Project | None,
    *,
    name: str,
    actor: Actor,
    now: datetime,
    scopes: str = DEFAULT_SCOPES,
    expires: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key, for the organization when *project* is None; return it with its secret text.

    *scopes* are separated by commas. Raises ValidationFailed for unknown ones, and for ``ping``
    without a project.
    """
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if not wanted:
        raise ValidationFailed.one("scopes", "Choose at least one.", "required")
    if unknown:
        raise ValidationFailed.one(
            "scopes", f"Valid scopes are {', '.join(SCOPES)}.", "invalid_choice"
        )
    if PING in wanted and project is None:
        detail = "A key with the scope ping belongs to one project."
        raise ValidationFailed.one("scopes", detail)
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
    detail = f"{key.prefix}, {key.scopes}, {project.slug if project else 'all projects'}"
    audit.record(actor, organization.id, "key.create", name, detail, now=now)
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


def find_key(organization_id: int, key_id: int | None, *, project_id: int | None = None) -> ApiKey:
    """Return a key of an organization, or of one of its projects only; raises NotFound."""
    query = _keys_of(organization_id, project_id).where(ApiKey.id == key_id)
    found = db.session.scalar(query)
    if found is None:
        raise NotFound()
    return found


def page_of_keys(
    organization_id: int, cursor: Cursor | None, size: int, *, project_id: int | None = None
) -> Page[ApiKey]:
    """Return a page of an organization's keys, or of one project's only, oldest first."""
    return walk(_keys_of(organization_id, project_id), _BY_ID, cursor, size)


def _keys_of(organization_id: int, project_id: int | None) -> Select[ApiKey]:
    query = (
        select(ApiKey)
        .where(ApiKey.organization_id == organization_id)
        .options(joinedload(ApiKey.project))
    )
    if project_id is not None:
        query = query.where(ApiKey.project_id == project_id)
    return query


def revoke_key(key: ApiKey, *, actor: Actor, now: datetime) -> None:
    """Revoke a key; a second time changes nothing and is not audited."""
    if key.revoked is None:
        key.revoked = now
        audit.record(actor, key.organization_id, "key.revoke", key.name, key.prefix, now=now)
