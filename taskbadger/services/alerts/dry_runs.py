"""Dry runs: what a draft of a global action would have fired, by the history of the tasks."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple, cast

from sqlalchemy import or_, select, tuple_

from taskbadger.domain import dry_run as dry_run_rules
from taskbadger.domain import ids, patterns, triggers
from taskbadger.domain.dry_run import Draft, Observed, Reached, Succeeded
from taskbadger.domain.status import ERROR, SUCCESS
from taskbadger.domain.triggers import Reason, Snapshot, Trigger
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Project, Task, TaskEvent
from taskbadger.models.action import EVERY, INCIDENT
from taskbadger.services.alerts import dry_run_notes, global_actions

_BATCH = 50
_MAX_TASKS = 5_000
_MAX_EVENTS = 100_000
_MAX_SECONDS = 2.0


class _TaskRow(NamedTuple):
    id: str
    name: str
    external_id: str
    created: datetime
    updated: datetime
    project: str
    """The project's slug."""
    quiet_after: int
    """The project's."""


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
    """What a draft would have told."""

    count: int
    """Firings, or incidents in the mode ``incident``."""
    firings: Sequence[WouldFire]
    """The first *limit* of them, starting with the tasks updated last; of incidents and rates, with
    the latest. An incident is shown by the firing with which it would have been told."""
    tasks: int
    """How many tasks were looked at."""
    complete: bool
    """False when there was more history than one dry run looks at, or has the time for."""
    notes: Sequence[str] = ()
    """Sentences: what is left out and why, and what would have come later."""


def dry_run(
    organization_id: int,
    *,
    trigger: str,
    days: int,
    now: datetime,
    project: str | None = None,
    name_pattern: str = "",
    mode: str = EVERY,
    wait_for_retry: int = 0,
    at_least: int | None = None,
    within: int | None = None,
    limit: int = 100,
    clock: Callable[[], float] = time.monotonic,
) -> DryRun:
    """Return what a draft would have fired over the last *days*.

    History stores at most one progress value per second and thins them. A point reached between
    two stored values is reported late, or not at all if the value fell back. *limit* is how many
    firings are listed. *clock*, in seconds, ends a dry run that takes too long. Raises
    ValidationFailed.
    """
    fields: global_actions.GlobalActionChanges = {
        "trigger": trigger,
        "name_pattern": name_pattern,
        "mode": mode,
        "at_least": at_least,
        "within": within,
    }
    errors = list(global_actions.check_draft(organization_id, fields))
    if errors:
        raise ValidationFailed(errors)
    project_id = global_actions.find_project_id(organization_id, project)
    draft = Draft(
        tells_incidents=mode == INCIDENT,
        wait_for_retry=timedelta(seconds=wait_for_retry),
        at_least=at_least,
        within=timedelta(seconds=within or 0),
    )
    run = _Run(triggers.parse(trigger), draft, now - timedelta(days=days), limit, clock)
    is_complete = _walk(run, organization_id, project_id, name_pattern)
    return run.result(organization_id, complete=is_complete)


def _walk(run: "_Run", organization_id: int, project_id: int | None, name_pattern: str) -> bool:
    """Evaluate the latest tasks as long as there is room; say whether those were all."""
    last: _TaskRow | None = None
    while run.has_room:
        batch = _latest_tasks(organization_id, project_id, run.since, last)
        wanted = [task for task in batch if patterns.matches(name_pattern, task.name)]
        run.evaluate(wanted, looked_at=len(batch))
        if len(batch) < _BATCH:
            return True
        last = batch[-1]
    return False


class _Run:
    """A dry run in progress."""

    def __init__(
        self,
        trigger: Trigger,
        draft: Draft,
        since: datetime,
        limit: int,
        clock: Callable[[], float],
    ) -> None:
        self.trigger, self.draft, self.since, self.limit = trigger, draft, since, limit
        self.clock = clock
        self.until = clock() + _MAX_SECONDS
        self.tasks = self.events = 0
        self.observed = Observed()
        self.attempts: defaultdict[tuple[str, str, str], list[_TaskRow]] = defaultdict(list)

    @property
    def has_room(self) -> bool:
        return self.tasks < _MAX_TASKS and self.events < _MAX_EVENTS and self.clock() < self.until

    def evaluate(self, tasks: Sequence[_TaskRow], *, looked_at: int) -> None:
        """Evaluate the history of *tasks*; *looked_at* tasks were read, matching or not."""
        self.tasks += looked_at
        by_id = {task.id: task for task in tasks}
        for task in tasks:
            self.observed.quiet_after[task.project] = timedelta(seconds=task.quiet_after)
            if task.external_id:
                self.attempts[task.project, task.name, task.external_id].append(task)
        before: dict[str, Snapshot] = {}
        for event in _list_events(list(by_id)):
            self.events += 1
            current = Snapshot(event.status, event.value, event.value_max)
            reason = triggers.evaluate(
                self.trigger, before.get(event.task_id), current, overrun=_is_overrun(event)
            )
            before[event.task_id] = current
            if event.created >= self.since:
                self._note(by_id[event.task_id], event, reason)

    def _note(self, task: _TaskRow, event: _EventRow, reason: Reason | None) -> None:
        name = (task.project, task.name)
        if reason:
            self.observed.reached.append(Reached(task.id, name, event.created, reason))
        elif event.status == SUCCESS:
            self.observed.succeeded.append(Succeeded(task.id, name, event.created))

    def _find_retries(self) -> None:
        """Note when each task was tried again, as far as the later attempts were looked at."""
        for attempts in self.attempts.values():
            in_order = sorted(attempts, key=lambda task: ids.sort_key(task.id))
            for task, later in pairwise(in_order):
                self.observed.retried_at[task.id] = later.created

    def result(self, organization_id: int, *, complete: bool) -> DryRun:
        """Return what was found."""
        self._find_retries()
        outcome = dry_run_rules.evaluate(self.draft, self.observed)
        firings = [
            WouldFire(each.task_id, each.name[1], each.name[0], each.at, each.reason)
            for each in outcome.told[: self.limit]
        ]
        notes = dry_run_notes.write(organization_id, self.draft, outcome, clock=self.clock)
        return DryRun(len(outcome.told), firings, self.tasks, complete, notes)


def _is_overrun(event: _EventRow) -> bool:
    """Say whether the server set ``error``, which it does for max_runtime only."""
    return event.actor_type == "server" and event.status == ERROR


def _latest_tasks(
    organization_id: int, project_id: int | None, since: datetime, last: _TaskRow | None
) -> Sequence[_TaskRow]:
    """Return the next batch of tasks updated since then, latest first, after the row *last*."""
    query = (
        select(
            Task.id,
            Task.name,
            Task.external_id,
            Task.created,
            Task.updated,
            Project.slug.label("project"),
            Project.quiet_after,
        )
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
