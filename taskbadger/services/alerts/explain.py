"""Why a task alerted or not: what each action did, or which condition kept it from firing."""

import json
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import or_, select

from taskbadger.channels import Json
from taskbadger.channels.text import moment
from taskbadger.clock import to_wire
from taskbadger.domain import patterns, triggers
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.status import ERROR, STALE
from taskbadger.domain.triggers import Reason
from taskbadger.domain.waiting import Waiting
from taskbadger.extensions import db
from taskbadger.models import Delivery, GlobalAction
from taskbadger.models.action import CANCELLED, INCIDENT
from taskbadger.models.delivery import WAITING
from taskbadger.models.failure import IGNORED
from taskbadger.models.task_rows import TaskRow
from taskbadger.services.alerts import actions, firing, incident_reasons
from taskbadger.services.alerts.firing import FiringRow
from taskbadger.services.alerts.incident_reasons import FailedTask, rate_not_reached
from taskbadger.services.delivery import lists
from taskbadger.services.failures import kinds

MAX_FIRINGS = 200
"""How many firings of one task are shown, the latest."""


_DELETED = "deleted"
"""The kind of what fired and was deleted since."""


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
    held_by: str | None
    """What holds it back or did, or why it was dropped, in words."""
    waiting: Waiting | None = None
    """What it waits for; None if it does not wait. Not part of the API."""


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
    mode: str | None = None
    """Of a global action: one of ``models.action.MODES``."""
    was_told: bool = False
    """Whether an incident of the task was told; not part of the API."""


def list_alerts(project: ProjectRef, task: TaskRow, *, now: datetime) -> list[Alert]:
    """Return what applies to a task: its own actions first, then the global actions."""
    fired = _list_fired(task.id, now)
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
                else _unreached(
                    action.trigger, task, {firing.point for firing in fired["action", action.id]}
                )
            ),
        )
        for action in actions.list_actions(task.id)
    ]
    ignored = _ignored(task, now)
    global_actions = _list_global_actions(project)
    failed = None
    if any(each.mode == INCIDENT and each.enabled for each in global_actions):
        failed = incident_reasons.read_failed_task(project, task.id, now=now)
    alerts += [
        _global_alert(each, task, fired["global_action", each.id], ignored, failed)
        for each in global_actions
    ]
    return alerts + _list_deleted(fired)


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


def _ignored(task: TaskRow, now: datetime) -> str:
    """Say that failures like the task's are ignored; return nothing if they are not."""
    kind = kinds.kind_of_task(task.id) if task.status in (ERROR, STALE) else None
    if kind is None or kinds.state_of(kind, now=now) != IGNORED:
        return ""
    end = f" until {to_wire(kind.ignored_until)}" if kind.ignored_until else ""
    return f"Failures of this kind are ignored{end}."


def _global_alert(
    global_action: GlobalAction,
    task: TaskRow,
    fired: Sequence[ShownFiring],
    ignored: str,
    failed: FailedTask | None,
) -> Alert:
    fired, conditions = _below_rate(global_action, fired)
    return Alert(
        kind="global_action",
        id=global_action.id,
        name=global_action.name,
        trigger=global_action.trigger,
        integrations=[channel["integration"] for channel in json.loads(global_action.channels)],
        fired=fired,
        conditions=[*conditions, *_conditions(global_action, task, fired, ignored, failed)],
        mode=global_action.mode,
        was_told=failed is not None and failed.was_told_by(global_action),
    )


def _below_rate(
    global_action: GlobalAction, fired: Sequence[ShownFiring]
) -> tuple[Sequence[ShownFiring], list[str]]:
    """Return the firings as they are shown, and what is said of those that were not told."""
    is_silent = [firing.held_back and not firing.deliveries for firing in fired]
    if global_action.at_least is None or not any(is_silent):
        return fired, []
    why = f"{rate_not_reached(global_action)[:-1]} or had been told already"
    if global_action.quiet_period:
        return fired, [f"{why}, or a quiet period held it back."]
    why += "."
    return [replace(firing, held_back=False) for firing in fired], [why]


