"""Firing: what a change of a task triggers, decided and queued in the change's own transaction.

The caller holds the lock on the task's row, so changes of one task are evaluated in sequence, each
against the state just before it: a point that is reached fires once.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

import re2
from sqlalchemy import ColumnElement, Table, bindparam, exists, select

from taskbadger.domain import triggers
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.triggers import Reason, Snapshot
from taskbadger.extensions import db
from taskbadger.models import Action, Firing, GlobalAction
from taskbadger.models.action import ACTIVE
from taskbadger.models.task_rows import TaskRow, TaskState, columns_of
from taskbadger.services.alerts.fired import (
    ActionRow,
    Change,
    GlobalActionRow,
    fire_global_action,
    own_firing,
    queue_fired,
)

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
    candidates = [change for change in changes if change[1].has_actions or global_actions]
    moves = [move for move in _moves(candidates, overrun=overrun) if move.may_fire]
    if not moves:
        return
    if global_actions is True:
        global_actions = list_global_actions(project)
    changed = [(move, Change(project, move.task, now, base_url)) for move in moves]
    own = _list_actions([move.task for move in moves if move.task.has_actions])
    fired = [
        own_firing(change, action, reason)
        for move, change in changed
        for action in own.get(move.task.id, ())
        if (reason := move.evaluate(action.trigger))
    ]
    queue_fired(fired, now)
    for global_action in global_actions or ():
        reached = [
            (change, reason)
            for move, change in changed
            if (reason := move.evaluate(global_action.trigger))
            and applies(global_action, project.id, move.task.name)
        ]
        if reached:
            fire_global_action(global_action, reached, now)


class _Move(NamedTuple):
    """What triggers see of a change."""

    was: Snapshot | None
    current: Snapshot
    task: TaskState
    overrun: bool

    @property
    def may_fire(self) -> bool:
        """Whether a trigger can see the change."""
        return self.was != self.current or self.overrun

    def evaluate(self, trigger: str) -> Reason | None:
        """Return why the trigger fires, if it does."""
        return triggers.evaluate(
            triggers.parse(trigger), self.was, self.current, overrun=self.overrun
        )


def _moves(
    changes: Iterable[tuple[TaskState | None, TaskState]], *, overrun: bool
) -> Iterator[_Move]:
    for before, after in changes:
        was = None if before is None else snapshot(before)
        yield _Move(was, snapshot(after), after, overrun)


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


def list_firings(task_id: str, limit: int = 1000) -> Sequence[FiringRow]:
    """Return the firings of a task, newest first."""
    rows = db.session.execute(
        select(*columns_of(FiringRow, _FIRING))
        .where(_FIRING.c.task_id == task_id)
        .order_by(_FIRING.c.id.desc())
        .limit(limit)
    ).all()
    return cast(Sequence[FiringRow], rows)
