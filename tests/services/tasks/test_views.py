"""A task for a page: in its project, or public."""

from datetime import UTC, datetime, timedelta

import pytest
from conftest import count_queries, make_project
from flask import Flask

from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.models.task_rows import PageTask, TaskState
from taskbadger.services.tasks import write
from taskbadger.services.tasks.views import find_public_task, get_page_task

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
CI = Actor("key", "ci")


@pytest.fixture
def task(project: ProjectRef) -> TaskState:
    data = {"name": "job", "status": "processing", "value": 3, "data": "[1]", "tags": {"a": "b"}}
    made = write.create_task(project, data, now=NOW, actor=CI)
    db.session.commit()
    return made


def page_of(task: TaskState, *, public: bool) -> PageTask:
    """Return *task* as its page shows it."""
    fields = [name for name in PageTask._fields if name != "public_pages"]
    return PageTask(**{name: getattr(task, name) for name in fields}, public_pages=public)


def let_everyone_see(project: ProjectRef, **settings: bool) -> None:
    for name, value in settings.items():
        setattr(db.session.get_one(Project, project.id), name, value)
    db.session.commit()


def test_page_shows_a_task_of_its_project_with_times(project: ProjectRef, task: TaskState) -> None:
    let_everyone_see(project, public_pages=False)

    with count_queries() as queries:
        row = get_page_task(project, task.id)

    assert tuple(row) == page_of(task, public=False)
    assert (row.created, row.time_to_start) == (NOW, timedelta())
    assert len(queries) == 1


def test_page_of_another_project_is_not_found(app: Flask, task: TaskState) -> None:
    other = make_project("acme", "other")

    for task_id in (task.id, ids.new_id(NOW)):
        with pytest.raises(NotFound):
            get_page_task(other, task_id)


@pytest.mark.parametrize(("data", "tags"), [(True, False), (False, True)])
def test_public_page_says_what_it_may_show(
    project: ProjectRef, task: TaskState, data: bool, tags: bool
) -> None:
    let_everyone_see(project, public_pages=True, public_data=data, public_tags=tags)

    with count_queries() as queries:
        found = find_public_task(task.id)

    assert (found.row.id, found.row.name, found.row.value) == (task.id, "job", 3)
    assert (found.organization, found.project) == ("acme", "web")
    assert (found.shows_data, found.shows_tags) == (data, tags)
    assert len(queries) == 1


def test_task_without_a_public_page_is_not_found(project: ProjectRef, task: TaskState) -> None:
    let_everyone_see(project, public_pages=False)

    for task_id in (task.id, ids.new_id(NOW), "no id"):
        with pytest.raises(NotFound):
            find_public_task(task_id)
