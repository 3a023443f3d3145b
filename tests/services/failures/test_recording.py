"""Each task that fails gets its kind, in the transaction of the change."""

import random
from datetime import datetime
from typing import Any

import pytest
from alerting import KEY, NOW, after, create, firings, make_global_action, update
from conftest import count_queries, make_project
from flask import Flask
from services.failures.failing import (
    Kind,
    Noted,
    data,
    errors,
    fail,
    fill,
    kinds,
    latest,
    noted,
    set_state,
)
from simultaneous import at_once, numbered
from sqlalchemy import func, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db, transaction
from taskbadger.models import Failure, FailureKind
from taskbadger.models.failure import IGNORED, OPEN
from taskbadger.schemas.batch import CREATE, UPDATE, Operation
from taskbadger.services.failures import counting
from taskbadger.services.tasks import batch, write


def run(project: ProjectRef, operations: list[Operation], now: datetime = NOW) -> list[str]:
    """Run a batch; return the ids of its tasks."""
    with transaction():
        outcomes = batch.run(project, operations, clock=lambda: now, actor=KEY)
    return [outcome.task.id for outcome in outcomes if outcome.task]


def failing(text: str, **fields: Any) -> Operation:
    """Return an operation that creates a failed task."""
    return Operation(CREATE, data={"name": "job", "status": "error", "data": data(text), **fields})


def test_task_that_is_created_or_changed_to_error_gets_its_kind(project: ProjectRef) -> None:
    first = fail(project, "ValueError: no row 1")
    second = create(project)
    update(project, second, after(seconds=5), status="error", data=data("ValueError: no row 2"))

    title = "ValueError: no row ‹number›"
    assert kinds() == [Kind("job", title, "error", 2, NOW, after(seconds=5), second, OPEN)]
    assert noted() == {
        first: Noted(title, NOW, "new"),
        second: Noted(title, after(seconds=5), ""),
    }


def test_place_is_the_innermost_frame_of_the_users_code(project: ProjectRef) -> None:
    trace = 'Traceback (most recent call last):\n  File "/app/tasks.py", line 3, in load\n    x()\n'
    fail(project, f"{trace}KeyError: 'a'")

    assert db.session.scalars(select(FailureKind.place)).all() == ["tasks.py, load"]


def test_changes_that_are_no_failure_record_none(project: ProjectRef) -> None:
    task_id = create(project, status="processing")
    update(project, task_id, after(seconds=1), value=5)
    update(project, task_id, after(seconds=2), status="success")
    failed = fail(project)
    update(project, failed, after(seconds=3), data=data("other words"))

    assert [kind.count for kind in kinds()] == [1]


def test_failure_says_in_one_line_why_the_task_failed_last(project: ProjectRef) -> None:
    task_id = fail(project, "ValueError: no row 1\nof 5")
    other = fail(project, data=None)
    assert errors() == {task_id: "ValueError: no row 1", other: None}

    update(project, task_id, after(seconds=1), status="processing")
    update(project, task_id, after(seconds=2), status="error", data=data("KeyError: 'a'"))

    assert errors() == {task_id: "KeyError: 'a'", other: None}


def test_names_and_projects_have_kinds_of_their_own(project: ProjectRef) -> None:
    fail(project)
    fail(project, name="other")
    fail(make_project("acme", "worker"))

    assert [(kind.name, kind.count) for kind in kinds()] == [("job", 1), ("other", 1), ("job", 1)]


@pytest.mark.parametrize(
    ("mark", "fields", "cause"),
    [
        (write.mark_stale, {"stale_timeout": 1}, "stale"),
        (write.mark_overdue, {"max_runtime": 1}, "max_runtime_exceeded"),
    ],
)
def test_sweeps_record_their_own_causes(
    project: ProjectRef, mark: Any, fields: dict[str, int], cause: str
) -> None:
    task_id = create(project, status="processing", **fields)
    mark(project, [task_id], now=after(seconds=60))
    db.session.commit()

    title = {"stale": "stale", "max_runtime_exceeded": "max runtime exceeded"}[cause]
    at = after(seconds=60)
    assert kinds() == [Kind("job", title, cause, 1, at, at, task_id, OPEN)]
    assert noted() == {task_id: Noted(title, at, "new")}
    words = {"stale": "No update for 1 s"}.get(cause, "Stopped by the server: ran longer than 1 s")
    assert errors() == {task_id: words}


def test_ignored_kind_fires_no_global_action_for_its_failure(project: ProjectRef) -> None:
    make_global_action(project, trigger="error,stale,max_runtime_exceeded,50%")
    fail(project)
    set_state("boom", IGNORED)
    own = {"trigger": "error", "integration": "email", "config": {"to": "b@example.com"}}
    fail(project, now=after(seconds=1), actions=[own])
    fail(project, now=after(seconds=2), value=60)
    fail(project, "bang", now=after(seconds=3))

    fired = [(firing.action_id is None, firing.created) for firing in firings()]
    assert fired == [
        (True, NOW),
        (False, after(seconds=1)),
        (True, after(seconds=2)),
        (True, after(seconds=3)),
    ]
    assert '"point": "50%"' in firings()[2].reason


