"""Parents: one level deep, and never changed once they are set."""

from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import make_project
from sqlalchemy import select

from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Task
from taskbadger.models.task_rows import TaskState
from taskbadger.services.tasks import reads, write
from taskbadger.services.tasks.parents import check_new_parent

CI = Actor("key", "ci")
START = datetime(2026, 1, 1, tzinfo=UTC)


def make_task(project: ProjectRef, **fields: Any) -> TaskState:
    return write.create_task(project, {"name": "job", **fields}, now=START, actor=CI)


def refusal(project: ProjectRef, task: TaskState, parent: str | None) -> FieldError:
    with pytest.raises(ValidationFailed) as caught:
        check_new_parent(project, reads.lock_task(project, task.id), parent)
    [error] = caught.value.errors
    return error


def test_parent_is_marked_when_it_gets_its_first_child(project: ProjectRef) -> None:
    parent, child = make_task(project), make_task(project)

    assert check_new_parent(project, child, parent.id) == parent.id

    assert db.session.scalar(select(Task.has_children).where(Task.id == parent.id)) is True
    assert db.session.scalar(select(Task.has_children).where(Task.id == child.id)) is False


def test_task_with_a_parent_keeps_it(project: ProjectRef) -> None:
    parent, other = make_task(project), make_task(project)
    child = make_task(project, parent=parent.id)

    fixed = FieldError("invalid", "A task's parent can not be changed once set.", "parent")
    assert refusal(project, child, other.id) == fixed
    assert refusal(project, child, None) == fixed


def test_tasks_nest_one_level_deep(project: ProjectRef) -> None:
    parent, other = make_task(project), make_task(project)
    child = make_task(project, parent=parent.id)

    assert refusal(project, other, child.id) == FieldError(
        "invalid", "Tasks can only be nested one level deep.", "parent"
    )
    assert refusal(project, parent, other.id) == FieldError(
        "invalid", "A task that has children can not have a parent.", "parent"
    )
    assert refusal(project, other, other.id) == FieldError(
        "invalid", "A task can not be its own parent.", "parent"
    )


def test_parent_is_a_task_of_the_same_project(project: ProjectRef) -> None:
    task = make_task(project)
    elsewhere = make_task(make_project("acme", "other"))

    for parent in (elsewhere.id, ids.new_id(START)):
        assert refusal(project, task, parent).code == "does_not_exist"
