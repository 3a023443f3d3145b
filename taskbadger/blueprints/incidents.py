"""The endpoints of incidents."""

from typing import Any

from flask import Flask, Response, request
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_access, current_actor
from taskbadger.blueprints.listing import answer, page_of
from taskbadger.blueprints.tasks import read_paging
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.extensions import db
from taskbadger.schemas.errors import Error
from taskbadger.schemas.incidents import (
    IncidentDetail,
    PaginatedIncidentList,
    SnoozeRequest,
    show_event,
    show_incident,
)
from taskbadger.services.incidents import handling, lists

_FILTERS = [
    openapi.query("state", "string", "Only incidents that are open or closed."),
    openapi.query("project", "string", "Only incidents of this project, by its slug."),
    openapi.query("name", "string", "Only incidents of tasks with exactly this name."),
    openapi.query("monitor", "string", "Only incidents of the monitor with this ID."),
]


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the incident of the URL exists."""
    if "id" in view_args:
        lists.get_incident(current_access().organization_id, lists.read_id(view_args["id"]))


blp = ApiBlueprint(
    "incidents",
    __name__,
    url_prefix="/api/<organization_slug>/-/incidents",
    locate=locate,
    write_scope=scopes.ADMIN,
    organization_only=True,
)


@blp.route("/")
class IncidentList(MethodView):
    """The incidents of an organization."""

    @blp.response(200, PaginatedIncidentList)
    @blp.doc(operationId="incident_list", parameters=[*openapi.PAGING, *_FILTERS])
    def get(self) -> Response:
        """List Incidents

        List the incidents of all monitors and names, newest first
        """
        filters = lists.read_filters(request.args)
        cursor, size = read_paging(parts=1)
        page = lists.list_incidents(current_access().organization_id, filters, cursor, size)
        failures = lists.failures_of([row.incident.id for row in page.rows])
        return page_of(
            page,
            size,
            lambda row: show_incident(
                row.incident, project=row.project, failures=failures[row.incident.id]
            ),
        )


@blp.route("/<id>/")
class IncidentView(MethodView):
    """One incident."""

    @blp.response(200, IncidentDetail)
    @blp.doc(operationId="incident_get")
    def get(self, id: str) -> Response:
        """Get Incident

        Fetch an incident with its timeline
        """
        return answer(_detail(lists.read_id(id)))


@blp.route("/<id>/acknowledge/")
class IncidentAcknowledge(MethodView):
    """Who is on it."""

    @blp.response(200, IncidentDetail)
    @blp.alt_response(409, schema=Error)
    @blp.doc(operationId="incident_acknowledge")
    def post(self, id: str) -> Response:
        """Acknowledge Incident

        Say that the key's holder is on it, which ends reminders and the escalation
        """
        number = lists.read_id(id)
        organization_id = current_access().organization_id
        handling.acknowledge(organization_id, number, actor=current_actor(), now=utcnow())
        return _changed(number)


@blp.route("/<id>/snooze/")
class IncidentSnooze(MethodView):
    """For how long it is silent."""

    @blp.arguments(SnoozeRequest)
    @blp.response(200, IncidentDetail)
    @blp.alt_response(409, schema=Error)
    @blp.doc(operationId="incident_snooze")
    def post(self, data: dict[str, Any], id: str) -> Response:
        """Snooze Incident

        Silence an incident until a time, or until it changes
        """
        number = lists.read_id(id)
        handling.snooze(
            current_access().organization_id,
            number,
            until=data["until"],
            actor=current_actor(),
            now=utcnow(),
        )
        return _changed(number)


def _changed(incident_id: int) -> Response:
    db.session.flush()
    shown = _detail(incident_id)
    db.session.commit()
    return answer(shown)


def _detail(incident_id: int) -> dict[str, Any]:
    listed = lists.get_incident(current_access().organization_id, incident_id)
    failures = lists.failures_of([incident_id])[incident_id]
    timeline = [show_event(event) for event in lists.list_events(incident_id)]
    shown = show_incident(listed.incident, project=listed.project, failures=failures)
    return {**shown, "timeline": timeline}


def register(app: Flask, api: Api) -> None:
    """Add the incident endpoints."""
    api.register_blueprint(blp)
