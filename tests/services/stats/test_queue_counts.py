"""Counting what comes into queues and leaves them, from the history."""

from datetime import datetime, timedelta

import pytest
from conftest import count_queries
from services.stats.counting import ADA, NOW, count
from services.stats.queueing import queued
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.run_times import bin_of, read_stored
from taskbadger.extensions import db
from taskbadger.models import QueueStat
from taskbadger.services.stats import runs
from taskbadger.services.tasks import write

HERE = NOW.replace(minute=0, second=0)


def counts(queue: str = "mail") -> list[tuple[datetime, int, int, int, dict[int, int]]]:
    query = select(QueueStat).where(QueueStat.queue == queue).order_by(QueueStat.start)
    found = [
        (row.start, row.arrived, row.departed, row.finished, read_stored(row.waits))
        for row in db.session.scalars(query)
    ]
    db.session.rollback()
    return found


def test_arrivals_departures_ends_and_waits_are_counted(project: ProjectRef) -> None:
    queued(project, ago=400, started=20, ended=10)
    queued(project, ago=20, started=10, ended=5, status="error")
    queued(project, ago=5)
    queued(project, "", ago=1)
    count()

    before = HERE - timedelta(minutes=10)
    assert counts() == [
        (before, 1, 0, 0, {}),
        (HERE, 2, 2, 2, {bin_of(380): 1, bin_of(10): 1}),
    ]
    assert counts("") == [(HERE, 1, 0, 0, {})]


def test_each_move_is_counted_once_over_several_batches(project: ProjectRef) -> None:
    task = queued(project, ago=20)
    count()
    for status, ago in (("pre_processing", 10), ("processing", 9), ("success", 8)):
        at = NOW - timedelta(seconds=ago)
        write.update_task(project, task, {"status": status, "value": 1}, now=at, actor=ADA)
        db.session.commit()
        count()

    assert counts() == [(HERE, 1, 1, 1, {bin_of(10): 1})]


@pytest.mark.parametrize("status", ["cancelled", "stale"])
def test_task_that_leaves_without_starting_has_no_wait(project: ProjectRef, status: str) -> None:
    queued(project, ago=20, ended=10, status=status)
    count()

    assert counts() == [(HERE, 1, 1, 0, {})]


def test_task_that_is_queued_again_arrives_and_waits_again(project: ProjectRef) -> None:
    task = queued(project, ago=29, started=28, ended=20, status="error")
    for status, ago in (("pending", 15), ("processing", 5)):
        at = NOW - timedelta(seconds=ago)
        write.update_task(project, task, {"status": status}, now=at, actor=ADA)
    db.session.commit()
    count()

    assert counts() == [(HERE, 2, 2, 1, {bin_of(1): 1, bin_of(10): 1})]


def test_task_that_never_waited_only_ends(project: ProjectRef) -> None:
    task = write.create_task(
        project, {"name": "job", "queue": "mail", "status": "processing"}, now=NOW, actor=ADA
    )
    write.update_task(project, task.id, {"status": "success"}, now=NOW, actor=ADA)
    db.session.commit()
    count()

    assert counts() == [(HERE, 0, 0, 1, {})]


def test_counts_of_many_queues_are_changed_together(project: ProjectRef) -> None:
    numbers = []
    for queues in (2, 20):
        for _ in range(2):
            for number in range(queues):
                queued(project, f"{queues} {number}", ago=5, started=3)
            batch = runs.read_batch(now=NOW)
            assert batch is not None
            with count_queries() as statements:
                runs.count_batch(batch, now=NOW)
            db.session.commit()
        numbers.append(len(statements))

    assert numbers[0] == numbers[1]
    assert counts("20 7") == [(HERE, 2, 2, 0, {bin_of(2): 2})]


def test_counts_are_kept_for_a_day_and_an_hour(project: ProjectRef) -> None:
    queued(project, ago=0)
    count()

    for hours, left in ((24, 1), (26, 0)):
        runs.forget_old(now=NOW + timedelta(hours=hours))
        db.session.commit()
        assert len(counts()) == left


def test_old_history_is_not_counted(project: ProjectRef) -> None:
    queued(project, ago=25 * 3600 + 60, started=25 * 3600 + 30)
    count()

    assert counts() == []