def test_ignored_kinds_fire_nothing_in_sweeps_and_batches(project: ProjectRef) -> None:
    make_global_action(project, trigger="error,stale,max_runtime_exceeded")
    for forever in (False, True):
        tasks = [create(project, status="processing", **late) for late in LATE]
        write.mark_stale(project, tasks, now=after(minutes=1))
        write.mark_overdue(project, tasks, now=after(minutes=1))
        db.session.commit()
        run(project, [failing("boom"), failing("boom"), failing("bang")])
        if not forever:
            assert len(firings()) == 5
            db.session.execute(FailureKind.__table__.update().values(state=IGNORED))
            db.session.commit()
            set_state("bang", OPEN)
    assert len(firings()) == 6


LATE = ({"stale_timeout": 1}, {"max_runtime": 1})


# Statements


def statements_of(work: Any) -> int:
    with count_queries() as statements:
        work()
    return len(statements)


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("is_full", [False, True])
def test_failure_costs_two_statements(project: ProjectRef, is_known: bool, is_full: bool) -> None:
    fill(project, counting.MAX_KINDS if is_full else 1)
    if is_known:
        fail(project)
    tasks = [create(project, status="processing") for _ in range(2)]
    db.session.rollback()

    plain = statements_of(lambda: update(project, tasks[0], after(seconds=1), status="success"))
    failed = statements_of(lambda: update(project, tasks[1], after(seconds=1), status="error"))

    assert failed - plain == 2


@pytest.mark.parametrize(("different", "more"), [(1, 2), (3, 4), (40, 4)])
def test_failures_of_a_batch_cost_a_constant_number(
    project: ProjectRef, different: int, more: int
) -> None:
    words = [f"{'abcdefghij'[number % 10]}{'klmnop'[number // 10]}" for number in range(different)]
    operations = [failing(words[number % different]) for number in range(50)]
    plain = [Operation(CREATE, data={"name": "job", "status": "success"})] * 50
    run(project, plain)

    before = statements_of(lambda: run(project, plain))
    assert statements_of(lambda: run(project, operations)) - before == more
    assert statements_of(lambda: run(project, operations)) - before == more
    assert (len(kinds()), sum(kind.count for kind in kinds())) == (different, 100)


def test_failures_of_full_names_cost_a_constant_number_too(project: ProjectRef) -> None:
    fill(project, counting.MAX_KINDS)
    plain = [Operation(CREATE, data={"name": "job", "status": "success"})]
    run(project, plain)
    before = statements_of(lambda: run(project, plain))
    words = [f"{letter}{letter}" for letter in "abcdefghijklmnop"]

    assert statements_of(lambda: run(project, [failing(word) for word in words])) - before == 4
    assert [row[1:] for row in latest()] == [("other failures", 16)]


# Batches


def test_changes_of_one_task_in_a_batch_are_recorded_and_fired_in_order(
    project: ProjectRef,
) -> None:
    make_global_action(project)
    [task_id, *_] = run(
        project,
        [
            failing("first")._replace(ref="a"),
            Operation(UPDATE, ref="a", data={"status": "processing"}),
            Operation(UPDATE, ref="a", data={"status": "error", "data": data("second")}),
        ],
    )

    assert sorted((kind.title, kind.count) for kind in kinds()) == [("first", 1), ("second", 1)]
    assert [row.title for row in noted().values()] == ["second"]
    assert [(firing.task_id, firing.task_version) for firing in firings()] == [
        (task_id, 1),
        (task_id, 3),
    ]


def test_batch_fills_what_is_left_and_the_rest_are_others(project: ProjectRef) -> None:
    fill(project, counting.MAX_KINDS - 2)
    texts = ["one", "two", "three", "four"]
    task_ids = run(project, [failing(text) for text in (*texts, "three")])

    assert len(latest()) == 3
    assert sum(row[2] for row in latest()) == 5
    assert {noted()[task_id].title for task_id in task_ids} == {row[1] for row in latest()}
    news = [noted()[task_id].news for task_id in task_ids]
    assert sorted(news) == ["", "", "new", "new", "new"]


# Hostile data, and many at once


@pytest.mark.parametrize(
    "text",
    [
        '{"exception": "\\ud800 lone"}',
        '{"exception": "' + "Traceback (most recent call last):\\n" * 100_000 + '"}',
        '{"exception": {"type": ["x"], "message": {"a": NaN}}',
        "[" * 50_000,
        '"' + "\\" * 99_999,
        '{"exception": "' + "\\u0000" * 1000 + 'x"}',
        '{"error": 1e999999999}',
        "9" * 100_000,
        "not json at all \x7f",
    ],
)
def test_hostile_data_is_recorded_like_any(project: ProjectRef, text: str) -> None:
    task_id = fail(project, data=text)

    assert [(kind.count, kind.sample_task) for kind in kinds()] == [(1, task_id)]
    assert list(noted()) == [task_id]


def test_simultaneous_batches_lock_kinds_in_one_order(app: Flask, project: ProjectRef) -> None:
    fill(project, counting.MAX_KINDS - 3)
    words = ["aa", "bb", "cc", "dd", "ee", "ff"]

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(5):
            chosen = chance.sample(words, 4)
            run(project, [failing(word) for word in chosen])

    at_once(app, *numbered(4, work))

    counted = db.session.scalar(
        select(func.sum(FailureKind.count)).where(FailureKind.title.not_like("kind %"))
    )
    assert counted == 4 * 5 * 4
    assert db.session.scalar(select(func.count()).select_from(Failure)) == 4 * 5 * 4


def test_failure_that_is_rolled_back_is_not_counted(project: ProjectRef) -> None:
    write.create_task(project, {"name": "job", "status": "error"}, now=NOW, actor=KEY)
    db.session.rollback()

    assert (kinds(), noted()) == ([], {})
