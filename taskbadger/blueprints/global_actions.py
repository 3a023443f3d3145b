"""The endpoints of global actions."""

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_access, current_actor
from taskbadger.blueprints.listing import answer, page_of
from taskbadger.blueprints.tasks import read_paging
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.errors import NotFound
from taskbadger.extensions import db, reading
from taskbadger.models import GlobalAction as GlobalActionRow
from taskbadger.schemas.global_actions import (
    MAX_SHOWN,
    DryRun,
    DryRunRequest,
    GlobalAction,
    GlobalActionRequest,
    PaginatedGlobalActionList,
    PatchedGlobalActionRequest,
    show_dry_run,
    show_global_action,
)
from taskbadger.services.alerts import dry_runs, global_actions
from taskbadger.services.alerts.global_actions import GlobalActionChanges
from taskbadger.services.pagination import read_number


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the global action of the URL exists."""
    if "id" in view_args:
        find_global_action(view_args["id"])


blp = ApiBlueprint(
    "global_actions",
    __name__,
    url_prefix="/api/<organization_slug>/-/global-actions",
    locate=locate,
    write_scope=scopes.ADMIN,
    organization_only=True,
)


def find_global_action(text: str) -> GlobalActionRow:
    """Return a global action of the organization; raises NotFound."""
    number = read_number(text)
    if number is None:
        raise NotFound()
    return global_actions.get_global_action(current_access().organization_id, number)


@blp.route("/")
class GlobalActionList(MethodView):
    """The global actions of an organization."""

    @blp.response(200, PaginatedGlobalActionList)
    @blp.doc(operationId="global_action_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Global Actions

        List the global actions, oldest first
        """
        cursor, size = read_paging(parts=1)
        page = global_actions.list_page(current_access().organization_id, cursor, size)
        slugs = global_actions.project_slugs(page.rows)
        return page_of(page, size, lambda row: _show(row, slugs))

    @blp.arguments(GlobalActionRequest)
    @blp.response(201, GlobalAction)
    @blp.doc(operationId="global_action_create")
    def post(self, data: GlobalActionChanges) -> Response:
        """Create Global Action

        Create a global action
        """
        global_action = global_actions.create_global_action(
            current_access().organization_id, data, actor=current_actor(), now=utcnow()
        )
        return _done(global_action, 201)


@blp.route("/<id>/")
class GlobalActionDetail(MethodView):
    """One global action."""

    @blp.response(200, GlobalAction)
    @blp.doc(operationId="global_action_get")
    def get(self, id: str) -> Response:
        """Get Global Action

        Fetch a global action
        """
        return answer(_show_one(find_global_action(id)))

    @blp.arguments(PatchedGlobalActionRequest)
    @blp.response(200, GlobalAction)
    @blp.doc(operationId="global_action_partial_update")
    def patch(self, data: GlobalActionChanges, id: str) -> Response:
        """Update Global Action (partial)

        Change a global action; channels, if given, are replaced as a whole
        """
        global_action = find_global_action(id)
        global_actions.update_global_action(
            global_action.organization_id,
            global_action.id,
            data,
            actor=current_actor(),
            now=utcnow(),
        )
        return _done(global_action, 200)

    @blp.response(204)
    @blp.doc(operationId="global_action_delete")
    def delete(self, id: str) -> Response:
        """Delete Global Action

        Delete a global action; its messages that are held back are dropped
        """
        global_action = find_global_action(id)
        global_actions.delete_global_action(
            global_action.organization_id, global_action.id, actor=current_actor(), now=utcnow()
        )
        db.session.commit()
        return Response(status=204)


@blp.route("/dry-run/")
class GlobalActionDryRun(MethodView):
    """What a draft would have done."""

    @blp.arguments(DryRunRequest)
    @blp.response(200, DryRun)
    @blp.doc(operationId="global_action_dry_run")
    def post(self, data: dict[str, Any]) -> Response:
        """Dry Run

        Show what a draft would have fired in recent days, without changing anything
        """
        # It reads for a while: nobody who writes is to wait for it.
        with reading():
            run = dry_runs.dry_run(
                current_access().organization_id, **data, now=utcnow(), limit=MAX_SHOWN
            )
        return answer(show_dry_run(run))


def _show(row: GlobalActionRow, slugs: Mapping[int, str]) -> dict[str, Any]:
    project = None if row.project_id is None else slugs.get(row.project_id)
    return show_global_action(row, project=project)


def _show_one(row: GlobalActionRow) -> dict[str, Any]:
    return _show(row, global_actions.project_slugs([row]))


def _done(global_action: GlobalActionRow, status: int) -> Response:
    shown = _show_one(global_action)
    db.session.commit()
    return answer(shown, status)


def register(app: Flask, api: Api) -> None:
    """Add the global action endpoints."""
    api.register_blueprint(blp)
