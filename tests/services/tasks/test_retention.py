"""Retention: tasks that ended long ago are deleted, and no others."""

from datetime import UTC, datetime, timedelta
from typing import Any

from conftest import make_project
from sqlalchemy import func, select

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Project, Task
from taskbadger.services.tasks import write
from taskbadger.services.tasks.retention import (
    Retention,
    delete_old_tasks,
    find_old_tasks,
    list_retentions,
)

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
CI = Actor("key", "ci")
DAY = timedelta(days=1)


def create(project: ProjectRef, *, at: datetime = NOW, **fields: Any) -> str:
    task = write.create_task(project, {"name": "job", **fields}, now=at, actor=CI)
    db.session.commit()
    return task.id


def purge_tasks(retention: Retention, *, now: datetime, limit: int = 10) -> int:
    return delete_old_tasks(retention, find_old_tasks(retention, now=now, limit=limit), now=now)


def left() -> set[str]:
    return set(db.session.scalars(select(Task.id)))


def test_retention_deletes_finished_tasks_and_nothing_else(project: ProjectRef) -> None:
    mail = {"trigger": "success", "integration": "email", "config": {"to": "a@example.com"}}
    create(project, status="success", actions=[mail])
    running = create(project, status="processing")
    resumed = create(project, status="error")
    changes = {"value": 1, "end_time": NOW + DAY * 9}
    write.update_task(project, resumed, changes, now=NOW + DAY * 9, actor=CI)

    assert purge_tasks(Retention(project.id, 7), now=NOW + DAY * 8) == 1
    db.session.commit()

    assert left() == {running, resumed}
    assert db.session.scalar(select(func.count()).select_from(Delivery)) == 1


def test_only_projects_that_do_not_keep_tasks_forever_are_listed(project: ProjectRef) -> None:
    other = make_project("acme", "forever")
    db.session.get_one(Project, project.id).retention_days = 7
    db.session.commit()
    kept = create(other, status="success")

    assert list_retentions() == [Retention(project.id, 7)]
    assert purge_tasks(Retention(project.id, 7), now=NOW + DAY * 30) == 0
    assert left() == {kept}


def test_task_is_kept_for_as_long_as_its_project_says(project: ProjectRef) -> None:
    create(project, status="cancelled")

    moments = (NOW + DAY * 7, NOW + DAY * 7 + timedelta(microseconds=1))

    assert [purge_tasks(Retention(project.id, 7), now=now) for now in moments] == [0, 1]


def test_oldest_tasks_of_each_status_are_deleted_in_batches(project: ProjectRef) -> None:
    statuses = ("success", "error", "cancelled", "success", "error")
    made = [
        create(project, at=NOW + timedelta(seconds=number), status=status)
        for number, status in enumerate(statuses)
    ]

    found = []
    for _ in range(4):
        number = purge_tasks(Retention(project.id, 1), now=NOW + DAY * 2, limit=2)
        found.append((number, sorted(made.index(task_id) for task_id in left())))

    assert found == [(2, [0, 3, 4]), (2, [3]), (1, []), (0, [])]


def test_task_that_was_resumed_since_it_was_found_is_kept(project: ProjectRef) -> None:
    old, resumed = create(project, status="error"), create(project, status="error")
    retention, later = Retention(project.id, 7), NOW + DAY * 8
    found = find_old_tasks(retention, now=later, limit=10)
    write.update_task(project, resumed, {"status": "processing"}, now=later, actor=CI)
    db.session.commit()

    assert sorted(found) == sorted([old, resumed])
    assert delete_old_tasks(retention, found, now=later) == 1
    assert left() == {resumed}
