"""Why: what the actions did for a task, or which condition kept each from firing."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, or_, select

from taskbadger.domain import triggers
from taskbadger.domain.triggers import Reason
from taskbadger.extensions import db
from taskbadger.models import Delivery, GlobalAction
from taskbadger.models.action import CANCELLED
from taskbadger.services import actions, firing
from taskbadger.services.accounts import ProjectRef

MOST_FIRINGS = 200
"""Firings of one task that are told, the latest ones."""

_rule = cast(Table, GlobalAction.__table__).c


@dataclass(frozen=True, slots=True)
class Sent:
    """One delivery of a firing."""

    id: str
    integration: str
    to: str
    """The addresses of an e-mail; empty where the channel knows."""
    state: str
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Fired:
    """One firing."""

    created: datetime
    point: str
    reason: Mapping[str, Any]
    held_back: bool
    """Whether a quiet period kept it from being told at once."""
    deliveries: Sequence[Sent]
    """Empty for a firing that a later message of the quiet period tells of."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An action or a global action, as far as one task is concerned."""

    kind: str
    """``action`` or ``global_action``."""
    id: int
    name: str | None
    """Of a global action."""
    trigger: str
    integrations: Sequence[str]
    fired: Sequence[Fired]
    """The latest first."""
    conditions: Sequence[str]
    """Sentences: what keeps it from firing, and which points the task has not reached."""


def list_alerts(project: ProjectRef, task: Any) -> list[Alert]:
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
        _global_alert(rule, task, fired["global_action", rule.id]) for rule in _list_rules(project)
    ]


def _list_rules(project: ProjectRef) -> Sequence[Any]:
    """Return the global actions that are not about another project."""
    return db.session.execute(
        select(GlobalAction.__table__)
        .where(
            _rule.organization_id == project.organization_id,
            or_(_rule.project_id.is_(None), _rule.project_id == project.id),
        )
        .order_by(_rule.id)
    ).all()


def _global_alert(rule: Any, task: Any, fired: Sequence[Fired]) -> Alert:
    conditions: list[str] = []
    if not rule.enabled:
        conditions.append("The global action is turned off.")
    if not firing.matches(rule.name_pattern, task.name):
        conditions.append(f"The name “{task.name}” does not match “{rule.name_pattern}”.")
    return Alert(
        kind="global_action",
        id=rule.id,
        name=rule.name,
        trigger=rule.trigger,
        integrations=[channel["integration"] for channel in json.loads(rule.channels)],
        fired=fired,
        conditions=conditions or _unreached(rule.trigger, task, fired),
    )


def _unreached(trigger: str, task: Any, fired: Sequence[Fired]) -> list[str]:
    """Say of each point that has not fired why that is, by what the task looks like now."""
    told = {one.point for one in fired}
    outcomes = triggers.explain(triggers.parse(trigger), None, firing.snapshot(task))
    return [
        f"{outcome.point}: reached before the action was there."
        if outcome.reached
        else f"{outcome.point}: {outcome.why}."
        for outcome in outcomes
        if outcome.point not in told
    ]


def _list_fired(task_id: str) -> Mapping[tuple[str, int], list[Fired]]:
    rows = firing.list_firings(task_id, MOST_FIRINGS)
    sent = _list_sent([row.id for row in rows])
    found: dict[tuple[str, int], list[Fired]] = defaultdict(list)
    for row in rows:
        reason: Mapping[str, Any] = Reason(**json.loads(row.reason)).as_dict()
        one = Fired(row.created, reason["point"], reason, row.held_back, sent[row.id])
        kind = "action" if row.action_id is not None else "global_action"
        found[kind, row.action_id or row.global_action_id].append(one)
    return found


def _list_sent(firing_ids: Sequence[int]) -> Mapping[int, list[Sent]]:
    found: dict[int, list[Sent]] = defaultdict(list)
    if firing_ids:
        query = (
            select(Delivery)
            .where(Delivery.firing_id.in_(firing_ids))
            .order_by(Delivery.integration)
        )
        for row in db.session.scalars(query):
            to = json.loads(row.config).get("to", "")
            sent = Sent(row.id, row.integration, to, row.state, row.attempts, row.error)
            found[row.firing_id or 0].append(sent)
    return found
