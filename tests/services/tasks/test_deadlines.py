"""Deadlines: which tasks go stale or overdue now."""

from datetime import UTC, datetime, timedelta
from typing import Any

from conftest import count_queries, make_project

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks import write
from taskbadger.services.tasks.deadlines import list_overdue, list_stale

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
CI = Actor("key", "ci")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def create(project: ProjectRef, **fields: Any) -> str:
    data = {"name": "job", "status": "processing", **fields}
    task = write.create_task(project, data, now=NOW, actor=CI)
    db.session.commit()
    return task.id


def test_tasks_are_listed_with_their_projects_earliest_deadline_first(
    project: ProjectRef,
) -> None:
    other = make_project("other", "worker")
    last = create(project, stale_timeout=3)
    first = create(other, stale_timeout=1)
    second = create(project, stale_timeout=2)
    create(project)
    create(project, stale_timeout=2, status="success")

    with count_queries() as queries:
        found = list_stale(now=after(3), limit=10)

    assert found == [(other, first), (project, second), (project, last)]
    assert len(queries) == 1
    assert list_stale(now=after(3), limit=2) == found[:2]


def test_task_is_due_from_its_deadline_on(project: ProjectRef) -> None:
    stale, overdue = create(project, stale_timeout=5), create(project, max_runtime=7)

    assert list_stale(now=after(4.999), limit=10) == []
    assert list_stale(now=after(5), limit=10) == [(project, stale)]
    assert list_overdue(now=after(6.999), limit=10) == []
    assert list_overdue(now=after(7), limit=10) == [(project, overdue)]


def test_task_that_was_marked_is_due_no_more(project: ProjectRef) -> None:
    stale, overdue = create(project, stale_timeout=5), create(project, max_runtime=5)

    assert write.mark_stale(project, [stale], now=after(5))
    assert write.mark_overdue(project, [overdue], now=after(5))
    db.session.commit()

    assert list_stale(now=after(9), limit=10) == list_overdue(now=after(9), limit=10) == []
    assert not write.mark_stale(project, [stale], now=after(9))
    assert not write.mark_overdue(project, [overdue], now=after(9))
