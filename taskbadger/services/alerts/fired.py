"""What fired: firings are written, and their messages queued, for many tasks together.

``firing`` decides what fires.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import NamedTuple, cast

from sqlalchemy import Table, insert

from taskbadger.channels import Json, Message
from taskbadger.channels.text import task_title
from taskbadger.domain import numbers
from taskbadger.domain.fingerprints import OVERDUE
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.quiet import Decision
from taskbadger.domain.status import ERROR, STALE
from taskbadger.domain.triggers import Reason
from taskbadger.extensions import db
from taskbadger.models import Firing
from taskbadger.models.delivery import WAITING
from taskbadger.models.task_rows import TaskState
from taskbadger.schemas.tasks import Place, write_task
from taskbadger.services.alerts import pacing
from taskbadger.services.alerts.pacing import GlobalActionRow, RateOutcome
from taskbadger.services.delivery import outbox
from taskbadger.services.delivery.outbox import Outgoing
from taskbadger.services.failures.lines import line_of


class ActionRow(NamedTuple):
    """What firing reads of an action."""

    id: int
    task_id: str
    trigger: str
    integration: str
    config: str
    """JSON."""


_FAILURES = (ERROR, STALE, OVERDUE)
"""Points after which a run may be tried again."""

_FIRING = cast(Table, Firing.__table__)
_INSERT = insert(_FIRING).returning(
    _FIRING.c.id,
    _FIRING.c.task_id,
    _FIRING.c.task_version,
    _FIRING.c.action_id,
    _FIRING.c.global_action_id,
)


@dataclass
class Change:
    """A change of a task, shared by everything that it fires."""

    project: ProjectRef
    task: TaskState
    now: datetime
    base_url: str
    overrun: bool = False
    """Whether the server ended the task because of its max_runtime."""

    @cached_property
    def shown(self) -> Json:
        """The task as the API shows it; made when something fires."""
        place = Place(self.project.organization, self.project.slug, self.base_url)
        shown: Json = numbers.read(write_task(self.task, place))
        return shown

    @cached_property
    def error(self) -> str | None:
        """Why the task failed, in one line; None if it did not, or does not say."""
        return line_of(self.task, overrun=self.overrun)

    def message(self, action: Json, reason: Reason, *, held_back: int = 0) -> Message:
        """Return the message about *action*; its delivery gives it an id."""
        return Message(
            id="",
            kind="task",
            created=self.task.updated,
            organization=self.project.organization,
            project=self.project.slug,
            title=task_title(self.shown, reason.point, self.error),
            task=self.shown,
            action=action,
            trigger=reason.point,
            reasons=(reason.as_dict(),),
            held_back=held_back,
            url=self.shown["url"],
            error=self.error,
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
    wait_for_retry: int = 0
    """Seconds."""

    @property
    def key(self) -> tuple[object, ...]:
        """What identifies it among the firings of one transaction."""
        task = self.change.task
        return task.id, task.version, self.action_id, self.global_action_id


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
                wait_for_retry=firing.wait_for_retry,
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
    """Fire a global action for the changes that reached its trigger; nothing if it is gone.

    With a rate or a quiet period, a failure that waits for a retry counts when that is over
    (``settling``).
    """
    at_once: list[tuple[Change, Reason]] = []
    later: list[tuple[Change, Reason]] = []
    for each in reached:
        waits = pacing.is_paced(global_action) and _wait(global_action, each[1])
        (later if waits else at_once).append(each)
    if global_action.at_least is not None and at_once:
        at_once = _reach_rate(global_action, at_once, now)
    if global_action.quiet_period:
        for change, reason in at_once:
            _fire_with_quiet_period(global_action, change, reason)
        _fire(global_action, later, now)
    else:
        _fire(global_action, at_once + later, now)


def _fire(
    global_action: GlobalActionRow, reached: Sequence[tuple[Change, Reason]], now: datetime
) -> None:
    if reached and pacing.keep(global_action):
        fired = [_global_firing(global_action, change, reason) for change, reason in reached]
        queue_fired(fired, now)


def _wait(global_action: GlobalActionRow, reason: Reason) -> int:
    """Return how many seconds a message waits for a retry."""
    return global_action.wait_for_retry if reason.point in _FAILURES else 0


def _reach_rate(
    global_action: GlobalActionRow, reached: Sequence[tuple[Change, Reason]], now: datetime
) -> list[tuple[Change, Reason]]:
    """Return the changes at which the rate was reached; the others get no message."""
    outcomes = pacing.count(global_action, [change.task.updated for change, _ in reached], now=now)
    if outcomes is None:
        return []  # Somebody has just deleted it.
    told, silent = [], []
    for (change, reason), outcome in zip(reached, outcomes, strict=True):
        if outcome is RateOutcome.TOLD:
            told.append((change, reason))
        else:
            silent.append(_global_firing(global_action, change, reason, held_back=0))
    queue_fired([replace(firing, messages=()) for firing in silent], now)
    return told


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
        wait_for_retry=_wait(global_action, reason),
    )


def _fire_with_quiet_period(global_action: GlobalActionRow, change: Change, reason: Reason) -> None:
    decisions = pacing.hold_back(global_action, 1, change.now)
    if decisions is None:
        return  # Somebody has just deleted it.
    [decision] = decisions
    if not decision.held_back:
        queue_fired([_global_firing(global_action, change, reason)], change.now)
        return
    before = decision.quiet.held_back - 1
    [(firing_id, fired)] = _record(
        [_global_firing(global_action, change, reason, held_back=before)]
    )
    for message, target in fired.messages:
        _queue_for_later(fired, message, target, firing_id, decision)


def _queue_for_later(
    fired: Fired, message: Message, target: NotificationTarget, firing_id: int, decision: Decision
) -> None:
    """Queue one message for the end of the quiet period, about the latest firing held back."""
    change = fired.change
    organization_id, integration = change.project.organization_id, target["integration"]
    key = pacing.key_of(fired.global_action_id or 0, integration, decision)
    queued = pacing.find_held(organization_id, key)
    if queued is not None and queued.state == WAITING:
        outbox.replace_message(
            queued.id,
            message,
            organization_id=organization_id,
            integration=integration,
            config=target["config"],
            firing_id=firing_id,
            at=decision.send_at,
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
