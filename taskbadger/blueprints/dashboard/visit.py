"""The visitor of a page: their session, its cookie, and their role in the organization."""

from datetime import timedelta
from typing import TypeVar

from flask import g, request
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.security import cookie_path, is_secure
from taskbadger.clock import utcnow
from taskbadger.domain import roles, zones
from taskbadger.domain.identity import Actor
from taskbadger.errors import NotFound
from taskbadger.extensions import db, writing
from taskbadger.models import Membership, Organization, Project, User
from taskbadger.process import current_process
from taskbadger.services.organizations import projects
from taskbadger.services.people import sessions
from taskbadger.services.people.sessions import Member, Visit

COOKIE = "taskbadger_session"
ZONE_COOKIE = "own_zone"
"""The browser's time zone, as clock.js notes it."""
_COOKIE_LIFE = timedelta(days=400)
"""The longest that browsers keep a cookie; the server decides when the session ends."""

T = TypeVar("T")


def idle_time() -> timedelta:
    """Return how long a session lasts without a visit."""
    return timedelta(hours=current_process().settings.SESSION_HOURS)


def find_visit() -> Visit | None:
    """Return the visit of this request, with the membership in the page's organization.

    None when nobody is signed in.
    """
    if "visit" not in g:
        g.visit = _read_visit()
    found: Visit | None = g.visit
    return found


def _read_visit() -> Visit | None:
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    now = utcnow()
    visit = sessions.find(token, g.get("organization_slug", ""), idle=idle_time(), now=now)
    if visit is not None and not sessions.is_noted(visit, now=now):
        with writing():
            sessions.note_visit(visit.session_id, now=now, address=request.remote_addr or "")
            db.session.commit()
    return visit


def current_visit() -> Visit:
    """Return the visit, on a page that requires a session."""
    found = find_visit()
    assert found is not None  # noqa: S101 - the route's minimum role ensures it
    return found


def current_member() -> Member:
    """Return the visitor's membership in the organization of this page."""
    found = current_visit().member
    assert found is not None  # noqa: S101 - the route's minimum role ensures it
    return found


def current_user() -> User:
    """Return the user who is signed in, as a row to change."""
    return _row_of(User, current_visit().user_id)


def current_actor() -> Actor:
    """Return who makes the changes of this request."""
    return Actor("user", current_visit().email)


def current_membership() -> Membership:
    """Return the visitor's membership in the organization of this page, as a row to change."""
    return _row_of(Membership, current_member().id)


def current_organization() -> Organization:
    """Return the organization of this page, as a row to change."""
    return _row_of(Organization, current_member().organization_id)


def _row_of(model: type[T], number: int | None) -> T:
    """Return a row; raises NotFound when another request has just deleted it."""
    found = db.session.get(model, number)
    if found is None:
        raise NotFound()
    return found


def may(minimum: str) -> bool:
    """Say whether the visitor has at least the role *minimum* here. Templates use it too."""
    member = known_member()
    return member is not None and roles.includes(member.role, minimum)


def known_member() -> Member | None:
    """Return the visitor's membership here; None also when this request did not look it up."""
    visit: Visit | None = g.get("visit")
    return visit.member if visit else None


def visitor_zone() -> str:
    """Return the time zone in which the visitor reads times: their browser's, or UTC."""
    wanted = request.cookies.get(ZONE_COOKIE, "")
    if request.cookies.get("zone") == "utc" or not zones.is_timezone(wanted):
        return "UTC"
    return wanted


def own_project(slug: str) -> Project:
    """Return a project of this page's organization; raises NotFound."""
    return projects.find_project(current_member().organization_id, slug)


def sign_in_cookie(response: AnyResponse, token: str) -> None:
    """Set the session cookie."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=_COOKIE_LIFE,
        path=cookie_path(),
        secure=is_secure(),
        httponly=True,
        samesite="Lax",
    )


def forget_cookie(response: AnyResponse) -> None:
    """Delete the session cookie."""
    response.delete_cookie(
        COOKIE, path=cookie_path(), secure=is_secure(), httponly=True, samesite="Lax"
    )
