"""The action endpoints."""

import json
from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints.api import (
    ApiBlueprint,
    current_actor,
    current_project,
    json_response,
)
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain import scopes
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import Action as ActionRow
from taskbadger.schemas.actions import Action, ActionRequest, PatchedActionRequest
from taskbadger.services.alerts import actions
from taskbadger.services.alerts.actions import ActionChanges, ActionData
from taskbadger.services.tasks import reads


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the task and the action of the URL exist."""
    reads.check_exists(current_project(), view_args["task_id"])
    if "id" in view_args:
        actions.get_action(view_args["task_id"], _action_id(view_args["id"]))


blp = ApiBlueprint(
    "actions",
    __name__,
    url_prefix="/api/<organization_slug>/<project_slug>/tasks/<task_id>/actions",
    locate=locate,
    write_scope=scopes.INGEST,
)


@blp.route("/")
class ActionList(MethodView):
    """The actions of a task."""

    @blp.response(200, Action(many=True))
    @blp.doc(operationId="action_list")
    def get(self, task_id: str) -> Response:
        """List Actions

        List actions for task
        """
        reads.check_exists(current_project(), task_id)
        return _json([_show(action) for action in actions.list_actions(task_id)])

    @blp.arguments(ActionRequest)
    @blp.response(201, Action)
    @blp.doc(operationId="action_create")
    def post(self, data: ActionData, task_id: str) -> Response:
        """Create Action

        Create an action for a task
        """
        project = current_project()
        task = reads.lock_task(project, task_id)
        action = actions.add_action(project, task, data, actor=current_actor(), now=utcnow())
        shown = _show(action)
        db.session.commit()
        return _json(shown, 201)


@blp.route("/<id>/")
class ActionDetail(MethodView):
    """One action of a task."""

    @blp.response(200, Action)
    @blp.doc(operationId="action_get")
    def get(self, task_id: str, id: str) -> Response:
        """Get Action

        Fetch an action
        """
        reads.check_exists(current_project(), task_id)
        return _json(_show(actions.get_action(task_id, _action_id(id))))

    @blp.arguments(ActionRequest)
    @blp.response(200, Action)
    @blp.doc(operationId="action_update")
    def put(self, data: ActionChanges, task_id: str, id: str) -> Response:
        """Update Action

        Update an action
        """
        return _update(data, task_id, id)

    @blp.arguments(PatchedActionRequest, required=False)
    @blp.response(200, Action)
    @blp.doc(operationId="action_partial_update")
    def patch(self, data: ActionChanges, task_id: str, id: str) -> Response:
        """Update Action (partial)

        Update an action
        """
        return _update(data, task_id, id)

    @blp.response(204)
    @blp.doc(operationId="action_cancel")
    def delete(self, task_id: str, id: str) -> Response:
        """Cancel Action

        Cancel an action
        """
        project = current_project()
        task = reads.lock_task(project, task_id)
        actions.cancel_action(project, task, _action_id(id), actor=current_actor(), now=utcnow())
        db.session.commit()
        return Response(status=204)


def _update(data: ActionChanges, task_id: str, id: str) -> Response:
    project = current_project()
    task = reads.lock_task(project, task_id)
    action = actions.update_action(
        project, task, _action_id(id), data, actor=current_actor(), now=utcnow()
    )
    shown = _show(action)
    db.session.commit()
    return _json(shown)


def _action_id(text: str) -> int:
    """Read the id of an action; anything that is none names no action."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise NotFound()
    return int(text)


def _show(action: ActionRow) -> dict[str, Any]:
    return {
        "id": action.id,
        "task": action.task_id,
        "trigger": action.trigger,
        "integration": action.integration,
        "status": action.status,
        "config": json.loads(action.config),
        "created": to_wire(action.created),
        "updated": to_wire(action.updated),
    }


def _json(value: Any, status: int = 200) -> Response:
    return json_response(json.dumps(value), status)


def register(app: Flask, api: Api) -> None:
    """Add the action endpoints."""
    api.register_blueprint(blp)
