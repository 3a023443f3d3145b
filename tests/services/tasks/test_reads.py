"""Reading and locking one task: what each function gives, and for which tasks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import make_project
from flask import Flask
from sqlalchemy import insert, update

from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, Task
from taskbadger.models.task_rows import TASKS, TaskState, WireTask
from taskbadger.services.tasks import reads, write

CI = Actor("key", "ci")
START = datetime(2026, 1, 1, tzinfo=UTC)


def make_task(project: ProjectRef, **fields: Any) -> TaskState:
    task = write.create_task(project, {"name": "Job", **fields}, now=START, actor=CI)
    db.session.commit()
    return task


def test_wire_task_has_times_as_text(project: ProjectRef) -> None:
    task = make_task(project, status="processing", value=3, tags={"a": "b"})

    row = reads.get_wire_task(project, task.id)

    assert tuple(row) == WireTask(
        id=task.id,
        parent=None,
        name="Job",
        queue="",
        external_id="",
        status="processing",
        value=3,
        value_max=100,
        data=None,
        tags='{"a":"b"}',
        created="2026-01-01T00:00:00.000000Z",
        updated="2026-01-01T00:00:00.000000Z",
        start_time="2026-01-01T00:00:00.000000Z",
        end_time=None,
        time_to_start="00:00:00",
        max_runtime=None,
        stale_timeout=None,
    )
    assert (row.id, row.created) == (task.id, "2026-01-01T00:00:00.000000Z")


def test_row_of_an_answer_is_what_the_state_becomes(project: ProjectRef) -> None:
    identities = ["-" * 21 + "w", "_" * 21 + "w", "A" * 22]
    first, last = "0987-06-05T04:03:02.000001Z", "2024-02-29T23:59:59.999999Z"
    moment = datetime.fromisoformat
    state = make_task(project)._replace(created=moment(first), end_time=moment(last))
    for identity in identities:
        values = state._replace(id=identity, parent=identity)._asdict()
        db.session.execute(insert(TASKS).values(values))
    db.session.commit()

    rows = [reads.get_wire_task(project, identity) for identity in identities]

    assert [(row.id, row.parent) for row in rows] == [(one, one) for one in identities]
    assert {(row.created, row.end_time) for row in rows} == {(first, last)}


def test_locked_state_is_the_state_that_was_written(project: ProjectRef) -> None:
    created = make_task(project, data='{"n":1}', max_runtime=60, stale_timeout=30)
    assert reads.lock_task(project, created.id) == created

    changed = write.update_task(
        project, created.id, {"status": "processing", "value": 1}, now=START, actor=CI
    )

    assert reads.lock_task(project, created.id) == changed
    assert (changed.version, changed.updated) == (2, START + timedelta(microseconds=1))
    assert changed.overdue_at == START + timedelta(seconds=60)


def test_lock_says_whether_global_actions_are_turned_on(project: ProjectRef) -> None:
    task = make_task(project)
    assert reads.lock(project, task.id) == reads.Locked(task, global_actions=False)

    db.session.add(
        GlobalAction(
            organization_id=project.organization_id,
            name="all",
            trigger="error",
            channels="[]",
            name_pattern="",
            enabled=True,
            quiet_period=0,
            created=START,
            updated=START,
        )
    )
    db.session.flush()

    assert reads.lock(project, task.id) == reads.Locked(task, global_actions=True)
    db.session.execute(update(GlobalAction).values(enabled=False))
    assert reads.lock(project, task.id).global_actions is False


@pytest.mark.parametrize("read", [reads.get_wire_task, reads.check_exists, reads.lock_task])
def test_task_of_another_project_is_not_found(app: Flask, project: ProjectRef, read: Any) -> None:
    task = make_task(project)
    other = make_project("acme", "other")
    read(project, task.id)

    for where, task_id in ((other, task.id), (project, ids.new_id(START)), (project, "no id")):
        with pytest.raises(NotFound):
            read(where, task_id)


def test_only_a_task_that_is_due_is_locked(project: ProjectRef) -> None:
    task = make_task(project, status="processing", stale_timeout=10, max_runtime=20)

    def locked(statement: Any, seconds: int) -> bool:
        now = START + timedelta(seconds=seconds)
        found = reads.lock_due(statement, project, [task.id, ids.new_id(START)], now=now)
        assert [each.task for each in found] in ([], [task])
        return found != []

    assert [locked(reads.LOCK_STALE, at) for at in (9, 10, 11)] == [False, True, True]
    assert [locked(reads.LOCK_OVERDUE, at) for at in (19, 20, 21)] == [False, True, True]


def test_state_has_every_column_of_the_table() -> None:
    assert set(TaskState._fields) == set(Task.__table__.columns.keys())
