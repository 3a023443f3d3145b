"""Exports of the list of tasks, as files."""

from flask import Response, flash, redirect, request, stream_with_context
from werkzeug.wrappers import Response as AnyResponse

from taskbadger import time_limit
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.shared import organization_projects
from taskbadger.blueprints.dashboard.tasks.query import Query, read_newest, read_query
from taskbadger.blueprints.dashboard.visit import current_member, may
from taskbadger.domain import ids, roles
from taskbadger.errors import NotFound, TaskBadgerError
from taskbadger.services.pagination import Cursor
from taskbadger.services.tasks import exports
from taskbadger.services.tasks.exports import Selection
from taskbadger.services.tasks.filters import Filters

MAX_TICKED = 1000


class BadSearch(TaskBadgerError):
    """The search cannot be read."""

    status = 400
    code = "invalid"


@blp.page("/a/<organization_slug>/tasks/export.<kind>", role=roles.READ)
def export_tasks(kind: str) -> Response:
    """Send all that match as a file, as it is read."""
    return _send(kind, _matching(read_query(request.args), None))


@blp.page("/a/<organization_slug>/tasks/export.<kind>", role=roles.READ, methods=["POST"])
def export_selected(kind: str) -> AnyResponse:
    """Send the ticked tasks as a file, or all that match."""
    query = read_query(request.form)
    if request.form.get("all"):
        return _send(kind, _matching(query, read_newest(request.form)))
    ticked = [
        task_id for task_id in request.form.getlist("task") if ids.to_bytes(task_id) is not None
    ]
    if not ticked:
        flash("Nothing was exported: no tasks are selected.", "warning")
        return redirect(query.href(query.text), 303)
    filters = Filters(id=tuple(ticked[:MAX_TICKED]))
    return _send(kind, Selection(organization_projects(), filters, masked=_is_masked()))


def _matching(query: Query, start: Cursor | None) -> Selection:
    if query.problems:
        raise BadSearch(query.problems[0].message)
    return Selection(query.projects, query.filters, start, masked=_is_masked())


def _is_masked() -> bool:
    # Who makes keys can read it all through the API; to others pages do not show secrets.
    return not may(roles.MANAGE_KEYS)


def _send(kind: str, selection: Selection) -> Response:
    if kind not in exports.EXPORTS:
        raise NotFound()
    make, mimetype = exports.EXPORTS[kind]
    time_limit.end()  # A long file takes many reads, and may take long; each of them must not.
    response = Response(stream_with_context(make(selection)), mimetype=mimetype)
    name = f"tasks-{current_member().organization}.{kind}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
