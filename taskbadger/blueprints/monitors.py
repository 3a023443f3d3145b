"""The monitor endpoints."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Flask, Response, request
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import (
    ApiBlueprint,
    base_url,
    current_access,
    current_actor,
    current_project,
    json_response,
)
from taskbadger.blueprints.tasks import page_response, read_paging
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.domain.monitors import health, status_at
from taskbadger.domain.pings import ping_url
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Monitor as MonitorRow
from taskbadger.schemas.monitors import (
    ExpectedRun,
    Monitor,
    MonitorRequest,
    PaginatedMonitorIncidentList,
    PaginatedMonitorList,
    PaginatedMonitorSlotList,
    PatchedMonitorRequest,
    show_expected_run,
    show_incident,
    show_monitor,
    show_slot,
)
from taskbadger.services.monitors import incidents, lists, manage

DEFAULT_EXPECTED = 5
MAX_EXPECTED = 100
_MAX_DIGITS = 9


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the monitor of the URL exists."""
    if "id" in view_args:
        _monitor(view_args["id"])


blp = ApiBlueprint(
    "monitors",
    __name__,
    url_prefix="/api/<organization_slug>/<project_slug>/monitors",
    locate=locate,
    write_scope=scopes.ADMIN,
)


@blp.route("/")
class MonitorList(MethodView):
    """The monitors of a project."""

    @blp.response(200, PaginatedMonitorList)
    @blp.doc(operationId="monitor_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Monitors

        List all monitors, newest first
        """
        cursor, size = read_paging(parts=1)
        page = lists.list_monitors(current_project(), cursor, size)
        now = utcnow()
        shown = [_show(row.monitor, now, is_failing=row.is_failing) for row in page.rows]
        return page_response(page, [json.dumps(monitor) for monitor in shown], size)

    @blp.arguments(MonitorRequest)
    @blp.response(201, Monitor)
    @blp.doc(operationId="monitor_create")
    def post(self, data: dict[str, Any]) -> Response:
        """Create Monitor

        Create a monitor
        """
        now = utcnow()
        monitor = manage.create_monitor(current_project(), data, now=now, actor=current_actor())
        shown = _show(monitor, now, is_failing=False)
        db.session.commit()
        return _json(shown, 201)


@blp.route("/<id>/")
class MonitorDetail(MethodView):
    """One monitor."""

    @blp.response(200, Monitor)
    @blp.doc(operationId="monitor_get")
    def get(self, id: str) -> Response:
        """Get Monitor

        Fetch a monitor
        """
        monitor = _monitor(id)
        return _json(_show(monitor, utcnow(), is_failing=incidents.is_failing(monitor)))

    @blp.arguments(MonitorRequest)
    @blp.response(200, Monitor)
    @blp.doc(operationId="monitor_update")
    def put(self, data: dict[str, Any], id: str) -> Response:
        """Update Monitor

        Update a monitor; omitted fields keep their values
        """
        return _update(id, data)

    @blp.arguments(PatchedMonitorRequest)
    @blp.response(200, Monitor)
    @blp.doc(operationId="monitor_partial_update")
    def patch(self, data: dict[str, Any], id: str) -> Response:
        """Update Monitor (partial)

        Update some fields of a monitor; set its status to pause, mute or resume it
        """
        return _update(id, data)

    @blp.response(204)
    @blp.doc(operationId="monitor_delete")
    def delete(self, id: str) -> Response:
        """Delete Monitor

        Delete a monitor with its slots and incidents; its tasks are kept
        """
        manage.delete_monitor(
            current_project(), _monitor_id(id), now=utcnow(), actor=current_actor()
        )
        db.session.commit()
        return Response(status=204)


@blp.route("/<id>/slots/")
class MonitorSlots(MethodView):
    """The slots of a monitor."""

    @blp.response(200, PaginatedMonitorSlotList)
    @blp.doc(operationId="monitor_slots", parameters=openapi.PAGING)
    def get(self, id: str) -> Response:
        """List Slots

        List the expected runs of a monitor with their outcomes, newest first
        """
        monitor = _monitor(id)
        cursor, size = read_paging(parts=1)
        page = lists.list_slots(monitor.id, cursor, size)
        return page_response(page, [json.dumps(show_slot(*row)) for row in page.rows], size)


@blp.route("/<id>/incidents/")
class MonitorIncidents(MethodView):
    """The incidents of a monitor."""

    @blp.response(200, PaginatedMonitorIncidentList)
    @blp.doc(operationId="monitor_incidents", parameters=openapi.PAGING)
    def get(self, id: str) -> Response:
        """List Incidents

        List the incidents of a monitor, newest first
        """
        monitor = _monitor(id)
        cursor, size = read_paging(parts=1)
        page = lists.list_incidents(monitor.id, cursor, size)
        return page_response(page, [json.dumps(show_incident(row)) for row in page.rows], size)


_COUNT = openapi.query("count", "integer", "Number of runs, 1 to 100; defaults to 5.")


@blp.route("/<id>/expected/")
class MonitorExpected(MethodView):
    """The next runs of a monitor."""

    @blp.response(200, ExpectedRun(many=True))
    @blp.doc(operationId="monitor_expected", parameters=[_COUNT])
    def get(self, id: str) -> Response:
        """List Expected Runs

        List when the next runs of a monitor are expected, soonest first
        """
        monitor = _monitor(id)
        runs = manage.expected_runs(monitor, _read_count())
        return _json([show_expected_run(run, monitor.timezone) for run in runs])


def _read_count() -> int:
    text = request.args.get("count", str(DEFAULT_EXPECTED))
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    if not (is_number and 1 <= int(text) <= MAX_EXPECTED):
        raise ValidationFailed.one("count", f"A whole number, 1 to {MAX_EXPECTED}, is required.")
    return int(text)


def _update(id: str, data: dict[str, Any]) -> Response:
    now = utcnow()
    monitor = manage.update_monitor(
        current_project(), _monitor_id(id), data, now=now, actor=current_actor()
    )
    shown = _show(monitor, now, is_failing=incidents.is_failing(monitor))
    db.session.commit()
    return _json(shown)


def _monitor(text: str) -> MonitorRow:
    return manage.get_monitor(current_project(), _monitor_id(text))


def _monitor_id(text: str) -> UUID:
    """Read the id of a monitor; raises NotFound for any other text."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound() from error


def _show(monitor: MonitorRow, now: datetime, *, is_failing: bool) -> dict[str, Any]:
    project = current_project()
    status = status_at(monitor.status, monitor.muted_until, now)
    return show_monitor(
        monitor,
        organization=project.organization,
        project=project.slug,
        status=status,
        health=health(status, seen=monitor.seen, failing=is_failing),
        ping_url=_ping_url(monitor),
    )


def _ping_url(monitor: MonitorRow) -> str | None:
    if monitor.ping_id is None or not current_access().scopes & {scopes.PING, scopes.ADMIN}:
        return None
    return ping_url(base_url(), monitor.ping_id)


def _json(value: Any, status: int = 200) -> Response:
    return json_response(json.dumps(value), status)


def register(app: Flask, api: Api) -> None:
    """Add the monitor endpoints."""
    api.register_blueprint(blp)
