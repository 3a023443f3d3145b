"""Sessions of the dashboard, in a table: they end at sign-out, password change and by age."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, and_, bindparam, delete, or_, select, update

from taskbadger.domain.identity import Actor
from taskbadger.domain.keys import digest
from taskbadger.errors import NotFound
from taskbadger.extensions import Statement, db, delete_some
from taskbadger.models import Membership, Organization, User, UserSession
from taskbadger.services.organizations import audit

TOKEN_BYTES = 32
_MAX_IDLE_TIMES = 4
"""A session ends after this many idle times, however often it is used."""
_SEEN_EVERY = timedelta(minutes=5)
_TABLE = cast(Table, UserSession.__table__)


def new_token() -> str:
    """Return 256 random bits as text for a cookie or a link."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def start(
    user: User, *, idle: timedelta, now: datetime, address: str = "", user_agent: str = ""
) -> str:
    """Start a session; return the token for the cookie. It ends after *idle* without a visit."""
    token = new_token()
    db.session.add(
        UserSession(
            user_id=user.id,
            digest=digest(token),
            created=now,
            last_seen=now,
            expires=now + idle * _MAX_IDLE_TIMES,
            address=address[:45],
            user_agent=user_agent[:255],
        )
    )
    db.session.flush()
    return token


@dataclass(frozen=True, slots=True)
class Member:
    """A membership in an organization."""

    id: int
    """The id of the membership."""
    role: str
    organization_id: int
    organization: str
    """The organization's slug."""
    organization_name: str


@dataclass(frozen=True, slots=True)
class Visit:
    """The session that a request for a page belongs to."""

    session_id: int
    last_seen: datetime
    user_id: int
    email: str
    member: Member | None
    """The membership in the page's organization; None for others, and for pages without one."""


class _Found(NamedTuple):
    session_id: int
    last_seen: datetime
    user_id: int
    email: str
    member_id: int | None
    role: str
    organization_id: int
    slug: str
    name: str


def _find_statement() -> Statement[_Found]:
    """Return the one look-up that every page and every poll of a page makes."""
    columns: tuple[Any, ...] = (
        UserSession.id,
        UserSession.last_seen,
        UserSession.user_id,
        User.email,
        Membership.id,
        Membership.role,
        Organization.id,
        Organization.slug,
        Organization.name,
    )
    query = (
        select(*columns)
        .join(User, User.id == UserSession.user_id)
        .join(Organization, Organization.slug == bindparam("organization"), isouter=True)
        .join(
            Membership,
            and_(Membership.user_id == User.id, Membership.organization_id == Organization.id),
            isouter=True,
        )
    )
    query = query.where(
        UserSession.digest == bindparam("digest"),
        UserSession.expires > bindparam("now"),
        UserSession.last_seen > bindparam("seen_after"),
        User.disabled.is_(None),
    )
    return Statement(query, _Found._make)


_FIND = _find_statement()


def find(token: str, organization: str, *, idle: timedelta, now: datetime) -> Visit | None:
    """Return the visit with a cookie to a page of *organization* (a slug, or empty for none).

    None if there is no such session, or it has ended.
    """
    parameters = {
        "digest": digest(token),
        "organization": organization,
        "now": now,
        "seen_after": now - idle,
    }
    rows = _FIND.read(parameters)
    if not rows:
        return None
    row, member = rows[0], None
    if row.member_id is not None:
        member = Member(row.member_id, row.role, row.organization_id, row.slug, row.name)
    return Visit(row.session_id, row.last_seen, row.user_id, row.email, member)


def is_noted(visit: Visit, *, now: datetime) -> bool:
    """Say whether the last visit in the database is recent enough."""
    return now - visit.last_seen < _SEEN_EVERY


def note_visit(session_id: int, *, now: datetime, address: str) -> None:
    """Store when and from where a session was used, unless another request just did."""
    db.session.execute(
        update(UserSession)
        .where(UserSession.id == session_id, UserSession.last_seen <= now - _SEEN_EVERY)
        .values(last_seen=now, address=address[:45])
    )


def list_for(user: User, *, idle: timedelta, now: datetime) -> list[UserSession]:
    """Return the sessions of *user* that have not ended, the most recently used first."""
    query = select(UserSession).where(
        UserSession.user_id == user.id,
        UserSession.expires > now,
        UserSession.last_seen > now - idle,
    )
    return list(db.session.scalars(query.order_by(UserSession.last_seen.desc(), UserSession.id)))


def end(token: str) -> None:
    """End the session of a cookie token, if there is one."""
    db.session.execute(delete(UserSession).where(UserSession.digest == digest(token)))


def end_one(user: User, session_id: int, *, actor: Actor, now: datetime) -> None:
    """End one session of *user*; raises NotFound for a session of somebody else."""
    session = db.session.get(UserSession, session_id)
    if session is None or session.user_id != user.id:
        raise NotFound()
    db.session.delete(session)
    audit.record_for_user(actor, user.id, "user.end-session", user.email, now=now)


def end_all(user_id: int) -> None:
    """End all sessions of a user."""
    db.session.execute(delete(UserSession).where(UserSession.user_id == user_id))


def purge(*, idle: timedelta, now: datetime, limit: int = 500) -> int:
    """Delete up to *limit* sessions that have expired; return how many."""
    has_ended = or_(_TABLE.c.expires <= now, _TABLE.c.last_seen <= now - idle)
    return delete_some(_TABLE, has_ended, limit=limit)
