"""Server-side sessions of the dashboard: they die at sign-out, password change and by age."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import contains_eager

from taskbadger.domain.keys import digest
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import User, UserSession

TOKEN_BYTES = 32
_LONGEST = 4
"""A session in use ends after this many times the span that one without a visit lasts."""
_SEEN_EVERY = timedelta(minutes=5)


def new_token() -> str:
    """Return 256 random bits, fit for a cookie or a link."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def start(
    user: User, *, idle: timedelta, now: datetime, address: str = "", user_agent: str = ""
) -> str:
    """Sign *user* in; return the token for the cookie. *idle* is how long it lasts unvisited."""
    token = new_token()
    db.session.add(
        UserSession(
            user_id=user.id,
            digest=digest(token),
            created=now,
            last_seen=now,
            expires=now + idle * _LONGEST,
            address=address[:45],
            user_agent=user_agent[:255],
        )
    )
    db.session.flush()
    return token


def find(token: str, *, idle: timedelta, now: datetime) -> UserSession | None:
    """Return the session of a cookie, with its user; None when it ended or never was."""
    return db.session.scalar(
        select(UserSession)
        .join(UserSession.user)
        .where(
            UserSession.digest == digest(token),
            UserSession.expires > now,
            UserSession.last_seen > now - idle,
            User.disabled.is_(None),
        )
        .options(contains_eager(UserSession.user))
    )


def visit_is_noted(session: UserSession, *, now: datetime) -> bool:
    """Say whether this visit need not be written down."""
    return now - session.last_seen < _SEEN_EVERY


def note_visit(session_id: int, *, now: datetime, address: str) -> None:
    """Write down when and where a session was used, unless another request just did."""
    db.session.execute(
        update(UserSession)
        .where(UserSession.id == session_id, UserSession.last_seen <= now - _SEEN_EVERY)
        .values(last_seen=now, address=address[:45])
    )


def list_for(user: User, *, idle: timedelta, now: datetime) -> list[UserSession]:
    """Return the live sessions of *user*, the latest used first."""
    query = select(UserSession).where(
        UserSession.user_id == user.id,
        UserSession.expires > now,
        UserSession.last_seen > now - idle,
    )
    return list(db.session.scalars(query.order_by(UserSession.last_seen.desc(), UserSession.id)))


def end(token: str) -> None:
    """End the session of a cookie, if there is one."""
    db.session.execute(delete(UserSession).where(UserSession.digest == digest(token)))


def end_one(user: User, session_id: int) -> None:
    """End one session of *user*; raises NotFound for anyone else's."""
    session = db.session.get(UserSession, session_id)
    if session is None or session.user_id != user.id:
        raise NotFound()
    db.session.delete(session)


def end_all(user_id: int) -> None:
    """End every session of a user: after a change of password, or when they are disabled."""
    db.session.execute(delete(UserSession).where(UserSession.user_id == user_id))


def purge(*, idle: timedelta, now: datetime) -> None:
    """Delete the sessions that ended by age."""
    db.session.execute(
        delete(UserSession).where(
            or_(UserSession.expires <= now, UserSession.last_seen <= now - idle)
        )
    )
