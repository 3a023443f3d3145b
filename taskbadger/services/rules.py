"""Global actions: actions on all tasks of an organization, and what a draft would have fired."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import re2
from sqlalchemy import or_, select, tuple_

from taskbadger.domain import triggers
from taskbadger.domain.status import ERROR
from taskbadger.domain.triggers import Reason, Snapshot, Trigger
from taskbadger.errors import FieldError, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, Project, Task, TaskEvent
from taskbadger.services import audit, firing
from taskbadger.services.accounts import Actor
from taskbadger.services.channels import check_integration

MOST_CHANNELS = 10
MOST_QUIET_SECONDS = 7 * 86_400

_BATCH = 50
_MOST_TASKS = 5_000
_MOST_EVENTS = 100_000
_MOST_SECONDS = 2.0


def list_rules(organization_id: int) -> Sequence[GlobalAction]:
    """Return the global actions of an organization, oldest first."""
    return db.session.scalars(
        select(GlobalAction)
        .where(GlobalAction.organization_id == organization_id)
        .order_by(GlobalAction.id)
    ).all()


def get_rule(organization_id: int, rule_id: int) -> GlobalAction:
    """Return one global action; raises NotFound."""
    rule = db.session.scalar(
        select(GlobalAction).where(
            GlobalAction.organization_id == organization_id, GlobalAction.id == rule_id
        )
    )
    if rule is None:
        raise NotFound()
    return rule


def create_rule(organization_id: int, data: Mapping[str, Any], *, now: datetime) -> GlobalAction:
    """Make a global action.

    *data* has ``name``, ``trigger`` and ``channels`` (``[{"integration": …, "config": …}]``), and
    may have ``project`` (a slug or None), ``name_pattern``, ``enabled`` and ``quiet_period``.
    Raises ValidationFailed.
    """
    rule = GlobalAction(
        organization_id=organization_id,
        project_id=None,
        name_pattern="",
        enabled=True,
        quiet_period=0,
        quiet_until=None,
        held_back=0,
        created=now,
    )
    _change(rule, data, now)
    db.session.add(rule)
    db.session.flush()
    return rule


def update_rule(
    organization_id: int,
    rule_id: int,
    changes: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
) -> GlobalAction:
    """Change what *changes* names; raises NotFound and ValidationFailed."""
    rule = get_rule(organization_id, rule_id)
    before = fields_of(rule)
    _change(rule, changes, now)
    db.session.flush()
    audit.record_change(
        actor,
        organization_id,
        "global-action.change",
        rule.name,
        before,
        fields_of(rule),
        now=now,
    )
    return rule


def fields_of(rule: GlobalAction) -> dict[str, Any]:
    """Return what can be changed of a global action."""
    return {
        "name": rule.name,
        "project": db.session.scalar(select(Project.slug).where(Project.id == rule.project_id)),
        "name_pattern": rule.name_pattern,
        "trigger": rule.trigger,
        "channels": json.loads(rule.channels),
        "enabled": rule.enabled,
        "quiet_period": rule.quiet_period,
    }


def delete_rule(organization_id: int, rule_id: int) -> None:
    """Delete a global action; what it has queued is still delivered. Raises NotFound."""
    db.session.delete(get_rule(organization_id, rule_id))
    db.session.flush()


def _change(rule: GlobalAction, data: Mapping[str, Any], now: datetime) -> None:
    errors = list(_check(rule.organization_id, data))
    if errors:
        raise ValidationFailed(errors)
    if "project" in data:
        rule.project_id = find_project(rule.organization_id, data["project"])
    if "channels" in data:
        rule.channels = json.dumps(
            [
                {"integration": one["integration"], "config": one.get("config") or {}}
                for one in data["channels"]
            ]
        )
    rule.name = data.get("name", rule.name)
    rule.trigger = data.get("trigger", rule.trigger)
    rule.name_pattern = data.get("name_pattern", rule.name_pattern)
    rule.enabled = data.get("enabled", rule.enabled)
    rule.quiet_period = data.get("quiet_period", rule.quiet_period)
    rule.updated = now


def find_project(organization_id: int, slug: str | None) -> int | None:
    """Return the id of a project, None for None; raises ValidationFailed on ``project``."""
    if slug is None:
        return None
    found = db.session.scalar(
        select(Project.id).where(Project.organization_id == organization_id, Project.slug == slug)
    )
    if found is None:
        raise ValidationFailed.one(
            "project", f"There is no project “{slug}” in this organization.", "does_not_exist"
        )
    return found


def _check(organization_id: int, data: Mapping[str, Any]) -> Iterator[FieldError]:
    if "trigger" in data:
        try:
            triggers.parse(data["trigger"])
        except triggers.TriggerError as error:
            yield FieldError("invalid", str(error), "trigger")
    pattern = data.get("name_pattern")
    if pattern:
        try:
            firing.compiled(pattern)
        except re2.error as error:
            reason = error.args[0]
            text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            yield FieldError("invalid", f"Not a regular expression of RE2: {text}.", "name_pattern")
    if not 0 <= data.get("quiet_period", 0) <= MOST_QUIET_SECONDS:
        yield FieldError("max_value", f"Give 0 to {MOST_QUIET_SECONDS} seconds.", "quiet_period")
    if "channels" in data:
        yield from _check_channels(organization_id, data["channels"])


def _check_channels(
    organization_id: int, channels: Sequence[Mapping[str, Any]]
) -> Iterator[FieldError]:
    if not 1 <= len(channels) <= MOST_CHANNELS:
        yield FieldError("invalid", f"Give 1 to {MOST_CHANNELS} channels.", "channels")
    seen: set[str] = set()
    for index, channel in enumerate(channels):
        attr = f"channels.{index}.integration"
        integration = channel["integration"]
        if integration in seen:
            yield FieldError("invalid", "Name each channel once.", attr)
        seen.add(integration)
        try:
            check_integration(organization_id, integration, attr, channel.get("config") or {})
        except ValidationFailed as error:
            yield from error.errors


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
    """The first of them, of the latest tasks."""
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
    """Return what a draft would have fired over the last *days*, by the history of the tasks.

    The history keeps progress at most once a second, and thins it: a point that was passed in
    between is found, but later, and one that was left again at once may be missed. *clock* tells
    when it has taken long enough. Raises ValidationFailed.
    """
    draft = {"trigger": trigger, "name_pattern": name_pattern}
    errors = list(_check(organization_id, draft))
    if errors:
        raise ValidationFailed(errors)
    project_id = find_project(organization_id, project)
    run = _Run(triggers.parse(trigger), now - timedelta(days=days), limit, clock)
    last: Any = None
    while run.has_room:
        batch = _latest_tasks(organization_id, project_id, run.since, last)
        wanted = [task for task in batch if firing.matches(name_pattern, task.name)]
        run.replay(wanted, looked_at=len(batch))
        if len(batch) < _BATCH:
            return run.result(complete=True)
        last = batch[-1]
    return run.result(complete=False)


class _Run:
    """A dry run under way."""

    def __init__(
        self, trigger: Trigger, since: datetime, limit: int, clock: Callable[[], float]
    ) -> None:
        self.trigger, self.since, self.limit, self.clock = trigger, since, limit, clock
        self.until = clock() + _MOST_SECONDS
        self.count = self.tasks = self.events = 0
        self.firings: list[WouldFire] = []

    @property
    def has_room(self) -> bool:
        return self.tasks < _MOST_TASKS and self.events < _MOST_EVENTS and self.clock() < self.until

    def replay(self, tasks: Sequence[Any], *, looked_at: int) -> None:
        """Walk through the history of some tasks."""
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

    def _note(self, task: Any, when: datetime, reason: Reason) -> None:
        self.count += 1
        if len(self.firings) < self.limit:
            self.firings.append(WouldFire(task.id, task.name, task.project, when, reason))

    def result(self, *, complete: bool) -> DryRun:
        return DryRun(self.count, self.firings, self.tasks, complete)


def _is_overrun(event: Any) -> bool:
    """Only for max_runtime does the server itself set ``error``."""
    return bool(event.actor_type == "server" and event.status == ERROR)


def _latest_tasks(
    organization_id: int, project_id: int | None, since: datetime, last: Any
) -> Sequence[Any]:
    """Return the next batch of tasks that were updated since then, by id, the latest first."""
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
    return db.session.execute(query).all()


def _list_events(task_ids: Sequence[str]) -> Sequence[Any]:
    if not task_ids:
        return []
    return db.session.execute(
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
