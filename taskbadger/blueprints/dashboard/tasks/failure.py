"""The page of a failure kind: what it is, when it happened, and which tasks it hit."""

from typing import Any

from flask import Response, request, url_for

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.shared import organization_projects, render_shared, share
from taskbadger.blueprints.dashboard.tasks.error_panel import ErrorPanel, make_panel
from taskbadger.blueprints.dashboard.tasks.failures import SPANS, FailureRow, make_failure
from taskbadger.blueprints.dashboard.tasks.rows import make_task_rows
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound
from taskbadger.services.failures import figures, kinds
from taskbadger.services.pagination import Cursor, read_cursor
from taskbadger.services.tasks import views

TASKS = 20


@blp.page("/a/<organization_slug>/failures/<id>/", role=roles.READ)
def failure(id: str) -> Response:
    """Show a failure kind."""
    text = request.args.get("cursor")
    cursor = read_cursor(text, parts=1) if text else None
    projects = organization_projects()
    name = ("failure", tuple(project.id for project in projects), id)
    row = share(name, lambda: _find(projects, id))
    return render_shared(
        "dashboard/tasks/failure.html",
        repr((row, utcnow().date())),
        lambda: _context(row, cursor),
    )


def _find(projects: list[ProjectRef], text: str) -> FailureRow:
    return make_failure(kinds.get_kind([project.id for project in projects], text))


def _context(row: FailureRow, cursor: Cursor | None) -> dict[str, Any]:
    project = next(each for each in organization_projects() if each.slug == row.project)
    kind, now = kinds.get_kind([project.id], str(row.id)), utcnow()
    page = kinds.list_tasks(row.id, cursor, TASKS)
    trend = figures.read_trends([kind], now=now).get(row.id)
    return {
        "failure": row,
        "project": project,
        "tasks": make_task_rows(page.rows, {project.id: project.slug}),
        "newer": _page_href(row.id, page.previous),
        "older": _page_href(row.id, page.next),
        "days": [int(start.timestamp()) for start in figures.day_starts(now)],
        "trend": trend,
        "versions": figures.count_versions(row.id),
        "latest": figures.LATEST,
        "panel": _sample(project, row),
        "spans": SPANS,
    }


def _page_href(kind_id: int, cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    return url_for("dashboard.failure", id=kind_id, cursor=cursor.write())


def _sample(project: ProjectRef, row: FailureRow) -> ErrorPanel | None:
    """Return what the sample task says; None if it was deleted, or has not failed since."""
    try:
        task = views.get_page_task(project, row.sample_task)
    except NotFound:
        return None
    return make_panel(task, row.cause)
