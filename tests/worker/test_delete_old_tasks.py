"""The step that deletes tasks that are kept no longer: many, in small transactions, in turn."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from conftest import make_project
from flask import Flask
from sqlalchemy import func, select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Project, Task
from taskbadger.services.tasks import retention, write
from taskbadger.services.tasks.retention import Retention
from taskbadger.worker import sweeps

CI = Actor("key", "ci")


def make_old(project: ProjectRef, count: int) -> None:
    """Make tasks that ended a month ago, in a project that keeps them for a day."""
    db.session.get_one(Project, project.id).retention_days = 1
    for _ in range(count):
        fields = {"name": "job", "status": "success", "tags": {"env": "prod"}}
        write.create_task(project, fields, now=utcnow() - timedelta(days=30), actor=CI)
    db.session.commit()


def left(project: ProjectRef) -> int:
    db.session.rollback()
    number = select(func.count()).select_from(Task).where(Task.project_id == project.id)
    return int(db.session.scalar(number) or 0)


def test_step_goes_on_until_nothing_is_left(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "DELETED_AT_ONCE", 2)
    make_old(project, 5)

    assert not sweeps.delete_old_tasks()

    assert left(project) == 0


def test_step_that_takes_long_lets_other_steps_run(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "DELETED_AT_ONCE", 2)
    monkeypatch.setattr(sweeps, "SWEEP_SECONDS", -1.0)
    make_old(project, 5)

    numbers = [(sweeps.delete_old_tasks(), left(project)) for _ in range(4)]

    assert numbers == [(True, 3), (True, 1), (True, 0), (False, 0)]


def test_projects_take_turns(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_project("acme", "other")
    monkeypatch.setattr(sweeps.random, "shuffle", lambda _projects: None)
    make_old(project, 5)
    make_old(other, 3)
    monkeypatch.setattr(sweeps, "FOUND_AT_ONCE", 3)
    monkeypatch.setattr(sweeps, "DELETED_AT_ONCE", 2)
    delete, turns = retention.delete_old_tasks, []

    def note(project: Retention, task_ids: Sequence[str], *, now: datetime) -> int:
        turns.append((project.project_id, len(task_ids)))
        return delete(project, task_ids, now=now)

    monkeypatch.setattr(retention, "delete_old_tasks", note)

    sweeps.delete_old_tasks()

    first, second = project.id, other.id
    assert turns == [(first, 2), (first, 1), (second, 2), (second, 1), (first, 2)]


def test_step_is_one_of_the_sweeps() -> None:
    assert (sweeps.delete_old_tasks, 60.0) in sweeps.SWEEPS
