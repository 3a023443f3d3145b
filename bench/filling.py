"""Fills databases for ``keep_up`` with rows as the services write them, thousands a second."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import delete, insert, select

from taskbadger.clock import utcnow
from taskbadger.domain import ids
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import (
    Action,
    Failure,
    FailureBackfill,
    FailureKind,
    Monitor,
    Slot,
    Task,
    TaskEvent,
    TaskTag,
)
from taskbadger.services.organizations import organizations, projects

NAMES = 100
"""Different names of tasks."""
_BATCH = 5_000
_TAGS = {"env": "prod", "team": "sales"}


def task_row(project_id: int, number: int, created: datetime, **fields: Any) -> dict[str, Any]:
    """Return the columns of a task that runs, changed by *fields*."""
    return {
        "id": ids.new_id(created),
        "project_id": project_id,
        "version": 2,
        "has_children": False,
        "has_actions": False,
        "name": f"job {number % NAMES}",
        "name_folded": f"job {number % NAMES}",
        "queue": "default",
        "external_id": f"external-{number}",
        "status": "processing",
        "value_max": 100,
        "data": '{"file": "data.csv", "rows": 1200, "ratio": 0.5}',
        "tags": '{"env": "prod", "team": "sales"}',
        "created": created,
        "updated": created,
        "start_time": created,
        "progress_count": 0,
        "progress_step": 1,
        **fields,
    }


def tag_rows(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the rows of the tags of a task."""
    for name, value in _TAGS.items():
        owner = {"task_id": task["id"], "project_id": task["project_id"]}
        yield {**owner, "name": name, "value": value}


def event_row(task: dict[str, Any], kind: str, status: str) -> dict[str, Any]:
    """Return an entry of the history of a task."""
    return {
        "task_id": task["id"],
        "type": kind,
        "created": task["updated"],
        "status": status,
        "value": 50 if kind == "progress" else None,
        "value_max": 100,
        "actor_type": "key",
        "actor_name": "bench",
    }


def _action_row(task: dict[str, Any], trigger: str = "error") -> dict[str, Any]:
    return {
        "task_id": task["id"],
        "trigger": trigger,
        "integration": "email",
        "config": '{"to": "a@example.com"}',
        "created": task["created"],
        "updated": task["created"],
        "status": "active",
    }


def add_running(
    project: ProjectRef,
    count: int,
    *,
    created: datetime,
    stale_at: datetime,
    has_actions: bool = False,
) -> None:
    """Add tasks in progress that go stale at the same moment, and maybe send a mail about it."""

    def rows(number: int) -> dict[str, Any]:
        due = {"stale_timeout": 600, "stale_at": stale_at, "has_actions": has_actions}
        return task_row(project.id, number, created + timedelta(microseconds=number), **due)

    for group in _groups(map(rows, range(count))):
        _insert(Task, group)
        _insert(TaskTag, [tag for task in group for tag in tag_rows(task)])
        if has_actions:
            _insert(Action, [_action_row(task, "stale") for task in group])
        started = [event_row(task, "created", "processing") for task in group]
        _insert(TaskEvent, started)
        db.session.commit()


def add_ended(project_id: int, count: int, *, created: datetime) -> None:
    """Add tasks that ended as soon as they were created, a thousand a second.

    Each has four entries of the history and two tags; some have an action or a failure.
    """
    kinds = (("created", "pending"), ("status", "processing"), ("progress", "processing"))
    failure_kinds = _failure_kinds(project_id)
    moments = (created + timedelta(milliseconds=number) for number in range(count))
    rows = (_ended_row(project_id, number, at) for number, at in enumerate(moments))
    for group in _groups(rows):
        _insert(Task, group)
        _insert(TaskTag, [tag for task in group for tag in tag_rows(task)])
        _insert(Action, [_action_row(task) for task in group if task["has_actions"]])
        for kind, status in kinds:
            _insert(TaskEvent, [event_row(task, kind, status) for task in group])
        _insert(TaskEvent, [event_row(task, "status", task["status"]) for task in group])
        failed = [task for task in group if task["status"] == "error"]
        _insert(Failure, [_failure_row(task, failure_kinds[task["name"]]) for task in failed])
        db.session.commit()


