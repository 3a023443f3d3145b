"""Why a task alerted, or did not."""

import json
from dataclasses import asdict
from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints.api import ApiBlueprint, current_project, json_response
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain import scopes
from taskbadger.schemas.alerts import Alert
from taskbadger.services.alerts import explain
from taskbadger.services.alerts.explain import Alert as ShownAlert
from taskbadger.services.tasks import reads

_FIELDS = frozenset(Alert().fields)


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the task of the URL exists."""
    reads.check_exists(current_project(), view_args["task_id"])


blp = ApiBlueprint(
    "alerts",
    __name__,
    url_prefix="/api/<organization_slug>/<project_slug>/tasks/<task_id>/alerts",
    locate=locate,
    write_scope=scopes.INGEST,
)


@blp.route("/")
class TaskAlerts(MethodView):
    """What applies to a task."""

    @blp.response(200, Alert(many=True))
    @blp.doc(operationId="task_alerts")
    def get(self, task_id: str) -> Response:
        """Explain Alerts

        List every action and global action that applies to a task, with what it fired and when,
        or the condition that kept it from firing
        """
        project = current_project()
        task = reads.get_wire_task(project, task_id)
        found = explain.list_alerts(project, task, now=utcnow())
        return json_response(json.dumps([_show(alert) for alert in found], default=to_wire))


def _show(alert: ShownAlert) -> dict[str, Any]:
    """Return what the schema describes."""
    shown = {name: value for name, value in asdict(alert).items() if name in _FIELDS}
    for firing in shown["fired"]:
        for delivery in firing["deliveries"]:
            del delivery["waiting"]
    return shown


def register(app: Flask, api: Api) -> None:
    """Add the endpoint."""
    api.register_blueprint(blp)
