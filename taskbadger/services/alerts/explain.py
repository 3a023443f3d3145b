"""Why a task alerted or not: what each action did, or which condition kept it from firing."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select

from taskbadger.domain import triggers
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.triggers import Reason
from taskbadger.extensions import db
from taskbadger.models import Delivery, GlobalAction
from taskbadger.models.action import CANCELLED
from taskbadger.models.task_rows import TaskRow
from taskbadger.services.alerts import actions, firing

MAX_FIRINGS = 200
"""How many firings of one task are shown, the latest."""


@dataclass(frozen=True, slots=True)
class ShownDelivery:
    """One delivery of a firing."""

    id: str
    integration: str
    to: str
    """The recipients of an e-mail; empty for other channels."""
    state: str
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class ShownFiring:
    """One firing."""

    created: datetime
    point: str
    reason: Reason
    held_back: bool
    """Whether a quiet period held the message back."""
    deliveries: Sequence[ShownDelivery]
    """Empty for a firing that a later message of the quiet period reports."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An action or a global action, as far as one task is concerned."""

    kind: str
    """``action`` or ``global_action``."""
    id: int
    name: str | None
    """The name of a global action; None for an action."""
    trigger: str
    integrations: Sequence[str]
    fired: Sequence[ShownFiring]
    """The latest first."""
    conditions: Sequence[str]
    """Sentences: what keeps it from firing, and which points the task has not reached."""


def list_alerts(project: ProjectRef, task: TaskRow) -> list[Alert]:
    """Return what applies to a task: its own actions first, then the global actions."""
    fired = _list_fired(task.id)
    alerts = [
        Alert(
            kind="action",
            id=action.id,
            name=None,
            trigger=action.trigger,
            integrations=[action.integration],
            fired=fired["action", action.id],
            conditions=(
                ["The action was cancelled."]
                if action.status == CANCELLED
                else _unreached(action.trigger, task, fired["action", action.id])
            ),
        )
        for action in actions.list_actions(task.id)
    ]
    return alerts + [
        _global_alert(global_action, task, fired["global_action", global_action.id])
        for global_action in _list_global_actions(project)
    ]


def _list_global_actions(project: ProjectRef) -> Sequence[GlobalAction]:
    """Return the global actions that are about all projects, or this one."""
    return db.session.scalars(
        select(GlobalAction)
        .where(
            GlobalAction.organization_id == project.organization_id,
            or_(GlobalAction.project_id.is_(None), GlobalAction.project_id == project.id),
        )
        .order_by(GlobalAction.id)
    ).all()


def _global_alert(
    global_action: GlobalAction, task: TaskRow, fired: Sequence[ShownFiring]
) -> Alert:
    conditions: list[str] = []
    if not global_action.enabled:
        conditions.append("It is turned off.")
    if not firing.matches(global_action.name_pattern, task.name):
        conditions.append(f"The name “{task.name}” does not match “{global_action.name_pattern}”.")
    return Alert(
        kind="global_action",
        id=global_action.id,
        name=global_action.name,
        trigger=global_action.trigger,
        integrations=[channel["integration"] for channel in json.loads(global_action.channels)],
        fired=fired,
        conditions=conditions or _unreached(global_action.trigger, task, fired),
    )


def _unreached(trigger: str, task: TaskRow, fired: Sequence[ShownFiring]) -> list[str]:
    """Say why each of the other points has not fired, judging by the task's state now."""
    reached = {firing.point for firing in fired}
    outcomes = triggers.explain(triggers.parse(trigger), None, firing.snapshot(task))
    return [
        f"{outcome.point}: reached before it was added."
        if outcome.reached
        else f"{outcome.point}: {outcome.why}."
        for outcome in outcomes
        if outcome.point not in reached
    ]


def _list_fired(task_id: str) -> Mapping[tuple[str, int], list[ShownFiring]]:
    rows = firing.list_firings(task_id, MAX_FIRINGS)
    sent = _list_sent([row.id for row in rows])
    found: dict[tuple[str, int], list[ShownFiring]] = defaultdict(list)
    for row in rows:
        reason = Reason(**json.loads(row.reason))
        kind = "action" if row.action_id is not None else "global_action"
        found[kind, row.action_id or row.global_action_id or 0].append(
            ShownFiring(row.created, reason.point, reason, row.held_back, sent[row.id])
        )
    return found


def _list_sent(firing_ids: Sequence[int]) -> Mapping[int, list[ShownDelivery]]:
    found: dict[int, list[ShownDelivery]] = defaultdict(list)
    if firing_ids:
        query = (
            select(Delivery)
            .where(Delivery.firing_id.in_(firing_ids))
            .order_by(Delivery.integration)
        )
        for row in db.session.scalars(query):
            to = json.loads(row.config).get("to", "")
            sent = ShownDelivery(row.id, row.integration, to, row.state, row.attempts, row.error)
            found[row.firing_id or 0].append(sent)
    return found
