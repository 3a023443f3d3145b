"""The endpoints of failure kinds."""

from typing import Any

from flask import Flask, Response, request
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_actor, current_project
from taskbadger.blueprints.listing import answer, page_of
from taskbadger.blueprints.tasks import read_paging
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.extensions import db
from taskbadger.models import FailureKind
from taskbadger.schemas.failures import (
    Failure,
    PaginatedFailureList,
    PatchedFailureRequest,
    show_failure,
)
from taskbadger.services.failures import kinds
from taskbadger.services.failures.kinds import KindChanges

_FILTERS = [
    openapi.query("state", "string", "Only failures in this state: open, resolved or ignored."),
    openapi.query("name", "string", "Only failures of tasks with exactly this name."),
    openapi.query("search", "string", "Only failures with this text in the title or the name."),
    openapi.query("task", "string", "Only the failure of this task."),
]


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the failure kind of the URL exists."""
    if "id" in view_args:
        find_kind(view_args["id"])


blp = ApiBlueprint(
    "failures",
    __name__,
    url_prefix="/api/<organization_slug>/<project_slug>/failures",
    locate=locate,
    write_scope=scopes.ADMIN,
)


def find_kind(text: str) -> FailureKind:
    """Return a failure kind of the project; raises NotFound."""
    return kinds.get_kind([current_project().id], text)


def _show(kind: FailureKind) -> dict[str, Any]:
    return show_failure(kind, kinds.state_of(kind, now=utcnow()))


@blp.route("/")
class FailureList(MethodView):
    """The failure kinds of a project."""

    @blp.response(200, PaginatedFailureList)
    @blp.doc(operationId="failure_list", parameters=[*openapi.PAGING, *_FILTERS])
    def get(self) -> Response:
        """List Failures

        List the kinds of failures, the one with the latest failure first
        """
        filters = kinds.read_filters(request.args)
        cursor, size = read_paging(parts=2)
        page = kinds.list_kinds([current_project().id], filters, cursor, size)
        return page_of(page, size, _show)


@blp.route("/<id>/")
class FailureDetail(MethodView):
    """One failure kind."""

    @blp.response(200, Failure)
    @blp.doc(operationId="failure_get")
    def get(self, id: str) -> Response:
        """Get Failure

        Fetch a kind of failures
        """
        return answer(_show(find_kind(id)))

    @blp.arguments(PatchedFailureRequest)
    @blp.response(200, Failure)
    @blp.doc(operationId="failure_partial_update")
    def patch(self, data: KindChanges, id: str) -> Response:
        """Update Failure (partial)

        Resolve a kind of failures, ignore it, or open it again
        """
        kind = find_kind(id)
        organization_id = current_project().organization_id
        kinds.change_kinds(organization_id, [kind], data, actor=current_actor(), now=utcnow())
        shown = _show(kind)
        db.session.commit()
        return answer(shown)


def register(app: Flask, api: Api) -> None:
    """Add the failure endpoints."""
    api.register_blueprint(blp)
