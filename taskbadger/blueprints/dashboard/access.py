"""Who may open a page. Every route of a Pages blueprint names the least role it asks for.

Usage::

    @blp.page("/a/<organization_slug>/tasks/", role=roles.READ)
    def task_list() -> Response: ...

    @blp.page("/a/<organization_slug>/tasks/cancel", role=roles.CHANGE_TASKS, methods=["POST"])
    def cancel_tasks() -> Response: ...

The slug is taken from the view's arguments, and url_for adds it again.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, flash, g, redirect, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import contains_eager
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard.formats import duration
from taskbadger.blueprints.dashboard.frame import Frame, Link
from taskbadger.blueprints.live import is_live_request
from taskbadger.blueprints.problems import problem_page
from taskbadger.blueprints.security import cookie_path, is_secure
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import NotFound, PermissionDenied, TaskBadgerError, Throttled
from taskbadger.extensions import db, writing
from taskbadger.models import Membership, Organization, Project, User
from taskbadger.services import sessions
from taskbadger.services.accounts import Actor
from taskbadger.services.failing import Failing, count_failing
from taskbadger.services.sessions import Member, Visit

PUBLIC = "public"
"""For anyone, signed in or not."""
SIGNED_IN = "signed in"
"""For anyone who is signed in, in whatever organization."""

COOKIE = "taskbadger_session"
_COOKIE_LIFE = timedelta(days=400)
"""The longest that browsers keep a cookie; the server decides when the session ends."""
_SLUG = "organization_slug"

T = TypeVar("T")


class Pages(Blueprint):
    """A blueprint that lets nobody in but whom each route's rule names."""

    def __init__(self, name: str, import_name: str, **options: Any) -> None:
        super().__init__(name, import_name, **options)
        self.rules: dict[str, str] = {}
        """The least role for each endpoint (without the blueprint's name)."""
        self.url_value_preprocessor(_take_slug)
        self.app_url_defaults(_give_slug)
        self.before_request(self._admit)
        self.after_request(_keep_private)
        self.register_error_handler(TaskBadgerError, _on_error)

    def page(
        self, rule: str, *, role: str, methods: tuple[str, ...] | list[str] = ("GET",)
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Add a view for those who have at least *role*, or for PUBLIC or SIGNED_IN."""

        def add(view: Callable[..., Any]) -> Callable[..., Any]:
            self.add_url_rule(rule, view_func=view, role=role, methods=list(methods))
            return view

        return add

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        provide_automatic_options: bool | None = None,
        *,
        role: str | None = None,
        **options: Any,
    ) -> None:
        """Add a rule; raises ValueError when nobody said who may use it."""
        if role not in (*roles.ROLES, PUBLIC, SIGNED_IN):
            raise ValueError(f"{rule}: say who may use it, as in role=roles.READ")
        if (role in roles.ROLES) != (f"<{_SLUG}>" in rule):
            raise ValueError(f"{rule}: roles are for pages below /a/<{_SLUG}>/, and only those")
        name = endpoint or view_func.__name__
        if self.rules.setdefault(name, role) != role:
            raise ValueError(f"{name} has two rules")
        super().add_url_rule(rule, endpoint, view_func, provide_automatic_options, **options)

    def _admit(self) -> AnyResponse | None:
        endpoint = (request.endpoint or "").removeprefix(f"{self.name}.")
        role = self.rules[endpoint]
        if role == PUBLIC:
            return None
        visit = find_visit()
        if visit is None:
            return to_sign_in()
        if role == SIGNED_IN:
            return None
        if visit.member is None:
            raise NotFound()
        if not roles.includes(visit.member.role, role):
            raise PermissionDenied(f"This needs the role {role}; yours is {visit.member.role}.")
        return None


def _take_slug(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    if values and _SLUG in values:
        g.organization_slug = values.pop(_SLUG)


def _give_slug(endpoint: str, values: dict[str, Any]) -> None:
    if _SLUG in values or "organization_slug" not in g:
        return
    if current_app.url_map.is_endpoint_expecting(endpoint, _SLUG):
        values[_SLUG] = g.organization_slug


def _keep_private(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _on_error(error: TaskBadgerError) -> Response:
    detail = "There is nothing at this address, or it is not yours to see."
    if error.status != 404 or error.detail != NotFound().detail:
        detail = error.detail
    if isinstance(error, Throttled):
        detail = f"Try again in {duration(error.retry_after)}."
    retry_after, title = getattr(error, "retry_after", None), getattr(error, "title", None)
    return problem_page(error.status, detail, retry_after, title)


blp = Pages("dashboard", __name__, template_folder="templates")


def idle_time() -> timedelta:
    """Return how long a session lasts without a visit."""
    return timedelta(hours=current_app.config["SESSION_HOURS"])


def find_visit() -> Visit | None:
    """Return who is signed in, if anybody is, and what they are in this page's organization."""
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
    """Return who is signed in, on a page for those who are."""
    found = find_visit()
    assert found is not None  # noqa: S101 - the route's rule saw to it
    return found


def current_member() -> Member:
    """Return what the visitor is in the organization of this page."""
    found = current_visit().member
    assert found is not None  # noqa: S101 - the route's rule saw to it
    return found


def current_user() -> User:
    """Return who is signed in, as a row to change."""
    return _get(User, current_visit().user_id)


def current_actor() -> Actor:
    """Return who makes the changes of this request."""
    return Actor("user", current_visit().email)


def current_membership() -> Membership:
    """Return what the user is in the organization of this page, as a row to change."""
    return _get(Membership, current_member().id)


def current_organization() -> Organization:
    """Return the organization of this page, as a row to change."""
    return _get(Organization, current_member().organization_id)


def _get(model: type[T], number: int | None) -> T:
    """Return a row; raises NotFound when another request has just deleted it."""
    found = db.session.get(model, number)
    if found is None:
        raise NotFound()
    return found


def may(least: str) -> bool:
    """Say whether the user has at least the role *least* here; also known to templates."""
    member = _known_member()
    return member is not None and roles.includes(member.role, least)


def _known_member() -> Member | None:
    """Return what the visitor is here; None also where nobody asked who they are."""
    visit: Visit | None = g.get("visit")
    return visit.member if visit else None


def find_project(slug: str) -> Project:
    """Return a project of this page's organization; raises NotFound."""
    project = db.session.scalar(
        select(Project).where(
            Project.organization_id == current_member().organization_id, Project.slug == slug
        )
    )
    if project is None:
        raise NotFound()
    return project


def memberships_of(user_id: int) -> list[Membership]:
    """Return the organizations of a user, by name."""
    query = (
        select(Membership)
        .join(Membership.organization)
        .where(Membership.user_id == user_id)
        .options(contains_eager(Membership.organization))
        .order_by(Organization.name, Organization.id)
    )
    return list(db.session.scalars(query))


def to_sign_in(path: str | None = None) -> AnyResponse:
    """Send the visitor to sign in, and afterwards to *path*, or back to where they are."""
    wanted = path or request.full_path.rstrip("?")
    if path is None and request.method not in ("GET", "HEAD"):
        wanted = _referring_path()
    response = redirect(url_for("dashboard.sign_in", next=wanted or None), 303)
    if COOKIE in request.cookies and not is_live_request() and find_visit() is None:
        flash("Your session has ended. Sign in to go on.", "warning")
        forget_cookie(response)
    return response


def _referring_path() -> str:
    """Return the page of ours that a form was on, without the prefix that we run under."""
    parts = urlsplit(request.referrer or "")
    if parts.netloc != request.host or not parts.path.startswith(request.script_root):
        return ""
    return safe_path(parts.path.removeprefix(request.script_root))


def safe_path(path: str | None) -> str:
    """Return *path* where it leads to a page of this server, else nothing."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")):
        return ""
    if not path.isprintable() or "\\" in path:
        return ""
    return path


def to_next(path: str | None) -> AnyResponse:
    """Redirect to the page *path* of this server, or to the start."""
    return redirect(request.script_root + (safe_path(path) or "/"), 303)


def sign_in_cookie(response: AnyResponse, token: str) -> None:
    """Let the browser keep a session's token."""
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
    """Let the browser forget its session."""
    response.delete_cookie(
        COOKIE, path=cookie_path(), secure=is_secure(), httponly=True, samesite="Lax"
    )


_SECTIONS = (
    ("overview", "Overview", "", "o"),
    ("tasks", "Tasks", "tasks/", "t"),
    ("names", "Names", "names/", ""),
    ("monitors", "Monitors", "monitors/", "m"),
    ("alerts", "Alerts", "alerts/", "a"),
    ("settings", "Settings", "settings/", ""),
)


@blp.app_context_processor
def _page_context() -> dict[str, Any]:
    """Give the pages of an organization their frame."""
    context: dict[str, Any] = {"may": may, "roles": roles}
    member = _known_member()
    if member is not None and not g.get("bare"):
        # An open page takes only what its frame surrounds.
        empty = is_live_request()
        context["frame"] = (
            Frame(member.organization_name) if empty else make_frame(member, read_failing().total)
        )
    return context


def read_failing() -> Failing:
    """Return how many things fail in this page's organization; read once per page."""
    if "failing" not in g:
        g.failing = count_failing(current_member().organization_id, now=utcnow())
    found: Failing = g.failing
    return found


def home_frame(wanted: str) -> Frame | None:
    """Return the top bar of a page of no organization: that of *wanted*, or of the first."""
    found = memberships_of(current_visit().user_id)
    if not found:
        return None
    chosen = next((one for one in found if one.organization.slug == wanted), found[0])
    home = chosen.organization
    member = Member(chosen.id, chosen.role, home.id, home.slug, home.name)
    return make_frame(member, count_failing(home.id, now=utcnow()).total)


def make_frame(member: Member, failing: int) -> Frame:
    """Return the top bar of an organization."""
    visit = current_visit()
    base = _home(member.organization)
    homes = [one.organization for one in memberships_of(visit.user_id)]
    return Frame(
        organization=member.organization_name,
        organizations=tuple(Link(one.slug, one.name, _home(one.slug)) for one in homes),
        nav=tuple(
            Link(key, label, base + path, shortcut) for key, label, path, shortcut in _SECTIONS
        ),
        user=visit.email,
        menu=(
            Link("account", "Your account", url_for("dashboard.account", of=member.organization)),
            Link("how-to", "How to send tasks", f"{base}how-to/"),
            Link("docs", "API documentation", url_for("docs.page")),
        ),
        sign_out=url_for("dashboard.sign_out"),
        failing=failing,
    )


def _home(slug: str) -> str:
    return f"{request.script_root}/a/{slug}/"
