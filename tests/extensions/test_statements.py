"""Statements that the driver runs: the rows, rules and errors are those of SQLAlchemy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from conftest import count_queries
from sqlalchemy import bindparam, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import WriteInReadOnlyTransaction
from taskbadger.extensions import Statement, db, deferring, reading, transaction, writing
from taskbadger.models import TaskTag
from taskbadger.models.task_rows import STATE_COLUMNS, TASKS, WIRE_COLUMNS, TaskState, WireTask

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, UTC)
INSERT = Statement(insert(TASKS), tuple)
BY_ID = TASKS.c.id == bindparam("task_id")


def state(project: ProjectRef, **changes: Any) -> TaskState:
    values = {
        "id": ids.new_id(NOW),
        "project_id": project.id,
        "parent": None,
        "has_actions": False,
        "monitor_id": None,
        "name": "Job ☕",
        "name_folded": "job ☕",
        "queue": "q",
        "external_id": "",
        "status": "processing",
        "stale_from": None,
        "value": 2**63 - 1,
        "value_max": 100,
        "data": '{"a":1}',
        "tags": "{}",
        "created": NOW,
        "updated": NOW,
        "start_time": None,
        "end_time": NOW + timedelta(days=1),
        "time_to_start": timedelta(days=2, microseconds=5),
        "max_runtime": 5,
        "stale_timeout": None,
        "stale_at": None,
        "overdue_at": NOW,
    }
    return TaskState(**{**values, **changes})


@pytest.fixture
def task(project: ProjectRef) -> TaskState:
    made = state(project)
    with transaction():
        INSERT.run(made._asdict())
    return made


def names() -> list[str]:
    with reading():
        return list(db.session.scalars(select(TASKS.c.name).order_by(TASKS.c.name)))


def test_what_is_written_is_read_again_with_every_type(task: TaskState) -> None:
    read = Statement(select(*STATE_COLUMNS).where(BY_ID), TaskState._make)

    assert read.read({"task_id": task.id}) == [task]


def test_rows_are_those_of_sqlalchemy(task: TaskState) -> None:
    core = select(*WIRE_COLUMNS).where(BY_ID)

    [found] = Statement(core, WireTask._make).read({"task_id": task.id})

    with reading():
        assert found == tuple(db.session.execute(core, {"task_id": task.id}).one())
    assert (found.created, found.time_to_start) == (
        "2026-05-04T03:02:01.123456Z",
        "2 00:00:00.000005",
    )


def test_constants_of_a_statement_are_part_of_it(task: TaskState) -> None:
    core = select(TASKS.c.name).where(TASKS.c.status == "processing", TASKS.c.created == NOW, BY_ID)

    assert Statement(core, tuple).read({"task_id": task.id}) == [(task.name,)]


def test_each_set_of_columns_is_an_update_of_its_own(task: TaskState) -> None:
    change = Statement(update(TASKS).where(BY_ID), tuple)
    with transaction():
        change.run({"name": "new", "task_id": task.id})
        change.run({"value": None, "queue": "", "task_id": task.id})

    [found] = Statement(select(*STATE_COLUMNS).where(BY_ID), TaskState._make).read(
        {"task_id": task.id}
    )
    assert found == task._replace(name="new", value=None, queue="")


@pytest.mark.parametrize("count", [1, 3])
def test_rows_are_written_together(task: TaskState, project: ProjectRef, count: int) -> None:
    rows = [
        {"task_id": task.id, "name": f"n{number}", "value": "v", "project_id": project.id}
        for number in range(count)
    ]

    with count_queries() as queries, transaction():
        Statement(insert(TaskTag.metadata.tables["task_tag"]), tuple).run_each(rows)

    with reading():
        assert db.session.scalars(select(TaskTag.name).order_by(TaskTag.name)).all() == [
            row["name"] for row in rows
        ]
    assert len(queries) == 1


def test_a_missing_parameter_is_an_error(task: TaskState) -> None:
    with pytest.raises(KeyError):
        Statement(select(TASKS.c.id).where(BY_ID), tuple).read({})


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (Statement(update(TASKS).where(BY_ID).values(name="after"), tuple), "UPDATE"),
        (Statement(delete(TASKS).where(BY_ID), tuple), "DELETE"),
        (Statement(select(TASKS.c.id).where(BY_ID).with_for_update(), tuple), "SELECT FOR UPDATE"),
    ],
)
def test_read_only_transactions_refuse_changes(
    task: TaskState, statement: Statement[Any], kind: str
) -> None:
    with reading(), pytest.raises(WriteInReadOnlyTransaction) as refused:
        statement.all({"task_id": task.id})

    assert refused.value.kind == kind
    assert names() == [task.name]


def test_an_error_of_the_database_is_one_of_sqlalchemy_and_ends_the_transaction(
    task: TaskState,
) -> None:
    def write() -> None:
        with transaction():
            INSERT.run(state_like(task, id=ids.new_id(NOW)))
            INSERT.run(state_like(task))

    with pytest.raises(IntegrityError) as raised:
        write()

    assert task.name not in str(raised.value)  # It goes to the log.
    assert names() == [task.name]
    with transaction():
        INSERT.run(state_like(task, id=ids.new_id(NOW)))


def state_like(task: TaskState, **changes: Any) -> dict[str, Any]:
    return {**task._asdict(), **changes}


def test_a_lost_connection_is_replaced(task: TaskState, backend: str, database_url: str) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite has no server")
    read = Statement(select(TASKS.c.name).where(BY_ID), tuple)

    def lose() -> None:
        with transaction():
            pid = db.session.scalar(text("SELECT pg_backend_pid()"))
            with psycopg.connect(database_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))
            read.all({"task_id": task.id})

    with pytest.raises(OperationalError) as raised:
        lose()

    assert raised.value.connection_invalidated
    assert read.read({"task_id": task.id}) == [(task.name,)]


def test_statements_run_in_the_session_s_own_transaction_too(task: TaskState) -> None:
    change = Statement(update(TASKS).where(BY_ID), tuple)
    with writing():
        change.run({"name": "never", "task_id": task.id})
        db.session.rollback()
        change.run({"name": "then", "task_id": task.id})
        db.session.commit()

    assert names() == ["then"]


# Deferring

ADD_TAG = Statement(insert(TaskTag.__table__), tuple)
RENAME = Statement(update(TASKS).where(BY_ID), tuple)


def tag(task: TaskState, name: str) -> dict[str, Any]:
    return {"task_id": task.id, "name": name, "value": "x", "project_id": task.project_id}


def test_deferred_statements_are_sent_together_at_the_end_of_the_block(
    project: ProjectRef,
) -> None:
    first, second = state(project), state(project)

    with transaction(), count_queries() as sent, deferring():
        for task in (first, second):
            ADD_TAG.run(tag(task, "a"))  # Before the task that it refers to.
            INSERT.run(task._asdict())
        RENAME.run({"task_id": first.id, "name": "one"})
        RENAME.run({"task_id": second.id, "queue": "two"})
        RENAME.run({"task_id": first.id, "name": "three"})
        assert sent == []

    kinds = [" ".join(each.split()[:3]) for each in sent]
    assert kinds == ["INSERT INTO task", *["UPDATE task SET"] * 3, "INSERT INTO task_tag"]
    rows = db.session.execute(select(TASKS.c.name, TASKS.c.queue)).all()
    assert sorted(rows) == [("Job ☕", "two"), ("three", "q")]


def test_other_statements_see_what_was_deferred(task: TaskState) -> None:
    names = select(TaskTag.name).order_by(TaskTag.name)
    get_names = Statement(names, tuple)

    with transaction(), deferring():
        ADD_TAG.run(tag(task, "a"))
        assert db.session.scalars(names).all() == ["a"]
        ADD_TAG.run_each([tag(task, "b"), tag(task, "c")])
        assert get_names.all({}) == [("a",), ("b",), ("c",)]


def test_block_that_raises_writes_nothing_of_what_it_deferred(task: TaskState) -> None:
    def fail() -> None:
        with transaction(), deferring():
            ADD_TAG.run(tag(task, "a"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with transaction():
        ADD_TAG.run(tag(task, "b"))

    assert db.session.scalars(select(TaskTag.name)).all() == ["b"]


def test_errors_of_what_was_deferred_are_those_of_sqlalchemy(task: TaskState) -> None:
    with pytest.raises(IntegrityError), transaction(), deferring():
        ADD_TAG.run_each([tag(task, "a"), tag(task, "a")])
