"""Increments and merges: what they make of the locked task, and what they refuse."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import count_queries
from flask import Flask
from simultaneous import at_once, numbered

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models.task_rows import TaskState
from taskbadger.schemas.fields import INT64_MAX
from taskbadger.services.tasks import reads, write
from taskbadger.services.tasks.relative import MAX_MERGED

CI = Actor("key", "ci")
START = datetime(2026, 1, 1, tzinfo=UTC)


def make_task(project: ProjectRef, **fields: Any) -> TaskState:
    task = write.create_task(project, {"name": "job", **fields}, now=START, actor=CI)
    db.session.commit()
    return task


def change(project: ProjectRef, task: TaskState, **fields: Any) -> TaskState:
    now = START + timedelta(seconds=1)
    return write.update_task(project, task.id, fields, now=now, actor=CI)


@pytest.mark.parametrize(
    ("value", "increment", "expected"),
    [(None, 5, 5), (None, 0, 0), (3, 5, 8), (3, -3, 0), (INT64_MAX - 1, 1, INT64_MAX)],
)
def test_increment_is_added(
    project: ProjectRef, value: int | None, increment: int, expected: int
) -> None:
    task = make_task(project, value=value)

    assert change(project, task, value_increment=increment).value == expected
    db.session.commit()
    assert reads.get_wire_task(project, task.id).value == expected


@pytest.mark.parametrize(
    ("value", "increment", "code", "detail"),
    [
        (None, -1, "min_value", "The value would be less than 0."),
        (2, -3, "min_value", "The value would be less than 0."),
        (INT64_MAX, 1, "max_value", f"The value would be greater than {INT64_MAX}."),
    ],
)
def test_value_stays_within_its_limits(
    project: ProjectRef, value: int | None, increment: int, code: str, detail: str
) -> None:
    task = make_task(project, value=value)

    with pytest.raises(ValidationFailed) as raised:
        change(project, task, value_increment=increment, name="other")

    assert raised.value.errors == (FieldError(code, detail, "value_increment"),)
    db.session.rollback()
    assert reads.lock_task(project, task.id) == task


@pytest.mark.parametrize(
    ("data", "patch", "expected"),
    [
        (None, '{"a": 1}', '{"a":1}'),
        ('{"a": 1.0, "b": 1e400}', '{"c": {"d": null}}', '{"a":1.0,"b":1e400,"c":{}}'),
        ('{"a": {"x": 1}, "b": "\\u0000é"}', '{"a": {"y": 2}}', None),
        ('{"a": 1, "b": 2}', '{"a": null}', '{"b":2}'),
        ('{"a": -0}', '{"b": 1}', '{"a":-0,"b":1}'),
        ('{"a": 1}', '{"a": 10000000000000000000000.0}', '{"a":10000000000000000000000.0}'),
    ],
)
def test_data_is_merged_and_keeps_its_digits(
    project: ProjectRef, data: str | None, patch: str, expected: str | None
) -> None:
    task = make_task(project, data=data)

    merged = change(project, task, data_merge=patch).data

    assert merged == (expected or '{"a":{"x":1,"y":2},"b":"\\u0000é"}')


@pytest.mark.parametrize("data", ["[1]", '"text"', "7", "false"])
def test_only_an_object_is_merged_into(project: ProjectRef, data: str) -> None:
    task = make_task(project, data=data)

    with pytest.raises(ValidationFailed, match=r"The data of the task is not an object\."):
        change(project, task, data_merge='{"a": 1}')


def test_all_that_is_wrong_is_named(project: ProjectRef) -> None:
    task = make_task(project, value=2, data="[1]")

    with pytest.raises(ValidationFailed) as raised:
        change(project, task, value_increment=-8, data_merge='{"a": 1}')

    assert [error.attr for error in raised.value.errors] == ["value_increment", "data_merge"]


def test_merges_let_data_grow_up_to_a_limit(project: ProjectRef) -> None:
    text = json.dumps({"a": "x" * (MAX_MERGED - 20)}, separators=(",", ":"))
    task = make_task(project, data=text)

    assert len(change(project, task, data_merge='{"b": 1}').data or "") == MAX_MERGED - 6
    with pytest.raises(ValidationFailed, match="more than 1048576 characters"):
        change(project, task, data_merge='{"c": "0123456789"}')


def test_data_that_came_larger_than_the_limit_may_shrink(project: ProjectRef) -> None:
    task = make_task(project, data=json.dumps({"a": "x" * MAX_MERGED, "b": 1}))

    assert len(change(project, task, data_merge='{"b": null}').data or "") > MAX_MERGED


def test_concurrent_increments_and_merges_all_count(app: Flask, project: ProjectRef) -> None:
    task = make_task(project)

    def add(number: int) -> None:
        change(project, task, value_increment=1, data_merge=f'{{"n{number}": {number}}}')

    at_once(app, *numbered(8, add))

    row = reads.get_wire_task(project, task.id)
    assert row.value == 8
    assert json.loads(row.data or "") == {f"n{number}": number for number in range(8)}


def test_relative_changes_take_no_statement_of_their_own(project: ProjectRef) -> None:
    task = make_task(project, value=1, data="{}")

    with count_queries() as plain:
        change(project, task, value=2, data="{}")
    with count_queries() as relative:
        change(project, task, value_increment=1, data_merge='{"a": 1}')

    assert len(relative) == len(plain)
