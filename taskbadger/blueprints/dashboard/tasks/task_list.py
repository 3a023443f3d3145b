"""The page with the list of tasks."""

from typing import Any

from flask import Response, flash, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.shared import (
    last_change,
    organization_projects,
    render_shared,
    share,
)
from taskbadger.blueprints.dashboard.tasks.list_page import ListPage
from taskbadger.blueprints.dashboard.tasks.query import (
    Query,
    list_url,
    read_position,
    read_query,
)
from taskbadger.blueprints.dashboard.visit import current_member
from taskbadger.blueprints.live import is_live_request
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.models import SavedView
from taskbadger.services.pagination import InvalidCursor
from taskbadger.services.tasks import saved_views
from taskbadger.services.tasks.filters import reads_time

_WORDS_KEPT = 100


@blp.page("/a/<organization_slug>/tasks/", role=roles.READ)
def task_list() -> AnyResponse:
    """Show the tasks that match."""
    query = read_query(request.args)
    try:
        return _show(query)
    except InvalidCursor:
        if is_live_request():
            raise
    flash("That page does not exist. Showing the newest tasks.", "warning")
    return redirect(query.href(query.text))


def _show(query: Query) -> Response:
    # The result of a relative time changes by itself.
    minute = utcnow().replace(second=0, microsecond=0) if reads_time(query.filters) else None
    views = [(view.id, view.name, view.search, view.project) for view in _views()]
    page = ListPage(query, minute, read_position(request.args.get("cursor")))
    return render_shared(
        "dashboard/tasks/tasks.html",
        f"{last_change(query.projects)}|{f'{minute} {query.zone}' if minute else ''}|{views}",
        lambda: _context(page, views),
        page.regions(),
    )


def _views() -> list[SavedView]:
    organization_id = current_member().organization_id
    return share(("views", organization_id), lambda: saved_views.list_views(organization_id))


def _context(page: ListPage, views: list[tuple[int, str, str, str]]) -> dict[str, Any]:
    news = {
        "query": page.query,
        "moving": page.is_moving,
        "marks": _marks(page.query),
        "hints": page.query.hints,
    }
    return news if is_live_request() else {**news, **_surroundings(views)}


def _surroundings(views: list[tuple[int, str, str, str]]) -> dict[str, Any]:
    """Return what is outside of the regions."""
    return {
        "projects": organization_projects(),
        "views": [_view_link(*view) for view in views],
    }


def _view_link(view_id: int, name: str, text: str, project: str) -> dict[str, Any]:
    href = list_url(text, project)
    return {"id": view_id, "name": name, "href": href, "q": text, "project": project}


def _marks(query: Query) -> list[dict[str, Any]]:
    """Return the problems of the search, each with its place."""
    return [
        {
            "before": query.text[max(problem.start - 20, 0) : problem.start],
            "wrong": query.text[problem.start : problem.end][:_WORDS_KEPT],
            "position": problem.start + 1,
            "message": problem.message,
        }
        for problem in query.problems
    ]
