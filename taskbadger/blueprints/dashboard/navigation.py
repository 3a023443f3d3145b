"""The top bar of pages: the organizations of the visitor, the sections of one, and the menu."""

from typing import Any

from flask import g, request, url_for

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.frame import Frame, Link
from taskbadger.blueprints.dashboard.visit import (
    current_member,
    current_visit,
    known_member,
    may,
)
from taskbadger.blueprints.live import is_live_request
from taskbadger.domain import roles
from taskbadger.services.people import members
from taskbadger.services.people.sessions import Member
from taskbadger.services.stats.failing import Failing, count_failing

_SECTIONS = (
    ("overview", "Overview", "", "o"),
    ("incidents", "Incidents", "incidents/", "i"),
    ("tasks", "Tasks", "tasks/", "t"),
    ("queues", "Queues", "queues/", "q"),
    ("failures", "Failures", "failures/", "f"),
    ("names", "Names", "names/", ""),
    ("monitors", "Monitors", "monitors/", "m"),
    ("alerts", "Alerts", "alerts/", "a"),
    ("settings", "Settings", "settings/", ""),
)


@blp.app_context_processor
def _page_context() -> dict[str, Any]:
    """Give templates the frame, and what they need to check roles."""
    context: dict[str, Any] = {"may": may, "roles": roles}
    member = known_member()
    if member is not None and not g.get("bare"):
        # A live request replaces only what is inside the frame.
        empty = is_live_request()
        context["frame"] = (
            Frame(member.organization_name) if empty else make_frame(member, read_failing().total)
        )
    return context


def read_failing() -> Failing:
    """Return how many things fail in this page's organization; read once per page."""
    if "failing" not in g:
        g.failing = count_failing(current_member().organization_id)
    found: Failing = g.failing
    return found


def home_frame(wanted: str) -> Frame | None:
    """Return the top bar for a page outside of organizations: that of the slug *wanted*, if the
    visitor is a member there, else that of their first organization.
    """
    found = members.list_memberships(current_visit().user_id)
    if not found:
        return None
    chosen = next(
        (membership for membership in found if membership.organization.slug == wanted), found[0]
    )
    home = chosen.organization
    member = Member(chosen.id, chosen.role, home.id, home.slug, home.name)
    return make_frame(member, count_failing(home.id).total)


def make_frame(member: Member, failing: int) -> Frame:
    """Return the top bar of an organization."""
    visit = current_visit()
    base = _home(member.organization)
    homes = [membership.organization for membership in members.list_memberships(visit.user_id)]
    return Frame(
        organization=member.organization_name,
        organizations=tuple(Link(home.slug, home.name, _home(home.slug)) for home in homes),
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
