"""Firing: what a change of a task sets off, decided and queued in the transaction of the change.

The caller holds the task's row, so changes of one task are judged one after the other, each
against exactly the one before it: a point that is reached fires once.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import re2
from flask import current_app, has_request_context, request
from sqlalchemy import ColumnElement, Table, bindparam, exists, insert, select, update

from taskbadger.channels import Message
from taskbadger.channels.text import task_title
from taskbadger.clock import to_wire
from taskbadger.domain import numbers, quiet, triggers
from taskbadger.domain.quiet import Quiet, Verdict
from taskbadger.domain.triggers import Reason, Snapshot
from taskbadger.extensions import db
from taskbadger.models import Action, Delivery, Firing, GlobalAction
from taskbadger.models.action import ACTIVE
from taskbadger.models.delivery import WAITING
from taskbadger.schemas.tasks import Place, write_task
from taskbadger.services import deliveries
from taskbadger.services.accounts import ProjectRef

_action = cast(Table, Action.__table__).c
_rule = cast(Table, GlobalAction.__table__).c

HAS_GLOBAL_ACTIONS: ColumnElement[bool] = exists().where(
    _rule.organization_id == bindparam("organization"), _rule.enabled
)
"""For the statement that locks or inserts a task anyway: whether to look for global actions."""

_ACTIONS = (
    select(_action.id, _action.trigger, _action.integration, _action.config)
    .where(_action.task_id == bindparam("task_id"), _action.status == ACTIVE)
    .order_by(_action.id)
)
_GLOBAL_ACTIONS = (
    select(GlobalAction.__table__)
    .where(_rule.organization_id == bindparam("organization"), _rule.enabled)
    .order_by(_rule.id)
)
_STAND = select(_rule.quiet_until, _rule.held_back).where(_rule.id == bindparam("rule"))
# Not FOR UPDATE: to note a firing holds the key of its global action, and would wait for it.
_KEEP = _STAND.with_for_update(read=True, key_share=True)
_LOCK = _STAND.with_for_update(key_share=True)
_FIRING = insert(Firing).returning(Firing.id)


def fire(
    project: ProjectRef,
    before: Any,
    after: Any,
    *,
    has_global_actions: bool,
    now: datetime,
    overrun: bool = False,
) -> None:
    """Queue what the change from *before* to *after* sets off; *before* is None for a creation.

    Both are rows of the task table, and its row is locked. *overrun* marks the server's own
    change for max_runtime.
    """
    if not (after.has_actions or has_global_actions):
        return
    was, current = before and snapshot(before), snapshot(after)
    if was == current and not overrun:
        return
    scene = _Scene(project, after, now)
    if after.has_actions:
        for action in db.session.execute(_ACTIONS, {"task_id": after.id}).all():
            reason = triggers.evaluate(
                triggers.parse(action.trigger), was, current, overrun=overrun
            )
            if reason:
                _fire_action(scene, action, reason)
    if has_global_actions:
        for rule in db.session.execute(_GLOBAL_ACTIONS, {"organization": project.organization_id}):
            reason = triggers.evaluate(triggers.parse(rule.trigger), was, current, overrun=overrun)
            if reason and applies(rule, project.id, after.name):
                _fire_global_action(scene, rule, reason)


def snapshot(task: Any) -> Snapshot:
    """Return what triggers look at."""
    return Snapshot(task.status, task.value, task.value_max)


def applies(rule: Any, project_id: int, name: str) -> bool:
    """Say whether a global action is about the tasks of that project and name."""
    if rule.project_id is not None and rule.project_id != project_id:
        return False
    return matches(rule.name_pattern, name)


def matches(pattern: str, name: str) -> bool:
    """Say whether RE2 *pattern* is found anywhere in *name*; an empty one always is."""
    return not pattern or compiled(pattern).search(name) is not None


@lru_cache(maxsize=1000)
def compiled(pattern: str) -> Any:
    """Return the compiled pattern; raises re2.error for what RE2 does not know."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


class _Scene:
    """The change that is told of: shared by all that it sets off, the message made when needed."""

    def __init__(self, project: ProjectRef, task: Any, now: datetime) -> None:
        self.project, self.task, self.now = project, task, now
        self._shown: dict[str, Any] | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """The task as the API shows it."""
        if self._shown is None:
            place = Place(self.project.organization, self.project.slug, base_url())
            self._shown = numbers.read(write_task(self.task, place))
        return self._shown

    def message(self, action: dict[str, Any], reason: Reason, *, held_back: int = 0) -> Message:
        """Return what to tell."""
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


