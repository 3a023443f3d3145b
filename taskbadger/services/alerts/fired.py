"""What fired: firings are written, and their messages queued, for many tasks together.

``firing`` decides what fires.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple, cast

from sqlalchemy import Table, bindparam, insert, select, update

from taskbadger.channels import Json, Message
from taskbadger.channels.text import task_title
from taskbadger.clock import to_wire
from taskbadger.domain import numbers, quiet
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.quiet import Decision, Quiet
from taskbadger.domain.triggers import Reason
from taskbadger.extensions import db
from taskbadger.models import Delivery, Firing, GlobalAction
from taskbadger.models.delivery import WAITING
from taskbadger.models.task_rows import TaskState
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


_GLOBAL_ACTION = cast(Table, GlobalAction.__table__)
_FIRING = cast(Table, Firing.__table__)
_global_action = _GLOBAL_ACTION.c

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


@dataclass
class Change:
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
class Fired:
    """An action or a global action that fired for a change."""

    change: Change
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


def _record(fired: Sequence[Fired]) -> list[tuple[int, Fired]]:
    """Write firings; return each with its id."""
    values = [
        {
            "task_id": firing.change.task.id,
            "task_version": firing.change.task.version,
            "action_id": firing.action_id,
            "global_action_id": firing.global_action_id,
            "trigger": firing.trigger,
            "reason": json.dumps(firing.reason.as_dict()),
            "held_back": firing.held_back,
            "created": firing.change.task.updated,
        }
        for firing in fired
    ]
    written = {tuple(key): number for number, *key in db.session.execute(_INSERT, values)}
    return [(written[firing.key], firing) for firing in fired]


def queue_fired(fired: Sequence[Fired], now: datetime) -> None:
    """Write firings, and queue their messages."""
    if not fired:
        return
    outbox.queue_all(
        [
            Outgoing(
                message,
                firing.change.project.organization_id,
                target["integration"],
                target["config"],
                firing_id=firing_id,
            )
            for firing_id, firing in _record(fired)
            for message, target in firing.messages
        ],
        now=now,
    )


def own_firing(change: Change, action: ActionRow, reason: Reason) -> Fired:
    """Return the firing of a task's own action, with its message."""
    config: Json = json.loads(action.config)
    shown = {
        "id": action.id,
        "trigger": action.trigger,
        "integration": action.integration,
        "config": config,
    }
    target: NotificationTarget = {"integration": action.integration, "config": config}
    messages = [(change.message(shown, reason), target)]
    return Fired(change, reason, action.trigger, messages, action_id=action.id)


def fire_global_action(
    global_action: GlobalActionRow, reached: Sequence[tuple[Change, Reason]], now: datetime
) -> None:
    """Fire a global action for the changes that reached its trigger; nothing if it is gone."""
    if global_action.quiet_period:
        for change, reason in reached:
            _fire_with_quiet_period(global_action, change, reason)
    elif db.session.execute(_KEEP, {"global_action": global_action.id}).first():
        fired = [_global_firing(global_action, change, reason) for change, reason in reached]
        queue_fired(fired, now)


def _global_firing(
    global_action: GlobalActionRow, change: Change, reason: Reason, *, held_back: int | None = None
) -> Fired:
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
    return Fired(
        change,
        reason,
        global_action.trigger,
        messages,
        global_action_id=global_action.id,
        held_back=held_back is not None,
    )


def _fire_with_quiet_period(global_action: GlobalActionRow, change: Change, reason: Reason) -> None:
    state = db.session.execute(_LOCK, {"global_action": global_action.id}).first()
    if state is None:
        return  # Somebody has just deleted it.
    decision = _update_quiet_period(global_action, Quiet(*state), change.now)
    if not decision.held_back:
        queue_fired([_global_firing(global_action, change, reason)], change.now)
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
    change: Change,
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
