"""Firing: what a change of a task triggers, decided and queued in the change's own transaction.

The caller holds the lock on the task's row, so changes of one task are evaluated in sequence, each
against the state just before it: a point that is reached fires once.
"""

import json
from collections.abc import Iterable, Sequence
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
from taskbadger.services.delivery.outbox import Outgoing


class ActionRow(NamedTuple):
    """What firing reads of an action."""

    id: int
    task_id: str
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
    .where(_ACTION.c.task_id.in_(bindparam("task_ids", expanding=True)), _ACTION.c.status == ACTIVE)
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
_INSERT = insert(_FIRING).returning(
    _FIRING.c.id, _FIRING.c.task_id, _FIRING.c.action_id, _FIRING.c.global_action_id
)


def fire(
    project: ProjectRef,
    before: TaskState | None,
    after: TaskState,
    *,
    global_actions: GlobalActions,
    now: datetime,
    base_url: str,
) -> None:
    """Queue what the change from *before* to *after* triggers; *before* is None for a creation.

    The task's row is locked. *base_url* is what links in messages start with.
    """
    changes = [(before, after)]
    fire_all(project, changes, global_actions=global_actions, now=now, base_url=base_url)


def fire_all(
    project: ProjectRef,
    changes: Iterable[tuple[TaskState | None, TaskState]],
    *,
    global_actions: GlobalActions,
    now: datetime,
    base_url: str,
    overrun: bool = False,
) -> None:
    """Queue what changes of different tasks trigger, like ``fire``, with a few statements.

    *overrun* marks the server's own changes for max_runtime.
    """
    moves = [
        _Move(None if before is None else snapshot(before), snapshot(after), after, overrun)
        for before, after in changes
        if after.has_actions or global_actions
    ]
    moves = [move for move in moves if move.was != move.current or overrun]
    if not moves:
        return
    if global_actions is True:
        global_actions = list_global_actions(project)
    changed = [(move, _Change(project, move.task, now, base_url)) for move in moves]
    own = _list_actions([move.task for move in moves if move.task.has_actions])
    fired = [
        _own_firing(change, action, reason)
        for move, change in changed
        for action in own.get(move.task.id, ())
        if (reason := move.evaluate(action.trigger))
    ]
    _queue_all(fired, now)
    for global_action in global_actions or ():
        reached = [
            (change, reason)
            for move, change in changed
            if (reason := move.evaluate(global_action.trigger))
            and applies(global_action, project.id, move.task.name)
        ]
        if reached:
            _fire_global_action(global_action, reached, now)


class _Move(NamedTuple):
    """What triggers see of a change."""

    was: Snapshot | None
    current: Snapshot
    task: TaskState
    overrun: bool

    def evaluate(self, trigger: str) -> Reason | None:
        """Return why the trigger fires, if it does."""
        return triggers.evaluate(
            triggers.parse(trigger), self.was, self.current, overrun=self.overrun
        )


def _list_actions(tasks: Sequence[TaskState]) -> dict[str, list[ActionRow]]:
    """Return the actions that these tasks wait for, by the ids of the tasks."""
    found: dict[str, list[ActionRow]] = {}
    rows = db.session.execute(_ACTIONS, {"task_ids": [task.id for task in tasks]}) if tasks else ()
    for row in map(ActionRow._make, rows):
        found.setdefault(row.task_id, []).append(row)
    return found


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


@dataclass(frozen=True, slots=True)
class _Fired:
    """An action or a global action that fired for a change."""

    change: _Change
    reason: Reason
    trigger: str
    messages: Sequence[tuple[Message, NotificationTarget]]
    action_id: int | None = None
    global_action_id: int | None = None
    held_back: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What identifies it among the firings of one transaction."""
        return self.change.task.id, self.action_id, self.global_action_id


def _record(fired: Sequence[_Fired]) -> list[tuple[int, _Fired]]:
    """Write firings; return each with its id."""
    values = [
        {
            "task_id": one.change.task.id,
            "task_version": one.change.task.version,
            "action_id": one.action_id,
            "global_action_id": one.global_action_id,
            "trigger": one.trigger,
            "reason": json.dumps(one.reason.as_dict()),
            "held_back": one.held_back,
            "created": one.change.task.updated,
        }
        for one in fired
    ]
    numbers = {tuple(key): number for number, *key in db.session.execute(_INSERT, values)}
    return [(numbers[one.key], one) for one in fired]


def _queue_all(fired: Sequence[_Fired], now: datetime) -> None:
    """Write firings, and queue their messages."""
    if not fired:
        return
    outbox.queue_all(
        [
            Outgoing(
                message,
                one.change.project.organization_id,
                target["integration"],
                target["config"],
                firing_id=firing_id,
            )
            for firing_id, one in _record(fired)
            for message, target in one.messages
        ],
        now=now,
    )


def _own_firing(change: _Change, action: ActionRow, reason: Reason) -> _Fired:
    config: Json = json.loads(action.config)
    shown = {
        "id": action.id,
        "trigger": action.trigger,
        "integration": action.integration,
        "config": config,
    }
    target: NotificationTarget = {"integration": action.integration, "config": config}
    messages = [(change.message(shown, reason), target)]
    return _Fired(change, reason, action.trigger, messages, action_id=action.id)


def _fire_global_action(
    global_action: GlobalActionRow, reached: Sequence[tuple[_Change, Reason]], now: datetime
) -> None:
    if global_action.quiet_period:
        for change, reason in reached:
            _fire_with_quiet_period(global_action, change, reason)
    elif db.session.execute(_KEEP, {"global_action": global_action.id}).first():
        fired = [_global_firing(global_action, change, reason) for change, reason in reached]
        _queue_all(fired, now)
    # Otherwise somebody has just deleted it.


def _global_firing(
    global_action: GlobalActionRow, change: _Change, reason: Reason, *, held_back: int | None = None
) -> _Fired:
    """Return a firing with its messages; *held_back* is the number of those before it."""
    targets: list[NotificationTarget] = json.loads(global_action.channels)
    messages = []
    for target in targets:
        shown = {
            "global_action": global_action.id,
            "name": global_action.name,
            "trigger": global_action.trigger,
            **target,
        }
        messages.append((change.message(shown, reason, held_back=held_back or 0), target))
    return _Fired(
        change,
        reason,
        global_action.trigger,
        messages,
        global_action_id=global_action.id,
        held_back=held_back is not None,
    )


def _fire_with_quiet_period(
    global_action: GlobalActionRow, change: _Change, reason: Reason
) -> None:
    state = db.session.execute(_LOCK, {"global_action": global_action.id}).first()
    if state is None:
        return  # Somebody has just deleted it.
    decision = _update_quiet_period(global_action, Quiet(*state), change.now)
    if not decision.held_back:
        _queue_all([_global_firing(global_action, change, reason)], change.now)
        return
    before = decision.quiet.held_back - 1
    [(firing_id, fired)] = _record(
        [_global_firing(global_action, change, reason, held_back=before)]
    )
    for message, target in fired.messages:
        _queue_for_later(change, message, target, firing_id, global_action.id, decision)


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
