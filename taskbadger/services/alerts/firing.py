"""Firing: what a change of a task triggers, decided and queued in the change's own transaction.

The caller holds the lock on the task's row, so changes of one task are evaluated in sequence, each
against the state just before it: a point that is reached fires once.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import ColumnElement, Table, and_, bindparam, exists, literal, select

from taskbadger.domain import patterns, triggers
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.triggers import Reason, Snapshot, Trigger
from taskbadger.extensions import db
from taskbadger.models import Action, Firing, GlobalAction
from taskbadger.models.action import ACTIVE, EVERY
from taskbadger.models.task_rows import TaskRow, TaskState, columns_of
from taskbadger.models.types import Query
from taskbadger.services.alerts.fired import (
    ActionRow,
    Change,
    fire_global_action,
    own_firing,
    queue_fired,
)
from taskbadger.services.alerts.pacing import GlobalActionRow

TaskChange = tuple[TaskState | None, TaskState]
"""The states of a task before and after a change; None before its creation."""
Version = tuple[str, int]
"""The id and the version of a task."""
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

_ACTIONS = (
    select(*columns_of(ActionRow, _ACTION))
    .where(_ACTION.c.task_id.in_(bindparam("task_ids", expanding=True)), _ACTION.c.status == ACTIVE)
    .order_by(_ACTION.c.id)
)
_ENABLED = (
    _global_action.organization_id == bindparam("organization"),
    _global_action.enabled,
    _global_action.mode == EVERY,
)
HAS_GLOBAL_ACTIONS: ColumnElement[bool] = exists().where(*_ENABLED)
"""Part of the statement that locks or inserts a task: whether to look for global actions."""

_GLOBAL_ACTION_COLUMNS = columns_of(GlobalActionRow, _GLOBAL_ACTION)
_GLOBAL_ACTIONS = select(*_GLOBAL_ACTION_COLUMNS).where(*_ENABLED).order_by(_global_action.id)


def fire_own(
    project: ProjectRef,
    changes: Iterable[TaskChange],
    *,
    now: datetime,
    base_url: str,
    overrun: bool = False,
) -> None:
    """Queue what changes of different tasks trigger in the tasks' own actions.

    The tasks' rows are locked. *base_url* is what links in messages start with, *overrun* marks the
    server's own changes for max_runtime.
    """
    moves = _moves([change for change in changes if change[1].has_actions], overrun=overrun)
    if not moves:
        return
    own = _list_actions([move.task for move in moves])
    fired = [
        own_firing(change, action, reason)
        for move in moves
        for change in [Change(project, move.task, now, base_url, move.overrun)]
        for action in own.get(move.task.id, ())
        if (reason := move.evaluate(triggers.parse(action.trigger)))
    ]
    queue_fired(fired, now)


def fire_global(
    project: ProjectRef,
    changes: Sequence[TaskChange],
    *,
    global_actions: GlobalActions,
    now: datetime,
    base_url: str,
    overrun: bool = False,
    ignored: Container[Version] = (),
) -> None:
    """Queue what changes trigger in global actions, with a few statements.

    A task may have several changes. *ignored* are those with failures that nobody wants to hear of.
    """
    moves = _moves(changes, overrun=overrun) if global_actions else []
    if not moves:
        return
    if global_actions is True:
        global_actions = list_global_actions(project)
    changed = [(move, Change(project, move.task, now, base_url, move.overrun)) for move in moves]
    for global_action in global_actions or ():
        trigger = triggers.parse(global_action.trigger)
        quiet = triggers.without_failures(trigger)
        reached = [
            (change, reason)
            for move, change in changed
            if (reason := move.evaluate(quiet if version_of(move.task) in ignored else trigger))
            and applies(global_action, project.id, move.task.name)
        ]
        if reached:
            fire_global_action(global_action, reached, now)


def version_of(task: TaskState) -> Version:
    """Return what identifies a change by the state after it."""
    return task.id, task.version


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

    def evaluate(self, trigger: Trigger) -> Reason | None:
        """Return why the trigger fires, if it does."""
        return triggers.evaluate(trigger, self.was, self.current, overrun=self.overrun)


def _moves(changes: Iterable[TaskChange], *, overrun: bool) -> list[_Move]:
    """Return the changes that triggers can see."""
    moves = (
        _Move(None if before is None else snapshot(before), snapshot(after), after, overrun)
        for before, after in changes
    )
    return [move for move in moves if move.may_fire]


def _list_actions(tasks: Sequence[TaskState]) -> dict[str, list[ActionRow]]:
    """Return the actions that these tasks wait for, by the ids of the tasks."""
    found: dict[str, list[ActionRow]] = {}
    rows = db.session.execute(_ACTIONS, {"task_ids": [task.id for task in tasks]}) if tasks else ()
    for row in map(ActionRow._make, rows):
        found.setdefault(row.task_id, []).append(row)
    return found


def list_global_actions(project: ProjectRef) -> Sequence[GlobalActionRow]:
    """Return those of the project's organization that are turned on and tell of every firing."""
    rows = db.session.execute(_GLOBAL_ACTIONS, {"organization": project.organization_id}).all()
    return cast(Sequence[GlobalActionRow], rows)


def select_with_answer(question: ColumnElement[bool]) -> Query:
    """Return a statement for ``list_with_answer``."""
    one = select(literal(1)).subquery("one")
    return (
        select(question.label("answer"), *_GLOBAL_ACTION_COLUMNS)
        .select_from(one.outerjoin(_GLOBAL_ACTION, and_(*_ENABLED)))
        .order_by(_global_action.id)
    )


def list_with_answer(
    statement: Query, project: ProjectRef, parameters: Mapping[str, object]
) -> tuple[Sequence[GlobalActionRow], bool]:
    """Return what ``list_global_actions`` does, and the answer to the question of *statement*."""
    values = {**parameters, "organization": project.organization_id}
    rows = db.session.execute(statement, values).all()
    found = [GlobalActionRow._make(row[1:]) for row in rows if row.id is not None]
    return found, rows[0].answer


def snapshot(task: TaskRow) -> Snapshot:
    """Return what triggers look at."""
    return Snapshot(task.status, task.value, task.value_max)


def applies(global_action: GlobalActionRow, project_id: int, name: str) -> bool:
    """Say whether a global action is about tasks of that project and name."""
    if global_action.project_id is not None and global_action.project_id != project_id:
        return False
    return patterns.matches(global_action.name_pattern, name)


def list_firings(task_id: str, limit: int = 1000) -> Sequence[FiringRow]:
    """Return the firings of a task, newest first."""
    rows = db.session.execute(
        select(*columns_of(FiringRow, _FIRING))
        .where(_FIRING.c.task_id == task_id)
        .order_by(_FIRING.c.id.desc())
        .limit(limit)
    ).all()
    return cast(Sequence[FiringRow], rows)
