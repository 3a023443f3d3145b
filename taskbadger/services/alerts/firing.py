"""Firing: what a change of a task triggers, decided and queued in the change's own transaction.

The caller holds the lock on the task's row, so changes of one task are evaluated in sequence, each
against the state just before it: a point that is reached fires once.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import NamedTuple, Protocol, cast

import re2
from sqlalchemy import ColumnElement, Table, bindparam, exists, insert, select, update

from taskbadger.channels import Json, Message
from taskbadger.channels.text import task_title
from taskbadger.clock import to_wire
from taskbadger.domain import numbers, quiet, triggers
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.quiet import Decision, Quiet
from taskbadger.domain.triggers import Reason, Snapshot
from taskbadger.extensions import db
from taskbadger.models import Action, Delivery, Firing, GlobalAction
from taskbadger.models.action import ACTIVE
from taskbadger.models.delivery import WAITING
from taskbadger.models.task_rows import TaskRow, TaskState, columns_of
from taskbadger.schemas.tasks import Place, write_task
from taskbadger.services.delivery import outbox


class ActionRow(NamedTuple):
    """What firing reads of an action."""

    id: int
    trigger: str
    integration: str
    config: str
    """JSON."""


class GlobalActionRow(NamedTuple):
    """What firing reads of a global action."""

    id: int
    name: str
    project_id: int | None
    name_pattern: str
    trigger: str
    channels: str
    """JSON: a list of `domain.notification_targets.NotificationTarget`."""
    quiet_period: int
    """Seconds; 0 for none."""


GlobalActions = bool | Sequence[GlobalActionRow]
"""The global actions of an organization that are turned on, or whether it has any."""


class FiringRow(NamedTuple):
    """A firing of one task, as it was recorded."""

    id: int
    action_id: int | None
    global_action_id: int | None
    reason: str
    """JSON: `domain.triggers.Reason`."""
    held_back: bool
    created: datetime


_ACTION = cast(Table, Action.__table__)
_GLOBAL_ACTION = cast(Table, GlobalAction.__table__)
_FIRING = cast(Table, Firing.__table__)
_global_action = _GLOBAL_ACTION.c

HAS_GLOBAL_ACTIONS: ColumnElement[bool] = exists().where(
    _global_action.organization_id == bindparam("organization"), _global_action.enabled
)
"""Part of the statement that locks or inserts a task: whether to look for global actions."""

_ACTIONS = (
    select(*columns_of(ActionRow, _ACTION))
    .where(_ACTION.c.task_id == bindparam("task_id"), _ACTION.c.status == ACTIVE)
    .order_by(_ACTION.c.id)
)
_GLOBAL_ACTIONS = (
    select(*columns_of(GlobalActionRow, _GLOBAL_ACTION))
    .where(_global_action.organization_id == bindparam("organization"), _global_action.enabled)
    .order_by(_global_action.id)
)
_QUIET = select(_global_action.quiet_until, _global_action.held_back).where(
    _global_action.id == bindparam("global_action")
)
_KEEP = _QUIET.with_for_update(read=True, key_share=True)
# FOR NO KEY UPDATE: inserting a firing takes a key-share lock on this row, and FOR UPDATE would
# conflict with it.
_LOCK = _QUIET.with_for_update(key_share=True)
_INSERT = insert(Firing).returning(Firing.id)


def fire(
    project: ProjectRef,
    before: TaskState | None,
    after: TaskState,
    *,
    global_actions: GlobalActions,
    now: datetime,
    base_url: str,
    overrun: bool = False,
) -> None:
    """Queue what the change from *before* to *after* triggers; *before* is None for a creation.

    The task's row is locked. *base_url* is what links in messages start with. *overrun* marks the
    server's own change for max_runtime.
    """
    if not (after.has_actions or global_actions):
        return
    was = None if before is None else snapshot(before)
    current = snapshot(after)
    if was == current and not overrun:
        return
    change = _Change(project, after, now, base_url)

    def evaluate(trigger: str) -> Reason | None:
        return triggers.evaluate(triggers.parse(trigger), was, current, overrun=overrun)

    for action in _list_actions(after) if after.has_actions else ():
        reason = evaluate(action.trigger)
        if reason:
            _fire_action(change, action, reason)
    if global_actions is True:
        global_actions = list_global_actions(project)
    for global_action in global_actions or ():
        reason = evaluate(global_action.trigger)
        if reason and applies(global_action, project.id, after.name):
            _fire_global_action(change, global_action, reason)


def _list_actions(task: TaskState) -> Sequence[ActionRow]:
    return cast(Sequence[ActionRow], db.session.execute(_ACTIONS, {"task_id": task.id}).all())


def list_global_actions(project: ProjectRef) -> Sequence[GlobalActionRow]:
    """Return the global actions of the project's organization that are turned on."""
    rows = db.session.execute(_GLOBAL_ACTIONS, {"organization": project.organization_id}).all()
    return cast(Sequence[GlobalActionRow], rows)


def snapshot(task: TaskRow) -> Snapshot:
    """Return what triggers look at."""
    return Snapshot(task.status, task.value, task.value_max)


def applies(global_action: GlobalActionRow, project_id: int, name: str) -> bool:
    """Say whether a global action is about tasks of that project and name."""
    if global_action.project_id is not None and global_action.project_id != project_id:
        return False
    return matches(global_action.name_pattern, name)


def matches(pattern: str, name: str) -> bool:
    """Say whether RE2 *pattern* is found anywhere in *name*; an empty one always is."""
    return not pattern or compiled(pattern).search(name) is not None


