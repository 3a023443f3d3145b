"""Drives the server with a client generated from its own OpenAPI document.

The first argument is the folder that holds the package ``generated_client``.
"""

import json
import os
import sys

sys.path.insert(0, sys.argv[1])

from generated_client import AuthenticatedClient
from generated_client.api.action_endpoints import (
    action_cancel,
    action_create,
    action_get,
    action_list,
    action_partial_update,
    action_update,
)
from generated_client.api.task_endpoints import (
    task_cancel,
    task_create,
    task_events,
    task_get,
    task_list,
    task_partial_update,
    task_update,
)
from generated_client.errors import UnexpectedStatus
from generated_client.models import (
    ActionRequest,
    PatchedActionRequest,
    PatchedTaskRequest,
    PatchedTaskRequestTags,
    StatusEnum,
    TaskRequest,
    TaskRequestTags,
)

slugs = {
    "organization_slug": os.environ["LIVE_ORG"],
    "project_slug": os.environ["LIVE_SLUG"],
}
seen = {}
with AuthenticatedClient(
    base_url=os.environ["LIVE_HOST"],
    token=os.environ["LIVE_KEY"],
    raise_on_unexpected_status=True,
) as client:
    here = {**slugs, "client": client}
    tags = TaskRequestTags.from_dict({"env": "prod"})
    body = TaskRequest(name="generated", value=1, data={"k": [1]}, tags=tags)
    task = task_create.sync(**here, body=body, idempotency_key="once")
    again = task_create.sync(**here, body=body, idempotency_key="once")
    seen["created"] = task.to_dict()
    seen["created again"] = again.to_dict()
    child = task_create.sync(**here, body=TaskRequest(name="child", parent=task.id))
    seen["got"] = task_get.sync(**here, id=task.id).to_dict()
    patch = PatchedTaskRequest(
        status=StatusEnum.PROCESSING,
        value=50,
        tags=PatchedTaskRequestTags.from_dict({"team": "ops"}),
    )
    seen["patched"] = task_partial_update.sync(**here, id=task.id, body=patch).to_dict()
    put = TaskRequest(name="renamed", status=StatusEnum.SUCCESS, tags=tags)
    seen["put"] = task_update.sync(**here, id=task.id, body=put).to_dict()

    of_task = {**here, "task_id": task.id}
    mail = ActionRequest(trigger="error", integration="email", config={"to": "me@example.com"})
    action = action_create.sync(**of_task, body=mail)
    seen["action"] = action_get.sync(**of_task, id=action.id).to_dict()
    change = PatchedActionRequest(trigger="success")
    seen["action patched"] = action_partial_update.sync(
        **of_task, id=action.id, body=change
    ).to_dict()
    seen["action put"] = action_update.sync(**of_task, id=action.id, body=mail).to_dict()
    seen["action cancelled"] = action_cancel.sync_detailed(**of_task, id=action.id).status_code
    seen["actions"] = [action.to_dict() for action in action_list.sync(**of_task)]

    seen["cancelled"] = task_cancel.sync_detailed(**here, id=child.id).status_code
    page = task_list.sync(**here, page_size=1)
    seen["page"] = [[found.id for found in page.results], bool(page.next_), page.previous]
    seen["filtered"] = [found.id for found in task_list.sync(**here, tag="env:prod").results]
    seen["children"] = [found.id for found in task_list.sync(**here, parent=task.id).results]
    events = task_events.sync(**here, id=task.id)
    seen["events"] = [[event.type_, event.status, event.value] for event in events.results]
    try:
        task_get.sync(**here, id="nothing")
    except UnexpectedStatus as error:
        seen["unknown"] = [error.status_code, json.loads(error.content)]
json.dump(seen, sys.stdout)