def _failure_kinds(project_id: int) -> dict[str, int]:
    """Return a kind of failures for each name, made if they are missing; no backfill is left."""
    query = select(FailureKind.name, FailureKind.id).where(FailureKind.project_id == project_id)
    found = dict(row.tuple() for row in db.session.execute(query))
    if found:
        return found
    db.session.execute(delete(FailureBackfill).where(FailureBackfill.project_id == project_id))
    now = utcnow()
    kind = {"project_id": project_id, "fingerprint": "f" * 64, "title": "ValueError"}
    kind |= {"cause": "error", "count": 1, "first_seen": now, "last_seen": now}
    kind["sample_task"] = ids.new_id(now)
    _insert(FailureKind, [{**kind, "name": f"job {number}"} for number in range(NAMES)])
    return _failure_kinds(project_id)


def _failure_row(task: dict[str, Any], kind_id: int) -> dict[str, Any]:
    return {
        "task_id": task["id"],
        "kind_id": kind_id,
        "failed_at": task["end_time"],
        "error": "ValueError: no such file",
    }


def _ended_row(project_id: int, number: int, at: datetime) -> dict[str, Any]:
    status = ("success", "success", "success", "error", "cancelled")[number % 5]
    fields = {"status": status, "end_time": at, "has_actions": number % 5 == 0}
    return task_row(project_id, number, at, **fields)


def add_runs(project: ProjectRef, count: int, *, now: datetime) -> None:
    """Add *count* entries of the history: two for each task, which ended just now."""
    moments = (now + timedelta(microseconds=number) for number in range(count // 2))
    rows = (_ended_row(project.id, number, at) for number, at in enumerate(moments))
    for group in _groups(rows):
        _insert(Task, group)
        _insert(TaskEvent, [event_row(task, "created", "pending") for task in group])
        _insert(TaskEvent, [event_row(task, "status", task["status"]) for task in group])
        db.session.commit()


def add_monitors(project: ProjectRef, count: int, *, due: datetime, now: datetime) -> None:
    """Add monitors that have run before, half of them with a cron schedule; all miss a run."""
    expected = due - timedelta(seconds=60)
    rows = (_monitor_row(project.id, number, expected, now) for number in range(count))
    for group in _groups(rows, 500):
        _insert(Monitor, group)
        for moment, state, deadline in (
            (expected - timedelta(hours=1), "ok", None),
            (expected, "expected", due),
        ):
            slots = [_slot_row(row["id"], moment, state, deadline) for row in group]
            _insert(Slot, slots)
        db.session.commit()


def _monitor_row(project_id: int, number: int, expected: datetime, now: datetime) -> dict[str, Any]:
    minute = f"{expected.minute} * * * *"
    kind = ("cron", "interval")[number % 2]
    own = {"cron": (minute, None, None), "interval": (None, 3600, "start")}[kind]
    return {
        "id": ids.to_uuid(ids.new_id(now)),
        "project_id": project_id,
        "name": f"monitor {number}",
        "type": kind,
        **dict(zip(("schedule", "interval", "anchor"), own, strict=True)),
        "timezone": "UTC",
        "start_grace": 60,
        "failure_threshold": 1,
        "recovery_threshold": 1,
        "status": "active",
        "action": "[]",
        "seen": True,
        "epoch": 1,
        "expected_at": expected,
        "created": now,
        "updated": now,
    }


def _slot_row(monitor_id: Any, at: datetime, state: str, deadline: Any) -> dict[str, Any]:
    begun = at if state == "ok" else None
    return {
        "monitor_id": monitor_id,
        "epoch": 1,
        "expected_at": at,
        "count": 1,
        "deadline_at": deadline,
        "state": state,
        "started_at": begun,
        "ended_at": begun,
        "extra_runs": 0,
    }


def add_projects(organization_slug: str, count: int, tasks: int, *, now: datetime) -> None:
    """Add *count* projects to an organization, each with some of *tasks* tasks."""
    organization = organizations.ensure_organization(organization_slug, actor=SERVER, now=now)
    made = [
        projects.ensure_project(organization, f"project-{number}", actor=SERVER, now=now).id
        for number in range(count)
    ]
    db.session.commit()
    rows = (_spread_row(made[number % count], number, tasks, now) for number in range(tasks))
    for group in _groups(rows):
        _insert(Task, group)
        _insert(TaskTag, [tag for task in group for tag in tag_rows(task)])
        _insert(TaskEvent, [event_row(task, "created", task["status"]) for task in group])
        db.session.commit()


def _spread_row(project_id: int, number: int, count: int, now: datetime) -> dict[str, Any]:
    return _ended_row(project_id, number, now - timedelta(days=3) * (1 - number / count))


def _groups(
    rows: Iterable[dict[str, Any]], size: int = _BATCH
) -> Iterator[Sequence[dict[str, Any]]]:
    left = iter(rows)
    while group := list(islice(left, size)):
        yield group


def _insert(model: Any, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        db.session.execute(insert(model.__table__), rows)
