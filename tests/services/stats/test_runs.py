"""Counting runs from the history."""

from datetime import datetime, timedelta

import pytest
from conftest import count_queries
from services.stats.counting import ADA, NOW, count, run
from sqlalchemy import delete, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import RunStat, RunStatCursor, TaskEvent
from taskbadger.services.stats import runs
from taskbadger.services.tasks import write


def stats(name: str = "job", seconds: int = runs.HOUR) -> list[tuple[datetime, int, int]]:
    query = (
        select(RunStat)
        .where(RunStat.name == name, RunStat.seconds == seconds)
        .order_by(RunStat.start)
    )
    found = [(row.start, row.success, row.error) for row in db.session.scalars(query)]
    db.session.rollback()
    return found


def test_runs_are_counted_once_by_minute_hour_and_day(project: ProjectRef) -> None:
    run(project, ago=0, status="success")
    run(project, ago=60, status="error")
    run(project, ago=3600, status="success")
    assert count() == 1
    run(project, ago=10, status="success")
    assert count() == 1
    assert count() == 0

    hour = NOW.replace(minute=0, second=0)
    assert stats() == [
        (hour - timedelta(hours=1), 1, 1),
        (hour, 2, 0),
    ]
    assert stats(seconds=runs.DAY) == [(hour.replace(hour=0), 3, 1)]
    assert stats("", runs.MINUTE) == [
        (hour - timedelta(hours=1), 1, 0),
        (hour - timedelta(minutes=1), 0, 1),
        (hour, 2, 0),
    ]


def test_counts_of_many_names_are_changed_together(project: ProjectRef) -> None:
    numbers = []
    for names in (2, 20):
        for _ in range(2):
            for number in range(names):
                run(project, f"{names} {number}", status="success")
            batch = runs.read_batch(now=NOW)
            assert batch is not None
            with count_queries() as statements:
                runs.count_batch(batch, now=NOW)
            db.session.commit()
        numbers.append(len(statements))

    assert numbers[0] == numbers[1]
    assert [(success, error) for _, success, error in stats("20 7", runs.DAY)] == [(2, 0)]


def test_run_that_is_tried_again_counts_both_times(project: ProjectRef) -> None:
    task = run(project, ago=60, status="error")
    write.update_task(project, task.id, {"status": "processing"}, now=NOW, actor=ADA)
    write.update_task(project, task.id, {"status": "success"}, now=NOW, actor=ADA)
    db.session.commit()
    count()

    assert stats(seconds=runs.DAY) == [(NOW.replace(hour=0, second=0), 1, 1)]


def test_task_created_at_its_end_counts(project: ProjectRef) -> None:
    write.create_task(project, {"name": "job", "status": "error"}, now=NOW, actor=ADA)
    db.session.commit()
    count()

    assert stats(seconds=runs.DAY) == [(NOW.replace(hour=0, second=0), 0, 1)]


def test_batch_is_counted_by_one_worker_only(project: ProjectRef) -> None:
    run(project, status="success")
    first = runs.read_batch(now=NOW)
    second = runs.read_batch(now=NOW)
    assert first is not None
    assert second is not None

    taken = [runs.count_batch(batch, now=NOW) for batch in (first, second)]
    db.session.commit()

    assert taken == [True, False]
    run(project, status="success")
    late = runs.read_batch(now=NOW)
    assert late is not None
    count()
    assert not runs.count_batch(late, now=NOW)
    db.session.commit()
    assert stats(seconds=runs.DAY) == [(NOW.replace(hour=0, second=0), 2, 0)]


def test_missing_entry_is_waited_for_while_it_may_come(project: ProjectRef) -> None:
    run(project, status="success")
    count()
    lost = run(project, status="success")
    run(project, status="error")
    db.session.execute(
        delete(TaskEvent).where(TaskEvent.task_id == lost.id, TaskEvent.type == "status")
    )
    db.session.commit()

    count(NOW + timedelta(seconds=20))
    assert stats(seconds=runs.DAY) == [(NOW.replace(hour=0, second=0), 1, 0)]
    assert runs.counted_until() == NOW
    db.session.rollback()

    count(NOW + timedelta(seconds=31))
    assert stats(seconds=runs.DAY) == [(NOW.replace(hour=0, second=0), 1, 1)]
    assert runs.counted_until() is None


def test_ids_that_begin_again_are_counted(project: ProjectRef) -> None:
    run(project, status="success")
    count()
    db.session.execute(delete(TaskEvent))
    db.session.execute(RunStatCursor.__table__.update().values(event_id=2**40))
    db.session.commit()
    assert count() == 1
    cursor = db.session.scalar(select(RunStatCursor.event_id))
    db.session.rollback()

    assert cursor == 0


def test_large_history_is_counted_in_batches(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BATCH", 3)
    for number in range(4):
        run(project, ago=number, status="success")

    assert count() == 3
    assert stats(seconds=runs.DAY) == [(NOW.replace(hour=0, second=0), 4, 0)]


def test_old_counts_are_forgotten(project: ProjectRef) -> None:
    run(project, status="success")
    count()
    for days, spans in ((4, [3600, 3600, 86400]), (36, [86400]), (401, [])):
        runs.forget_old(now=NOW + timedelta(days=days))
        db.session.commit()
        left = sorted(db.session.scalars(select(RunStat.seconds)))
        db.session.rollback()
        assert left == spans
