"""Tags: merged or replaced, and kept twice alike: with the task and for the filters."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import count_queries
from sqlalchemy import select

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Task, TaskTag
from taskbadger.models.task_rows import TaskState
from taskbadger.services.tasks import write
from taskbadger.services.tasks.tags import changed_tags, write_changed

CI = Actor("key", "ci")
START = datetime(2026, 1, 1, tzinfo=UTC)


def make_task(project: ProjectRef, tags: dict[str, str]) -> TaskState:
    return write.create_task(project, {"name": "job", "tags": tags}, now=START, actor=CI)


def change_tags(
    project: ProjectRef, task: TaskState, changes: dict[str, Any], *, replace: bool
) -> dict[str, str]:
    return write_changed(project, task, changed_tags(task, changes, replace=replace))


def kept() -> dict[str, str]:
    rows = db.session.execute(select(TaskTag.name, TaskTag.value).order_by(TaskTag.name))
    return {row.name: row.value for row in rows}


@pytest.mark.parametrize(
    ("changes", "replace", "expected"),
    [
        ({"b": "new", "c": "3"}, False, {"a": "1", "b": "new", "c": "3"}),
        ({"b": None, "unknown": None}, False, {"a": "1"}),
        ({"b": "new", "c": "3"}, True, {"b": "new", "c": "3"}),
        ({}, True, {}),
    ],
)
def test_tags_are_merged_or_replaced(
    project: ProjectRef, changes: dict[str, Any], replace: bool, expected: dict[str, str]
) -> None:
    task = make_task(project, {"a": "1", "b": "2"})
    assert kept() == {"a": "1", "b": "2"}

    column = change_tags(project, task, changes, replace=replace)

    assert {name: json.loads(text) for name, text in column.items()} == {"tags": expected}
    assert kept() == expected


def test_same_tags_are_not_written_again(project: ProjectRef) -> None:
    task = make_task(project, {"a": "1", "b": "2"})

    with count_queries() as queries:
        assert change_tags(project, task, {"a": "1", "c": None}, replace=False) == {}

    assert queries == []


def test_task_has_at_most_fifty_tags(project: ProjectRef) -> None:
    task = make_task(project, {f"{number}": "x" for number in range(49)})
    assert list(change_tags(project, task, {"50": "x"}, replace=False)) == ["tags"]
    before = kept()

    with pytest.raises(ValidationFailed) as caught:
        change_tags(project, task, {"50": "x", "51": "x"}, replace=False)

    detail = "Ensure this field has no more than 50 tags."
    assert list(caught.value.errors) == [FieldError("max_length", detail, "tags")]
    assert kept() == before


def test_update_writes_the_column_and_the_rows(project: ProjectRef) -> None:
    task = make_task(project, {"b": "2"})

    write.update_task(project, task.id, {"tags": {"ä": "1", "a": "é"}}, now=START, actor=CI)

    assert db.session.scalar(select(Task.tags)) == '{"a":"é","b":"2","ä":"1"}'
    assert kept() == {"a": "é", "b": "2", "ä": "1"}
