"""The actions of a task."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from marshmallow import ValidationError
from sqlalchemy import insert, select, update

from taskbadger.errors import Conflict, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Action, Task
from taskbadger.models.action import ACTIVE, CANCELLED
from taskbadger.schemas.actions import checked_config
from taskbadger.schemas.fields import field_errors
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.channels import check_integration


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
        select(Action).where(Action.task_id == task_id, Action.id == action_id)
    )
    if action is None:
        raise NotFound()
    return action


def check_actions(project: ProjectRef, actions: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValidationFailed unless the channels that *actions* name exist."""
    for index, action in enumerate(actions):
        check_integration(
            project.organization_id,
            action["integration"],
            f"actions.{index}.integration",
            action["config"],
        )


def add_action(
    project: ProjectRef, task_id: str, data: Mapping[str, Any], *, now: datetime
) -> Action:
    """Add an action to a task; raises ValidationFailed for a channel that does not exist."""
    check_integration(project.organization_id, data["integration"], config=data["config"])
    # Through the task's row, so that an update that waits for it sees the action.
    db.session.execute(update(Task).where(Task.id == task_id).values(has_actions=True))
    action = Action(
        task_id=task_id,
        trigger=data["trigger"],
        integration=data["integration"],
        config=json.dumps(data["config"]),
        status=ACTIVE,
        created=now,
        updated=now,
    )
    db.session.add(action)
    db.session.flush()
    return action


def insert_actions(task_id: str, actions: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """Add checked *actions* to a task whose row this transaction holds."""
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
    task_id: str,
    action_id: int,
    changes: Mapping[str, Any],
    *,
    now: datetime,
) -> Action:
    """Change an action; raises NotFound, ActionCancelled and ValidationFailed."""
    action = _lock_action(task_id, action_id)
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
    return action


def cancel_action(task_id: str, action_id: int, *, now: datetime) -> Action | None:
    """Cancel an action and return it; a second time changes nothing: None. Raises NotFound."""
    action = _lock_action(task_id, action_id)
    if action.status != ACTIVE:
        return None
    action.status = CANCELLED
    action.updated = now
    db.session.flush()
    return action


def _lock_action(task_id: str, action_id: int) -> Action:
    # The task's row first, as every change of a task does: one order, so no deadlock.
    db.session.execute(select(Task.id).where(Task.id == task_id).with_for_update())
    action = db.session.scalar(
        select(Action).where(Action.task_id == task_id, Action.id == action_id).with_for_update()
    )
    if action is None:
        raise NotFound()
    return action
