"""Dry runs: what a draft of a global action would have fired, by the history of the tasks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import or_, select, tuple_

from taskbadger.domain import triggers
from taskbadger.domain.status import ERROR
from taskbadger.domain.triggers import Reason, Snapshot, Trigger
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Project, Task, TaskEvent
from taskbadger.services.alerts import firing, global_actions

_BATCH = 50
_MAX_TASKS = 5_000
_MAX_EVENTS = 100_000
_MAX_SECONDS = 2.0


class _TaskRow(NamedTuple):
    id: str
    name: str
    updated: datetime
    project: str
    """The project's slug."""


class _EventRow(NamedTuple):
    task_id: str
    created: datetime
    status: str
    value: int | None
    value_max: int
    actor_type: str


@dataclass(frozen=True, slots=True)
class WouldFire:
    """One firing of a dry run."""

    task_id: str
    name: str
    project: str
    when: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a draft would have fired."""

    count: int
    firings: Sequence[WouldFire]
    """The first *limit* firings, starting with the tasks updated last."""
    tasks: int
    """How many tasks were looked at."""
    complete: bool
    """False when there was more history than one dry run looks at, or has the time for."""


def dry_run(
    organization_id: int,
    *,
    trigger: str,
    days: int,
    now: datetime,
    project: str | None = None,
    name_pattern: str = "",
    limit: int = 100,
    clock: Callable[[], float] = time.monotonic,
) -> DryRun:
    """Return what a draft would have fired over the last *days*.

    History stores at most one progress value per second and thins them. A point reached between
    two stored values is reported late, or not at all if the value fell back. *limit* is how many
    firings are listed. *clock*, in seconds, ends a dry run that takes too long. Raises
    ValidationFailed.
    """
    draft: global_actions.GlobalActionChanges = {"trigger": trigger, "name_pattern": name_pattern}
    errors = list(global_actions.check(organization_id, draft))
    if errors:
        raise ValidationFailed(errors)
    project_id = global_actions.find_project_id(organization_id, project)
    run = _Run(triggers.parse(trigger), now - timedelta(days=days), limit, clock)
    last: _TaskRow | None = None
    while run.has_room:
        batch = _latest_tasks(organization_id, project_id, run.since, last)
        wanted = [task for task in batch if firing.matches(name_pattern, task.name)]
        run.evaluate(wanted, looked_at=len(batch))
        if len(batch) < _BATCH:
            return run.result(complete=True)
        last = batch[-1]
    return run.result(complete=False)


class _Run:
    """A dry run in progress."""

    def __init__(
        self, trigger: Trigger, since: datetime, limit: int, clock: Callable[[], float]
    ) -> None:
        self.trigger, self.since, self.limit, self.clock = trigger, since, limit, clock
        self.until = clock() + _MAX_SECONDS
        self.count = self.tasks = self.events = 0
        self.firings: list[WouldFire] = []

    @property
    def has_room(self) -> bool:
        return self.tasks < _MAX_TASKS and self.events < _MAX_EVENTS and self.clock() < self.until

    def evaluate(self, tasks: Sequence[_TaskRow], *, looked_at: int) -> None:
        """Evaluate the history of *tasks*; *looked_at* tasks were read, matching or not."""
        self.tasks += looked_at
        by_id = {task.id: task for task in tasks}
        before: dict[str, Snapshot] = {}
        for event in _list_events(list(by_id)):
            self.events += 1
            current = Snapshot(event.status, event.value, event.value_max)
            reason = triggers.evaluate(
                self.trigger, before.get(event.task_id), current, overrun=_is_overrun(event)
            )
            before[event.task_id] = current
            if reason and event.created >= self.since:
                self._note(by_id[event.task_id], event.created, reason)

    def _note(self, task: _TaskRow, when: datetime, reason: Reason) -> None:
        self.count += 1
        if len(self.firings) < self.limit:
            self.firings.append(WouldFire(task.id, task.name, task.project, when, reason))

    def result(self, *, complete: bool) -> DryRun:
        return DryRun(self.count, self.firings, self.tasks, complete)


def _is_overrun(event: _EventRow) -> bool:
    """Say whether the server set ``error``, which it does for max_runtime only."""
    return event.actor_type == "server" and event.status == ERROR


def _latest_tasks(
    organization_id: int, project_id: int | None, since: datetime, last: _TaskRow | None
) -> Sequence[_TaskRow]:
    """Return the next batch of tasks updated since then, latest first, after the row *last*."""
    query = (
        select(Task.id, Task.name, Task.updated, Project.slug.label("project"))
        .join(Project, Project.id == Task.project_id)
        .where(Project.organization_id == organization_id, Task.updated >= since)
        .order_by(Task.updated.desc(), Task.id.desc())
        .limit(_BATCH)
    )
    if project_id is not None:
        query = query.where(Task.project_id == project_id)
    if last is not None:
        query = query.where(
            or_(
                Task.updated < last.updated,
                tuple_(Task.updated, Task.id) < (last.updated, last.id),
            )
        )
    return cast(Sequence[_TaskRow], db.session.execute(query).all())


def _list_events(task_ids: Sequence[str]) -> Sequence[_EventRow]:
    if not task_ids:
        return []
    rows = db.session.execute(
        select(
            TaskEvent.task_id,
            TaskEvent.created,
            TaskEvent.status,
            TaskEvent.value,
            TaskEvent.value_max,
            TaskEvent.actor_type,
        )
        .where(TaskEvent.task_id.in_(task_ids))
        .order_by(TaskEvent.task_id, TaskEvent.id)
    ).all()
    return cast(Sequence[_EventRow], rows)
