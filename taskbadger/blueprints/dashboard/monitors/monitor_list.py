"""The list of monitors, with the outcomes of their last runs."""

from collections.abc import Sequence
from typing import Any

from flask import Response, request, url_for

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.monitors.rows import (
    BASE,
    local_time,
    make_rows,
    rows_version,
)
from taskbadger.blueprints.dashboard.shared import (
    chosen_projects,
    organization_projects,
    render_shared,
    share,
    share_failing,
)
from taskbadger.domain import roles
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound
from taskbadger.models import Monitor
from taskbadger.services.monitors import lists
from taskbadger.services.pagination import Cursor, Page, read_cursor

PAGE_SIZE = 50
STRIP = 30
LEGEND = ("ok", "late", "error", "missed", "timeout", "unknown", "skipped", "running", "waiting")
"""The marks of a strip, in the order in which they are explained."""


@blp.page(f"{BASE}/", role=roles.READ)
def monitor_list() -> Response:
    """Show the monitors."""
    projects = chosen_projects(request.args.get("project", ""))
    if not projects:
        raise NotFound()
    found = _find_page(projects)
    ids = [monitor.id for monitor in found.rows]
    version = share(("monitors", tuple(ids)), lambda: rows_version(found.rows, STRIP))
    return render_shared(
        "dashboard/monitors/monitors.html",
        f"{version}|{ids}|{_failing_count()}",
        lambda: _context(found),
    )


def _find_page(projects: Sequence[ProjectRef]) -> Page[Monitor]:
    cursor = request.args.get("cursor")
    return lists.search_monitors(
        [project.id for project in projects],
        read_cursor(cursor, parts=1) if cursor else None,
        PAGE_SIZE,
        only_failing=_only_failing(),
        search=_search(),
    )


def _search() -> str:
    """Return the part of a name to search for, cut to the length of a name."""
    return request.args.get("q", "").strip()[:255]


def _only_failing() -> bool:
    return request.args.get("state") == "failing"


def _failing_count() -> int | None:
    """Return the number of the tab Failing; None when the list is narrowed, as it counts all."""
    is_narrowed = request.args.get("project") or _search()
    return None if is_narrowed else share_failing().monitors


def _context(found: Page[Monitor]) -> dict[str, Any]:
    arguments = {
        name: value
        for name in ("project", "state")
        if (value := request.args.get(name, "")) and len(value) < 100
    }
    if search := _search():
        arguments["q"] = search
    return {
        "rows": make_rows(found.rows, STRIP),
        "local_time": local_time,
        "projects": organization_projects(),
        "project": request.args.get("project", ""),
        "only_failing": _only_failing(),
        "failing_count": _failing_count(),
        "search": search,
        "tab_href": lambda **state: url_for("dashboard.monitor_list", **arguments | state),
        "legend": LEGEND,
        "newer": _page_href(found.previous, **arguments),
        "older": _page_href(found.next, **arguments),
    }


def _page_href(cursor: Cursor | None, **arguments: Any) -> str | None:
    if cursor is None:
        return None
    return url_for("dashboard.monitor_list", **arguments, cursor=cursor.write())
