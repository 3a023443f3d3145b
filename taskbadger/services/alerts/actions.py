"""The actions of a task."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from marshmallow import ValidationError
from sqlalchemy import insert, select, update

from taskbadger.channels import Config
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import Conflict, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Action, Task
from taskbadger.models.action import ACTIVE, CANCELLED
from taskbadger.models.task_rows import TaskState
from taskbadger.schemas.actions import checked_config
from taskbadger.schemas.fields import field_errors
from taskbadger.services.delivery.channels import check_integration
from taskbadger.services.organizations import audit


class ActionData(TypedDict):
    """What `schemas.actions.ActionRequest` loads."""

    trigger: str
    integration: str
    config: Config


class ActionChanges(TypedDict, total=False):
    """What `schemas.actions.PatchedActionRequest` loads."""

    trigger: str
    integration: str
    config: Config


class ActionCancelled(Conflict):
    """A cancelled action cannot be updated."""


def list_actions(task_id: str) -> Sequence[Action]:
    """Return the actions of a task, the cancelled ones too, oldest first."""
    return db.session.scalars(
        select(Action).where(Action.task_id == task_id).order_by(Action.id)
    ).all()


def get_action(task_id: str, action_id: int) -> Action:
    """Return one action of a task; raises NotFound."""
    action = db.session.scalar(
        select(Action)
        .where(Action.task_id == task_id, Action.id == action_id)
        # Validation of a wrong body may have loaded the action before the task was locked.
        .execution_options(populate_existing=True)
    )
    if action is None:
        raise NotFound()
    return action


def check_actions(project: ProjectRef, actions: Sequence[ActionData]) -> None:
    """Raise ValidationFailed unless the channels that *actions* name exist."""
    for index, action in enumerate(actions):
        check_integration(
            project.organization_id,
            action["integration"],
            f"actions.{index}.integration",
            action["config"],
        )


def add_action(
    project: ProjectRef, task: TaskState, data: ActionData, *, actor: Actor, now: datetime
) -> Action:
    """Add an action to a task that the caller has locked, and record it in the audit log.

    Raises ValidationFailed when the channel does not exist.
    """
    check_integration(project.organization_id, data["integration"], config=data["config"])
    if not task.has_actions:
        # Stored in the task's row: a concurrent update that waits for the lock then sees it and
        # looks for actions.
        db.session.execute(update(Task).where(Task.id == task.id).values(has_actions=True))
    action = Action(
        task_id=task.id,
        trigger=data["trigger"],
        integration=data["integration"],
        config=json.dumps(data["config"]),
        status=ACTIVE,
        created=now,
        updated=now,
    )
    db.session.add(action)
    db.session.flush()
    _record(actor, project, "action.create", task, action, now)
    return action


def insert_actions(task_id: str, actions: Sequence[ActionData], *, now: datetime) -> None:
    """Add checked *actions* to a task that this transaction has locked or inserted."""
    db.session.execute(
        insert(Action),
        [
            {
                "task_id": task_id,
                "trigger": action["trigger"],
                "integration": action["integration"],
                "config": json.dumps(action["config"]),
                "status": ACTIVE,
                "created": now,
                "updated": now,
            }
            for action in actions
        ],
    )


def update_action(
    project: ProjectRef,
    task: TaskState,
    action_id: int,
    changes: ActionChanges,
    *,
    actor: Actor,
    now: datetime,
) -> Action:
    """Change an action of a task that the caller has locked, and record it in the audit log.

    Raises NotFound, ActionCancelled and ValidationFailed.
    """
    action = get_action(task.id, action_id)
    integration = changes.get("integration", action.integration)
    config = changes.get("config", json.loads(action.config))
    try:
        config = checked_config(integration, config)
    except ValidationError as error:
        raise ValidationFailed(list(field_errors(error.messages))) from error
    check_integration(project.organization_id, integration, config=config)
    if action.status == CANCELLED:
        raise ActionCancelled()
    action.trigger = changes.get("trigger", action.trigger)
    action.integration = integration
    action.config = json.dumps(config)
    action.updated = now
    db.session.flush()
    _record(actor, project, "action.change", task, action, now)
    return action


def cancel_action(
    project: ProjectRef, task: TaskState, action_id: int, *, actor: Actor, now: datetime
) -> None:
    """Cancel an action of a task that the caller has locked, and record it in the audit log.

    An action that is cancelled already stays as it is. Raises NotFound.
    """
    action = get_action(task.id, action_id)
    if action.status != ACTIVE:
        return
    action.status = CANCELLED
    action.updated = now
    db.session.flush()
    _record(actor, project, "action.cancel", task, action, now)


def _record(
    actor: Actor, project: ProjectRef, verb: str, task: TaskState, action: Action, now: datetime
) -> None:
    if actor.is_audited:
        detail = f"{task.id}; action {action.id}, on {action.trigger} to {action.integration}"
        audit.record(actor, project.organization_id, verb, task.name, detail, now=now)