def base_url() -> str:
    """Return what links start with; empty in a worker that nobody has told its address."""
    setting = str(current_app.config["BASE_URL"]).rstrip("/")
    if setting or not has_request_context():
        return setting
    return request.root_url.rstrip("/")


def _record(scene: _Scene, reason: Reason, trigger: str, **values: Any) -> int:
    return int(
        db.session.execute(
            _FIRING,
            {
                "task_id": scene.task.id,
                "task_version": scene.task.version,
                "trigger": trigger,
                "reason": json.dumps(reason.as_dict()),
                "held_back": False,
                "created": scene.task.updated,
                **values,
            },
        ).scalar_one()
    )


def _fire_action(scene: _Scene, action: Any, reason: Reason) -> None:
    firing_id = _record(scene, reason, action.trigger, action_id=action.id)
    config = json.loads(action.config)
    shown = {
        "id": action.id,
        "trigger": action.trigger,
        "integration": action.integration,
        "config": config,
    }
    deliveries.queue(
        scene.message(shown, reason),
        organization_id=scene.project.organization_id,
        integration=action.integration,
        config=config,
        now=scene.now,
        firing_id=firing_id,
    )


def _fire_global_action(scene: _Scene, rule: Any, reason: Reason) -> None:
    stand = db.session.execute(_LOCK if rule.quiet_period else _KEEP, {"rule": rule.id}).first()
    if stand is None:
        return  # Somebody has just deleted it.
    verdict = _judge(rule, stand, scene.now) if rule.quiet_period else None
    held_back = verdict is not None and verdict.held_back
    firing_id = _record(scene, reason, rule.trigger, global_action_id=rule.id, held_back=held_back)
    for channel in json.loads(rule.channels):
        shown = {"global_action": rule.id, "name": rule.name, "trigger": rule.trigger, **channel}
        if verdict is not None and held_back:
            _tell_later(scene, shown, reason, verdict, firing_id)
            continue
        deliveries.queue(
            scene.message(shown, reason),
            organization_id=scene.project.organization_id,
            integration=channel["integration"],
            config=channel["config"],
            now=scene.now,
            firing_id=firing_id,
        )


def _judge(rule: Any, stand: Any, now: datetime) -> Verdict:
    """Return what the quiet period makes of a firing; *stand* is of the locked row."""
    verdict = quiet.judge(
        Quiet(stand.quiet_until, stand.held_back), timedelta(seconds=rule.quiet_period), now=now
    )
    db.session.execute(
        update(_rule.id.table)
        .where(_rule.id == rule.id)
        .values(quiet_until=verdict.quiet.until, held_back=verdict.quiet.held_back)
    )
    return verdict


def _tell_later(
    scene: _Scene, shown: dict[str, Any], reason: Reason, verdict: Verdict, firing_id: int
) -> None:
    """Let one message, due when the quiet period ends, tell of the latest of what it held back."""
    integration = shown["integration"]
    key = f"quiet {shown['global_action']} {integration} {to_wire(verdict.send_at)}"
    message = scene.message(shown, reason, held_back=verdict.quiet.held_back - 1)
    waiting = db.session.execute(
        select(Delivery.id, Delivery.state)
        .where(Delivery.key == key, Delivery.organization_id == scene.project.organization_id)
        .with_for_update()
    ).first()
    if waiting is not None and waiting.state == WAITING:
        deliveries.replace_message(
            waiting.id,
            message,
            organization_id=scene.project.organization_id,
            integration=integration,
            config=shown["config"],
            firing_id=firing_id,
        )
        return
    deliveries.queue(
        message,
        organization_id=scene.project.organization_id,
        integration=integration,
        config=shown["config"],
        now=scene.now,
        at=verdict.send_at,
        firing_id=firing_id,
        key=None if waiting else key,
    )


def list_firings(task_id: str, limit: int = 1000) -> Sequence[Any]:
    """Return the firings of a task, newest first."""
    return db.session.execute(
        select(Firing.__table__)
        .where(Firing.task_id == task_id)
        .order_by(Firing.id.desc())
        .limit(limit)
    ).all()