class Pattern(Protocol):
    """A compiled pattern; re2 ships no types."""

    def search(self, text: str) -> object | None:
        """Return the first match anywhere in *text*, or None."""


@lru_cache(maxsize=1000)
def compiled(pattern: str) -> Pattern:
    """Return the compiled pattern; raises re2.error for what RE2 does not know."""
    options = re2.Options()
    options.log_errors = False
    return cast(Pattern, re2.compile(pattern, options))


@dataclass
class _Change:
    """A change of a task, shared by everything that it fires."""

    project: ProjectRef
    task: TaskState
    now: datetime
    base_url: str

    @cached_property
    def shown(self) -> Json:
        """The task as the API shows it; made when something fires."""
        place = Place(self.project.organization, self.project.slug, self.base_url)
        shown: Json = numbers.read(write_task(self.task, place))
        return shown

    def message(self, action: Json, reason: Reason, *, held_back: int = 0) -> Message:
        """Return the message about *action*; its delivery gives it an id."""
        return Message(
            id="",
            kind="task",
            created=self.task.updated,
            organization=self.project.organization,
            project=self.project.slug,
            title=task_title(self.shown, reason.point),
            task=self.shown,
            action=action,
            trigger=reason.point,
            reasons=(reason.as_dict(),),
            held_back=held_back,
            url=self.shown["url"],
        )


def _record(
    change: _Change,
    reason: Reason,
    trigger: str,
    *,
    action_id: int | None = None,
    global_action_id: int | None = None,
    held_back: bool = False,
) -> int:
    """Write a firing; return its id."""
    values = {
        "task_id": change.task.id,
        "task_version": change.task.version,
        "action_id": action_id,
        "global_action_id": global_action_id,
        "trigger": trigger,
        "reason": json.dumps(reason.as_dict()),
        "held_back": held_back,
        "created": change.task.updated,
    }
    return int(db.session.execute(_INSERT, values).scalar_one())


def _fire_action(change: _Change, action: ActionRow, reason: Reason) -> None:
    firing_id = _record(change, reason, action.trigger, action_id=action.id)
    config: Json = json.loads(action.config)
    shown = {
        "id": action.id,
        "trigger": action.trigger,
        "integration": action.integration,
        "config": config,
    }
    target: NotificationTarget = {"integration": action.integration, "config": config}
    _queue(change, change.message(shown, reason), target, firing_id)


def _fire_global_action(change: _Change, global_action: GlobalActionRow, reason: Reason) -> None:
    lock = _LOCK if global_action.quiet_period else _KEEP
    state = db.session.execute(lock, {"global_action": global_action.id}).first()
    if state is None:
        return  # Somebody has just deleted it.
    decision = None
    if global_action.quiet_period:
        decision = _update_quiet_period(global_action, Quiet(*state), change.now)
    held_back = decision is not None and decision.held_back
    firing_id = _record(
        change,
        reason,
        global_action.trigger,
        global_action_id=global_action.id,
        held_back=held_back,
    )
    targets: list[NotificationTarget] = json.loads(global_action.channels)
    for target in targets:
        shown = {
            "global_action": global_action.id,
            "name": global_action.name,
            "trigger": global_action.trigger,
            **target,
        }
        if decision is not None and held_back:
            message = change.message(shown, reason, held_back=decision.quiet.held_back - 1)
            _queue_for_later(change, message, target, firing_id, global_action.id, decision)
        else:
            _queue(change, change.message(shown, reason), target, firing_id)


def _update_quiet_period(global_action: GlobalActionRow, state: Quiet, now: datetime) -> Decision:
    """Return what the quiet period makes of a firing; *state* is that of the locked row."""
    period = timedelta(seconds=global_action.quiet_period)
    decision = quiet.schedule_message(state, period, now=now)
    db.session.execute(
        update(_GLOBAL_ACTION)
        .where(_global_action.id == global_action.id)
        .values(quiet_until=decision.quiet.until, held_back=decision.quiet.held_back)
    )
    return decision


def _queue(change: _Change, message: Message, target: NotificationTarget, firing_id: int) -> None:
    outbox.queue(
        message,
        organization_id=change.project.organization_id,
        integration=target["integration"],
        config=target["config"],
        now=change.now,
        firing_id=firing_id,
    )


def _queue_for_later(
    change: _Change,
    message: Message,
    target: NotificationTarget,
    firing_id: int,
    global_action_id: int,
    decision: Decision,
) -> None:
    """Queue one message for the end of the quiet period, about the latest firing held back."""
    organization_id, integration = change.project.organization_id, target["integration"]
    key = f"quiet {global_action_id} {integration} {to_wire(decision.send_at)}"
    queued = db.session.execute(
        select(Delivery.id, Delivery.state)
        .where(Delivery.key == key, Delivery.organization_id == organization_id)
        .with_for_update()
    ).first()
    if queued is not None and queued.state == WAITING:
        outbox.replace_message(
            queued.id,
            message,
            organization_id=organization_id,
            integration=integration,
            config=target["config"],
            firing_id=firing_id,
        )
        return
    outbox.queue(
        message,
        organization_id=organization_id,
        integration=integration,
        config=target["config"],
        now=change.now,
        at=decision.send_at,
        firing_id=firing_id,
        key=None if queued else key,
    )


def list_firings(task_id: str, limit: int = 1000) -> Sequence[FiringRow]:
    """Return the firings of a task, newest first."""
    rows = db.session.execute(
        select(*columns_of(FiringRow, _FIRING))
        .where(_FIRING.c.task_id == task_id)
        .order_by(_FIRING.c.id.desc())
        .limit(limit)
    ).all()
    return cast(Sequence[FiringRow], rows)