def _conditions(
    global_action: GlobalAction,
    task: TaskRow,
    fired: Sequence[ShownFiring],
    ignored: str,
    failed: FailedTask | None,
) -> Sequence[str]:
    conditions: list[str] = []
    if not global_action.enabled:
        conditions.append("It is turned off.")
    if not patterns.matches(global_action.name_pattern, task.name):
        conditions.append(f"The name “{task.name}” does not match “{global_action.name_pattern}”.")
    if conditions:
        return conditions
    reached = {firing.point for firing in fired}
    if global_action.mode == INCIDENT and failed and failed.reaches(global_action.trigger):
        conditions = incident_reasons.explain(global_action, failed, ignored)
        reached |= failed.points
    return conditions + _unreached(global_action.trigger, task, reached, ignored)


def _unreached(
    trigger: str, task: TaskRow, reached: Container[str], ignored: str = ""
) -> list[str]:
    """Say why each of the other points has not fired, judging by the task's state now.

    *ignored* is what is said of points that a failure reaches, if it is of an ignored kind.
    """
    outcomes = triggers.explain(triggers.parse(trigger), None, firing.snapshot(task))
    found = []
    for outcome in outcomes:
        if outcome.point in reached:
            continue
        if outcome.reached and ignored and outcome.point in triggers.FAILURES:
            found.append(ignored)
        elif outcome.reached:
            found.append(f"{outcome.point}: reached before it was added.")
        else:
            found.append(f"{outcome.point}: {outcome.why}.")
    return found


def _list_fired(task_id: str, now: datetime) -> Mapping[tuple[str, int], list[ShownFiring]]:
    rows = firing.list_firings(task_id, MAX_FIRINGS)
    sent = _list_sent([row.id for row in rows], now)
    found: dict[tuple[str, int], list[ShownFiring]] = defaultdict(list)
    for row in rows:
        reason = Reason(**json.loads(row.reason))
        found[_source_of(row)].append(
            ShownFiring(row.created, reason.point, reason, row.held_back, sent[row.id])
        )
    return found


def _source_of(row: FiringRow) -> tuple[str, int]:
    """Return what fired; of a global action that was deleted, the firing itself."""
    if row.action_id is not None:
        return "action", row.action_id
    if row.global_action_id is not None:
        return "global_action", row.global_action_id
    return _DELETED, row.id


def _list_deleted(fired: Mapping[tuple[str, int], list[ShownFiring]]) -> list[Alert]:
    """Return the global actions that were deleted while messages of theirs were held back."""
    firings = [number for kind, number in fired if kind == _DELETED]
    query = select(Delivery.firing_id, Delivery.message).where(Delivery.firing_id.in_(firings))
    found: dict[int, Alert] = {}
    for row in db.session.execute(query.order_by(Delivery.firing_id.desc())) if firings else ():
        action = json.loads(row.message)["action"]
        alert = found.get(action["global_action"]) or _deleted_alert(action)
        firing = fired[_DELETED, row.firing_id][0]
        integrations = sorted({*alert.integrations, action["integration"]})
        told = [*alert.fired, *([firing] if firing not in alert.fired else [])]
        found[alert.id] = replace(alert, integrations=integrations, fired=told)
    return [found[number] for number in sorted(found)]


def _deleted_alert(action: Json) -> Alert:
    return Alert(
        kind="global_action",
        id=action["global_action"],
        name=action["name"],
        trigger=action["trigger"],
        integrations=[],
        fired=[],
        conditions=["It was deleted."],
    )


def _list_sent(firing_ids: Sequence[int], now: datetime) -> Mapping[int, list[ShownDelivery]]:
    found: dict[int, list[ShownDelivery]] = defaultdict(list)
    if firing_ids:
        query = (
            select(Delivery)
            .where(Delivery.firing_id.in_(firing_ids))
            .order_by(Delivery.integration)
        )
        for row in db.session.scalars(query):
            found[row.firing_id or 0].append(_show_delivery(row, now))
    return found


def _show_delivery(row: Delivery, now: datetime) -> ShownDelivery:
    waiting = lists.waiting_of(row, now=now) if row.state == WAITING else None
    held_by = row.held_by
    if held_by is None and waiting is not None and waiting.until and not row.attempts:
        held_by = f"{waiting.before} {moment(waiting.until)} {waiting.after}"
    to = json.loads(row.config).get("to", "")
    return ShownDelivery(
        row.id, row.integration, to, row.state, row.attempts, row.error, held_by, waiting
    )
