"""Tasks that failed before kinds were counted get their kinds."""

from typing import Any

from alerting import KEY, NOW, after, create, update
from conftest import count_queries, make_project
from flask import Flask
from services.failures.failing import Kind, Noted, data, fail, kinds, noted
from simultaneous import at_once, numbered
from sqlalchemy import delete, func, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureBackfill, FailureKind
from taskbadger.models.failure import OPEN
from taskbadger.services.failures import backfill
from taskbadger.services.tasks import write


def forget() -> None:
    """Be as before kinds were counted."""
    db.session.execute(delete(FailureKind))
    db.session.commit()


def begin(*projects: ProjectRef) -> None:
    for project in projects:
        backfill.start(project.id)
    db.session.commit()


def run(limit: int = 2) -> int:
    """Do all that is left; return how many tasks were counted."""
    counted = 0
    while part := backfill.find_next(limit=limit):
        if part.task_ids:
            counted += backfill.record(part, part.task_ids)
            moved = backfill.advance(part, part.task_ids[-1])
            assert moved is not None
            part = moved
        if part.is_last:
            backfill.finish(part)
        db.session.commit()
    return counted


def test_old_failures_get_their_kinds_without_news(project: ProjectRef) -> None:
    first = fail(project, "boom")
    late = create(project, now=after(seconds=1), status="processing", stale_timeout=1)
    write.mark_stale(project, [late], now=after(seconds=60))
    long = create(project, now=after(seconds=2), status="processing", max_runtime=1)
    write.mark_overdue(project, [long], now=after(seconds=61))
    last = fail(project, "boom", now=after(seconds=3))
    create(project, status="success")
    forget()
    begin(project)

    assert run() == 4

    overdue = "max runtime exceeded"
    minute = after(seconds=60)
    assert sorted(kinds()) == [
        Kind("job", "boom", "error", 2, NOW, after(seconds=3), last, OPEN),
        Kind("job", overdue, "max_runtime_exceeded", 1, *[after(seconds=61)] * 2, long, OPEN),
        Kind("job", "stale", "stale", 1, minute, minute, late, OPEN),
    ]
    assert noted() == {
        first: Noted("boom", NOW, ""),
        late: Noted("stale", minute, ""),
        long: Noted(overdue, after(seconds=61), ""),
        last: Noted("boom", after(seconds=3), ""),
    }
    assert db.session.scalars(select(FailureBackfill)).all() == []


def test_failure_that_has_a_kind_is_not_counted_again(project: ProjectRef) -> None:
    fail(project, "old")
    forget()
    new = fail(project, "new", now=after(seconds=1))
    begin(project)

    assert run() == 1
    assert sorted((kind.title, kind.count) for kind in kinds()) == [("new", 1), ("old", 1)]
    assert noted()[new].news == "new"

    begin(project)
    assert run() == 0


def test_each_project_has_its_turn(project: ProjectRef) -> None:
    other = make_project("acme", "worker")
    for place in (project, other, project):
        fail(place)
    forget()
    begin(project, other)

    assert run(limit=1) == 3
    assert [(kind.name, kind.count) for kind in kinds()] == [("job", 2), ("job", 1)]


def test_task_that_is_resumed_meanwhile_is_not_counted(project: ProjectRef) -> None:
    task_id = fail(project)
    forget()
    begin(project)
    part = backfill.find_next(limit=5)
    assert part is not None
    update(project, task_id, after(seconds=1), status="processing")

    assert backfill.record(part, part.task_ids) == 0
    assert (kinds(), noted()) == ([], {})


def test_slower_worker_does_not_move_the_cursor_back(project: ProjectRef) -> None:
    task_ids = [fail(project, now=after(seconds=number)) for number in range(3)]
    forget()
    begin(project)
    part = backfill.find_next(limit=5)
    assert part is not None

    assert backfill.advance(part, task_ids[0]) is not None
    assert backfill.advance(part, task_ids[2]) is None
    backfill.finish(part)
    db.session.commit()

    query = select(FailureBackfill.before).order_by(FailureBackfill.status)
    assert db.session.scalars(query).all() == [task_ids[0], None]


def test_statements_do_not_grow_with_the_tasks(project: ProjectRef) -> None:
    counts = []
    for number in (3, 40):
        for each in range(number):
            fail(project, "abc"[each % 3] * 2)
        forget()
        begin(project)
        part = backfill.find_next(limit=100)
        assert part is not None
        with count_queries() as statements:
            assert backfill.record(part, part.task_ids) == len(part.task_ids)
        counts.append(len(statements))
        db.session.commit()

    assert counts == [7, 7]


def test_several_workers_and_failures_count_each_task_once(app: Flask, project: ProjectRef) -> None:
    old = [fail(project, "boom") for _ in range(40)]
    forget()
    begin(project)

    def work(_number: int) -> None:
        while part := backfill.find_next(limit=7):
            backfill.record(part, part.task_ids)
            db.session.commit()
            moved = backfill.advance(part, part.task_ids[-1]) if part.task_ids else part
            if moved and part.is_last:
                backfill.finish(moved)
            db.session.commit()

    def fail_again(number: int) -> None:
        for task_id in old[number::10]:
            changes: dict[str, Any] = {"status": "processing"}
            write.update_task(project, task_id, changes, now=after(seconds=1), actor=KEY)
            changes = {"status": "error", "data": data("again")}
            write.update_task(project, task_id, changes, now=after(seconds=2), actor=KEY)
            db.session.commit()

    at_once(app, *numbered(2, work), *numbered(2, fail_again))

    notes = noted()
    again = [task_id for task_id in notes if notes[task_id].title == "again"]
    assert (len(notes), len(again)) == (40, 8)
    counted = {kind.title: kind.count for kind in kinds()}
    assert counted["again"] == 8
    assert 32 <= counted["boom"] <= 40
    assert db.session.scalar(select(func.count()).select_from(Failure)) == 40
