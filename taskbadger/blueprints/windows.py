"""The endpoints of maintenance windows."""

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
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow
from taskbadger.schemas.windows import (
    PaginatedWindowList,
    PatchedWindowRequest,
    Window,
    WindowRequest,
    show_window,
)
from taskbadger.services.delivery.windows import timing_of
from taskbadger.services.pagination import read_number
from taskbadger.services.windows import manage
from taskbadger.services.windows.manage import Place, WindowChanges


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the window of the URL exists."""
    if "id" in view_args:
        find_window(view_args["id"])


blp = ApiBlueprint(
    "windows",
    __name__,
    url_prefix="/api/<organization_slug>/-/windows",
    locate=locate,
    write_scope=scopes.ADMIN,
    organization_only=True,
)


def find_window(text: str) -> MaintenanceWindow:
    """Return a window of the organization; raises NotFound."""
    number = read_number(text)
    if number is None:
        raise NotFound()
    return manage.get_window(current_access().organization_id, number)


@blp.route("/")
class WindowList(MethodView):
    """The maintenance windows of an organization."""

    @blp.response(200, PaginatedWindowList)
    @blp.doc(operationId="window_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Maintenance Windows

        List the maintenance windows, newest first, those that are over too
        """
        cursor, size = read_paging(parts=1)
        page = manage.list_page(current_access().organization_id, cursor, size)
        places = manage.places_of(page.rows)
        return page_of(page, size, lambda row: _show(row, places))

    @blp.arguments(WindowRequest)
    @blp.response(201, Window)
    @blp.doc(operationId="window_create")
    def post(self, data: WindowChanges) -> Response:
        """Create Maintenance Window

        Create a maintenance window, once or recurring
        """
        window = manage.create_window(
            current_access().organization_id, data, actor=current_actor(), now=utcnow()
        )
        return _done(window, 201)


@blp.route("/<id>/")
class WindowDetail(MethodView):
    """One maintenance window."""

    @blp.response(200, Window)
    @blp.doc(operationId="window_get")
    def get(self, id: str) -> Response:
        """Get Maintenance Window

        Fetch a maintenance window
        """
        return answer(_show_one(find_window(id)))

    @blp.arguments(PatchedWindowRequest)
    @blp.response(200, Window)
    @blp.doc(operationId="window_partial_update")
    def patch(self, data: WindowChanges, id: str) -> Response:
        """Update Maintenance Window (partial)

        Change a maintenance window; what it no longer covers is told at once
        """
        window = find_window(id)
        manage.update_window(
            window.organization_id, window.id, data, actor=current_actor(), now=utcnow()
        )
        return _done(window, 200)

    @blp.response(204)
    @blp.doc(operationId="window_delete")
    def delete(self, id: str) -> Response:
        """Delete Maintenance Window

        Delete a maintenance window; if it is active, it ends
        """
        window = find_window(id)
        manage.delete_window(window.organization_id, window.id, actor=current_actor(), now=utcnow())
        db.session.commit()
        return Response(status=204)


def _show(window: MaintenanceWindow, places: Mapping[int, Place]) -> dict[str, Any]:
    project = places[window.id].project if window.project_id else None
    now = utcnow()
    span = manage.span_of(window, now=now)
    return show_window(window, timing_of(window), span, project=project, now=now)


def _show_one(window: MaintenanceWindow) -> dict[str, Any]:
    return _show(window, manage.places_of([window]))


def _done(window: MaintenanceWindow, status: int) -> Response:
    shown = _show_one(window)
    db.session.commit()
    return answer(shown, status)


def register(app: Flask, api: Api) -> None:
    """Add the endpoints of maintenance windows."""
    api.register_blueprint(blp)
