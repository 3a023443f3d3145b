"""Actions through the SDK: with a task, in an update, and the endpoints of its own client."""

import json
import os
import sys

from taskbadger.exceptions import UnexpectedStatus
from taskbadger.internal.api.action_endpoints import (
    action_cancel,
    action_create,
    action_get,
    action_list,
    action_partial_update,
    action_update,
)
from taskbadger.internal.api.task_endpoints import task_cancel, task_update
from taskbadger.internal.models import ActionRequest, PatchedActionRequest, TaskRequest
from taskbadger.sdk import _init

import taskbadger
from taskbadger import Action, Badger, EmailIntegration, Session, WebhookIntegration

_init(host=os.environ["LIVE_HOST"], token=os.environ["LIVE_KEY"])

mail = Action("error,75%", EmailIntegration(to="me@example.com,you@example.com"))
task = taskbadger.create_task("with actions", actions=[mail])
task.add_actions([Action("success", WebhookIntegration(id="webhook:ops"))])
slugs = Badger.current.settings.as_kwargs()
seen = {"task": task.id}

try:
    taskbadger.create_task("bad", actions=[Action("soon", EmailIntegration(to="me@example.com"))])
except UnexpectedStatus as error:
    seen["refused"] = [type(error).__name__, error.status_code, json.loads(error.content)]

with Session() as client:
    here = {**slugs, "task_id": task.id, "client": client}
    config = {"to": "third@example.com"}
    made = action_create.sync(**here, body=ActionRequest("*/10", "email", config))
    seen["listed"] = [action.to_dict() for action in action_list.sync(**here)]
    seen["got"] = action_get.sync(**here, id=made.id).to_dict()
    patch = PatchedActionRequest(trigger="*/20%")
    seen["patched"] = action_partial_update.sync(**here, id=made.id, body=patch).to_dict()
    body = ActionRequest("stale", "email", {"to": "fourth@example.com"})
    seen["put"] = action_update.sync(**here, id=made.id, body=body).to_dict()
    seen["cancelled"] = action_cancel.sync_detailed(**here, id=made.id).status_code
    seen["put task"] = task_update.sync(
        **slugs, client=client, id=task.id, body=TaskRequest("put", value=3)
    ).to_dict()
    seen["cancelled task"] = task_cancel.sync_detailed(
        **slugs, client=client, id=task.id
    ).status_code
json.dump(seen, sys.stdout)
